"""The choice between the two implementations of the post-quantum algorithms, by name."""

from typing import Final

from cretonode.crypto.providers.interface import KemProvider, SignatureProvider
from cretonode.crypto.providers.openssl import OpensslKem, OpensslSignatures
from cretonode.crypto.providers.pqcrypto_provider import PqcryptoKem, PqcryptoSignatures
from cretonode.errors import ConfigError

DEFAULT_PROVIDER: Final = "openssl"

_SIGNATURES: Final[dict[str, SignatureProvider]] = {
    provider.name: provider for provider in (OpensslSignatures(), PqcryptoSignatures())
}
_KEMS: Final[dict[str, KemProvider]] = {
    provider.name: provider for provider in (OpensslKem(), PqcryptoKem())
}
PROVIDER_NAMES: Final = tuple(_SIGNATURES)
assert tuple(_KEMS) == PROVIDER_NAMES
assert DEFAULT_PROVIDER in PROVIDER_NAMES


def signature_provider(name: str = DEFAULT_PROVIDER) -> SignatureProvider:
    """Return the implementation of ML-DSA-87 called `name`. Raises: ConfigError."""
    _check_name(name)
    return _SIGNATURES[name]


def kem_provider(name: str = DEFAULT_PROVIDER) -> KemProvider:
    """Return the implementation of ML-KEM-768 called `name`. Raises: ConfigError."""
    _check_name(name)
    return _KEMS[name]


def _check_name(name: str) -> None:
    if name not in PROVIDER_NAMES:
        allowed = ", ".join(PROVIDER_NAMES)
        raise ConfigError(f"the crypto provider is {name!r}; expected one of: {allowed}")
