"""Source of every claim: docs/operator-socket.md."""

import re
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.api.ports import PeerView, StatusView
from cretonode.crypto.canonical import Value, decode_untrusted, encode
from cretonode.errors import MalformedMessage
from cretonode.operator.protocol import (
    ID_MAX,
    REQUEST_BYTES_MAX,
    VERSION_MAJOR,
    Attach,
    FrameBuffer,
    Message,
    PeerSnapshot,
    Request,
    Response,
    StatusSnapshot,
    decode_message_untrusted,
    encode_message,
    frame_of,
    peers_untrusted,
    peers_value,
    refusal_of,
    status_untrusted,
    status_value,
)
from cretonode.operator.protocol_fields import (
    BYTES_MAX,
    FIELDS_MAX,
    NUMBER_MAX,
    TEXT_CHARACTERS_MAX,
    fields_untrusted,
    fields_value,
    record_untrusted,
    record_value,
    shown,
)
from tests.operator.examples import HELLO, MESSAGES, PEER_VIEWS, STATUS_VIEW
from tests.operator.hostile import altered
from tests.wire.hostile import FORBIDDEN, JUNK, NOISE, damaged, forbidden

DOCS = Path(__file__).parents[2] / "docs" / "operator-socket.md"

unhurried = settings(deadline=None)  # a busy machine is no bug
each_message = pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)

names = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
values: st.SearchStrategy[Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 2**64 - 1)
    | st.binary(max_size=9)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)
texts = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=TEXT_CHARACTERS_MAX)


# --- messages


def test_the_example_in_the_documentation_is_true() -> None:
    written = re.findall(r"^    ([0-9a-f ]+)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    frame = bytes.fromhex("".join(written))
    assert frame == frame_of(encode_message(Request(id=7, command="ping")))


@each_message
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode_message_untrusted(encode_message(message)) == message


@unhurried
@given(st.integers(0, ID_MAX), names, st.dictionaries(names, values, max_size=5))
def test_any_request_comes_back_as_it_was(
    id_: int, command: str, arguments: dict[str, Value]
) -> None:
    request = Request(id=id_, command=command, arguments=arguments)
    assert decode_message_untrusted(encode_message(request)) == request


@unhurried
@given(st.integers(0, ID_MAX), st.booleans(), values, texts)
def test_any_response_comes_back_as_it_was(id_: int, ok: bool, value: Value, error: str) -> None:
    response = Response(id=id_, ok=ok, value=value, error=error)
    assert decode_message_untrusted(encode_message(response)) == response


def decodes_or_refuses(data: bytes) -> None:
    """Unknown fields are passed over, so what was decoded is stable, not the bytes themselves."""
    try:
        message = decode_message_untrusted(data)
    except MalformedMessage:
        return
    assert decode_message_untrusted(encode_message(message)) == message


@unhurried
@given(NOISE)
def test_noise_decodes_or_is_refused(data: bytes) -> None:
    decodes_or_refuses(data)


@each_message
@unhurried
@given(data=st.data())
def test_a_damaged_message_decodes_or_is_refused(message: Message, data: st.DataObject) -> None:
    decodes_or_refuses(data.draw(damaged(encode_message(message))))


@each_message
@unhurried
@given(data=st.data())
def test_an_altered_message_decodes_or_is_refused(message: Message, data: st.DataObject) -> None:
    decodes_or_refuses(data.draw(altered(encode_message(message))))


@pytest.mark.parametrize("form", [form for form in FORBIDDEN if form != "a wide first number"])
def test_there_is_one_encoding(form: str) -> None:
    encoded = encode_message(HELLO)
    other = forbidden(decode_untrusted(encoded), form)
    assert other != encoded
    with pytest.raises(MalformedMessage):
        decode_message_untrusted(other)


@pytest.mark.parametrize(
    "value",
    [
        [],
        "attach",
        ["attach"],
        ["attach", []],
        ["attach", None],
        ["dance", []],
        [["attach"], []],
        ["request", [["arguments", []], ["command", ""], ["id", 1]]],
        ["request", [["arguments", []], ["command", "Ping"], ["id", 1]]],
        ["request", [["arguments", []], ["command", "ping\n"], ["id", 1]]],
        ["request", [["arguments", []], ["command", "ping"], ["id", ID_MAX + 1]]],
        ["request", [["arguments", []], ["command", "ping"], ["id", True]]],
        ["request", [["arguments", None], ["command", "ping"], ["id", 1]]],
        ["response", [["error", ""], ["id", 1], ["ok", 1], ["value", None]]],
        ["response", [["error", ""], ["id", 1], ["ok", True]]],
        ["response", [["error", "\x1b[2J"], ["id", 1], ["ok", False], ["value", None]]],
    ],
    ids=repr,
)
def test_a_message_that_is_nearly_one_is_refused(value: Value) -> None:
    with pytest.raises(MalformedMessage):
        decode_message_untrusted(encode(value))


def test_fields_of_a_later_minor_version_are_passed_over() -> None:
    content = fields_untrusted(record_value(HELLO)) | {"zone": "eu", "age_ms": 5}
    assert decode_message_untrusted(encode(["hello", fields_value(content)])) == HELLO


def test_a_client_of_another_major_version_is_refused_in_words() -> None:
    same = Attach(minor=99, software="creto-console 0.9.0")
    assert refusal_of(same, "cretonode 0.1.0") is None
    refusal = refusal_of(replace(same, major=VERSION_MAJOR + 1), "cretonode 0.1.0")
    assert refusal is not None
    assert refusal.reason == (
        "this node (cretonode 0.1.0) speaks operator protocol 1, the client (creto-console 0.9.0) "
        "speaks 2: use the one that came with the node"
    )


# --- fields


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "ab",
        [["a"]],
        [["a", 1, 2]],
        ["ab"],
        [[1, 1]],
        [["", 1]],
        [["1a", 1]],
        [["a\n", 1]],
        [["ä", 1]],
        [["a" * 65, 1]],
        [["b", 1], ["a", 1]],
        [["a", 1], ["a", 1]],
        [[f"a{i:02}", i] for i in range(FIELDS_MAX + 1)],
    ],
    ids=repr,
)
def test_fields_that_are_not_sorted_pairs_are_refused(value: Value) -> None:
    with pytest.raises(MalformedMessage):
        fields_untrusted(value)


@unhurried
@given(st.dictionaries(names, values, max_size=FIELDS_MAX))
def test_fields_come_back_whatever_their_first_order(content: dict[str, Value]) -> None:
    turned = dict(reversed(list(content.items())))
    assert fields_value(turned) == fields_value(content)
    assert fields_untrusted(fields_value(content)) == content


@unhurried
@given(st.text())
def test_a_shown_text_is_printable_bounded_and_otherwise_itself(text: str) -> None:
    result = shown(text * 40)
    assert result.isprintable()
    assert len(result) <= TEXT_CHARACTERS_MAX
    if text.isprintable() and len(text) <= TEXT_CHARACTERS_MAX:
        assert shown(text) == text


# --- snapshots


@pytest.mark.parametrize(
    ("snapshot", "view"),
    [(StatusSnapshot, StatusView), (PeerSnapshot, PeerView)],
    ids=["status", "peer"],
)
def test_a_snapshot_has_the_fields_of_the_view_it_carries(
    snapshot: type[StatusSnapshot | PeerSnapshot], view: type[StatusView | PeerView]
) -> None:
    assert [(f.name, f.type) for f in fields(snapshot)] == [(f.name, f.type) for f in fields(view)]


def test_a_status_comes_back_as_it_was() -> None:
    value = decode_untrusted(encode(status_value(STATUS_VIEW)))
    assert asdict(status_untrusted(value)) == asdict(STATUS_VIEW)


def test_peers_come_back_as_they_were() -> None:
    value = decode_untrusted(encode(peers_value(PEER_VIEWS)))
    assert [asdict(p) for p in peers_untrusted(value)] == [asdict(p) for p in PEER_VIEWS]


@pytest.mark.parametrize(
    ("value_ms", "micro"),
    [(1.25, 1_250_000), (0.000_000_4, 0), (3, 3_000_000), (None, None), (float("inf"), None)],
    ids=["a fraction", "too little", "a whole number", "none", "for ever"],
)
def test_a_float_travels_as_millionths_under_a_name_that_says_so(
    value_ms: float | None, micro: int | None
) -> None:
    content = fields_untrusted(record_value(replace(PEER_VIEWS[0], round_trip_ms=value_ms)))
    assert content["round_trip_ms_micro"] == micro
    assert "round_trip_ms" not in content


def test_a_text_that_quotes_a_peer_cannot_break_the_snapshot() -> None:
    peer = replace(PEER_VIEWS[0], last_error="\x1b[2J\n" + "x" * 5_000)
    (snapshot,) = peers_untrusted(peers_value([peer]))
    assert snapshot.last_error.startswith(r"\x1b[2J\nxx")
    assert len(snapshot.last_error) == TEXT_CHARACTERS_MAX


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("view", -1), ("view", NUMBER_MAX + 1), ("view", True), ("view", None), ("view", "4"),
        ("name", "a\nb"), ("name", b"a"), ("name", "x" * (TEXT_CHARACTERS_MAX + 1)),
        ("node_id", "a"), ("node_id", bytes(BYTES_MAX + 1)), ("ready", 1), ("ready", None),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_a_status_with_a_wrong_field_is_refused(name: str, item: Value) -> None:
    content = fields_untrusted(status_value(STATUS_VIEW))
    with pytest.raises(MalformedMessage, match=name):
        status_untrusted(fields_value(content | {name: item}))


def test_a_status_without_a_field_is_refused() -> None:
    content = fields_untrusted(status_value(STATUS_VIEW))
    del content["quorum"]
    with pytest.raises(MalformedMessage, match="a StatusSnapshot without quorum"):
        status_untrusted(fields_value(content))


@unhurried
@given(st.data())
def test_altered_snapshots_decode_or_are_refused(data: st.DataObject) -> None:
    status = decode_untrusted(data.draw(altered(encode(status_value(STATUS_VIEW)))))
    peers = decode_untrusted(data.draw(altered(encode(peers_value(PEER_VIEWS)))))
    with suppress(MalformedMessage):
        status_untrusted(status)
    with suppress(MalformedMessage):
        peers_untrusted(peers)


@unhurried
@given(JUNK)
def test_junk_is_no_record(value: Value) -> None:
    with pytest.raises(MalformedMessage):
        record_untrusted(StatusSnapshot, value)


def test_a_field_of_another_type_is_our_own_bug() -> None:
    @dataclass
    class Odd:
        names: tuple[str, ...]

    with pytest.raises(AssertionError):
        record_value(Odd(("a",)))


# --- frames


@unhurried
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.data())
def test_frames_come_out_whole_however_the_bytes_come_in(
    messages: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(frame_of, messages))
    buffer = FrameBuffer(REQUEST_BYTES_MAX)
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer.feed(stream[:size])
        stream = stream[size:]
        while (message := buffer.next_untrusted()) is not None:
            found.append(message)
    assert found == messages
    assert len(buffer) == 0


@pytest.mark.parametrize("length", [0, REQUEST_BYTES_MAX + 1, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_its_message_comes(length: int) -> None:
    buffer = FrameBuffer(REQUEST_BYTES_MAX)
    buffer.feed(length.to_bytes(4, "big"))
    with pytest.raises(MalformedMessage, match=f"a message of {length} bytes"):
        buffer.next_untrusted()


def test_the_longest_message_is_taken() -> None:
    buffer = FrameBuffer(REQUEST_BYTES_MAX)
    buffer.feed(frame_of(bytes(REQUEST_BYTES_MAX)))
    assert buffer.next_untrusted() == bytes(REQUEST_BYTES_MAX)
