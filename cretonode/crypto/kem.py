"""Key encapsulation with ML-KEM-768, behind the providers' interface.

Used to cross-check the providers; the hybrid key exchange of connections lives with their TLS.
Source: FIPS 203.
"""

from typing import Final

from cretonode.crypto.providers import DEFAULT_PROVIDER, kem_provider
from cretonode.crypto.providers.interface import (
    ML_KEM_CIPHERTEXT_BYTES,
    ML_KEM_PUBLIC_BYTES,
    SHARED_SECRET_BYTES,
    Encapsulation,
    MlKemSecretKey,
)

PUBLIC_KEY_BYTES: Final = ML_KEM_PUBLIC_BYTES
CIPHERTEXT_BYTES: Final = ML_KEM_CIPHERTEXT_BYTES
SECRET_BYTES: Final = SHARED_SECRET_BYTES


def generate(provider: str = DEFAULT_PROVIDER) -> MlKemSecretKey:
    """Return a fresh key from the operating system's randomness. Raises: ConfigError."""
    return kem_provider(provider).generate()


def encapsulate_untrusted(public_key: bytes, provider: str = DEFAULT_PROVIDER) -> Encapsulation:
    """Return a fresh shared secret for the owner of `public_key`, and its ciphertext.

    Raises: MalformedMessage, when `public_key` is no key of ML-KEM-768; ConfigError.
    """
    return kem_provider(provider).encapsulate_untrusted(public_key)


def decapsulate_untrusted(secret_key: MlKemSecretKey, ciphertext: bytes) -> bytes:
    """Return the shared secret in `ciphertext`; an altered one gives an unrelated secret.

    Raises: MalformedMessage, when `ciphertext` has the wrong length.
    """
    return secret_key.decapsulate_untrusted(ciphertext)
