"""What the project asks of an implementation of ML-DSA-87 and ML-KEM-768.

A provider turns key bytes into key objects once; the objects then do the work, so nothing is
parsed twice. Key objects are safe to use from several threads at the same time.
Source: FIPS 204 (ML-DSA) and FIPS 203 (ML-KEM).
"""

from typing import Final, NamedTuple, Protocol

ML_DSA_SEED_BYTES: Final = 32
ML_DSA_PUBLIC_BYTES: Final = 2592
ML_DSA_EXPANDED_BYTES: Final = 4896  # the secret key in the form FIPS 204 calls sk
ML_DSA_SIGNATURE_BYTES: Final = 4627
ML_DSA_CONTEXT_BYTES_MAX: Final = 255

ML_KEM_SEED_BYTES: Final = 64  # d, then z
ML_KEM_PUBLIC_BYTES: Final = 1184
ML_KEM_EXPANDED_BYTES: Final = 2400  # the secret key in the form FIPS 203 calls dk
ML_KEM_CIPHERTEXT_BYTES: Final = 1088
SHARED_SECRET_BYTES: Final = 32


class MlDsaSecretKey(Protocol):
    """A secret key of ML-DSA-87, ready to sign."""

    @property
    def public_key(self) -> bytes:
        """The 2592 bytes of the public key."""

    def sign(self, message: bytes, context: bytes) -> bytes:
        """Return a fresh signature: it is randomized, two over one message differ."""


class MlDsaPublicKey(Protocol):
    """A public key of ML-DSA-87, ready to verify."""

    def verify(self, message: bytes, signature: bytes, context: bytes) -> bool:
        """Return whether `signature` is valid. Any bytes are allowed; bad ones are False."""


class SignatureProvider(Protocol):
    """An implementation of ML-DSA-87."""

    @property
    def name(self) -> str:
        """The name by which the configuration chooses this provider."""

    def secret_key(self, seed: bytes) -> MlDsaSecretKey:
        """Return the key that FIPS 204 KeyGen makes of the 32-byte `seed`."""

    def public_key(self, encoded: bytes) -> MlDsaPublicKey:
        """Return the key whose raw encoding is `encoded`, 2592 bytes. Every value is a key."""


class Encapsulation(NamedTuple):
    """A fresh shared secret, and the ciphertext by which the other side learns it."""

    ciphertext: bytes
    shared_secret: bytes


class MlKemSecretKey(Protocol):
    """A secret key of ML-KEM-768."""

    @property
    def public_key(self) -> bytes:
        """The 1184 bytes of the public key."""

    def decapsulate_untrusted(self, ciphertext: bytes) -> bytes:
        """Return the shared secret; an altered ciphertext gives an unrelated one (FIPS 203, 6.3).

        Raises: MalformedMessage, when `ciphertext` has the wrong length.
        """


class KemProvider(Protocol):
    """An implementation of ML-KEM-768."""

    @property
    def name(self) -> str:
        """The name by which the configuration chooses this provider."""

    def generate(self) -> MlKemSecretKey:
        """Return a fresh key from the operating system's randomness."""

    def encapsulate_untrusted(self, public_key: bytes) -> Encapsulation:
        """Return a fresh secret for the owner of `public_key`.

        Raises: MalformedMessage, when `public_key` is no key (FIPS 203, 7.2).
        """
