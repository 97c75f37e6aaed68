"""The payload of a vertex: one blob of transactions behind a table of their lengths.

Replicas hash the transactions once and never look at them again. The blob is `count` lengths
(u32, big-endian) and then the transactions, one after the other.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from blake3 import blake3

from cretonode.crypto.hashing import tree_root
from cretonode.dag.vertex import Vertex
from cretonode.errors import MalformedMessage
from cretonode.identifiers import HASH_BYTES, Digest, TransactionId
from cretonode.limits import TRANSACTION_BYTES_MAX

LENGTH_BYTES: Final = 4
EMPTY_ROOT: Final[Digest] = tree_root(b"")


def pack(transactions: Sequence[bytes]) -> bytes:
    """Return the blob that carries `transactions` in this order."""
    lengths = struct.pack(f">{len(transactions)}I", *map(len, transactions))
    return b"".join((lengths, *transactions))


def unpack(payload: bytes, count: int) -> Iterator[bytes]:
    """Yield the transactions of a checked payload."""
    offset = LENGTH_BYTES * count
    for length in struct.unpack_from(f">{count}I", payload):
        yield payload[offset : offset + length]
        offset += length


def transaction_ids_untrusted(payload: bytes, count: int) -> bytes:
    """Return the ids of all transactions, 32 bytes each, in order.

    Raises: MalformedMessage, when the lengths do not add up or one is out of bounds.
    """
    table = LENGTH_BYTES * count
    if len(payload) < table:
        raise MalformedMessage(f"payload of {len(payload)} bytes, its length table needs {table}")
    lengths = struct.unpack_from(f">{count}I", payload)
    if table + sum(lengths) != len(payload):
        raise MalformedMessage("payload lengths do not add up to its size")
    if count and not 1 <= min(lengths) <= max(lengths) <= TRANSACTION_BYTES_MAX:
        raise MalformedMessage(f"a transaction has 1 to {TRANSACTION_BYTES_MAX} bytes")
    ids = []
    offset = table
    for length in lengths:
        ids.append(blake3(payload[offset : offset + length]).digest())
        offset += length
    return b"".join(ids)


def checked_ids_untrusted(vertex: Vertex, payload: bytes) -> bytes:
    """Return the transaction ids of `payload` when it is the one that `vertex` fixes.

    Raises: MalformedMessage.
    """
    if len(payload) != vertex.payload_bytes:
        raise MalformedMessage(
            f"payload of {len(payload)} bytes, its header says {vertex.payload_bytes}"
        )
    ids = transaction_ids_untrusted(payload, vertex.transaction_count)
    if tree_root(ids) != vertex.payload_root:
        raise MalformedMessage("payload does not hash to the root in its header")
    return ids


def each_id(transaction_ids: bytes) -> Iterator[TransactionId]:
    """Yield the single ids of a concatenation."""
    for offset in range(0, len(transaction_ids), HASH_BYTES):
        yield TransactionId(transaction_ids[offset : offset + HASH_BYTES])
