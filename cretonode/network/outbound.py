"""What waits to be sent to one peer: a bounded queue for each class, votes first.

The engine is fed little at a time, so what is urgent and comes late still goes before what is
bulky and came early. Each class has its own stream and its own bounds: a class whose stream the
peer does not read holds up nobody else.
"""

from collections import deque

import trio

from cretonode.network.frames import Priority, frame_header
from cretonode.network.quic_engine import QuicEngine, StreamId
from cretonode.network.settings import (
    FRAME_COST_BYTES,
    UNACKNOWLEDGED_BYTES_MAX,
    UNSENT_BYTES_MAX,
)


class _Lane:
    """One class: its stream, and the pieces that wait for it (a header, then the frame)."""

    __slots__ = ("cost", "drained", "offset", "pieces", "queued_bytes", "stream")

    def __init__(self) -> None:
        self.stream: StreamId | None = None
        self.pieces: deque[bytes] = deque()
        self.offset = 0  # so many bytes of the first piece are with the engine
        self.queued_bytes = 0
        self.cost = 0  # of the frames not wholly with the engine
        self.drained = trio.lowlevel.ParkingLot()

    def take(self, byte_count_max: int) -> bytes:
        piece = self.pieces[0]
        taken = piece[self.offset : self.offset + byte_count_max]
        self.offset += len(taken)
        self.queued_bytes -= len(taken)
        if self.offset == len(piece):
            self.pieces.popleft()
            self.offset = 0
            if len(self.pieces) % 2 == 0:  # that was a frame, not its header
                self.cost -= len(piece) + FRAME_COST_BYTES
        return taken


class Outbound:
    """The three queues of one connection. `refused` counts the frames that found no room."""

    __slots__ = ("_bytes_max", "_lanes", "refused")

    def __init__(self, *, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._lanes = {priority: _Lane() for priority in Priority}
        self.refused = dict.fromkeys(Priority, 0)

    def offer(self, priority: Priority, frame: bytes) -> bool:
        """Queue a frame; False, and counted, when its class has no room for it."""
        lane = self._lanes[priority]
        header = frame_header(frame)
        cost = len(frame) + FRAME_COST_BYTES
        if lane.cost + cost > self._bytes_max:
            self.refused[priority] += 1
            return False
        lane.pieces.append(header)
        lane.pieces.append(frame)
        lane.queued_bytes += len(header) + len(frame)
        lane.cost += cost
        return True

    def queued_bytes(self, priority: Priority) -> int:
        """Bytes of this class that are not with the engine yet."""
        return self._lanes[priority].queued_bytes

    async def wait_drained(self, priority: Priority) -> None:
        """Return when nothing of this class waits here (it may still be on its way)."""
        lane = self._lanes[priority]
        await trio.lowlevel.checkpoint()
        while lane.pieces:
            await lane.drained.park()

    def wake_all(self) -> None:
        """Forget what waits, and wake whoever waits for it: the connection is over."""
        for lane in self._lanes.values():
            lane.pieces.clear()
            lane.offset = lane.queued_bytes = lane.cost = 0
            lane.drained.unpark_all()

    def open_streams(self, engine: QuicEngine) -> None:
        """Open one stream for each class, and name the class on it."""
        for priority, lane in self._lanes.items():
            lane.stream = engine.open_stream()
            engine.write(lane.stream, bytes([priority]))

    def held_bytes(self, engine: QuicEngine) -> int:
        """Return the bytes that the engine holds unacknowledged. Only after `open_streams`."""
        streams = [lane.stream for lane in self._lanes.values() if lane.stream is not None]
        return sum(engine.backlog(stream).unacknowledged for stream in streams)

    def feed(self, engine: QuicEngine) -> None:
        """Give the engine what it may hold.

        The engine serves its streams in turn, a packet each, so what it holds of one class delays
        another's by a packet or two.
        A class waits while a more urgent one has more than the engine takes, unless the peer
        grants that one nothing: then there is no point in waiting for it.
        """
        for lane in self._lanes.values():
            if not lane.pieces:
                continue
            assert lane.stream is not None, "fed before `open_streams`"
            backlog = engine.backlog(lane.stream)
            room = min(
                UNSENT_BYTES_MAX - backlog.unsent,
                UNACKNOWLEDGED_BYTES_MAX - backlog.unacknowledged,
            )
            _feed_lane(lane, engine, lane.stream, room)
            if lane.pieces and not backlog.blocked:
                return


def _feed_lane(lane: _Lane, engine: QuicEngine, stream: StreamId, room: int) -> None:
    """Write at most `room` bytes of the lane, in one go."""
    if room <= 0:
        return
    parts: list[bytes] = []
    written = 0
    while lane.pieces and written < room:
        part = lane.take(room - written)
        parts.append(part)
        written += len(part)
    engine.write(stream, b"".join(parts))
    if not lane.pieces:
        lane.drained.unpark_all()
