"""Transactions in request bodies."""

import base64
import json

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cretonode.api.bodies import decode_transactions_untrusted
from cretonode.api.problems import Problem
from cretonode.limits import PAYLOAD_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX

JSON = "application/json"
CBOR = "application/cbor"
RAW = "application/octet-stream"

batches = st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=30)


@given(batches)
def test_a_batch_survives_cbor(batch: list[bytes]) -> None:
    assert decode_transactions_untrusted(CBOR, cbor2.dumps(batch)) == batch


@given(batches)
def test_a_batch_survives_json(batch: list[bytes]) -> None:
    items = [base64.b64encode(item).decode() for item in batch]
    body = json.dumps({"transactions": items}).encode()
    assert decode_transactions_untrusted(JSON, body) == batch


@pytest.mark.parametrize("size", [1, 23, 24, 255, 256, 65_535, 65_536, TRANSACTION_BYTES_MAX])
def test_one_transaction_survives_every_form(size: int) -> None:
    one = b"x" * size
    encoded = json.dumps({"transaction": base64.b64encode(one).decode()}).encode()
    text = json.dumps({"text": one.decode()}).encode()
    assert decode_transactions_untrusted(RAW, one) == [one]
    assert decode_transactions_untrusted(CBOR, cbor2.dumps(one)) == [one]
    assert decode_transactions_untrusted(CBOR, cbor2.dumps([one, one])) == [one, one]
    assert decode_transactions_untrusted(JSON, encoded) == [one]
    assert decode_transactions_untrusted(JSON, text) == [one]


@pytest.mark.parametrize(
    ("content_type", "body", "detail"),
    [
        (JSON, b'{"text":', "line 1 column 9"),
        (JSON, b"\xff", "not UTF-8 at byte 0"),
        (JSON, b"[" * 100_000, "RecursionError"),
        (JSON, b'{"text": 1' + b"0" * 5000 + b"}", "ValueError"),
        (JSON, b"[]", "exactly one of transaction, text, transactions"),
        (JSON, b"{}", "exactly one of"),
        (JSON, b'{"text":"a","transaction":"YQ=="}', "exactly one of"),
        (JSON, b'{"tx":"YQ=="}', "JSON key 'tx'"),
        (JSON, b'{"text":1}', "text is not a string"),
        (JSON, b'{"text":"\\ud800"}', "half a surrogate pair"),
        (JSON, b'{"transaction":"YQ"}', "transaction is not base64"),
        (JSON, b'{"transaction":"Y Q=="}', "transaction is not base64"),
        (JSON, '{"transaction":"é"}'.encode(), "transaction is not base64"),
        (JSON, b'{"transaction":null}', "expected base64"),
        (JSON, b'{"text":"a","text":"b"}', "the key 'text' twice"),
        (JSON, b'{"transaction":"aGVsbG9="}', "transaction is not the one base64 text"),
        (JSON, b'{"transactions":["YQ==","YR=="]}', "transactions[1] is not the one base64 text"),
        (JSON, b'{"transactions":"YQ=="}', "not an array"),
        (JSON, b'{"transactions":["YQ==",7]}', "transactions[1] is not a string"),
        (JSON, b'{"transactions":["YQ==","!"]}', "transactions[1] is not base64"),
        (CBOR, b"", "the body is empty"),
        (CBOR, b"\x61a", "byte 0 is 0x61"),
        (CBOR, b"\x81\x61a", "byte 1 is 0x61"),
        (CBOR, b"\x82\x41a", "ends at byte 3, too early"),
        (CBOR, b"\x43ab", "promise 4 or more"),
        (CBOR, b"\x41ab", "1 bytes too many, from byte 2"),
        (CBOR, b"\x59\x01", "within a length"),
        (CBOR, b"\x5b" + b"\xff" * 8, "promise"),
        (CBOR, b"\x5f\x41a\xff", "of definite lengths"),
        (CBOR, b"\x9f\x41a\xff", "of definite lengths"),
        (CBOR, b"\xc5\x82\x1b" + b"\xff" * 8 + b"\x01", "byte 0 is 0xc5"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_named(content_type: str, body: bytes, detail: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_transactions_untrusted(content_type, body)
    assert caught.value.name == "malformed-request"
    assert detail in caught.value.detail


@pytest.mark.parametrize(
    ("content_type", "body", "detail"),
    [
        (RAW, b"", "transaction 0 of 1 (counted from 0) has 0 bytes; expected 1 to 262144"),
        (JSON, b'{"text":""}', "has 0 bytes"),
        (JSON, b'{"transactions":[]}', "0 transactions in one request; expected 1 to 4096"),
        (CBOR, b"\x80", "0 transactions"),
        (CBOR, b"\x9b" + b"\xff" * 8, "18446744073709551615 transactions"),
        (CBOR, cbor2.dumps([b"a"] * (PAYLOAD_TRANSACTIONS_MAX + 1)), "4097 transactions"),
        (CBOR, cbor2.dumps([b"a", b""]), "transaction 1 of 2"),
        (RAW, b"x" * (TRANSACTION_BYTES_MAX + 1), "has 262145 bytes"),
    ],
)
def test_what_is_too_large_or_empty_is_named(content_type: str, body: bytes, detail: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_transactions_untrusted(content_type, body)
    assert caught.value.name == "invalid-transaction"
    assert detail in caught.value.detail


def refused_or_decoded(content_type: str, body: bytes) -> int:
    """Return the status of the refusal, or 0 when there are transactions."""
    try:
        transactions = decode_transactions_untrusted(content_type, body)
    except Problem as problem:
        return problem.status
    assert all(transactions)
    return 0


@given(st.sampled_from([JSON, CBOR]), st.binary(max_size=300))
@example(CBOR, b"\x82\x59\xff\xff")
def test_arbitrary_bytes_are_decoded_or_refused(content_type: str, body: bytes) -> None:
    assert refused_or_decoded(content_type, body) in (0, 400)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_arbitrary_json_is_decoded_or_refused(value: object) -> None:
    for document in (value, {"transactions": value}, {"text": value}, {"transaction": value}):
        assert refused_or_decoded(JSON, json.dumps(document).encode()) in (0, 400)
