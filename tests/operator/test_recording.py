"""Source of every claim: docs/operator-socket.md, section 8."""

import random
import zlib
from dataclasses import replace

import pytest

from cretonode.errors import MalformedMessage
from cretonode.operator.protocol import RESPONSE_BYTES_MAX, Delta, encode_message
from cretonode.operator.protocol_deltas import Changes, delta_of
from cretonode.operator.protocol_recording import (
    FRAME_HEAD_BYTES,
    MAGIC,
    HistoryPiece,
    RecordingReader,
    history_untrusted,
    history_value,
    recording_frame,
    recording_head,
    whole_frames,
)
from tests.operator.examples import HELLO, LINE

DELTAS = [
    delta_of(Changes(log=(replace(LINE, number=i),)), at_ms=i, fresh=i == 0) for i in range(5)
]
FRAMES = [recording_frame(encode_message(delta)) for delta in DELTAS]
HEAD = recording_head(HELLO)
RECORDING = HEAD + b"".join(FRAMES)
ENDS = [len(HEAD) + sum(map(len, FRAMES[:count])) for count in range(len(FRAMES) + 1)]


def read(data: bytes, *, chunk: int = 1 << 20) -> tuple[list[Delta], int]:
    """Return the deltas and how many bytes at the end were torn."""
    reader = RecordingReader()
    found: list[Delta] = []
    for start in range(0, len(data), chunk):
        reader.feed(data[start : start + chunk])
        found += reader.deltas_untrusted()
    torn = reader.end_untrusted()
    assert reader.hello == HELLO
    assert reader.offset + torn == len(data)
    return found, torn


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 20])
def test_a_recording_comes_back_as_it_was(chunk: int) -> None:
    assert read(RECORDING, chunk=chunk) == (DELTAS, 0)


def test_a_frame_is_what_the_documentation_says() -> None:
    message = encode_message(DELTAS[0])
    length = len(message).to_bytes(4, "big")
    checks = zlib.crc32(length).to_bytes(4, "big") + zlib.crc32(message).to_bytes(4, "big")
    assert FRAMES[0] == length + checks + message
    assert MAGIC == b"creto recording 1\n"


def test_a_torn_end_is_passed_over_wherever_it_was_torn() -> None:
    for end in range(len(HEAD), len(RECORDING)):
        whole = max(count for count, at in enumerate(ENDS) if at <= end)
        assert read(RECORDING[:end]) == (DELTAS[:whole], end - ENDS[whole])


def test_a_last_frame_that_never_reached_the_disk_is_passed_over() -> None:
    """A crash leaves zeros where a file had grown, or an old half of a page."""
    for zeros in (1, FRAME_HEAD_BYTES, 4096):
        assert read(RECORDING + bytes(zeros)) == (DELTAS, zeros)
    half = bytearray(RECORDING)
    half[-20:] = bytes(20)
    assert read(bytes(half)) == (DELTAS[:-1], len(FRAMES[-1]))


def test_damage_before_the_end_is_refused_with_its_place() -> None:
    for place in range(len(RECORDING) - len(FRAMES[-1])):
        broken = bytearray(RECORDING)
        broken[place] ^= 1 << random.Random(place).randrange(8)
        with pytest.raises(MalformedMessage):
            read(bytes(broken))
    broken = bytearray(RECORDING)
    broken[ENDS[2] + 30] ^= 4
    with pytest.raises(MalformedMessage, match=f"the recording is damaged at byte {ENDS[2]}: "):
        read(bytes(broken))


def test_damage_is_found_too_when_the_rest_comes_later() -> None:
    broken = bytearray(RECORDING)
    broken[ENDS[2] - 3] ^= 4
    reader = RecordingReader()
    reader.feed(bytes(broken[: ENDS[2]]))
    assert list(reader.deltas_untrusted()) == DELTAS[:1]
    reader.feed(bytes(broken[ENDS[2] :]))
    with pytest.raises(MalformedMessage, match=f"damaged at byte {ENDS[1]}"):
        list(reader.deltas_untrusted())


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "no recording of a node, or it ends before it begins"),
        (MAGIC[:5], "ends before it begins"),
        (MAGIC, "ends before it begins"),
        (b"creto recording 2\n", "no recording of a node, or of a later version"),
        (b"\x7fELF" + bytes(100), "no recording of a node"),
        (MAGIC + FRAMES[0], "does not belong here"),
        (HEAD + FRAMES[1], "does not belong here"),
        (HEAD + FRAMES[0] + HEAD[len(MAGIC) :], "does not belong here"),
        (recording_head(replace(HELLO, major=2)) + FRAMES[0], "speaks operator protocol 2"),
        (HEAD + recording_frame(b"\xff") + FRAMES[0], "damaged at byte"),
    ],
    ids=[
        "empty", "cut", "nothing", "later", "other", "no hello", "not fresh", "hello twice",
        "other protocol", "no message",
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_in_words(data: bytes, error: str) -> None:
    with pytest.raises(MalformedMessage, match=error):
        read(data)


def test_a_recording_of_a_day_is_read_within_the_memory_of_a_frame() -> None:
    reader = RecordingReader()
    reader.feed(HEAD + FRAMES[0])
    count = len(list(reader.deltas_untrusted()))
    for _ in range(2_000):
        reader.feed(b"".join(FRAMES))
        count += len(list(reader.deltas_untrusted()))
        assert len(reader._waiting) == 0
    assert count == reader.deltas == 10_001


def test_zeros_without_end_are_damage() -> None:
    reader = RecordingReader()
    reader.feed(RECORDING)
    list(reader.deltas_untrusted())
    for _ in range(10):
        reader.feed(bytes(RESPONSE_BYTES_MAX // 10))
        assert list(reader.deltas_untrusted()) == []
    reader.feed(bytes(100))
    with pytest.raises(MalformedMessage, match="no frame begins there"):
        list(reader.deltas_untrusted())


def test_whole_frames_are_counted_up_to_the_first_that_is_not() -> None:
    frames = b"".join(FRAMES)
    assert whole_frames(frames) == len(frames)
    assert whole_frames(frames[:-1]) == len(frames) - len(FRAMES[-1])
    assert whole_frames(FRAMES[0] + b"\0" + FRAMES[1]) == len(FRAMES[0])
    assert whole_frames(b"") == 0


def test_a_piece_of_history_comes_back_as_it_was() -> None:
    for piece in (HistoryPiece(cursor=5, frames=FRAMES[0]), HistoryPiece(cursor=None, frames=b"")):
        assert history_untrusted(history_value(piece)) == piece
    for value in (7, [], [["cursor", 1]], [["cursor", "x"], ["frames", b""]]):
        with pytest.raises(MalformedMessage):
            history_untrusted(value)
