"""Every row parses to what was written, and everything else is corruption by name."""

import random

import pytest

from cretonode.core.merkle_log import MerkleLog
from cretonode.errors import CorruptionError
from cretonode.identifiers import Digest, SequenceNumber, VertexHash
from cretonode.storage import schema
from cretonode.storage.backend import after_prefix
from cretonode.storage.schema import Family, Place
from tests.storage.chain import ChainMaker

RNG = random.Random(3)
HASHES = [VertexHash(RNG.randbytes(32)) for _ in range(5)]
ROOT = Digest(RNG.randbytes(32))


def test_a_vertex_is_read_back_with_its_signature() -> None:
    message = ChainMaker().plain(1)
    value = schema.encode_vertex(message.vertex, message.signature)
    stored = schema.decode_vertex(message.vertex.hash, value)
    assert (stored.vertex, stored.signature) == (message.vertex, message.signature)


def test_a_vertex_that_does_not_hash_to_its_key_is_corrupt() -> None:
    message = ChainMaker(signature_bytes=64).plain(1)
    value = schema.encode_vertex(message.vertex, message.signature)
    header_end = len(value) - len(message.signature)
    for at in range(header_end):
        damaged = bytearray(value)
        damaged[at] ^= 1
        with pytest.raises(CorruptionError, match=f"row {message.vertex.hash.hex()} of vertices"):
            schema.decode_vertex(message.vertex.hash, bytes(damaged))
    for length in range(header_end):
        with pytest.raises(CorruptionError):
            schema.decode_vertex(message.vertex.hash, value[:length])


def test_an_edge_tells_timestamp_and_transactions_of_the_child() -> None:
    maker = ChainMaker(transactions=3)
    maker.slot()
    vertex = maker.anchor().vertex
    edges = [schema.decode_edge(*row) for row in schema.edges_of(vertex)]
    assert tuple(edge.parent for edge in edges) == vertex.parents
    assert {(e.child, e.timestamp_ms, e.weight) for e in edges} == {
        (vertex.hash, vertex.timestamp_ms, 3)
    }


def test_finality_is_read_back() -> None:
    maker = ChainMaker()
    maker.slot()
    for position, final in enumerate(maker.graph.final.values()):
        if final.author >= 0:
            value = schema.encode_finality(final, position)
            found = schema.decode_finality(final.hash, value)
            assert (found.vertex, found.position) == (final, position)


@pytest.mark.parametrize(
    "skipped",
    [(0, 0, 0, 0, 0), (1, 0, 0, 0, 2**4095), (0, 255, 256, 0, 0)],
    ids=["none", "first and last", "a byte, and one more"],
)
def test_a_slot_is_read_back(skipped: tuple[int, ...]) -> None:
    key = schema.encode_number(7)
    value = schema.encode_slot(HASHES, skipped, ROOT)
    slot = schema.decode_slot(key, value)
    assert (slot.sequence, slot.vertices, slot.skipped) == (7, tuple(HASHES), skipped)
    assert slot.anchor == HASHES[-1]
    assert slot.log_root == ROOT


def test_a_slot_without_bitmaps_takes_no_room_for_them() -> None:
    assert len(schema.encode_slot(HASHES, (0,) * 5, ROOT)) == 4 + 6 * 32


def test_a_slot_that_is_cut_off_is_corrupt() -> None:
    key = schema.encode_number(7)
    value = schema.encode_slot(HASHES, (0, 9, 0, 0, 300), ROOT)
    whole = {4 + 6 * 32, 4 + 6 * 32 + 7}  # cut between two bitmaps, it parses
    for length in set(range(len(value))) - whole:
        with pytest.raises(CorruptionError, match="of finalized"):
            schema.decode_slot(key, value[:length])


def test_keys_sort_as_their_numbers_do() -> None:
    numbers = sorted(RNG.randrange(2**63) for _ in range(100))
    keys = [schema.index_key(number, RNG.choice(HASHES)) for number in numbers]
    assert keys == sorted(keys)
    for number, key in zip(numbers, keys, strict=True):
        assert schema.decode_index_key(Family.INDEX_HEIGHT, key)[0] == number


def test_a_place_takes_12_bytes() -> None:
    value = schema.encode_place(2**40, 16_383, 4_095)
    assert len(value) == 12
    assert schema.decode_place(b"", value) == Place(SequenceNumber(2**40), 16_383, 4_095)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 1000])
def test_a_merkle_log_is_read_back(size: int) -> None:
    log = MerkleLog()
    for entry in range(size):
        log.append(b"%d" % entry)
    value = schema.encode_log(log)
    assert schema.decode_log(value) == log
    with pytest.raises(CorruptionError):
        schema.decode_log(value + b"\0")
    with pytest.raises(CorruptionError):
        schema.decode_log(value[:-1])


@pytest.mark.parametrize(
    ("prefix", "after"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", None), (b"", None), (b"\0", b"\1")],
)
def test_the_end_of_a_prefix_is_the_next_key_after_it(prefix: bytes, after: bytes | None) -> None:
    assert after_prefix(prefix) == after
