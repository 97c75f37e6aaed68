"""Fakes for tests of one part alone."""

from cretonode.network.quic_engine import (
    CloseCode,
    CloseKind,
    ConnectionId,
    Datagram,
    EngineEvent,
    PathTimes,
    SocketAddress,
    StreamBacklog,
    StreamId,
)


class FakeEngine:
    """Satisfies QuicEngine: sends nothing but `outgoing`, remembers everything."""

    def __init__(self) -> None:
        self.connection_id = ConnectionId(bytes(8))
        self.granted: dict[StreamId, int] = {}
        self.written: dict[StreamId, bytearray] = {}
        self.sent: dict[StreamId, int] = {}
        self.blocked: set[StreamId] = set()
        self.pending: list[EngineEvent] = []
        self.outgoing: list[Datagram] = []
        self.pings = 0
        self.closings: list[tuple[CloseCode, CloseKind, str]] = []
        self.heard_s: float | None = None

    def connect(self, address: SocketAddress, *, now_s: float) -> None: ...

    def receive_untrusted(
        self, datagram: bytes, address: SocketAddress, *, now_s: float
    ) -> None: ...

    def transmit(self, *, now_s: float) -> list[Datagram]:
        outgoing, self.outgoing = self.outgoing, []
        return outgoing

    def timer_s(self) -> float | None:
        return None

    def handle_timer(self, *, now_s: float) -> None: ...

    def events(self) -> list[EngineEvent]:
        pending, self.pending = self.pending, []
        return pending

    def open_stream(self) -> StreamId:
        stream = StreamId(2 + 4 * len(self.written))
        self.written[stream] = bytearray()
        return stream

    def write(self, stream: StreamId, data: bytes) -> None:
        self.written[stream] += data

    def backlog(self, stream: StreamId) -> StreamBacklog:
        unsent = len(self.written[stream]) - self.sent.get(stream, 0)
        return StreamBacklog(unsent=unsent, unacknowledged=unsent, blocked=stream in self.blocked)

    def grant(self, stream: StreamId, byte_count: int) -> None:
        self.granted[stream] = self.granted.get(stream, 0) + byte_count

    def ping(self) -> None:
        self.pings += 1

    def path_times(self) -> PathTimes:
        return PathTimes(round_trip_s=0.01, round_trip_variance_s=0.001, heard_s=self.heard_s)

    def release(self) -> None: ...

    def close(self, code: CloseCode, kind: CloseKind, reason: str) -> None:
        self.closings.append((code, kind, reason))
