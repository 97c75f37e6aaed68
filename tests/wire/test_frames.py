"""Bundles of messages. Source of every claim: docs/spec/wire.md, section 5."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.errors import MalformedMessage
from cretonode.limits import FRAME_BYTES_MAX, SIGNATURE_BYTES
from cretonode.wire.frames import BUNDLE_MESSAGES_MAX, pack_frames, unpack_frame_untrusted
from cretonode.wire.tagged import MESSAGE_BYTES_MAX
from tests.wire.hostile import NOISE, damaged

ENCODED = st.lists(st.binary(min_size=1, max_size=40), max_size=40)


@given(ENCODED, st.integers(44, 400))
@settings(max_examples=200, deadline=None)
def test_messages_come_out_of_their_frames_in_order(
    messages: list[bytes], frame_bytes_max: int
) -> None:
    frames = list(pack_frames(messages, frame_bytes_max))
    assert all(1 <= len(frame) <= frame_bytes_max for frame in frames)
    assert [m for frame in frames for m in unpack_frame_untrusted(frame)] == messages


@given(ENCODED, st.integers(44, 400))
@settings(max_examples=100, deadline=None)
def test_no_frame_has_room_for_the_message_after_it(
    messages: list[bytes], frame_bytes_max: int
) -> None:
    frames = list(pack_frames(messages, frame_bytes_max))
    for frame, after in pairwise(frames):
        first = unpack_frame_untrusted(after)[0]
        assert len(frame) + 4 + len(first) > frame_bytes_max


def test_nothing_needs_no_frame() -> None:
    assert list(pack_frames([], FRAME_BYTES_MAX)) == []


def test_many_small_messages_are_cut_by_number() -> None:
    messages = [bytes([i % 256]) for i in range(2 * BUNDLE_MESSAGES_MAX + 1)]
    counts = [len(unpack_frame_untrusted(f)) for f in pack_frames(messages, FRAME_BYTES_MAX)]
    assert counts == [BUNDLE_MESSAGES_MAX, BUNDLE_MESSAGES_MAX, 1]


def test_a_frame_of_votes_is_cut_by_size_and_not_by_number() -> None:
    assert FRAME_BYTES_MAX // SIGNATURE_BYTES < BUNDLE_MESSAGES_MAX


def test_the_longest_message_fills_a_frame() -> None:
    frames = list(pack_frames([b"1" * MESSAGE_BYTES_MAX, b"2"], FRAME_BYTES_MAX))
    assert [len(frame) for frame in frames] == [FRAME_BYTES_MAX, 5]


@pytest.mark.parametrize("length", [0, 97], ids=["empty", "longer than a frame"])
def test_a_message_that_fits_no_frame_is_our_own_bug(length: int) -> None:
    with pytest.raises(AssertionError):
        list(pack_frames([bytes(length)], 100))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_refused_or_the_one_bundle_of_their_messages(data: st.DataObject) -> None:
    good = b"".join(pack_frames(data.draw(ENCODED.filter(bool)), FRAME_BYTES_MAX))
    hostile = data.draw(damaged(good) | NOISE)
    try:
        messages = unpack_frame_untrusted(hostile)
    except MalformedMessage:
        return
    assert list(pack_frames(messages, FRAME_BYTES_MAX)) == [hostile]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\0",
        b"\0\0\0\1",
        b"\0\0\0\2x",
        b"\0\0\0\1x\0",
        b"\0\0\0\1x\0\0\0\0",
        b"\xff\xff\xff\xffx",
        b"\0\0\0\1x" * (BUNDLE_MESSAGES_MAX + 1),
        b"\0\x20\0\0" + bytes(2**21),
    ],
    ids=[
        "nothing",
        "part of a length",
        "an empty message",
        "a length alone",
        "a message cut short",
        "a length cut short",
        "an empty message at the end",
        "4 GiB",
        "too many",
        "larger than a frame",
    ],
)
def test_a_bundle_that_nobody_packs_is_refused(frame: bytes) -> None:
    with pytest.raises(MalformedMessage):
        unpack_frame_untrusted(frame)
