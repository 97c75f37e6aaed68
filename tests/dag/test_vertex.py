"""The header of a vertex: one encoding, one hash, and no byte that a stranger may choose freely."""

from dataclasses import fields, replace

import pytest

from cretonode.crypto.canonical import Value, encode
from cretonode.crypto.hashing import hash_of
from cretonode.dag.vertex import HEADER_FIELDS, Vertex, header_untrusted
from cretonode.errors import MalformedMessage
from cretonode.identifiers import AuthorIndex, Digest, Height, SequenceNumber, ValidatorIndex
from cretonode.limits import PARENTS_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_TRANSACTIONS_MAX
from tests.core.replicas import anchor, anchors, named, plain

VERTEX = anchor(2, 7, plain(1, 1), transactions=(b"a", b"b")).vertex
HASH = b"h" * 32


def header_with(**changed: Value) -> bytes:
    names = [f.name for f in fields(Vertex) if f.init]
    values = {name: getattr(VERTEX, name) for name in names} | changed
    return encode([values[name] for name in names])


def test_the_hash_of_a_vertex_is_blake3_of_its_canonical_header() -> None:
    """DESIGN 2, Vertex."""
    assert VERTEX.hash == hash_of(VERTEX.header())
    assert header_untrusted(VERTEX.header()) == VERTEX
    assert header_untrusted(VERTEX.header()).hash == VERTEX.hash


@pytest.mark.parametrize(
    "changed",
    [
        {"author": ValidatorIndex(3)},
        {"index": AuthorIndex(8)},
        {"height": Height(9)},
        {"sequence": SequenceNumber(4)},
        {"parents": ()},
        {"timestamp_ms": 5},
        {"payload_root": Digest(HASH)},
        {"payload_bytes": 1},
        {"transaction_count": 1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_changing_any_field_changes_the_hash(changed: dict[str, int]) -> None:
    """DESIGN 2, Vertex: equal headers have equal hashes and only those."""
    assert replace(VERTEX, **changed).hash != VERTEX.hash


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (b"", "not CBOR"),
        (encode([1, 2]), f"a vertex header has {HEADER_FIELDS} fields"),
        (encode(b"bytes"), f"a vertex header has {HEADER_FIELDS} fields"),
        (header_with(author=128), "vertex author is not a whole number from 0 to 127"),
        (header_with(author=True), "vertex author is not a whole number"),
        (header_with(index=0), "vertex index is not a whole number from 1"),
        (header_with(height=0), "vertex height is not a whole number from 1"),
        (header_with(height=2**63), "vertex height is not a whole number"),
        (header_with(sequence=b"1"), "vertex sequence is not a whole number from 0"),
        (header_with(timestamp_ms=None), "vertex timestamp is not a whole number"),
        (header_with(payload_root=b"short"), "vertex payload root is not 32 bytes"),
        (header_with(payload_bytes=PAYLOAD_BYTES_MAX + 1), "vertex payload size is not"),
        (
            header_with(transaction_count=PAYLOAD_TRANSACTIONS_MAX + 1),
            "vertex transaction count is not",
        ),
        (header_with(parents=b"h"), "vertex parents are not an array"),
        (header_with(parents=[b"h"]), "vertex parent is not 32 bytes"),
        (header_with(parents=[]), f"0 parents; expected 1 to {PARENTS_MAX}"),
        (header_with(parents=[HASH, HASH]), "a vertex names one parent twice"),
        (
            header_with(parents=[i.to_bytes(32, "big") for i in range(PARENTS_MAX + 1)]),
            f"{PARENTS_MAX + 1} parents; expected 1 to {PARENTS_MAX}",
        ),
        (
            header_with(sequence=0, parents=[i.to_bytes(32, "big") for i in range(3)]),
            "3 parents; expected 1 to 2",
        ),
    ],
)
def test_a_header_no_author_could_have_made_is_refused(header: bytes, sentence: str) -> None:
    """House style 16: MalformedMessage and nothing else, before anything is believed."""
    with pytest.raises(MalformedMessage, match=sentence):
        header_untrusted(header)


def test_a_header_in_another_encoding_is_refused() -> None:
    """One value, one encoding: otherwise one vertex could have two hashes."""
    data = bytearray(VERTEX.header())
    assert data[1] == 2  # the author, in its one byte
    longer = bytes(data[:1]) + b"\x18\x02" + bytes(data[2:])
    with pytest.raises(MalformedMessage):
        header_untrusted(longer)


def test_a_vertex_with_a_sequence_is_an_anchor() -> None:
    """DESIGN 2, Anchors."""
    assert anchor(0, 1).vertex.is_anchor
    assert not plain(0, 1).vertex.is_anchor


def test_children_stand_behind_their_parents_in_the_order() -> None:
    """DESIGN 2, Anchors: by (height, author, index, hash); a child is higher than its parents."""
    chain = anchors(3, 4)
    keys = [message.vertex.order_key for message in chain]
    assert keys == sorted(keys)
    assert keys[0] == (1, 3, 1, named(chain[0]))
