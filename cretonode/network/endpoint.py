"""One UDP socket and all connections on it.

Two tasks: one reads, one sends what became due (a timer, or somebody's `offer`). Nothing else
touches the socket. A stranger's datagrams meet, in this order: the id table, the lingering ids,
the door (`admission`), the bound on half-open connections, the engine's guard.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog
import trio
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from cretonode.identifiers import NodeId, short
from cretonode.network.admission import Admission, Admit, Drop, Retry, destination_untrusted
from cretonode.network.aioquic_engine import EngineSettings, make_client, make_server
from cretonode.network.certificate import Credentials, make_credentials
from cretonode.network.connection import Connection
from cretonode.network.counters import EndpointCounters
from cretonode.network.frames import Priority
from cretonode.network.half_open import HalfOpen, Lingering
from cretonode.network.quic_engine import Closed, CloseKind, ConnectionId, Datagram, SocketAddress
from cretonode.network.rate import Seldom
from cretonode.network.settings import (
    DATAGRAM_BYTES,
    DATAGRAM_BYTES_LOOPBACK,
    STREAM_WINDOW_BYTES,
    NetworkSettings,
)
from cretonode.network.udp import UdpSocket, is_loopback, open_udp, resolve

DRAIN_CALLS_MAX: Final = 32  # reads in a row before the other tasks get their turn
FAULT_LOG_S: Final = 60.0
REFUSAL_LOG_S: Final = 60.0
UNREMARKABLE: Final = {CloseKind.GOODBYE, CloseKind.FAULT}  # a fault has a line of its own
FAR_S: Final = 3600.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@asynccontextmanager
async def open_endpoint(
    *,
    bind: tuple[str, int],
    key: MLDSA87PrivateKey,
    authorize: Callable[[NodeId], bool],
    settings: NetworkSettings | None = None,
) -> AsyncGenerator["Endpoint"]:
    """Yield an endpoint that dials and is dialled; on the way out, say goodbye to every peer.

    `authorize` says which keys may connect to us; it is asked in the middle of a handshake and
    must not raise. Raises: NetworkError, when `bind` cannot be bound.
    """
    settings = settings or NetworkSettings()
    credentials = make_credentials(key)
    udp = open_udp(bind, buffer_bytes=settings.socket_buffer_bytes)
    try:
        async with trio.open_nursery() as nursery:
            endpoint = Endpoint(udp, credentials, authorize, settings)
            nursery.start_soon(endpoint.read_forever, name="udp read")
            nursery.start_soon(endpoint.send_forever, name="udp send")
            log.info("endpoint_opened", address=udp.address, gso=udp.gso, gro=udp.gro)
            try:
                yield endpoint
            finally:
                with trio.move_on_after(settings.goodbye_ms_max / 1000, shield=True):
                    await endpoint.say_goodbye()
                nursery.cancel_scope.cancel()
    finally:
        udp.close()


class Endpoint:
    """Made by `open_endpoint`. Satisfies `connection.ConnectionOwner`."""

    def __init__(
        self,
        udp: UdpSocket,
        credentials: Credentials,
        authorize: Callable[[NodeId], bool],
        settings: NetworkSettings,
    ) -> None:
        self.counters = EndpointCounters()
        self.node_id = credentials.node_id
        self._udp = udp
        self._credentials = credentials
        self._authorize = authorize
        self._settings = settings
        self._admission = Admission(
            host_handshakes_per_s=settings.host_handshakes_per_s,
            host_handshakes_burst=settings.host_handshakes_burst,
        )
        self._routes: dict[ConnectionId, Connection] = {}
        self._connections: set[Connection] = set()
        self._half_open = HalfOpen(count_max=settings.half_open_max)
        self._lingering = Lingering()
        self._inbound_count = 0  # established and not closed
        self._due: dict[Connection, None] = {}  # a set that keeps its order
        self._wakeup = trio.Event()
        self._send_scope = trio.CancelScope()  # its deadline: when the send task looks by itself
        self._fault_log = Seldom(interval_s=FAULT_LOG_S)
        self._refusal_log = Seldom(interval_s=REFUSAL_LOG_S)
        self._closing = False
        self._arrivals, self._accepted = trio.open_memory_channel[Connection](
            settings.accept_queue_max
        )

    # --- for everybody

    @property
    def address(self) -> SocketAddress:
        """Where we are bound, with the port that was given."""
        return self._udp.address

    @property
    def connections_open(self) -> int:
        """Connections in the tables, half-open ones included."""
        return len(self._connections)

    @property
    def connections_established(self) -> int:
        """Connections on which both sides have proven their keys."""
        return sum(connection.is_established for connection in self._connections)

    @property
    def half_open(self) -> int:
        """Inbound handshakes not finished."""
        return len(self._half_open)

    @property
    def routes(self) -> int:
        """Connection ids known."""
        return len(self._routes)

    async def connect(
        self, address: tuple[str, int], expected: NodeId, *, dial_timeout_ms: int
    ) -> Connection:
        """Return an established connection to the node `expected` at `address`.

        Raises: BadSignature, when another node answers, or it does not expect us. ConnectionLost,
        when it fails otherwise or the name has no address. trio.TooSlowError.
        """
        with trio.fail_after(dial_timeout_ms / 1000):
            there = await resolve(address, family=self._udp.family)
            engine = make_client(self._engine_settings(there, expected.__eq__))
            connection = Connection(
                engine=engine, address=there, is_client=True, settings=self._settings, owner=self
            )
            self._begin(connection)
            try:
                await connection.wait_established()
            except BaseException:
                connection.abandon("the dial was given up")
                raise
            return connection

    async def accept(self) -> Connection:
        """Return the next connection that somebody authorized has made to us.

        Raises: trio.EndOfChannel, when the endpoint closes.
        """
        return await self._accepted.receive()

    # --- the two tasks

    async def read_forever(self) -> None:
        """Take in what comes. Owned by `open_endpoint`."""
        while True:
            await self._udp.wait_readable()
            now_s = trio.current_time()
            for _ in range(DRAIN_CALLS_MAX):
                received = self._udp.receive()
                if received is None:
                    break
                for datagram in received.datagrams:
                    self._on_datagram_untrusted(datagram, received.address, now_s=now_s)
            self._process_due()

    async def send_forever(self) -> None:
        """Send what became due by time or by `offer`. Owned by `open_endpoint`."""
        while True:
            deadline_s = self._next_deadline_s(trio.current_time())
            with trio.CancelScope(deadline=deadline_s) as self._send_scope:
                await self._wakeup.wait()
            # Whoever offers in the turn that woke us shares one pass and its datagrams.
            self._wakeup = trio.Event()
            now_s = trio.current_time()
            for connection in self._connections:
                if connection.deadline_s <= now_s:
                    self._due[connection] = None
            self._process_due()

    async def say_goodbye(self) -> None:
        """Send what can still be sent, and CONNECTION_CLOSE to every peer."""
        self._closing = True
        self._arrivals.close()
        for connection in tuple(self._connections):
            now_s = trio.current_time()
            datagrams = connection.process(now_s=now_s)
            connection.close("the node stops")
            datagrams += connection.process(now_s=now_s)
            while datagrams:
                sent = self._transmit(datagrams)
                datagrams = datagrams[sent:]
                if datagrams:
                    await self._udp.wait_writable()

    # --- what connections say (ConnectionOwner)

    def wake(self, connection: Connection) -> None:
        """Let the send task process the connection."""
        self._due[connection] = None
        self._wakeup.set()

    def route(self, connection_id: ConnectionId, connection: Connection) -> None:
        """Datagrams to this id are for this connection."""
        self._routes[connection_id] = connection

    def unroute(self, connection_id: ConnectionId) -> None:
        """They are no longer."""
        self._routes.pop(connection_id, None)

    def established(self, connection: Connection) -> None:
        """Count it; put an inbound one where `accept` finds it."""
        self.counters.handshakes_completed += 1
        if connection.is_client:
            return
        self._half_open.discard(connection)
        self._inbound_count += 1
        try:
            self._arrivals.send_nowait(connection)
        except (trio.WouldBlock, trio.ClosedResourceError):
            connection.abandon("nobody accepts")

    def ended(self, connection: Connection, closed: Closed) -> None:
        """Forget it, but for its ids and its goodbye."""
        self._connections.discard(connection)
        self._half_open.discard(connection)
        if connection.was_established:
            self._inbound_count -= not connection.is_client
            self.counters.connections_ended[closed.kind.value] += 1
        else:
            self.counters.handshakes_refused[closed.kind.value] += 1
            self._log_refused(connection, closed)
        silent = closed.by_peer or closed.kind in (CloseKind.FAULT, CloseKind.SILENT)
        goodbye = None if silent else connection.goodbye
        self._lingering.add(connection.ids, goodbye, now_s=trio.current_time())

    # --- in

    def _on_datagram_untrusted(
        self, datagram: bytes, address: SocketAddress, *, now_s: float
    ) -> None:
        self.counters.datagrams_in += 1
        self.counters.bytes_in += len(datagram)
        destination = destination_untrusted(datagram)
        if destination is None:
            self._drop(Drop.NOT_QUIC, address)
            return
        connection = self._routes.get(destination)
        if connection is None:
            self._on_stranger_untrusted(destination, datagram, address, now_s=now_s)
            return
        connection.on_datagram_untrusted(datagram, address, now_s=now_s)
        self._due[connection] = None

    def _on_stranger_untrusted(
        self, destination: ConnectionId, datagram: bytes, address: SocketAddress, *, now_s: float
    ) -> None:
        lingers, goodbye = self._lingering.answer(destination, address, now_s=now_s)
        if lingers:
            if goodbye is not None:
                self._transmit([goodbye])
            else:
                self._drop(Drop.NO_ROUTE, address)
            return
        try:
            answer = self._admission.admit_untrusted(datagram, address, now_s=now_s)
        except Exception as error:
            self._on_fault("admission", error)
            return
        match answer:
            case Drop():
                self._drop(answer, address)
            case Retry(datagram=retry):
                self.counters.retries_sent += 1
                self._transmit([(retry, address)])
            case Admit():
                self._admit(answer, datagram, address, now_s=now_s)

    def _admit(
        self, admit: Admit, datagram: bytes, address: SocketAddress, *, now_s: float
    ) -> None:
        if self._closing or self._inbound_count >= self._settings.inbound_max:
            self._drop(Drop.FULL, address)
            return
        engine = make_server(
            self._engine_settings(address, self._authorize),
            original_id=admit.original_id,
            retry_id=admit.retry_id,
        )
        connection = Connection(
            engine=engine, address=address, is_client=False, settings=self._settings, owner=self
        )
        victim = self._half_open.add(connection)
        if victim is not None:
            victim.abandon("crowded out by newer handshakes")
        self._begin(connection)
        connection.add_id(admit.retry_id)
        connection.on_datagram_untrusted(datagram, address, now_s=now_s)

    def _begin(self, connection: Connection) -> None:
        self.counters.handshakes_begun += 1
        self._connections.add(connection)
        connection.begin()
        self.wake(connection)

    # --- out

    def _process_due(self) -> None:
        now_s = trio.current_time()
        due, self._due = self._due, {}
        for connection in due:
            datagrams = connection.process(now_s=now_s)
            if datagrams:
                sent = self._transmit(datagrams)
                if sent < len(datagrams):  # the kernel's buffer is full: to QUIC they are lost
                    self.counters.datagrams_dropped["send"] += len(datagrams) - sent
        # Nearly every packet puts the keep-alive off. To be woken a little early once in a while
        # costs less than to move a deadline for each.
        next_s = self._next_deadline_s(now_s)
        if next_s < self._send_scope.deadline:
            self._send_scope.deadline = next_s

    def _next_deadline_s(self, now_s: float) -> float:
        return min((c.deadline_s for c in self._connections), default=now_s + FAR_S)

    def _transmit(self, datagrams: list[Datagram]) -> int:
        sent = self._udp.send(datagrams)
        self.counters.datagrams_out += sent
        self.counters.bytes_out += sum(len(data) for data, _ in datagrams[:sent])
        return sent

    # --- bits

    def _engine_settings(
        self, address: SocketAddress, authorize: Callable[[NodeId], bool]
    ) -> EngineSettings:
        return EngineSettings(
            credentials=self._credentials,
            authorize=authorize,
            datagram_bytes=DATAGRAM_BYTES_LOOPBACK if is_loopback(address) else DATAGRAM_BYTES,
            streams_max=len(Priority),
            stream_window_bytes=STREAM_WINDOW_BYTES,
            idle_timeout_ms=self._settings.idle_timeout_ms,
            on_fault=self._on_fault,
        )

    def _drop(self, reason: Drop, address: SocketAddress) -> None:
        self.counters.datagrams_dropped[reason.value] += 1
        if reason is Drop.NO_ROUTE:  # what was under way when a connection ended
            return
        if self._refusal_log.allows(f"drop {reason.value}", now_s=trio.current_time()):
            log.warning(
                "datagram_dropped",
                address=address,
                kind=reason.value,
                count=self.counters.datagrams_dropped[reason.value],
            )

    def _log_refused(self, connection: Connection, closed: Closed) -> None:
        """Say whom we turned away, once a minute for each kind: a stranger fills no disk.

        What we dialled ourselves is the dialler's to report.
        """
        given_up_there = closed.kind is CloseKind.ABANDONED and closed.by_peer
        if connection.is_client or given_up_there or closed.kind in UNREMARKABLE:
            return
        if self._refusal_log.allows(closed.kind.value, now_s=trio.current_time()):
            log.warning(
                "handshake_refused",
                address=connection.address,
                kind=closed.kind.value,
                reason=closed.reason,
                count=self.counters.handshakes_refused[closed.kind.value],
            )

    def _on_fault(self, where: str, error: Exception) -> None:
        self.counters.engine_faults[where] += 1
        kind = f"{where}: {type(error).__name__}"
        if self._fault_log.allows(kind, now_s=trio.current_time()):
            log.warning(
                "quic_engine_fault",
                replica=short(self.node_id),
                kind=kind,
                error=str(error)[:200],
                exc_info=error,
            )
