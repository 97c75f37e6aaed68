"""Bundles: how many messages travel in one frame.

A bundle is each message behind its length, a big-endian u32, and nothing else. A CBOR array of
byte strings costs about the same to write, but several times as much to read, because its
canonical form has to be checked. Pure. Source: docs/spec/wire.md, section 5.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final

from cretonode.errors import MalformedMessage
from cretonode.limits import FRAME_BYTES_MAX
from cretonode.wire.tagged import MESSAGE_BYTES_MAX

BUNDLE_MESSAGES_MAX: Final = 1024  # about twice as many signed ones as a frame has room for
_LENGTH: Final = Struct(">I")
LENGTH_BYTES: Final = _LENGTH.size
assert MESSAGE_BYTES_MAX + LENGTH_BYTES == FRAME_BYTES_MAX


def pack_frames(messages: Iterable[bytes], frame_bytes_max: int) -> Iterator[bytes]:
    """Yield the bundles that carry `messages` in this order, each as full as it can be.

    Shape: 1 to BUNDLE_MESSAGES_MAX messages, at most `frame_bytes_max` bytes.
    """
    assert LENGTH_BYTES < frame_bytes_max <= FRAME_BYTES_MAX, frame_bytes_max
    parts: list[bytes] = []
    size = 0
    for message in messages:
        length = len(message)
        assert 1 <= length <= frame_bytes_max - LENGTH_BYTES, (length, frame_bytes_max)
        if size + LENGTH_BYTES + length > frame_bytes_max or len(parts) == 2 * BUNDLE_MESSAGES_MAX:
            yield b"".join(parts)
            parts, size = [], 0
        parts += (_LENGTH.pack(length), message)
        size += LENGTH_BYTES + length
    if parts:
        yield b"".join(parts)


def unpack_frame_untrusted(frame: bytes) -> list[bytes]:
    """Return the encoded messages of a bundle, at least one; none of them is decoded yet.

    Raises: MalformedMessage.
    """
    end = len(frame)
    if not 1 <= end <= FRAME_BYTES_MAX:
        raise MalformedMessage(f"a bundle of {end} bytes; expected 1 to {FRAME_BYTES_MAX}")
    messages: list[bytes] = []
    start = 0
    while start < end:
        body = start + LENGTH_BYTES
        if body > end:
            raise MalformedMessage("a bundle ends within a length")
        (length,) = _LENGTH.unpack_from(frame, start)
        start = body + length
        if not body < start <= end:
            raise MalformedMessage(f"a message of {length} bytes; {end - body} are left")
        if len(messages) == BUNDLE_MESSAGES_MAX:
            raise MalformedMessage(f"a bundle of over {BUNDLE_MESSAGES_MAX} messages")
        messages.append(frame[body:start])
    return messages
