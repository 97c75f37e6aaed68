"""Messages as bytes. Source of every claim: docs/spec/wire.md, sections 2 to 4."""

import resource
import typing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cretonode.core.messages import (
    UNSIGNED,
    FetchSlots,
    FetchVertices,
    Message,
    NewView,
    Position,
    PrepareCertificate,
    Signed,
    SlotStatus,
    Status,
    ViewChange,
    ViewChangeVote,
    genesis_position,
)
from cretonode.crypto.canonical import Value, decode_untrusted, encode
from cretonode.errors import MalformedMessage
from cretonode.identifiers import AuthorIndex, SequenceNumber, ValidatorIndex, VertexHash, View
from cretonode.limits import (
    FETCH_HASHES_MAX,
    FETCH_SLOTS_MAX,
    SIGNATURE_BYTES,
    VALIDATORS_MAX,
    WINDOW_MAX,
)
from cretonode.wire.messages import NUMBERS, decode_message_untrusted, encode_message
from cretonode.wire.tagged import MESSAGE_BYTES_MAX, VALUES_MAX
from tests.wire.hostile import (
    NOISE,
    damaged,
    decodes_or_refuses,
    forbidden,
    forbidden_forms,
    rebuilt,
)
from tests.wire.strategies import MESSAGE_OF, MESSAGES
from tests.wire.test_vertex_messages import vertex_message

A = VertexHash(b"a" * 32)
SIGNATURE = bytes(SIGNATURE_BYTES)
KINDS = pytest.mark.parametrize("kind", list(MESSAGE_OF), ids=lambda kind: kind.__name__)
SIGNED = [kind for kind in MESSAGE_OF if "signature" in kind.__dataclass_fields__]
many = settings(max_examples=60, deadline=None)
more = settings(max_examples=300, deadline=None)


def test_every_message_has_a_type_number() -> None:
    kinds = set(typing.get_args(Message))
    assert kinds == set(NUMBERS)
    assert kinds == set(MESSAGE_OF)
    assert len(set(NUMBERS.values())) == len(kinds)  # a gap is harmless, a repetition is not


@KINDS
@given(data=st.data())
@many
def test_a_message_survives_its_encoding(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(MESSAGE_OF[kind])
    encoded = encode_message(message)
    decoded = decode_message_untrusted(encoded)
    assert type(decoded) is kind
    assert decoded == message
    assert encode_message(decoded) == encoded


@given(MESSAGES, MESSAGES)
@many
def test_two_messages_share_an_encoding_only_when_equal(one: Message, other: Message) -> None:
    assert (encode_message(one) == encode_message(other)) == (one == other)


def test_a_worker_thread_decodes_like_the_main_thread() -> None:
    message = full_new_view()
    with ThreadPoolExecutor(max_workers=4) as pool:
        decoded = list(pool.map(decode_message_untrusted, [encode_message(message)] * 16))
    assert decoded == [message] * 16


# --- what a peer may send


@given(NOISE)
@more
@example(b"")
@example(b"\x80")
@example(b"\x81\x80")
@example(b"\x81\xf5")
@example(b"\x03")
@example(b"\xf6")
def test_noise_is_refused_or_by_chance_a_message(data: bytes) -> None:
    decodes_or_refuses(data, decode_message_untrusted, encode_message, MalformedMessage)


@given(st.data())
@more
def test_a_damaged_message_is_refused_or_another_one(data: st.DataObject) -> None:
    encoded = encode_message(data.draw(MESSAGES))
    hostile = data.draw(damaged(encoded))
    decodes_or_refuses(hostile, decode_message_untrusted, encode_message, MalformedMessage)


@given(st.data())
@more
def test_a_message_with_items_moved_or_replaced_is_refused_or_another_one(
    data: st.DataObject,
) -> None:
    hostile = data.draw(rebuilt(encode_message(data.draw(MESSAGES))))
    decodes_or_refuses(hostile, decode_message_untrusted, encode_message, MalformedMessage)


@given(data=st.data())
@many
def test_a_prefix_and_an_extension_of_a_message_are_refused(data: st.DataObject) -> None:
    encoded = encode_message(data.draw(MESSAGES))
    cut = data.draw(st.integers(0, len(encoded) - 1))
    extra = data.draw(st.binary(min_size=1, max_size=3))
    for hostile in (encoded[:cut], encoded + extra):
        with pytest.raises(MalformedMessage):
            decode_message_untrusted(hostile)


@forbidden_forms
@given(message=MESSAGES)
@settings(max_examples=40, deadline=None)
def test_no_message_has_a_second_encoding(form: str, message: Message) -> None:
    encoded = encode_message(message)
    hostile = forbidden(decode_untrusted(encoded), form)
    assume(hostile != encoded)
    with pytest.raises(MalformedMessage):
        decode_message_untrusted(hostile)


@KINDS
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_a_message_with_a_field_too_many_or_too_few_is_refused(
    kind: type[Message], data: st.DataObject
) -> None:
    items = decode_untrusted(encode_message(data.draw(MESSAGE_OF[kind])))
    assert isinstance(items, list)
    for hostile in (items[:-1], [*items, items[-1]], [*items, 0], items[:1]):
        with pytest.raises(MalformedMessage):
            decode_message_untrusted(encode(hostile))


@KINDS
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_no_field_takes_another_type(kind: type[Message], data: st.DataObject) -> None:
    items = decode_untrusted(encode_message(data.draw(MESSAGE_OF[kind])))
    assert isinstance(items, list)
    for at, item in enumerate(items):
        for other in (7, b"7", "7", True, [7], [[7]], 2**63):
            if type(other) is type(item) and other != 2**63:
                continue
            with pytest.raises(MalformedMessage):
                decode_message_untrusted(encode([*items[:at], other, *items[at + 1 :]]))


@pytest.mark.parametrize("number", [0, 15, 23, 24, 255, 2**63])
def test_an_unknown_type_number_is_refused(number: int) -> None:
    with pytest.raises(MalformedMessage, match="unknown type"):
        decode_message_untrusted(encode([number, 1, 1]))


VOTE: Value = [0, b"s"]
TIMEOUT: Value = [0, [0, 0, A], b"s"]
SLOT: Value = [True, b"\x01", b""]


def certificate(*, votes: int) -> Value:
    return [9, 1, 1, A, [VOTE] * votes]


def status(*, slots: int = 0, newest: int = 0) -> Value:
    return [12, 0, True, 0, 0, [SLOT] * slots, [1] * newest]


@pytest.mark.parametrize(
    ("fits", "breaks"),
    [
        ([3, 2**63 - 1, 1, A, 0, b"s"], [3, 2**63, 1, A, 0, b"s"]),
        ([3, 0, 2**63 - 1, A, 0, b"s"], [3, 0, 2**63, A, 0, b"s"]),
        ([3, 0, 1, A, 0, b"s"], [3, 0, 0, A, 0, b"s"]),
        ([3, 0, 1, A, VALIDATORS_MAX - 1, b"s"], [3, 0, 1, A, VALIDATORS_MAX, b"s"]),
        ([3, 0, 1, A, 0, SIGNATURE], [3, 0, 1, A, 0, SIGNATURE + b"s"]),
        ([3, 0, 1, A, 0, b"s"], [3, 0, 1, A, 0, b""]),
        ([3, 0, 1, A, 0, b"s"], [3, 0, 1, A[:31], 0, b"s"]),
        ([3, 0, 1, A, 0, b"s"], [3, 0, 1, A + b"a", 0, b"s"]),
        ([3, 1, 1, A, 0, b"s"], [3, True, 1, A, 0, b"s"]),
        ([7, 0, 0, b"s"], [7, -1, 0, b"s"]),
        ([5, 1, [0, 0, A], None, 0, b"s"], [5, 0, [0, 0, A], None, 0, b"s"]),
        ([5, 1, [2**63, 1, A], None, 0, b"s"], [5, 1, [2**63 + 1, 1, A], None, 0, b"s"]),
        ([5, 1, [0, 9, A], None, 0, b"s"], [5, 1, [0, 2**63, A], None, 0, b"s"]),
        ([5, 1, [1, 1, A], None, 0, b"s"], [5, 1, [1, 0, A], None, 0, b"s"]),
        ([5, 1, [0, 0, A], [0, 1, A, []], 0, b"s"], [5, 1, [0, 0, A], [0, 1, A], 0, b"s"]),
        ([6, 1, [0, 0, A], [], None, 0, b"s"], [6, 0, [0, 0, A], [], None, 0, b"s"]),
        (
            [6, 1, [0, 0, A], [TIMEOUT] * VALIDATORS_MAX, None, 0, b"s"],
            [6, 1, [0, 0, A], [TIMEOUT] * (VALIDATORS_MAX + 1), None, 0, b"s"],
        ),
        (certificate(votes=VALIDATORS_MAX), certificate(votes=VALIDATORS_MAX + 1)),
        (status(slots=WINDOW_MAX + 1, newest=VALIDATORS_MAX), status(slots=WINDOW_MAX + 2)),
        (status(newest=VALIDATORS_MAX), status(newest=VALIDATORS_MAX + 1)),
        ([12, 0, True, 0, 0, [], []], [12, 0, 1, 0, 0, [], []]),
        (
            [12, 0, True, 0, 0, [[True, b"\xff" * 16, b""]], []],
            [12, 0, True, 0, 0, [[True, b"\xff" * 17, b""]], []],
        ),
        (
            [12, 0, True, 0, 0, [[True, b"\x00\x01", b""]], []],
            [12, 0, True, 0, 0, [[True, b"\x01\x00", b""]], []],
        ),
        (status(slots=1), [12, 0, True, 0, 0, [[True, 1, b""]], []]),
        ([13, [A] * FETCH_HASHES_MAX], [13, [A] * (FETCH_HASHES_MAX + 1)]),
        ([13, [A]], [13, []]),
        ([13, [A]], [13, A]),
        ([14, 1, FETCH_SLOTS_MAX], [14, 1, FETCH_SLOTS_MAX + 1]),
        ([14, 1, 1], [14, 1, 0]),
        ([14, 1, 1], [14, 0, 1]),
    ],
    ids=[
        "view below 2**63",
        "sequence below 2**63",
        "nobody votes on genesis",
        "author within the largest committee",
        "signature at most of the hybrid length",
        "signature not empty",
        "hash not shorter",
        "hash not longer",
        "true is no view",
        "no view below 0",
        "a view-change to view 1 at least",
        "the highest view of a position",
        "a recovery has the view of genesis and any sequence",
        "genesis sequence with genesis view",
        "a certificate within has four fields",
        "a new-view of view 1 at least",
        "timeouts of the largest committee",
        "votes of the largest committee",
        "slots of the largest window",
        "newest of the largest committee",
        "one is not true",
        "bitmap of the largest committee",
        "bitmap without trailing zero",
        "bitmap as bytes",
        "hashes in one request",
        "an empty request",
        "a hash without its list",
        "slots in one request",
        "a request for nothing",
        "a request for genesis",
    ],
)
def test_each_bound_holds_at_its_edge(fits: Value, breaks: Value) -> None:
    data = encode(fits)
    assert encode_message(decode_message_untrusted(data)) == data
    with pytest.raises(MalformedMessage):
        decode_message_untrusted(encode(breaks))


def test_the_position_of_genesis_travels_as_zero() -> None:
    message = ViewChange(
        view=View(1),
        high=genesis_position(A),
        certificate=None,
        author=ValidatorIndex(2),
        signature=b"s",
    )
    assert encode_message(message) == encode([5, 1, [0, 0, A], None, 2, b"s"])


@pytest.mark.parametrize(
    "start",
    ["5b7fffffffffffffff", "5a7fffffff", "9b00000fffffffffff", "9a7fffffff", "7a7fffffff"],
    ids=["huge bytes", "2 GiB of bytes", "huge array", "2**31 items", "2 GiB of text"],
)
def test_a_claimed_length_takes_no_memory(start: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for prefix in (b"", b"\x86\x03\x00\x01", b"\x84\x01"):
        for rest in (b"", bytes(64)):
            with pytest.raises(MalformedMessage):
                decode_message_untrusted(prefix + bytes.fromhex(start) + rest)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert kibibytes < 16 * 1024, kibibytes


@pytest.mark.parametrize("item", [b"\x00", b"\x80", b"\x60", b"\xf6", b"\x81\x80"])
def test_a_frame_full_of_nothing_is_refused(item: bytes) -> None:
    count = (MESSAGE_BYTES_MAX - 16) // len(item)
    data = b"\x87\x0c\x00\xf5\x00\x00\x9a" + count.to_bytes(4, "big") + item * count + b"\x80"
    assert len(data) <= MESSAGE_BYTES_MAX
    with pytest.raises(MalformedMessage, match=f"over {VALUES_MAX} array items"):
        decode_message_untrusted(data)


def test_a_message_longer_than_a_frame_is_refused_unread() -> None:
    with pytest.raises(MalformedMessage, match="at most"):
        decode_message_untrusted(bytes(MESSAGE_BYTES_MAX + 1))


# --- what this node may say


def full_new_view() -> NewView:
    """The longest new-view there can be, near enough."""
    high = Position(View(2**63 - 2), SequenceNumber(2**63 - 1), A)
    authors = [ValidatorIndex(i) for i in range(VALIDATORS_MAX)]
    return NewView(
        view=View(2**63 - 1),
        base=high,
        timeouts=tuple(ViewChangeVote(author, high, SIGNATURE) for author in authors),
        certificate=PrepareCertificate(
            view=high.view,
            sequence=high.sequence,
            anchor=high.anchor,
            votes=tuple(Signed(author, SIGNATURE) for author in authors),
        ),
        author=ValidatorIndex(VALIDATORS_MAX - 1),
        signature=SIGNATURE,
    )


def fullest_status() -> Status:
    ones = 2**VALIDATORS_MAX - 1
    return Status(
        view=View(2**63 - 1),
        has_base=False,
        final=SequenceNumber(2**63 - 1),
        stable=SequenceNumber(2**63 - 1),
        slots=(SlotStatus(accepted=True, prepares=ones, commits=ones),) * (WINDOW_MAX + 1),
        newest=(AuthorIndex(2**63 - 1),) * VALIDATORS_MAX,
    )


@pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_an_unsigned_statement_never_leaves_this_node(
    kind: type[Message], data: st.DataObject
) -> None:
    message = data.draw(MESSAGE_OF[kind])
    for signature in (UNSIGNED, SIGNATURE + b"s"):
        with pytest.raises(AssertionError, match="a signature of"):
            encode_message(replace(message, signature=signature))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        FetchVertices(hashes=()),
        FetchVertices(hashes=(A,) * (FETCH_HASHES_MAX + 1)),
        FetchSlots(first=SequenceNumber(1), count=0),
        FetchSlots(first=SequenceNumber(1), count=FETCH_SLOTS_MAX + 1),
        Status(
            view=View(0),
            has_base=True,
            final=SequenceNumber(0),
            stable=SequenceNumber(0),
            slots=(SlotStatus(accepted=True, prepares=0, commits=0),) * (WINDOW_MAX + 2),
            newest=(),
        ),
        Status(
            view=View(0),
            has_base=True,
            final=SequenceNumber(0),
            stable=SequenceNumber(0),
            slots=(SlotStatus(accepted=True, prepares=1 << VALIDATORS_MAX, commits=0),),
            newest=(),
        ),
        PrepareCertificate(
            view=View(0),
            sequence=SequenceNumber(1),
            anchor=A,
            votes=(Signed(ValidatorIndex(0), UNSIGNED),),
        ),
        PrepareCertificate(
            view=View(0),
            sequence=SequenceNumber(1),
            anchor=A,
            votes=(Signed(ValidatorIndex(0), SIGNATURE),) * (VALIDATORS_MAX + 1),
        ),
        replace(full_new_view(), timeouts=full_new_view().timeouts * 2),
        replace(full_new_view(), base=Position(View(0), SequenceNumber(0), A)),
        replace(fullest_status(), newest=(AuthorIndex(0),) * (VALIDATORS_MAX + 1)),
        replace(vertex_message([b"x", b"yz"]), payload=b"x"),
    ],
    ids=[
        "nothing fetched",
        "too many fetched",
        "no slots fetched",
        "too many slots fetched",
        "a status beyond the window",
        "a bit beyond the committee",
        "an unsigned vote",
        "too many votes",
        "too many timeouts",
        "a view with the sequence of genesis",
        "too many authors",
        "another payload",
    ],
)
def test_what_every_peer_would_refuse_is_our_own_bug(message: Message) -> None:
    with pytest.raises(AssertionError):
        encode_message(message)


def test_the_longest_new_view_fits_a_frame() -> None:
    encoded = encode_message(full_new_view())
    assert len(encoded) == 1_213_985 < MESSAGE_BYTES_MAX
    assert decode_message_untrusted(encoded) == full_new_view()


def test_the_fullest_status_fits_a_frame() -> None:
    encoded = encode_message(fullest_status())
    assert decode_message_untrusted(encoded) == fullest_status()
