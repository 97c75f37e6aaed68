"""Recordings: the deltas of a while as a file, and the pieces in which a node gives its history.

A file is MAGIC and frames; a frame is a message behind its length and two checksums. The first
message is a hello, the others are deltas, the first of them a fresh one; a fresh one may come again
at any time. A torn end, as a crash leaves it, is passed over; any other damage is refused. Pure.
Source: docs/operator-socket.md, section 8.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from cretonode.crypto.canonical import Value
from cretonode.errors import MalformedMessage
from cretonode.operator.protocol import (
    RESPONSE_BYTES_MAX,
    VERSION_MAJOR,
    Delta,
    Hello,
    decode_message_untrusted,
    encode_message,
)
from cretonode.operator.protocol_fields import (
    NUMBER_MAX,
    fields_untrusted,
    fields_value,
    number_untrusted,
)

MAGIC: Final = b"creto recording 1\n"
PIECE_BYTES_MAX: Final = 512 * 1024  # of the frames in one answer, unless one frame is larger

_LENGTH: Final = Struct(">I")
_HEAD: Final = Struct(">III")  # length of the message, CRC-32 of this length, CRC-32 of the message
FRAME_HEAD_BYTES: Final = _HEAD.size
FRAME_BYTES_MAX: Final = FRAME_HEAD_BYTES + RESPONSE_BYTES_MAX


def recording_head(hello: Hello) -> bytes:
    """Return how a recording of the node that said `hello` begins."""
    return MAGIC + recording_frame(encode_message(hello))


def recording_frame(message: bytes) -> bytes:
    """Return an encoded message as a frame."""
    assert 1 <= len(message) <= RESPONSE_BYTES_MAX, len(message)
    return _HEAD.pack(len(message), _length_check(len(message)), zlib.crc32(message)) + message


def frame_bytes_untrusted(data: bytes | memoryview) -> int:
    """Return the length of the frame that `data` begins with; 0: it is not whole, or damaged."""
    if len(data) < FRAME_HEAD_BYTES:
        return 0
    length, length_check, check = _head_of(data)
    end = FRAME_HEAD_BYTES + length
    if not 1 <= length <= RESPONSE_BYTES_MAX or _length_check(length) != length_check:
        return 0
    if len(data) < end or zlib.crc32(data[FRAME_HEAD_BYTES:end]) != check:
        return 0
    return end


def whole_frames(data: bytes) -> int:
    """Return how many bytes of whole, undamaged frames `data` begins with."""
    left = memoryview(data)
    while size := frame_bytes_untrusted(left):
        left = left[size:]
    return len(data) - len(left)


class RecordingReader:
    """Bytes of a recording as they are read, deltas as they come out.

    `feed` and take `deltas_untrusted`, again and again; at the end of the file, `end_untrusted`.
    Bound: one frame and what one `feed` brings.
    """

    def __init__(self) -> None:
        self.hello: Hello | None = None  # known before the first delta comes out
        self.deltas = 0  # that came out
        self._waiting = bytearray()
        self._offset = 0  # in the file, of what waits
        self._begun = False
        self._broken = ""  # why the frame at `_offset` cannot be one

    @property
    def offset(self) -> int:
        """How many bytes of the file the deltas so far have taken."""
        return self._offset

    def feed(self, data: bytes) -> None:
        """Add what was read."""
        self._waiting += data

    def deltas_untrusted(self) -> Iterator[Delta]:
        """Yield the deltas that are whole.

        Raises: MalformedMessage, when this is no recording, or another version's; when it is
        damaged, and more follows.
        """
        if self._broken:
            self._doubt(self._broken)  # more was fed since
        while not self._broken and (message := self._next_untrusted()) is not None:
            try:
                decoded = decode_message_untrusted(message)
            except MalformedMessage as error:
                raise MalformedMessage(f"{self._place()}: {error}") from None
            delta = self._taken_untrusted(decoded)
            self._offset += FRAME_HEAD_BYTES + len(message)
            del self._waiting[: FRAME_HEAD_BYTES + len(message)]
            if delta is not None:
                self.deltas += 1
                yield delta

    def end_untrusted(self) -> int:
        """Return how many bytes at the end of the file were torn; call it when all was fed.

        Raises: MalformedMessage, when no node's hello has come.
        """
        if not self._begun or self.hello is None:
            raise MalformedMessage("this is no recording of a node, or it ends before it begins")
        return len(self._waiting)

    def _next_untrusted(self) -> bytes | None:
        if not self._begun:
            if not MAGIC.startswith(bytes(self._waiting[: len(MAGIC)])):
                raise MalformedMessage("this is no recording of a node, or of a later version")
            if len(self._waiting) < len(MAGIC):
                return None
            del self._waiting[: len(MAGIC)]
            self._offset = len(MAGIC)
            self._begun = True
        if len(self._waiting) < FRAME_HEAD_BYTES:
            return None
        length, length_check, check = _head_of(self._waiting)
        if not 1 <= length <= RESPONSE_BYTES_MAX or _length_check(length) != length_check:
            self._doubt(f"{self._place()}: no frame begins there")
            return None
        end = FRAME_HEAD_BYTES + length
        if len(self._waiting) < end:
            return None
        message = bytes(self._waiting[FRAME_HEAD_BYTES:end])
        if zlib.crc32(message) != check:
            self._doubt(f"{self._place()}: a checksum does not match")
            return None
        return message

    def _doubt(self, broken: str) -> None:
        """Wait for the end of the file: only what was written last may be broken.

        That is one frame, or zeros, which a crash leaves of a file that had grown already.
        """
        self._broken = broken
        waiting = self._waiting
        length, length_check, _ = _head_of(waiting)
        is_last = (
            len(waiting) == FRAME_HEAD_BYTES + length and _length_check(length) == length_check
        )
        is_zeros = not any(waiting) and len(waiting) <= RESPONSE_BYTES_MAX
        if not is_last and not is_zeros:
            raise MalformedMessage(broken)

    def _taken_untrusted(self, message: object) -> Delta | None:
        match message:
            case Hello() if self.hello is None:
                if message.major != VERSION_MAJOR:
                    raise MalformedMessage(
                        f"this recording speaks operator protocol {message.major}, this reader "
                        f"{VERSION_MAJOR}"
                    )
                self.hello = message
                return None
            case Delta() if self.hello is not None and (message.fresh or self.deltas):
                return message
            case _:
                raise MalformedMessage(f"{self._place()}: a message that does not belong here")

    def _place(self) -> str:
        return f"the recording is damaged at byte {self._offset}"


def _head_of(data: bytes | bytearray | memoryview) -> tuple[int, int, int]:
    """Return the length of a message, and the checks of this length and of the message."""
    length, length_check, check = _HEAD.unpack_from(data)
    return length, length_check, check


def _length_check(length: int) -> int:
    return zlib.crc32(_LENGTH.pack(length))


# --- a node's history


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPiece:
    """An answer to `history`: frames of a recording, whole ones, without its head."""

    cursor: int | None  # ask with it for what follows; None: there is no more now
    frames: bytes  # the first of a conversation is a fresh delta; empty: nothing is kept


def history_value(piece: HistoryPiece) -> Value:
    """Return the value of an answer to `history`."""
    return fields_value({"cursor": piece.cursor, "frames": piece.frames})


def history_untrusted(value: Value) -> HistoryPiece:
    """Return the piece of an answer to `history`. Raises: MalformedMessage."""
    content = fields_untrusted(value)
    cursor, frames = content.get("cursor"), content.get("frames")
    if not isinstance(frames, bytes):
        raise MalformedMessage("a piece of history without frames")
    return HistoryPiece(
        cursor=None if cursor is None else number_untrusted("cursor", cursor, NUMBER_MAX),
        frames=frames,
    )
