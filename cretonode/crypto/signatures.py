"""Signatures of validators: Ed25519 and ML-DSA-87 over the same bytes, and the keys for them.

What is signed is never the bare statement but a prefix that names the project, this scheme and the
mode, then the statement. So a component cut out of a hybrid signature is not valid in any mode.
The statement itself binds chain, message type and protocol version; that is its maker's part.
Source: docs/crypto.md, section "Signatures"; FIPS 204; RFC 8032.
"""

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cretonode.crypto.hashing import hash_of
from cretonode.crypto.providers import DEFAULT_PROVIDER, signature_provider
from cretonode.crypto.providers.interface import (
    ML_DSA_CONTEXT_BYTES_MAX,
    ML_DSA_PUBLIC_BYTES,
    ML_DSA_SEED_BYTES,
    ML_DSA_SIGNATURE_BYTES,
)
from cretonode.errors import MalformedMessage
from cretonode.identifiers import NodeId, short
from cretonode.limits import SIGNATURE_BYTES

ED25519_SEED_BYTES: Final = 32
ED25519_PUBLIC_BYTES: Final = 32
ED25519_SIGNATURE_BYTES: Final = 64
SEED_BYTES: Final = ED25519_SEED_BYTES + ML_DSA_SEED_BYTES
PUBLIC_KEY_BYTES: Final = ED25519_PUBLIC_BYTES + ML_DSA_PUBLIC_BYTES


class CryptoMode(StrEnum):
    """Which components a signature has. Genesis fixes it; no peer can change it."""

    HYBRID = "hybrid"  # Ed25519 and ML-DSA-87; both must verify
    POST_QUANTUM = "post-quantum"  # ML-DSA-87 alone
    CLASSICAL = "classical"  # Ed25519 alone, only where genesis says so


_HAS_ED25519: Final = frozenset({CryptoMode.HYBRID, CryptoMode.CLASSICAL})
_HAS_ML_DSA: Final = frozenset({CryptoMode.HYBRID, CryptoMode.POST_QUANTUM})
_PREFIXES: Final = {mode: f"cretonode signature v1 {mode}\0".encode() for mode in CryptoMode}
_CONTEXTS: Final = {mode: f"cretonode v1 {mode}".encode() for mode in CryptoMode}
assert all(len(context) <= ML_DSA_CONTEXT_BYTES_MAX for context in _CONTEXTS.values())
assert not any(
    a != b and b.startswith(a) for a in _PREFIXES.values() for b in _PREFIXES.values()
), "with prefixes of one another, two modes could sign the same bytes"

# The y coordinates of the eight points whose multiples are few: under such a key, signatures that
# verify can be made without any secret. Encodings not below the field prime are refused as well.
_FIELD_PRIME: Final = 2**255 - 19
_SMALL_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y: Final = frozenset(
    {0, 1, _FIELD_PRIME - 1, _SMALL_ORDER_8, _FIELD_PRIME - _SMALL_ORDER_8}
)


_SIGNATURE_BYTES: Final = {
    CryptoMode.HYBRID: ED25519_SIGNATURE_BYTES + ML_DSA_SIGNATURE_BYTES,
    CryptoMode.POST_QUANTUM: ML_DSA_SIGNATURE_BYTES,
    CryptoMode.CLASSICAL: ED25519_SIGNATURE_BYTES,
}
assert _SIGNATURE_BYTES[CryptoMode.HYBRID] == SIGNATURE_BYTES


def signature_bytes(mode: CryptoMode) -> int:
    """Return the length of every signature in `mode`."""
    return _SIGNATURE_BYTES[mode]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What others know a node by: an Ed25519 and an ML-DSA-87 public key, in their raw encodings.

    Every node has both, whatever the mode, so that genesis alone decides which are used.
    """

    ed25519: bytes
    mldsa: bytes

    def __post_init__(self) -> None:
        assert len(self.ed25519) == ED25519_PUBLIC_BYTES, len(self.ed25519)
        assert len(self.mldsa) == ML_DSA_PUBLIC_BYTES, len(self.mldsa)

    def __repr__(self) -> str:
        return f"PublicKey(node {short(self.node_id)})"

    @property
    def node_id(self) -> NodeId:
        """The hash of the ML-DSA-87 public key. It does not bind the Ed25519 key; genesis does."""
        return NodeId(hash_of(self.mldsa))

    def encode(self) -> bytes:
        """Return the 2624 bytes of the Ed25519 key, then the ML-DSA-87 key."""
        return self.ed25519 + self.mldsa

    @staticmethod
    def decode_untrusted(data: bytes) -> "PublicKey":
        """Return the key that `encode` made `data` of.

        Raises: MalformedMessage, on a wrong length or an Ed25519 key nobody needs a secret for.
        """
        if len(data) != PUBLIC_KEY_BYTES:
            raise MalformedMessage(
                f"a public key of {len(data)} bytes; expected {PUBLIC_KEY_BYTES}"
            )
        ed25519 = data[:ED25519_PUBLIC_BYTES]
        y = int.from_bytes(ed25519, "little") & (2**255 - 1)
        if y >= _FIELD_PRIME or y in _SMALL_ORDER_Y:
            raise MalformedMessage("an Ed25519 public key of small order or out of range")
        return PublicKey(ed25519, data[ED25519_PUBLIC_BYTES:])


class SecretKey:
    """A node's secret: the seeds of its Ed25519 and its ML-DSA-87 key.

    It never shows them: not in `repr`, not to `pickle`; only what is named `reveal_` does.
    """

    __slots__ = ("_seed", "public_key")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == SEED_BYTES, len(seed)
        self._seed = seed
        # OpenSSL derives the public key whichever provider signs: the two agree, or tests fail.
        self.public_key = PublicKey(
            ed25519=Ed25519PrivateKey.from_private_bytes(self.reveal_ed25519_seed())
            .public_key()
            .public_bytes_raw(),
            mldsa=signature_provider(DEFAULT_PROVIDER)
            .secret_key(self.reveal_mldsa_seed())
            .public_key,
        )

    @property
    def node_id(self) -> NodeId:
        """The id of the node that has this key."""
        return self.public_key.node_id

    def reveal_seed(self) -> bytes:
        """Return the secret 64 bytes this key is made of, for the key store."""
        return self._seed

    def reveal_ed25519_seed(self) -> bytes:
        """Return the secret 32 bytes of the Ed25519 key (RFC 8032, 5.1.5)."""
        return self._seed[:ED25519_SEED_BYTES]

    def reveal_mldsa_seed(self) -> bytes:
        """Return the secret 32 bytes of the ML-DSA-87 key (FIPS 204: xi), for TLS."""
        return self._seed[ED25519_SEED_BYTES:]

    def __repr__(self) -> str:
        return f"SecretKey(node {short(self.node_id)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretKey):
            return NotImplemented
        return hmac.compare_digest(self._seed, other._seed)

    def __hash__(self) -> int:
        return hash(self.public_key)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not pickled or copied; the key store keeps it")


class Signer:
    """Signs statements with one key in one mode. Safe to use from several threads."""

    __slots__ = ("_context", "_ed25519", "_mldsa", "_prefix", "mode", "public_key")

    def __init__(
        self, mode: CryptoMode, secret_key: SecretKey, *, provider: str = DEFAULT_PROVIDER
    ) -> None:
        self.mode = mode
        self.public_key = secret_key.public_key
        self._prefix = _PREFIXES[mode]
        self._context = _CONTEXTS[mode]
        self._ed25519 = (
            Ed25519PrivateKey.from_private_bytes(secret_key.reveal_ed25519_seed())
            if mode in _HAS_ED25519
            else None
        )
        self._mldsa = (
            signature_provider(provider).secret_key(secret_key.reveal_mldsa_seed())
            if mode in _HAS_ML_DSA
            else None
        )

    def sign(self, statement: bytes) -> bytes:
        """Return a signature of `statement`.

        The ML-DSA-87 part is randomized: two signatures of one statement differ, and both verify.
        """
        message = self._prefix + statement
        first = b"" if self._ed25519 is None else self._ed25519.sign(message)
        second = b"" if self._mldsa is None else self._mldsa.sign(message, self._context)
        signature = first + second
        assert len(signature) == signature_bytes(self.mode), len(signature)
        return signature

    def __repr__(self) -> str:
        return f"Signer({self.mode}, node {short(self.public_key.node_id)})"


class VerifyingKey:
    """A public key with its parts parsed once, for whoever verifies more than one signature."""

    __slots__ = ("_ed25519", "_mldsa", "public_key")

    def __init__(self, public_key: PublicKey, *, provider: str = DEFAULT_PROVIDER) -> None:
        self.public_key = public_key
        self._ed25519 = Ed25519PublicKey.from_public_bytes(public_key.ed25519)
        self._mldsa = signature_provider(provider).public_key(public_key.mldsa)

    def verify(self, mode: CryptoMode, statement: bytes, signature: bytes) -> bool:
        """Return whether `signature` is one of `statement` in `mode`. Bad bytes are False."""
        if len(signature) != signature_bytes(mode):
            return False
        message = _PREFIXES[mode] + statement
        cut = ED25519_SIGNATURE_BYTES if mode in _HAS_ED25519 else 0
        # Ed25519 first: it is the cheaper one to refuse by.
        if mode in _HAS_ED25519 and not self._verify_ed25519(message, signature[:cut]):
            return False
        if mode in _HAS_ML_DSA:
            return self._mldsa.verify(message, signature[cut:], _CONTEXTS[mode])
        return True

    def _verify_ed25519(self, message: bytes, signature: bytes) -> bool:
        try:
            self._ed25519.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __repr__(self) -> str:
        return f"VerifyingKey(node {short(self.public_key.node_id)})"


def verify(mode: CryptoMode, public_key: PublicKey, statement: bytes, signature: bytes) -> bool:
    """Return whether `signature` is one of `statement` by `public_key` in `mode`.

    Parses the key in every call; keep a `VerifyingKey` where there are many signatures.
    """
    return VerifyingKey(public_key).verify(mode, statement, signature)
