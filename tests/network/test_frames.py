from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.errors import MalformedMessage
from cretonode.limits import FRAME_BYTES_MAX
from cretonode.network.frames import (
    FrameDecoder,
    Priority,
    frame_header,
    read_priority_untrusted,
)


def encode(frames: list[bytes]) -> bytes:
    return b"".join(frame_header(frame) + frame for frame in frames)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        yield data[start:end]


def take_all(decoder: FrameDecoder) -> list[bytes]:
    return list(iter(decoder.take, None))


@settings(deadline=None)
@given(frames=st.lists(st.binary(max_size=300)), cuts=st.lists(st.integers(0, 10_000)))
def test_frames_survive_any_chunking(frames: list[bytes], cuts: list[int]) -> None:
    decoder = FrameDecoder()
    for piece in pieces(encode(frames), cuts):
        decoder.feed_untrusted(piece)
    assert take_all(decoder) == frames
    assert decoder.held_bytes == decoder.complete_bytes == 0


@settings(deadline=None)
@given(
    frames=st.lists(st.binary(max_size=300)),
    cuts=st.lists(st.integers(0, 10_000)),
    rest=st.binary(max_size=3),
)
def test_frames_taken_as_they_come_are_the_same(
    frames: list[bytes], cuts: list[int], rest: bytes
) -> None:
    decoder = FrameDecoder()
    taken: list[bytes] = []
    for piece in pieces(encode(frames) + rest, cuts):
        decoder.feed_untrusted(piece)
        assert decoder.complete_bytes <= decoder.held_bytes
        taken += take_all(decoder)
    assert taken == frames
    assert decoder.held_bytes == len(rest)


def test_the_longest_frame_passes() -> None:
    decoder = FrameDecoder()
    frame = bytes(FRAME_BYTES_MAX)
    decoder.feed_untrusted(encode([frame]))
    assert decoder.take() == frame


@settings(deadline=None)
@given(length=st.integers(FRAME_BYTES_MAX + 1, 2**32 - 1), before=st.lists(st.binary(max_size=9)))
def test_an_oversized_frame_is_refused_at_its_length(length: int, before: list[bytes]) -> None:
    decoder = FrameDecoder()
    decoder.feed_untrusted(encode(before))
    with pytest.raises(MalformedMessage, match="at most"):
        decoder.feed_untrusted(length.to_bytes(4, "big"))
    assert take_all(decoder) == before, "what came whole before it can still be taken"


def test_a_thousand_empty_frames_cost_four_thousand_bytes() -> None:
    decoder = FrameDecoder()
    decoder.feed_untrusted(encode([b""] * 1000))
    assert decoder.held_bytes == 4000


@pytest.mark.parametrize("first", [0, 4, 255])
def test_an_unknown_class_is_refused(first: int) -> None:
    with pytest.raises(MalformedMessage, match="unknown class"):
        read_priority_untrusted(first)


def test_votes_go_before_vertices_before_bulk() -> None:
    assert list(Priority) == [Priority.VOTES, Priority.VERTICES, Priority.BULK]
    assert [read_priority_untrusted(p) for p in (1, 2, 3)] == list(Priority)
