"""A vertex: the header an author signs, and its hash.

The payload travels beside the header as one opaque blob (`dag.payload`); the header fixes it by
root, size and count. A vertex with a sequence is an anchor, proposed by a leader; one with
sequence 0 is plain. Source: docs/spec/wire.md, section 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cretonode.crypto.canonical import Value, decode_untrusted, encode
from cretonode.crypto.hashing import hash_of
from cretonode.errors import MalformedMessage
from cretonode.identifiers import (
    HASH_BYTES,
    AuthorIndex,
    Digest,
    Height,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
)
from cretonode.limits import (
    PARENTS_MAX,
    PAYLOAD_BYTES_MAX,
    PAYLOAD_TRANSACTIONS_MAX,
    VALIDATORS_MAX,
)

HEADER_FIELDS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """One author's signed unit of work. Equal headers have equal hashes and only those."""

    author: ValidatorIndex
    index: AuthorIndex  # the author's own counter
    height: Height  # 1 + the greatest height among the parents
    sequence: SequenceNumber  # of an anchor; 0 for a plain vertex
    parents: tuple[VertexHash, ...]  # an anchor: the previous anchor first
    timestamp_ms: int  # Unix time; informational, except that anchors never go back
    payload_root: Digest  # 32-ary tree over the transaction ids
    payload_bytes: int
    transaction_count: int
    hash: VertexHash = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", VertexHash(hash_of(self.header())))

    @property
    def is_anchor(self) -> bool:
        """True when a leader proposed this vertex for a sequence."""
        return self.sequence > 0

    @property
    def order_key(self) -> tuple[int, int, int, bytes]:
        """The place among the vertices that one anchor finalizes: (height, author, index, hash)."""
        return (self.height, self.author, self.index, self.hash)

    def header(self) -> bytes:
        """Return the canonical header: what is hashed, sent and stored."""
        return encode(
            [
                self.author,
                self.index,
                self.height,
                self.sequence,
                self.parents,
                self.timestamp_ms,
                self.payload_root,
                self.payload_bytes,
                self.transaction_count,
            ]
        )


def header_untrusted(data: bytes) -> Vertex:
    """Return the vertex whose canonical header is `data`.

    Raises: MalformedMessage, for any bytes that no author could have made.
    """
    fields = decode_untrusted(data)
    if not isinstance(fields, list) or len(fields) != HEADER_FIELDS:
        raise MalformedMessage(f"a vertex header has {HEADER_FIELDS} fields")
    author, index, height, sequence, parents, timestamp_ms, root, size, count = fields
    vertex = Vertex(
        author=ValidatorIndex(_number_untrusted("author", author, low=0, high=VALIDATORS_MAX - 1)),
        index=AuthorIndex(_number_untrusted("index", index, low=1)),
        height=Height(_number_untrusted("height", height, low=1)),
        sequence=SequenceNumber(_number_untrusted("sequence", sequence, low=0)),
        parents=_parents_untrusted(parents),
        timestamp_ms=_number_untrusted("timestamp", timestamp_ms, low=0),
        payload_root=Digest(_hash_untrusted("payload root", root)),
        payload_bytes=_number_untrusted("payload size", size, low=0, high=PAYLOAD_BYTES_MAX),
        transaction_count=_number_untrusted(
            "transaction count", count, low=0, high=PAYLOAD_TRANSACTIONS_MAX
        ),
    )
    _check_parents_untrusted(vertex)
    return vertex


def _check_parents_untrusted(vertex: Vertex) -> None:
    count = len(vertex.parents)
    if len(set(vertex.parents)) != count:
        raise MalformedMessage("a vertex names one parent twice")
    high = PARENTS_MAX if vertex.is_anchor else 2
    if not 1 <= count <= high:
        raise MalformedMessage(f"{count} parents; expected 1 to {high}")


def _number_untrusted(name: str, value: Value, *, low: int, high: int = 2**63 - 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise MalformedMessage(f"vertex {name} is not a whole number from {low} to {high}")
    return value


def _hash_untrusted(name: str, value: Value) -> bytes:
    if not isinstance(value, bytes) or len(value) != HASH_BYTES:
        raise MalformedMessage(f"vertex {name} is not {HASH_BYTES} bytes")
    return value


def _parents_untrusted(value: Value) -> tuple[VertexHash, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise MalformedMessage("vertex parents are not an array")
    return tuple(VertexHash(_hash_untrusted("parent", parent)) for parent in value)
