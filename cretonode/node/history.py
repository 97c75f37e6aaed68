"""The node's own recording of what operators see: the last hours, on disk, within a bound.

Files of deltas, each a recording of its own that begins with everything; the oldest go when there
is too much. The end of a run is marked, so that nobody takes a stopped node for one with nothing
to say. Nothing is synced: a crash tears the end of the newest file, which readers pass over.
A disk that refuses ends the recording for a while and nothing else.
Source: docs/operator-socket.md, section 8.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Never, Protocol

import structlog
import trio

from cretonode.errors import ClientError
from cretonode.operator.protocol import Delta, Hello, encode_message
from cretonode.operator.protocol_deltas import TOPICS
from cretonode.operator.protocol_recording import (
    FRAME_BYTES_MAX,
    MAGIC,
    PIECE_BYTES_MAX,
    HistoryPiece,
    frame_bytes_untrusted,
    recording_frame,
    recording_head,
    whole_frames,
)
from cretonode.operator.watching import Watcher

NOTE_S: Final = 1.0  # between deltas
ALIVE_MS: Final = 10_000  # what moves all the time is noted so often
END_S: Final = 2.0  # for the mark of the end, when the node stops
REFUSED_S: Final = 60.0  # until the disk is tried again
FREE_BYTES_MIN: Final = 256 * 1024 * 1024  # below it the votes need the disk more than this does
HISTORY_TOPICS: Final = frozenset(TOPICS) - {"vertices"}
SEGMENTS: Final = 8  # at the bound
SEGMENTS_MAX: Final = 64  # of starts that ended soon, too
SEGMENT_BYTES_MAX: Final = 1024 * 1024 * 1024
DIRECTORY_MODE: Final = 0o700
CURSOR_BITS: Final = 32  # of the place in a file; above it stands the number of the file
assert SEGMENT_BYTES_MAX + FRAME_BYTES_MAX < 2**CURSOR_BITS

_NAME: Final = re.compile(r"(\d{8})-(\d{13})\.recording", re.ASCII)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Segment:
    """One file. `size` grows with the newest."""

    number: int
    began_ms: int
    path: Path
    size: int


@dataclass(slots=True, kw_only=True)
class History:
    """Bound: `bytes_max` on disk and one delta more, SEGMENTS_MAX files."""

    directory: Path
    bytes_max: int
    hello: Hello
    segments: list[Segment] = field(default_factory=list)  # the oldest first
    # When the last delta was noted, by the node's clock and by trio's; None: the end needs no mark.
    _noted: tuple[int, float] | None = None
    # One job at a time, so that nobody reads what is being removed.
    _limiter: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))

    @property
    def disk_bytes(self) -> int:
        """What it takes on disk."""
        return sum(segment.size for segment in self.segments)

    async def run(self, watchers: "WatcherMaker") -> Never:
        """Note what changes, once a second, until cancelled; then that this was the end."""
        try:
            while True:
                try:
                    await trio.to_thread.run_sync(self._open, limiter=self._limiter)
                    await self._note(watchers)
                except OSError as error:
                    self._noted = None  # the newest file may end in half a frame
                    log.warning("history_refused", cause=str(error), again_s=REFUSED_S)
                await trio.sleep(REFUSED_S)
        finally:
            with trio.move_on_after(END_S, shield=True):
                await self._end()

    async def _note(self, watchers: "WatcherMaker") -> Never:
        """Raises: OSError."""
        while True:
            watcher: Watcher = watchers(HISTORY_TOPICS, alive_ms=ALIVE_MS)
            first = True
            while first or self.segments[-1].size < self._segment_bytes:
                delta = await watcher.delta()
                if delta is not None:
                    frame = recording_frame(encode_message(delta))
                    begun_ms = delta.at_ms if first else None
                    await trio.to_thread.run_sync(
                        partial(self._append, frame, begun_ms=begun_ms), limiter=self._limiter
                    )
                    self._noted = (delta.at_ms, trio.current_time())
                    first = False
                await trio.sleep(NOTE_S)

    async def _end(self) -> None:
        if self._noted is None:
            return
        at_ms, noted_s = self._noted
        at_ms += round((trio.current_time() - noted_s) * 1000)
        frame = recording_frame(
            encode_message(Delta(at_ms=at_ms, fresh=False, topics={}, ended=True))
        )
        try:
            write = partial(self._append, frame, begun_ms=None)
            await trio.to_thread.run_sync(write, limiter=self._limiter)
        except OSError as error:
            log.warning("history_refused", cause=str(error))

    async def piece(self, *, from_ms: int | None, cursor: int | None) -> HistoryPiece:
        """Return the frames from a moment or cursor on. Raises: ClientError."""
        read = partial(self._read, from_ms, cursor)
        try:
            return await trio.to_thread.run_sync(read, limiter=self._limiter)
        except OSError as error:
            raise ClientError(f"the history cannot be read: {error}") from error

    @property
    def _segment_bytes(self) -> int:
        return min(self.bytes_max // SEGMENTS, SEGMENT_BYTES_MAX)

    # --- in the worker thread

    def _open(self) -> None:
        """Take up what earlier runs left."""
        self.directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        found = []
        for path in self.directory.iterdir():
            named = _NAME.fullmatch(path.name)
            if named is not None:
                number, began_ms = int(named[1]), int(named[2])
                found.append(Segment(number, began_ms, path, path.stat().st_size))
        self.segments = sorted(found, key=lambda segment: segment.number)

    def _append(self, frame: bytes, *, begun_ms: int | None) -> None:
        """Write a frame; `begun_ms`: into a new file, which it begins. Raises: OSError."""
        free_bytes = shutil.disk_usage(self.directory).free
        if free_bytes < FREE_BYTES_MIN:
            raise OSError(f"{free_bytes} bytes of the disk are free; at least {FREE_BYTES_MIN}")
        if begun_ms is not None:
            number = self.segments[-1].number + 1 if self.segments else 1
            path = self.directory / f"{number:08d}-{begun_ms:013d}.recording"
            frame = recording_head(self.hello) + frame
            self.segments.append(Segment(number, begun_ms, path, 0))
        newest = self.segments[-1]
        with newest.path.open("ab") as file:
            newest.size = file.tell() + len(frame)
            file.write(frame)
        while len(self.segments) > 1 and (
            self.disk_bytes > self.bytes_max or len(self.segments) > SEGMENTS_MAX
        ):
            self.segments[0].path.unlink(missing_ok=True)
            del self.segments[0]

    def _read(self, from_ms: int | None, cursor: int | None) -> HistoryPiece:
        for place, offset in self._places(from_ms, cursor):
            segment = self.segments[place]
            frames = _frames_at(segment.path, offset)
            if frames is None:
                continue
            data, end = frames
            following = place + 1 < len(self.segments)
            if data:
                there_is_more = following or end < segment.size
                return HistoryPiece(
                    cursor=_cursor(segment.number, end) if there_is_more else None, frames=data
                )
        return HistoryPiece(cursor=None, frames=b"")

    def _places(self, from_ms: int | None, cursor: int | None) -> Iterator[tuple[int, int]]:
        """Yield where to look: the place of a file in the list, and where in it (0: its begin)."""
        first, offset = 0, 0
        if cursor is not None:
            number, offset = cursor >> CURSOR_BITS, cursor & (2**CURSOR_BITS - 1)
            numbers = [segment.number for segment in self.segments]
            if number in numbers:
                first = numbers.index(number)
            else:
                offset = 0  # it was given up; what follows begins with everything
        elif from_ms is not None:
            earlier = [i for i, segment in enumerate(self.segments) if segment.began_ms <= from_ms]
            first = earlier[-1] if earlier else 0
        for place in range(first, len(self.segments)):
            yield place, offset if place == first else 0


class WatcherMaker(Protocol):
    """Makes a watcher. Satisfied by `node.watcher.NodeWatcher` behind its source."""

    def __call__(self, topics: frozenset[str], *, alive_ms: int) -> Watcher:
        """Return one that has told nothing yet."""


def _cursor(number: int, offset: int) -> int:
    return number << CURSOR_BITS | offset


def _frames_at(path: Path, offset: int) -> tuple[bytes, int] | None:
    """Return whole, undamaged frames from `offset` on, and where they end; None: no such file."""
    try:
        with path.open("rb") as file:
            if offset == 0:
                head = file.read(len(MAGIC) + FRAME_BYTES_MAX)
                offset = len(MAGIC) + frame_bytes_untrusted(head[len(MAGIC) :])
                if not head.startswith(MAGIC) or offset == len(MAGIC):
                    return b"", 0
            file.seek(offset)
            data = file.read(PIECE_BYTES_MAX)
            size = whole_frames(data)
            if size == 0:
                data += file.read(FRAME_BYTES_MAX)
                size = frame_bytes_untrusted(data)
    except FileNotFoundError:
        return None
    return data[:size], offset + size
