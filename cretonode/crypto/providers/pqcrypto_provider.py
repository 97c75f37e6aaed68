"""ML-DSA-87 and ML-KEM-768 by the package `pqcrypto`: the second, independent implementation.

It signs about ten times slower than OpenSSL and holds the GIL meanwhile. It has no key generation
from a seed: ML-DSA seeds are expanded by our own `ml_dsa_expand`, and ML-KEM secret keys come in
expanded, as FIPS 203 writes them.
"""

from importlib import import_module
from typing import Protocol, cast

from cretonode.crypto.providers.interface import (
    ML_DSA_EXPANDED_BYTES,
    ML_DSA_PUBLIC_BYTES,
    ML_DSA_SEED_BYTES,
    ML_DSA_SIGNATURE_BYTES,
    ML_KEM_CIPHERTEXT_BYTES,
    ML_KEM_EXPANDED_BYTES,
    ML_KEM_PUBLIC_BYTES,
    Encapsulation,
)
from cretonode.crypto.providers.ml_dsa_expand import expand_seed
from cretonode.errors import MalformedMessage


class _MlDsaModule(Protocol):
    def sign(self, sk: bytes, msg: bytes, context: bytes) -> bytes: ...

    def verify(self, pk: bytes, msg: bytes, sig: bytes, context: bytes) -> None: ...


class _MlKemModule(Protocol):
    def keygen(self) -> tuple[bytes, bytes]: ...

    def encaps(self, pk: bytes, /) -> tuple[bytes, bytes]: ...

    def decaps(self, sk: bytes, ct: bytes, /) -> bytes: ...


# The package carries no types and makes these modules while it is imported.
_ML_DSA = cast(_MlDsaModule, import_module("pqcrypto.sign").ml_dsa_87)
_ML_KEM = cast(_MlKemModule, import_module("pqcrypto.kem").ml_kem_768)


class PqcryptoSignatures:
    """ML-DSA-87 by pqcrypto."""

    name = "pqcrypto"

    def secret_key(self, seed: bytes) -> "PqcryptoMlDsaSecretKey":
        """Return the key that FIPS 204 KeyGen makes of the 32-byte `seed`."""
        assert len(seed) == ML_DSA_SEED_BYTES, len(seed)
        public_key, expanded = expand_seed(seed)
        return PqcryptoMlDsaSecretKey(public_key, expanded)

    def public_key(self, encoded: bytes) -> "PqcryptoMlDsaPublicKey":
        """Return the key whose raw encoding is `encoded`."""
        assert len(encoded) == ML_DSA_PUBLIC_BYTES, len(encoded)
        return PqcryptoMlDsaPublicKey(encoded)


class PqcryptoMlDsaSecretKey:
    """A secret key of ML-DSA-87 in expanded form."""

    __slots__ = ("_expanded", "public_key")

    def __init__(self, public_key: bytes, expanded: bytes) -> None:
        assert len(public_key) == ML_DSA_PUBLIC_BYTES, len(public_key)
        assert len(expanded) == ML_DSA_EXPANDED_BYTES, len(expanded)
        self.public_key = public_key
        self._expanded = expanded

    def sign(self, message: bytes, context: bytes) -> bytes:
        """Return a fresh, randomized signature."""
        return _ML_DSA.sign(self._expanded, message, context)


class PqcryptoMlDsaPublicKey:
    """A public key of ML-DSA-87; this library parses it again in every call."""

    __slots__ = ("_encoded",)

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    def verify(self, message: bytes, signature: bytes, context: bytes) -> bool:
        """Return whether `signature` is valid."""
        if len(signature) != ML_DSA_SIGNATURE_BYTES:
            return False
        try:
            _ML_DSA.verify(self._encoded, message, signature, context)
        except ValueError:  # its InvalidSignatureError, and what it says of malformed hints
            return False
        return True


class PqcryptoKem:
    """ML-KEM-768 by pqcrypto."""

    name = "pqcrypto"

    def generate(self) -> "PqcryptoMlKemSecretKey":
        """Return a fresh key from the operating system's randomness."""
        _public_key, expanded = _ML_KEM.keygen()
        return PqcryptoMlKemSecretKey(expanded)

    def secret_key_from_expanded(self, expanded: bytes) -> "PqcryptoMlKemSecretKey":
        """Return the key whose expanded form (FIPS 203: dk, 2400 bytes) is `expanded`."""
        return PqcryptoMlKemSecretKey(expanded)

    def encapsulate_untrusted(self, public_key: bytes) -> Encapsulation:
        """Return a fresh secret for the owner of `public_key`. Raises: MalformedMessage."""
        if len(public_key) != ML_KEM_PUBLIC_BYTES:
            raise MalformedMessage(f"an ML-KEM-768 public key of {len(public_key)} bytes")
        try:
            ciphertext, shared_secret = _ML_KEM.encaps(public_key)
        except ValueError:  # a coefficient outside the field
            raise MalformedMessage("an ML-KEM-768 public key that is none") from None
        return Encapsulation(ciphertext, shared_secret)


class PqcryptoMlKemSecretKey:
    """A secret key of ML-KEM-768 in expanded form."""

    __slots__ = ("_expanded", "public_key")

    def __init__(self, expanded: bytes) -> None:
        assert len(expanded) == ML_KEM_EXPANDED_BYTES, len(expanded)
        self._expanded = expanded
        # FIPS 203, algorithm 16: the public key lies between the vector s and the two last hashes.
        self.public_key = expanded[1152 : 1152 + ML_KEM_PUBLIC_BYTES]

    def decapsulate_untrusted(self, ciphertext: bytes) -> bytes:
        """Return the shared secret. Raises: MalformedMessage, on a wrong length."""
        if len(ciphertext) != ML_KEM_CIPHERTEXT_BYTES:
            raise MalformedMessage(f"an ML-KEM-768 ciphertext of {len(ciphertext)} bytes")
        return _ML_KEM.decaps(self._expanded, ciphertext)
