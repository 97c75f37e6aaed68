"""The birth record of a journal: whose votes it holds, and that it was once begun.

A start without one is amnesia, never a first start. Source: docs/spec/durability.md, section 1.
"""

from dataclasses import dataclass
from typing import Final

from cretonode.crypto.canonical import decode_untrusted, encode
from cretonode.crypto.hashing import hash_of
from cretonode.errors import MalformedMessage
from cretonode.identifiers import HASH_BYTES, ChainId, Digest, Incarnation, NodeId, VertexHash
from cretonode.storage.errors import JournalDamaged, JournalError, JournalForeign
from cretonode.storage.identity import Identity, difference

MAGIC: Final = "cretonode journal birth"
VERSION: Final = 1
NONCE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Birth:
    """What every record of a journal is chained to. The nonce makes each journal unlike others."""

    identity: Identity
    incarnation: Incarnation
    nonce: bytes

    def encode(self) -> bytes:
        """Return the file: the canonical fields, then their hash."""
        body = self._body()
        return body + hash_of(body)

    @property
    def digest(self) -> Digest:
        """The start of the chain of hashes, and the key of the headers' checks."""
        return hash_of(self._body())

    def _body(self) -> bytes:
        identity = self.identity
        return encode(
            [
                MAGIC,
                VERSION,
                identity.chain_id,
                identity.genesis,
                identity.node_id,
                self.incarnation,
                self.nonce,
            ]
        )


def decode_birth(data: bytes, *, name: str) -> Birth:
    """Return the birth record whose file is `data`.

    Raises: JournalDamaged; JournalError, when newer software wrote it.
    """
    body, check = data[:-HASH_BYTES], data[-HASH_BYTES:]
    if hash_of(body) != check:
        raise JournalDamaged(f"{name}: it is not what was written")
    try:
        fields = decode_untrusted(body)
    except MalformedMessage as error:
        raise JournalDamaged(f"{name}: {error}") from None
    match fields:
        case [str(magic), int(version), *_] if magic == MAGIC and version != VERSION:
            # Nothing is lost: the software that wrote it can read it.
            raise JournalError(f"{name}: format {version}; this software reads {VERSION}")
        case [
            str(magic),
            int(),
            str(chain),
            bytes(genesis),
            bytes(node),
            int(incarnation),
            bytes(nonce),
        ] if magic == MAGIC:
            identity = Identity(ChainId(chain), VertexHash(genesis), NodeId(node))
            return Birth(identity, Incarnation(incarnation), nonce)
        case _:
            raise JournalDamaged(f"{name}: it is not a birth record")


def check_owner(birth: Birth, identity: Identity, incarnation: Incarnation, *, name: str) -> None:
    """Return when the journal is this node's in this incarnation. Raises: JournalForeign."""
    other = difference(birth.identity, identity)
    if other is not None:
        raise JournalForeign(f"{name} {other}")
    if birth.incarnation != incarnation:
        raise JournalForeign(
            f"{name} is of incarnation {birth.incarnation}; the database is in {incarnation}: one "
            "of them was lost or is an old copy. Run `cretonode recover apply` with the recovery "
            "file of another node (docs/recover.md)"
        )
