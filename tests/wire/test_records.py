"""Journal records as bytes. Source of every claim: docs/spec/wire.md, section 7."""

import typing
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cretonode.core.records import Record, SaidNewView, SaidViewChange
from cretonode.crypto.canonical import Value, decode_untrusted, encode
from cretonode.errors import CorruptionError
from cretonode.limits import SIGNATURE_BYTES, VALIDATORS_MAX
from cretonode.wire.records import NUMBERS, decode_record, encode_record
from cretonode.wire.tagged import MESSAGE_BYTES_MAX
from tests.wire.hostile import (
    NOISE,
    damaged,
    decodes_or_refuses,
    forbidden,
    forbidden_forms,
    rebuilt,
)
from tests.wire.strategies import RECORD_OF, RECORDS

A = b"a" * 32
KINDS = pytest.mark.parametrize("kind", list(RECORD_OF), ids=lambda kind: kind.__name__)


def test_every_record_has_a_number() -> None:
    kinds = set(typing.get_args(Record))
    assert kinds == set(NUMBERS)
    assert kinds == set(RECORD_OF)
    assert len(set(NUMBERS.values())) == len(kinds)  # a gap is harmless, a repetition is not


@KINDS
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_record_survives_its_encoding(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(RECORD_OF[kind])
    encoded = encode_record(record)
    decoded = decode_record(encoded)
    assert type(decoded) is kind
    assert decoded == record
    assert encode_record(decoded) == encoded


@given(NOISE)
@settings(max_examples=300, deadline=None)
def test_noise_is_corruption_or_by_chance_a_record(data: bytes) -> None:
    decodes_or_refuses(data, decode_record, encode_record, CorruptionError)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_record_is_corruption_or_another_one(data: st.DataObject) -> None:
    encoded = encode_record(data.draw(RECORDS))
    for hostile in (data.draw(damaged(encoded)), data.draw(rebuilt(encoded))):
        decodes_or_refuses(hostile, decode_record, encode_record, CorruptionError)


@forbidden_forms
@given(record=RECORDS)
@settings(max_examples=40, deadline=None)
def test_no_record_has_a_second_encoding(form: str, record: Record) -> None:
    encoded = encode_record(record)
    hostile = forbidden(decode_untrusted(encoded), form)
    assume(hostile != encoded)
    with pytest.raises(CorruptionError, match="journal record"):
        decode_record(hostile)


@KINDS
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_no_field_of_a_record_takes_another_type(kind: type[Record], data: st.DataObject) -> None:
    items = decode_untrusted(encode_record(data.draw(RECORD_OF[kind])))
    assert isinstance(items, list)
    for at, item in enumerate(items):
        for other in (7, b"7", "7", True, [7], [[7]], 2**63):
            if type(other) is type(item) and other != 2**63:
                continue
            with pytest.raises(CorruptionError):
                decode_record(encode([*items[:at], other, *items[at + 1 :]]))


@pytest.mark.parametrize(
    "value",
    [
        [],
        [0, 1],
        [10, 1],
        [1],
        [1, 2, 3],
        [3, 0, A],
        [4, 0, 0, A],
        [8, 0, A],
        [6, 0, [0, 0, A], None, 0],
        [6, 1, [0, 0, A], None, 0, b""],
        [9, 1, A, [[0, b""]]],
        [9, 1, A, [[0, b"s"]] * (VALIDATORS_MAX + 1)],
        bytes(MESSAGE_BYTES_MAX),
    ],
    ids=[
        "no number",
        "number never given",
        "number not yet given",
        "a field short",
        "a field long",
        "vertex index 0",
        "genesis accepted",
        "genesis checkpoint",
        "view-change to view 0",
        "a signature where none belongs",
        "an unsigned vote",
        "too many votes",
        "too long",
    ],
)
def test_what_no_replica_promises_is_corruption(value: Value) -> None:
    with pytest.raises(CorruptionError):
        decode_record(encode(value))


@pytest.mark.parametrize("kind", [SaidViewChange, SaidNewView])
@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_the_journal_takes_only_what_is_not_yet_signed(
    kind: type[SaidViewChange | SaidNewView], data: st.DataObject
) -> None:
    record = data.draw(RECORD_OF[kind])
    assert isinstance(record, SaidViewChange | SaidNewView)
    signed = replace(record.message, signature=bytes(SIGNATURE_BYTES))
    with pytest.raises(AssertionError, match="before it is signed"):
        encode_record(kind(signed))  # type: ignore[arg-type]
