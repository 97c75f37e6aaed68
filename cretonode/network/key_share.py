"""The hybrid key exchange X25519MLKEM768: secret if either half holds.

Shares put the ML-KEM part first, and so does the secret.
Source: draft-ietf-tls-ecdhe-mlkem; FIPS 203; RFC 7748.
"""

from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from cretonode.errors import MalformedMessage

X25519MLKEM768: Final = 0x11EC  # TLS NamedGroup
ENCAPSULATION_KEY_BYTES: Final = 1184
CIPHERTEXT_BYTES: Final = 1088
X25519_BYTES: Final = 32
CLIENT_SHARE_BYTES: Final = ENCAPSULATION_KEY_BYTES + X25519_BYTES
SERVER_SHARE_BYTES: Final = CIPHERTEXT_BYTES + X25519_BYTES


class ClientShare:
    """The two private keys of one handshake, on the side that speaks first."""

    __slots__ = ("_ml_kem", "_x25519", "public")

    def __init__(self, ml_kem: MLKEM768PrivateKey, x25519: X25519PrivateKey) -> None:
        self._ml_kem = ml_kem
        self._x25519 = x25519
        self.public = (
            ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        )

    @classmethod
    def generate(cls) -> Self:
        """Return fresh keys. They are never used twice: that is the forward secrecy."""
        return cls(MLKEM768PrivateKey.generate(), X25519PrivateKey.generate())

    def finish_untrusted(self, server_share: bytes) -> bytes:
        """Return the shared secret (64 bytes). Raises: MalformedMessage."""
        if len(server_share) != SERVER_SHARE_BYTES:
            raise MalformedMessage(f"a server key share of {len(server_share)} bytes")
        ciphertext, point = server_share[:CIPHERTEXT_BYTES], server_share[CIPHERTEXT_BYTES:]
        try:
            return self._ml_kem.decapsulate(ciphertext) + self._x25519.exchange(
                X25519PublicKey.from_public_bytes(point)
            )
        except ValueError as error:  # among others the all-zero secret that the draft forbids
            raise MalformedMessage(f"a bad server key share: {error}") from None


def answer_untrusted(client_share: bytes) -> tuple[bytes, bytes]:
    """Return (server share, shared secret of 64 bytes). Raises: MalformedMessage."""
    if len(client_share) != CLIENT_SHARE_BYTES:
        raise MalformedMessage(f"a client key share of {len(client_share)} bytes")
    own = X25519PrivateKey.generate()
    try:
        encapsulation_key = MLKEM768PublicKey.from_public_bytes(
            client_share[:ENCAPSULATION_KEY_BYTES]
        )
        secret, ciphertext = encapsulation_key.encapsulate()
        secret += own.exchange(
            X25519PublicKey.from_public_bytes(client_share[ENCAPSULATION_KEY_BYTES:])
        )
    except ValueError as error:
        raise MalformedMessage(f"a bad client key share: {error}") from None
    return ciphertext + own.public_key().public_bytes_raw(), secret
