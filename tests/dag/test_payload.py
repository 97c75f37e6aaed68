"""The blob of a vertex: packed once, checked once, never looked at again."""

import random
import struct

import pytest

from cretonode.crypto.hashing import hash_of, tree_root
from cretonode.dag.payload import (
    EMPTY_ROOT,
    checked_ids_untrusted,
    each_id,
    pack,
    transaction_ids_untrusted,
    unpack,
)
from cretonode.errors import MalformedMessage
from cretonode.limits import TRANSACTION_BYTES_MAX
from tests.core.replicas import plain


def test_what_was_packed_comes_out_again_in_order() -> None:
    rng = random.Random(1)
    for _ in range(100):
        transactions = [rng.randbytes(rng.randint(1, 50)) for _ in range(rng.randint(0, 20))]
        payload = pack(transactions)
        assert list(unpack(payload, len(transactions))) == transactions
        ids = list(each_id(transaction_ids_untrusted(payload, len(transactions))))
        assert ids == [hash_of(t) for t in transactions]


def test_the_payload_of_no_transactions_is_empty() -> None:
    assert pack([]) == b""
    assert transaction_ids_untrusted(b"", 0) == b""
    assert tree_root(b"") == EMPTY_ROOT


@pytest.mark.parametrize(
    ("payload", "count", "sentence"),
    [
        (b"abc", 1, "payload of 3 bytes, its length table needs 4"),
        (pack([b"ab"]) + b"c", 1, "do not add up"),
        (pack([b"ab"])[:-1], 1, "do not add up"),
        (b"x", 0, "do not add up"),
        (pack([b"a", b""]), 2, "a transaction has 1 to"),
        (pack([b"a" * (TRANSACTION_BYTES_MAX + 1)]), 1, "a transaction has 1 to"),
        (struct.pack(">I", 2**32 - 1), 1, "do not add up"),
    ],
    ids=["no table", "rest", "cut", "unannounced", "empty", "too long", "length beyond the end"],
)
def test_a_payload_that_does_not_add_up_is_refused(
    payload: bytes, count: int, sentence: str
) -> None:
    with pytest.raises(MalformedMessage, match=sentence):
        transaction_ids_untrusted(payload, count)


def test_a_payload_must_be_the_one_its_header_fixes() -> None:
    """DESIGN 2, Vertex: by root, size and count."""
    message = plain(0, 1, transactions=(b"ab", b"c"))
    assert checked_ids_untrusted(message.vertex, message.payload) == message.transaction_ids
    with pytest.raises(MalformedMessage, match="payload of 12 bytes, its header says 11"):
        checked_ids_untrusted(message.vertex, message.payload + b"x")
    with pytest.raises(MalformedMessage, match="does not hash to the root"):
        checked_ids_untrusted(message.vertex, pack([b"ab", b"d"]))
    with pytest.raises(MalformedMessage, match="does not hash to the root"):
        checked_ids_untrusted(message.vertex, pack([b"a", b"bc"]))
