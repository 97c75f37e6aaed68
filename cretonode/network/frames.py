"""Frames on streams: a length, then so many bytes; and which class a stream carries.

The first byte of a stream names its class. A frame is its length as a big-endian u32, then the
bytes; 0 to FRAME_BYTES_MAX of them. Source: docs/network.md, "Frames".
"""

from enum import IntEnum
from typing import Final

from cretonode.errors import MalformedMessage
from cretonode.limits import FRAME_BYTES_MAX

LENGTH_BYTES: Final = 4
assert FRAME_BYTES_MAX < 1 << (8 * LENGTH_BYTES)


class Priority(IntEnum):
    """The class of a frame, the most urgent first. The value is the first byte of its stream."""

    VOTES = 1
    VERTICES = 2
    BULK = 3

    __hash__ = int.__hash__  # an enum hashes its name, in Python: a microsecond for each look-up


PRIORITIES: Final = tuple(Priority)  # to walk an enum costs as much for each member


def read_priority_untrusted(first: int) -> Priority:
    """Return the class that a stream's first byte names. Raises: MalformedMessage."""
    try:
        return Priority(first)
    except ValueError:
        raise MalformedMessage(f"a stream of the unknown class {first}") from None


def frame_header(frame: bytes) -> bytes:
    """Return what goes before `frame` on the stream."""
    assert len(frame) <= FRAME_BYTES_MAX, len(frame)
    return len(frame).to_bytes(LENGTH_BYTES, "big")


class FrameDecoder:
    """The frames of one stream, from its bytes in any pieces.

    Keeps bytes, not frames: a thousand empty frames cost four thousand bytes. Length prefixes are
    checked as they come in, so an oversized frame is refused before its first byte is kept.
    """

    __slots__ = ("_buffer", "_complete_bytes", "_frames")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._complete_bytes = 0  # the buffer starts with so many bytes of whole frames
        self._frames = 0  # that many of them

    @property
    def complete_bytes(self) -> int:
        """Bytes of whole frames, prefixes included, that wait for `take`."""
        return self._complete_bytes

    @property
    def held_bytes(self) -> int:
        """All bytes held, of whole frames and of the one that is not."""
        return len(self._buffer)

    def feed_untrusted(self, data: bytes) -> None:
        """Add the next bytes of the stream. Raises: MalformedMessage, on an oversized frame."""
        buffer = self._buffer
        buffer += data
        start = self._complete_bytes
        while len(buffer) - start >= LENGTH_BYTES:
            length = int.from_bytes(buffer[start : start + LENGTH_BYTES], "big")
            if length > FRAME_BYTES_MAX:
                raise MalformedMessage(f"a frame of {length} bytes; at most {FRAME_BYTES_MAX}")
            end = start + LENGTH_BYTES + length
            if end > len(buffer):
                break
            self._frames += 1
            start = self._complete_bytes = end

    def take(self) -> bytes | None:
        """Remove and return the oldest whole frame; None when there is none."""
        if self._frames == 0:
            return None
        length = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        end = LENGTH_BYTES + length
        with memoryview(self._buffer) as view:
            frame = bytes(view[LENGTH_BYTES:end])
        del self._buffer[:end]
        self._complete_bytes -= end
        self._frames -= 1
        assert self._complete_bytes >= 0, self._complete_bytes
        return frame
