"""One connection to one peer, as the rest of the node sees it.

`offer` never blocks; `receive` waits. Everything else here is called by the endpoint, which
alone touches the socket: it brings datagrams and the time in and carries datagrams out. What
a peer gets wrong ends its connection and nothing else.
"""

import math
from collections.abc import Callable
from typing import Protocol

import trio

from cretonode.errors import (
    BadSignature,
    ConnectionLost,
    KeyInUse,
    MalformedMessage,
    PeerError,
    TurnedAway,
)
from cretonode.identifiers import NodeId
from cretonode.network.frames import Priority
from cretonode.network.inbound import Inbound
from cretonode.network.outbound import Outbound
from cretonode.network.quic_engine import (
    CloseCode,
    Closed,
    CloseKind,
    ConnectionId,
    ConnectionIdIssued,
    ConnectionIdRetired,
    Datagram,
    EngineEvent,
    Established,
    QuicEngine,
    SocketAddress,
    StreamData,
)
from cretonode.network.settings import KEEP_ALIVE_GRID_MS as GRID_MS
from cretonode.network.settings import SILENCE_CHECKS, TIMER_MS_MIN, NetworkSettings


class ConnectionOwner(Protocol):
    """What a connection tells the endpoint. None of these may call back into it."""

    def wake(self, connection: "Connection") -> None:
        """`process` has something to do."""

    def route(self, connection_id: ConnectionId, connection: "Connection") -> None:
        """Datagrams to this id are for this connection."""

    def unroute(self, connection_id: ConnectionId) -> None:
        """They are no longer."""

    def established(self, connection: "Connection") -> None:
        """Both sides have proven their keys."""

    def ended(self, connection: "Connection", closed: Closed) -> None:
        """It is over; nothing will be sent any more."""


class Connection:
    """An authenticated connection, once `wait_established` has returned."""

    def __init__(
        self,
        *,
        engine: QuicEngine,
        address: SocketAddress,
        is_client: bool,
        settings: NetworkSettings,
        owner: ConnectionOwner,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.address = address  # where it was dialled or came from
        self.is_client = is_client
        self.closed = trio.Event()
        self.close_reason: Closed | None = None
        self._engine = engine
        self._settings = settings
        self._owner = owner
        self._clock = clock
        self.peer_process = 0  # which of the peer's processes this is, once established
        self._peer: NodeId | None = None
        self._settled = trio.Event()  # established, or closed before that
        self._inbound = Inbound()
        self._outbound = Outbound(bytes_max=settings.outbound_bytes_max)
        self._readable = trio.lowlevel.ParkingLot()
        self.ids: set[ConnectionId] = set()  # that datagrams for us bear
        self.goodbye: Datagram | None = None  # once over: the datagram that told the peer
        self._opened_s = clock()
        self._keep_alive_s = 0.0  # when a packet is due to show that we are there
        self._silence_check_s = 0.0  # when to look whether the peer fell silent
        self._silence_checks = 0  # in a row that heard nothing
        self._handshake_s = self._opened_s + settings.handshake_ms_max / 1000
        self._engine_timer_s = self._opened_s
        self.deadline_s = self._handshake_s  # when `process` must be called again

    # --- for everybody

    @property
    def peer(self) -> NodeId:
        """The node at the other end. Only once established."""
        assert self._peer is not None, "not established"
        return self._peer

    @property
    def is_established(self) -> bool:
        """Whether both sides have proven their keys and the connection still stands."""
        return self._peer is not None and not self.closed.is_set()

    @property
    def was_established(self) -> bool:
        """Whether it ever was."""
        return self._peer is not None

    @property
    def round_trip_ms(self) -> float:
        """Smoothed round trip (RFC 9002, section 5.3). Includes up to 25 ms of delayed ack."""
        return self._engine.path_times().round_trip_s * 1000

    @property
    def round_trip_variance_ms(self) -> float:
        """Its mean deviation."""
        return self._engine.path_times().round_trip_variance_s * 1000

    @property
    def silence_ms(self) -> float:
        """Time since a packet came that only the peer can have made."""
        heard_s = self._engine.path_times().heard_s
        return (self._clock() - (self._opened_s if heard_s is None else heard_s)) * 1000

    @property
    def backlog_bytes(self) -> int:
        """Bytes offered and not acknowledged, of all classes."""
        held_bytes = self._outbound.held_bytes(self._engine) if self.is_established else 0
        return held_bytes + sum(self._outbound.queued_bytes(p) for p in Priority)

    @property
    def inbound_bytes(self) -> int:
        """Bytes received that nobody has taken."""
        return self._inbound.held_bytes

    def queued_bytes(self, priority: Priority) -> int:
        """Bytes of one class that are not with the engine yet: 0 means a frame would go now."""
        return self._outbound.queued_bytes(priority)

    def refused_frames(self, priority: Priority) -> int:
        """How many frames of one class `offer` has refused."""
        return self._outbound.refused[priority]

    def offer(self, priority: Priority, frame: bytes) -> bool:
        """Send a frame after those of its class; False when there is no room, or nobody to send to.

        Order: kept within a class. Between classes the more urgent goes first.
        """
        if not self.is_established or not self._outbound.offer(priority, frame):
            return False
        self._owner.wake(self)
        return True

    async def wait_drained(self, priority: Priority) -> None:
        """Return when all frames of a class are with the engine, or the connection is over."""
        await self._outbound.wait_drained(priority)

    async def receive(self) -> tuple[Priority, bytes]:
        """Return the next frame, the most urgent first.

        Frames that came before the connection ended are still returned.
        Raises: ConnectionLost, when it is over.
        """
        if self._inbound.has_frames() or self.close_reason is not None:
            await trio.lowlevel.checkpoint()
        while True:
            found = self._inbound.take()
            if found is not None:
                if self._inbound.owes_credit():
                    self._owner.wake(self)
                return found
            if self.close_reason is not None:
                raise _error_of(self.close_reason)
            await self._readable.park()

    async def wait_established(self) -> None:
        """Return when both sides have proven their keys.

        Raises: BadSignature, when one side does not expect the other's key. ConnectionLost, of
        which KeyInUse says that the peer hears another process with our key.
        """
        await self._settled.wait()
        if self.close_reason is not None:
            raise _error_of(self.close_reason)

    def close(
        self,
        reason: str,
        *,
        code: CloseCode = CloseCode.GOODBYE,
        kind: CloseKind = CloseKind.GOODBYE,
    ) -> None:
        """End the connection and tell the peer why. What is queued and unsent is lost."""
        if not self.closed.is_set():
            self._engine.close(code, kind, reason)
            self._owner.wake(self)

    def refuse_second(self) -> None:
        """End the connection: another process with the peer's key is connected, and heard."""
        reason = "another process with this key is connected"
        self.close(reason, code=CloseCode.IN_USE, kind=CloseKind.IN_USE)

    def abandon(self, reason: str) -> None:
        """End the connection because we have no more use for it: timed out, evicted, replaced."""
        self.close(reason, code=CloseCode.ABANDONED, kind=CloseKind.ABANDONED)

    # --- for the endpoint

    def begin(self) -> None:
        """Enter the endpoint's table; dial, on the client side."""
        self._add_id(self._engine.connection_id)
        if self.is_client:
            self._engine.connect(self.address, now_s=self._clock())

    def add_id(self, connection_id: ConnectionId) -> None:
        """Take datagrams to an id of the client's or a Retry's choosing as well."""
        self._add_id(connection_id)

    def on_datagram_untrusted(
        self, datagram: bytes, address: SocketAddress, *, now_s: float
    ) -> None:
        """Take a datagram in. `process` has to follow, once for a batch."""
        self._engine.receive_untrusted(datagram, address, now_s=now_s)

    def process(self, *, now_s: float) -> list[Datagram]:
        """Do all that is due and return what to send.

        Order: engine's events, timers, credit, queued frames, then datagrams.
        """
        if self.closed.is_set():
            return []
        self.goodbye = None
        self._take_events()
        if self.closed.is_set():
            return []
        self._check_timers(now_s)
        if self.is_established:
            self._inbound.grant(self._engine)
            self._outbound.feed(self._engine)
        datagrams = self._engine.transmit(now_s=now_s)
        if datagrams:
            self.goodbye = datagrams[-1]
            self._keep_alive_s = self._keep_alive_after(now_s)
        self._take_events()
        self.deadline_s = max(self._next_timer_s(), now_s + TIMER_MS_MIN / 1000)
        return datagrams

    # --- inside

    def _take_events(self) -> None:
        for event in self._engine.events():
            try:
                self._on_event_untrusted(event)
            except MalformedMessage as error:
                self.close(str(error), code=CloseCode.MALFORMED, kind=CloseKind.MALFORMED)

    def _on_event_untrusted(self, event: EngineEvent) -> None:
        match event:
            case StreamData():
                self._inbound.feed_untrusted(event)
                if self._inbound.has_frames():
                    self._readable.unpark_all()
            case ConnectionIdIssued(connection_id=connection_id):
                self._add_id(connection_id)
            case ConnectionIdRetired(connection_id=connection_id):
                self.ids.discard(connection_id)
                self._owner.unroute(connection_id)
            case Established(peer=peer, process=process):
                self._peer = peer
                self.peer_process = process
                self._outbound.open_streams(self._engine)
                self._settled.set()
                self._owner.established(self)
            case Closed():
                self._end(event)

    def _end(self, closed: Closed) -> None:
        self.close_reason = closed
        for connection_id in self.ids:
            self._owner.unroute(connection_id)
        self._owner.ended(self, closed)
        self.closed.set()
        self._settled.set()
        self._outbound.wake_all()
        self._readable.unpark_all()
        self._engine.release()

    def _add_id(self, connection_id: ConnectionId) -> None:
        self.ids.add(connection_id)
        self._owner.route(connection_id, self)

    def _check_timers(self, now_s: float) -> None:
        if self._engine_timer_s <= now_s:  # as it was: what came since waits for the next time
            timer_s = self._engine.timer_s()
            if timer_s is not None and timer_s <= now_s:
                self._engine.handle_timer(now_s=now_s)
        if self._peer is None:
            if now_s >= self._handshake_s:
                self.abandon("the handshake took too long")
            return
        if now_s >= self._silence_check_s:
            self._check_silence(now_s)
        if now_s >= self._keep_alive_s:
            self._keep_alive_s = self._keep_alive_after(now_s)
            self._engine.ping()

    def _keep_alive_after(self, now_s: float) -> float:
        return math.ceil((now_s * 1000 + self._settings.keep_alive_ms) / GRID_MS) * GRID_MS / 1000

    def _check_silence(self, now_s: float) -> None:
        """Give the peer up after a long silence. What we send to it meanwhile changes nothing."""
        left_s = (self._settings.silence_ms_max - self.silence_ms) / 1000
        if left_s >= 0:
            self._silence_checks = 0
            self._silence_check_s = self._keep_alive_after(now_s + left_s)
            return
        # After a standstill of our own the peer's packets wait in the socket, unread: only when
        # they are still missing at the next check was it the peer that fell silent.
        self._silence_check_s = self._keep_alive_after(now_s)
        self._silence_checks += 1
        if self._silence_checks >= SILENCE_CHECKS:
            self.close("silent for too long", code=CloseCode.SILENT, kind=CloseKind.SILENT)

    def _next_timer_s(self) -> float:
        own_s = self._handshake_s
        if self._peer is not None:
            own_s = min(self._keep_alive_s, self._silence_check_s)
        timer_s = self._engine.timer_s()
        self._engine_timer_s = math.inf if timer_s is None else timer_s
        return min(own_s, self._engine_timer_s)


def _error_of(closed: Closed) -> PeerError:
    """Return the error that says why a connection is over."""
    side = "the peer" if closed.by_peer else "us"
    text = f"{closed.kind.value}: {closed.reason or 'no reason given'} (closed by {side})"
    if closed.kind is CloseKind.IN_USE and closed.by_peer:
        return KeyInUse(text)
    if closed.kind is CloseKind.BANNED and closed.by_peer:
        return TurnedAway(text)
    about_keys = closed.kind in (CloseKind.UNKNOWN_KEY, CloseKind.KEY_REFUSED)
    return BadSignature(text) if about_keys else ConnectionLost(text)
