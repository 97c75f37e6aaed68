"""What a peer has sent us and nobody has taken yet: bounded by the credit that we grant.

Each class has one stream, so a vote never waits for the rest of a bulk frame. Bytes of a frame
that is not whole are granted anew at once (or a long frame would never end); those of whole
frames only when taken. So of each class at most FRAME_BYTES_MAX + 4 + STREAM_WINDOW_BYTES are
held, whatever the peer does and however slow the reader is.
"""

from typing import Final

from cretonode.errors import MalformedMessage
from cretonode.limits import FRAME_BYTES_MAX
from cretonode.network.frames import (
    LENGTH_BYTES,
    PRIORITIES,
    FrameDecoder,
    Priority,
    read_priority_untrusted,
)
from cretonode.network.quic_engine import QuicEngine, StreamData, StreamId
from cretonode.network.settings import STREAM_WINDOW_BYTES

LANE_BYTES_MAX: Final = FRAME_BYTES_MAX + LENGTH_BYTES + STREAM_WINDOW_BYTES
CONNECTION_BYTES_MAX: Final = len(Priority) * LANE_BYTES_MAX
GRANT_BYTES_MIN: Final = STREAM_WINDOW_BYTES // 4  # smaller grants are not worth a packet


class _Lane:
    """One class: its stream, its bytes and what the peer may send."""

    __slots__ = ("decoder", "granted", "received", "stream")

    def __init__(self, stream: StreamId) -> None:
        self.stream = stream
        self.decoder = FrameDecoder()
        self.received = 0
        self.granted = STREAM_WINDOW_BYTES

    def due(self) -> int:
        """Return how much more the peer should be allowed to send."""
        consumed = self.received - self.decoder.complete_bytes
        return consumed + STREAM_WINDOW_BYTES - self.granted


class Inbound:
    """The frames of one connection that wait to be taken, votes first."""

    __slots__ = ("_by_priority", "_by_stream")

    def __init__(self) -> None:
        self._by_stream: dict[StreamId, _Lane] = {}
        self._by_priority: dict[Priority, _Lane] = {}

    @property
    def held_bytes(self) -> int:
        """Bytes held, of whole frames and of others."""
        return sum(lane.decoder.held_bytes for lane in self._by_stream.values())

    def feed_untrusted(self, event: StreamData) -> None:
        """Add the next bytes of a stream.

        Raises: MalformedMessage, on an oversized frame, an unknown class, a second stream of one
        class, or the end of a stream: ours end only with the connection.
        """
        data = event.data
        lane = self._by_stream.get(event.stream)
        if lane is None and data:
            lane = self._open_untrusted(event.stream, data[0])
            lane.received += 1
            data = data[1:]
        if lane is not None:
            lane.received += len(data)
            lane.decoder.feed_untrusted(data)
            assert lane.decoder.held_bytes <= LANE_BYTES_MAX, lane.decoder.held_bytes
        if event.ended:
            raise MalformedMessage("a stream that ended before its connection")

    def take(self) -> tuple[Priority, bytes] | None:
        """Remove and return the oldest whole frame of the most urgent class that has one."""
        for priority in PRIORITIES:
            lane = self._by_priority.get(priority)
            if lane is not None:
                frame = lane.decoder.take()
                if frame is not None:
                    return priority, frame
        return None

    def has_frames(self) -> bool:
        """Whether `take` would return one."""
        return any(lane.decoder.complete_bytes for lane in self._by_stream.values())

    def owes_credit(self) -> bool:
        """Whether `grant` would do something."""
        return any(lane.due() >= GRANT_BYTES_MIN for lane in self._by_stream.values())

    def grant(self, engine: QuicEngine) -> None:
        """Let the peer send as much again as was consumed."""
        for lane in self._by_stream.values():
            due = lane.due()
            if due >= GRANT_BYTES_MIN:
                lane.granted += due
                engine.grant(lane.stream, due)

    def _open_untrusted(self, stream: StreamId, first: int) -> _Lane:
        priority = read_priority_untrusted(first)
        if priority in self._by_priority:
            raise MalformedMessage(f"a second stream of the class {priority.name.lower()}")
        lane = _Lane(stream)
        self._by_stream[stream] = lane
        self._by_priority[priority] = lane
        return lane
