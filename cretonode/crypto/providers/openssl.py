"""ML-DSA-87 and ML-KEM-768 by OpenSSL, through the package `cryptography`. The default.

Signing and verifying release the GIL, so a worker thread does them beside the event loop.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey, MLDSA87PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
)

from cretonode.crypto.providers.interface import (
    ML_DSA_PUBLIC_BYTES,
    ML_DSA_SEED_BYTES,
    ML_DSA_SIGNATURE_BYTES,
    ML_KEM_CIPHERTEXT_BYTES,
    ML_KEM_PUBLIC_BYTES,
    ML_KEM_SEED_BYTES,
    Encapsulation,
)
from cretonode.errors import MalformedMessage


class OpensslSignatures:
    """ML-DSA-87 by OpenSSL."""

    name = "openssl"

    def secret_key(self, seed: bytes) -> "OpensslMlDsaSecretKey":
        """Return the key that FIPS 204 KeyGen makes of the 32-byte `seed`."""
        assert len(seed) == ML_DSA_SEED_BYTES, len(seed)
        return OpensslMlDsaSecretKey(MLDSA87PrivateKey.from_seed_bytes(seed))

    def public_key(self, encoded: bytes) -> "OpensslMlDsaPublicKey":
        """Return the key whose raw encoding is `encoded`."""
        assert len(encoded) == ML_DSA_PUBLIC_BYTES, len(encoded)
        return OpensslMlDsaPublicKey(MLDSA87PublicKey.from_public_bytes(encoded))


class OpensslMlDsaSecretKey:
    """A secret key of ML-DSA-87 held by OpenSSL."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: MLDSA87PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()

    def sign(self, message: bytes, context: bytes) -> bytes:
        """Return a fresh, randomized signature."""
        return self._key.sign(message, context)


class OpensslMlDsaPublicKey:
    """A public key of ML-DSA-87 held by OpenSSL."""

    __slots__ = ("_key",)

    def __init__(self, key: MLDSA87PublicKey) -> None:
        self._key = key

    def verify(self, message: bytes, signature: bytes, context: bytes) -> bool:
        """Return whether `signature` is valid."""
        if len(signature) != ML_DSA_SIGNATURE_BYTES:
            return False
        try:
            self._key.verify(signature, message, context)
        except InvalidSignature:
            return False
        return True


class OpensslKem:
    """ML-KEM-768 by OpenSSL."""

    name = "openssl"

    def generate(self) -> "OpensslMlKemSecretKey":
        """Return a fresh key from the operating system's randomness."""
        return OpensslMlKemSecretKey(MLKEM768PrivateKey.generate())

    def secret_key_from_seed(self, seed: bytes) -> "OpensslMlKemSecretKey":
        """Return the key that FIPS 203 KeyGen makes of the 64-byte `seed`, d then z."""
        assert len(seed) == ML_KEM_SEED_BYTES, len(seed)
        return OpensslMlKemSecretKey(MLKEM768PrivateKey.from_seed_bytes(seed))

    def encapsulate_untrusted(self, public_key: bytes) -> Encapsulation:
        """Return a fresh secret for the owner of `public_key`. Raises: MalformedMessage."""
        if len(public_key) != ML_KEM_PUBLIC_BYTES:
            raise MalformedMessage(f"an ML-KEM-768 public key of {len(public_key)} bytes")
        try:
            key = MLKEM768PublicKey.from_public_bytes(public_key)
        except ValueError:  # a coefficient outside the field
            raise MalformedMessage("an ML-KEM-768 public key that is none") from None
        shared_secret, ciphertext = key.encapsulate()
        return Encapsulation(ciphertext, shared_secret)


class OpensslMlKemSecretKey:
    """A secret key of ML-KEM-768 held by OpenSSL."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: MLKEM768PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()

    def decapsulate_untrusted(self, ciphertext: bytes) -> bytes:
        """Return the shared secret. Raises: MalformedMessage, on a wrong length."""
        if len(ciphertext) != ML_KEM_CIPHERTEXT_BYTES:
            raise MalformedMessage(f"an ML-KEM-768 ciphertext of {len(ciphertext)} bytes")
        return self._key.decapsulate(ciphertext)
