"""Vertices as bytes. Source of every claim: docs/spec/wire.md, sections 2 to 4."""

from dataclasses import replace

import pytest

from cretonode.core.messages import VertexMessage
from cretonode.crypto.canonical import Value, decode_untrusted, encode
from cretonode.crypto.hashing import hash_many, hash_of, tree_root
from cretonode.dag.payload import pack
from cretonode.dag.vertex import Vertex
from cretonode.errors import MalformedMessage
from cretonode.identifiers import AuthorIndex, Height, SequenceNumber, ValidatorIndex, VertexHash
from cretonode.limits import (
    PARENTS_MAX,
    PAYLOAD_BYTES_MAX,
    SIGNATURE_BYTES,
    TRANSACTION_BYTES_MAX,
    VALIDATORS_MAX,
)
from cretonode.wire.messages import HEADER_BYTES_MAX, decode_message_untrusted, encode_message
from cretonode.wire.tagged import MESSAGE_BYTES_MAX

A, B = VertexHash(b"a" * 32), VertexHash(b"b" * 32)
SIGNATURE = bytes(SIGNATURE_BYTES)


def vertex_message(
    transactions: list[bytes], *, parents: int = 1, sequence: int = 0
) -> VertexMessage:
    payload, ids = pack(transactions), hash_many(transactions)
    vertex = Vertex(
        author=ValidatorIndex(1),
        index=AuthorIndex(3),
        height=Height(7),
        sequence=SequenceNumber(sequence),
        parents=tuple(VertexHash(i.to_bytes(32, "big")) for i in range(parents)),
        timestamp_ms=1_760_000_000_000,
        payload_root=tree_root(ids),
        payload_bytes=len(payload),
        transaction_count=len(transactions),
    )
    return VertexMessage(vertex=vertex, payload=payload, transaction_ids=ids, signature=SIGNATURE)


def test_the_receiver_of_a_vertex_computes_its_transaction_ids() -> None:
    sent = vertex_message([b"x", b"yz"])
    received = decode_message_untrusted(encode_message(replace(sent, transaction_ids=b"")))
    assert isinstance(received, VertexMessage)
    assert received.transaction_ids == hash_of(b"x") + hash_of(b"yz")


def test_the_largest_vertex_travels() -> None:
    half = TRANSACTION_BYTES_MAX - 4
    message = vertex_message([bytes(half), b"1" * half], parents=PARENTS_MAX, sequence=1)
    assert message.vertex.payload_bytes == PAYLOAD_BYTES_MAX
    encoded = encode_message(message)
    assert decode_message_untrusted(encoded) == message
    assert len(encoded) < MESSAGE_BYTES_MAX


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        pack([b"x", b"yy"]),
        pack([b"xy", b"z"]),
        pack([b"x", b"yz"])[:-1],
        pack([b"x", b"yz"]) + b"!",
        pack([b"", b"xyz"]),
        bytes(8),
        bytes(PAYLOAD_BYTES_MAX + 1),
    ],
    ids=["none", "other bytes", "other cut", "short", "long", "empty one", "no data", "too large"],
)
def test_a_payload_that_its_header_does_not_fix_is_refused(payload: bytes) -> None:
    message = vertex_message([b"x", b"yz"])
    with pytest.raises(MalformedMessage):
        decode_message_untrusted(encode([1, message.vertex.header(), payload, b"s"]))


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, VALIDATORS_MAX), (1, 0), (2, 0), (4, []), (4, [A, A]), (4, [A, B, b"c" * 32]), (5, -1)],
    ids=["author", "index", "height", "no parent", "one twice", "three of a plain one", "time"],
)
def test_a_header_that_no_author_could_make_is_refused(at: int, value: Value) -> None:
    message = vertex_message([b"x", b"yz"])
    header = decode_untrusted(message.vertex.header())
    assert isinstance(header, list)
    header[at] = value
    with pytest.raises(MalformedMessage):
        decode_message_untrusted(encode([1, encode(header), message.payload, b"s"]))


def test_a_header_is_measured_before_it_is_read() -> None:
    with pytest.raises(MalformedMessage, match="header is not a byte string of at most"):
        decode_message_untrusted(encode([1, bytes(HEADER_BYTES_MAX + 1), b"", b"s"]))
