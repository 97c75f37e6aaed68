"""What is in which column family, and the bytes of every key and value.

No value carries a checksum of its own: both backends check every block and log record they read.
What is content-addressed is checked against its hash besides. Numbers are big-endian, so that keys
sort as numbers do. Pure. Source: docs/storage.md, section 2.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cretonode.core.dedup import bitmap_bytes
from cretonode.core.merkle_log import MerkleLog
from cretonode.dag.graph import FinalVertex
from cretonode.dag.vertex import Vertex, header_untrusted
from cretonode.errors import CorruptionError, MalformedMessage
from cretonode.identifiers import (
    HASH_BYTES,
    AuthorIndex,
    Digest,
    Height,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    short,
)
from cretonode.limits import AUTHOR_UNFINAL_MAX, PAYLOAD_TRANSACTIONS_MAX, VALIDATORS_MAX

SCHEMA_VERSION: Final = 1


class Family(StrEnum):
    """The column families. Keys -> values; a fact has one home, and the comment says which."""

    VERTICES = "vertices"  # hash -> header and signature; written once, never altered
    PAYLOADS = "payloads"  # hash -> blob; apart, so that it can be pruned and vertices stay small
    EDGES = "edges"  # parent, child -> timestamp and transactions of the child
    METADATA = "metadata"  # hash -> where it is final, and what a lookup must say; final ones only
    INDEX_HEIGHT = "index_height"  # height, hash -> nothing
    INDEX_TIMESTAMP = "index_timestamp"  # timestamp, hash -> nothing
    FINALIZED = "finalized"  # sequence -> vertex hashes in order, the anchor last; skip bitmaps
    CERTIFICATES = "certificates"  # sequence -> commit certificate, where one is kept
    CHECKPOINTS = "checkpoints"  # sequence -> checkpoint certificate, each stable one
    TRANSACTIONS = "transactions"  # id -> sequence, position, offset; executed ones only
    UNFINAL = "unfinal"  # hash -> nothing; stored and not final
    STATE = "state"  # single values by name
    EVIDENCE = "evidence"  # name -> evidence, violation, ban or pardon: see wire.judgements
    PEERS = "peers"  # name -> what the node's network stores


class StateKey(StrEnum):
    """The single values of the family `state`."""

    SCHEMA = "schema"  # u32
    CHAIN_ID = "chain_id"  # text
    GENESIS = "genesis"  # hash
    NODE_ID = "node_id"  # hash
    FINAL = "final"  # u64: the newest final sequence
    LOG = "log"  # Merkle log after it: size, peaks
    INDEXED = "indexed"  # u64: transactions are indexed up to this sequence
    THINNED = "thinned"  # u64: certificates are thinned out up to this sequence
    JOURNAL = "journal"  # u64, hash: the journal had so many groups
    RECOVERIES = "recoveries"  # the recoveries applied, in order: see wire.recovery
    PROMISED = "promised"  # u64, hash: the newest recovery signed here, by its incarnation


NEWEST_PREFIX: Final = b"newest/"  # in `state`: author u16 -> hash of its newest final vertex
RETAKE_PREFIX: Final = b"retake/"  # in `state`: hash of an own vertex that came too late -> since
TRANSACTION: Final = struct.Struct(">QHH")
VERTEX_PLACE: Final = struct.Struct(">QH")
OFFSETS: Final = tuple(struct.pack(">H", offset) for offset in range(PAYLOAD_TRANSACTIONS_MAX))
EDGE: Final = struct.Struct(">QI")
FINALITY: Final = struct.Struct(">HQQQQQI")
NUMBER: Final = struct.Struct(">Q")
MARKER: Final = struct.Struct(">Q32s")
HEADER_LENGTH: Final = struct.Struct(">I")
SLOT_COUNT: Final = struct.Struct(">I")
SLOT_BITMAP: Final = struct.Struct(">IH")

assert 2 * VALIDATORS_MAX * AUTHOR_UNFINAL_MAX < 2**16, "a position fits"
assert PAYLOAD_TRANSACTIONS_MAX < 2**16, "an offset fits"


@dataclass(frozen=True, slots=True)
class StoredVertex:
    """A vertex and its author's signature."""

    vertex: Vertex
    signature: bytes


@dataclass(frozen=True, slots=True)
class Finality:
    """A final vertex and its place among those of its sequence."""

    vertex: FinalVertex
    position: int


@dataclass(frozen=True, slots=True)
class Slot:
    """What one sequence finalized, in order. The anchor is last."""

    sequence: SequenceNumber
    vertices: tuple[VertexHash, ...]
    skipped: tuple[int, ...]  # bit i of skipped[p]: transaction i of vertex p was executed before
    log_root: Digest  # of the Merkle log after this sequence

    @property
    def anchor(self) -> VertexHash:
        """The anchor of the sequence."""
        return self.vertices[-1]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction was executed: `offset` counts the transactions of the vertex, from 0."""

    sequence: SequenceNumber
    position: int
    offset: int


@dataclass(frozen=True, slots=True)
class Edge:
    """`child` names `parent`. The rest tells what a picture of the graph shows of the child."""

    parent: VertexHash
    child: VertexHash
    timestamp_ms: int
    weight: int  # transactions of the child


# --- vertices


def encode_vertex(vertex: Vertex, signature: bytes) -> bytes:
    """Return the value in `vertices`."""
    header = vertex.header()
    return HEADER_LENGTH.pack(len(header)) + header + signature


def decode_vertex(key: VertexHash, value: bytes) -> StoredVertex:
    """Return the vertex whose hash is `key`. Raises: CorruptionError."""
    start = HEADER_LENGTH.size
    if len(value) < start:
        raise _damaged(Family.VERTICES, key, "it is too short")
    end = start + HEADER_LENGTH.unpack_from(value)[0]
    try:
        vertex = header_untrusted(value[start:end])
    except MalformedMessage as error:
        raise _damaged(Family.VERTICES, key, str(error)) from None
    if vertex.hash != key:
        raise _damaged(Family.VERTICES, key, f"it hashes to {short(vertex.hash)}")
    return StoredVertex(vertex, value[end:])


def edges_of(vertex: Vertex) -> list[tuple[bytes, bytes]]:
    """Return the rows in `edges` that `vertex` adds."""
    value = EDGE.pack(vertex.timestamp_ms, vertex.transaction_count)
    return [(parent + vertex.hash, value) for parent in vertex.parents]


def decode_edge(key: bytes, value: bytes) -> Edge:
    """Return an edge. Raises: CorruptionError."""
    if len(key) != 2 * HASH_BYTES or len(value) != EDGE.size:
        raise _damaged(Family.EDGES, key, "it has another length")
    timestamp_ms, weight = EDGE.unpack(value)
    parent, child = VertexHash(key[:HASH_BYTES]), VertexHash(key[HASH_BYTES:])
    return Edge(parent, child, timestamp_ms, weight)


def index_key(number: int, vertex: VertexHash) -> bytes:
    """Return the key in `index_height` or `index_timestamp`."""
    return NUMBER.pack(number) + vertex


def decode_index_key(family: Family, key: bytes) -> tuple[int, VertexHash]:
    """Return number and vertex of an index row. Raises: CorruptionError."""
    if len(key) != NUMBER.size + HASH_BYTES:
        raise _damaged(family, key, "its key has another length")
    return NUMBER.unpack_from(key)[0], VertexHash(key[NUMBER.size :])


# --- finality


def encode_finality(vertex: FinalVertex, position: int) -> bytes:
    """Return the value in `metadata`."""
    # Five of these stand in the header, too. Here they take 46 bytes, and a lookup or a restart
    # reads them instead of rows of 5 KB that are signature for the most part.
    return FINALITY.pack(
        vertex.author,
        vertex.index,
        vertex.height,
        vertex.sequence,
        vertex.timestamp_ms,
        vertex.finalized_by,
        position,
    )


def decode_finality(key: VertexHash, value: bytes) -> Finality:
    """Return where the vertex with hash `key` is final. Raises: CorruptionError."""
    if len(value) != FINALITY.size:
        raise _damaged(Family.METADATA, key, "it has another length")
    author, index, height, sequence, timestamp_ms, finalized_by, position = FINALITY.unpack(value)
    vertex = FinalVertex(
        hash=key,
        author=ValidatorIndex(author),
        index=AuthorIndex(index),
        height=Height(height),
        sequence=SequenceNumber(sequence),
        timestamp_ms=timestamp_ms,
        finalized_by=SequenceNumber(finalized_by),
    )
    return Finality(vertex, position)


def encode_slot(vertices: Sequence[VertexHash], skipped: Sequence[int], log_root: Digest) -> bytes:
    """Return the value in `finalized`: count, log root, hashes, then the bitmaps that are not 0."""
    assert len(vertices) == len(skipped) > 0, (len(vertices), len(skipped))
    parts = [SLOT_COUNT.pack(len(vertices)), log_root, *vertices]
    for position, bitmap in enumerate(skipped):
        if bitmap:
            bits = bitmap_bytes(bitmap)
            parts += (SLOT_BITMAP.pack(position, len(bits)), bits)
    return b"".join(parts)


def decode_slot(key: bytes, value: bytes) -> Slot:
    """Return what one sequence finalized. Raises: CorruptionError."""
    sequence = decode_number(Family.FINALIZED, key, key)
    if len(value) < SLOT_COUNT.size:
        raise _damaged(Family.FINALIZED, key, "it is too short")
    (count,) = SLOT_COUNT.unpack_from(value)
    first = SLOT_COUNT.size + HASH_BYTES
    at = first + count * HASH_BYTES
    if count == 0 or at > len(value):
        raise _damaged(Family.FINALIZED, key, f"{count} vertices do not fit")
    vertices = tuple(VertexHash(value[i : i + HASH_BYTES]) for i in range(first, at, HASH_BYTES))
    log_root = Digest(value[SLOT_COUNT.size : first])
    skipped = [0] * count
    while at < len(value):
        if at + SLOT_BITMAP.size > len(value):
            raise _damaged(Family.FINALIZED, key, "a bitmap is cut off")
        position, length = SLOT_BITMAP.unpack_from(value, at)
        at += SLOT_BITMAP.size
        if position >= count or at + length > len(value):
            raise _damaged(Family.FINALIZED, key, "a bitmap does not fit")
        skipped[position] = int.from_bytes(value[at : at + length], "little")
        at += length
    return Slot(SequenceNumber(sequence), vertices, tuple(skipped), log_root)


# --- transactions


def encode_place(sequence: int, position: int, offset: int) -> bytes:
    """Return the value in `transactions`."""
    return TRANSACTION.pack(sequence, position, offset)


def encode_vertex_place(sequence: int, position: int) -> bytes:
    """Return what the places of all transactions of a vertex begin with; see `OFFSETS`."""
    return VERTEX_PLACE.pack(sequence, position)


def decode_place(key: bytes, value: bytes) -> Place:
    """Return where a transaction was executed. Raises: CorruptionError."""
    if len(value) != TRANSACTION.size:
        raise _damaged(Family.TRANSACTIONS, key, "it has another length")
    sequence, position, offset = TRANSACTION.unpack(value)
    return Place(SequenceNumber(sequence), position, offset)


# --- single values


def encode_number(number: int) -> bytes:
    """Return a sequence number, as key or value."""
    return NUMBER.pack(number)


def decode_number(family: Family, key: bytes, value: bytes) -> int:
    """Return a number. Raises: CorruptionError."""
    if len(value) != NUMBER.size:
        raise _damaged(family, key, "it is not a number of 8 bytes")
    number: int = NUMBER.unpack(value)[0]
    return number


def encode_log(log: MerkleLog) -> bytes:
    """Return a Merkle log: its size, then its peaks."""
    return NUMBER.pack(log.size) + b"".join(log.peaks)


def decode_log(value: bytes) -> MerkleLog:
    """Return a Merkle log. Raises: CorruptionError."""
    key = StateKey.LOG.encode()
    size = decode_number(Family.STATE, key, value[: NUMBER.size])
    peaks = value[NUMBER.size :]
    if len(peaks) != size.bit_count() * HASH_BYTES:
        raise _damaged(Family.STATE, key, f"{len(peaks)} bytes of peaks for {size} entries")
    split = range(0, len(peaks), HASH_BYTES)
    return MerkleLog(size, tuple(Digest(peaks[i : i + HASH_BYTES]) for i in split))


def newest_key(author: ValidatorIndex) -> bytes:
    """Return the key in `state` of an author's newest final vertex."""
    return NEWEST_PREFIX + author.to_bytes(2, "big")


def retake_key(vertex: VertexHash) -> bytes:
    """Return the key in `state` of an own vertex whose transactions must be taken up again."""
    return RETAKE_PREFIX + vertex


def _damaged(family: Family, key: bytes, what: str) -> CorruptionError:
    return CorruptionError(f"row {key.hex()} of {family}: {what}")
