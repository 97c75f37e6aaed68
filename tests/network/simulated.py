"""Two nodes and a bad network between them, in memory and in virtual time.

The nodes are the endpoint's parts without socket and clock: the door, the id table, connections.
A datagram can be lost, doubled or overtaken. Chance comes from a seed.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from cretonode.identifiers import NodeId
from cretonode.network.admission import Admission, Admit, Drop, Retry, destination_untrusted
from cretonode.network.aioquic_engine import AioquicEngine, EngineSettings, make_client, make_server
from cretonode.network.certificate import Credentials, make_credentials
from cretonode.network.connection import Connection
from cretonode.network.frames import Priority
from cretonode.network.quic_engine import Closed, ConnectionId, Datagram, SocketAddress
from cretonode.network.settings import STREAM_WINDOW_BYTES, NetworkSettings

ALICE: SocketAddress = ("10.0.0.1", 9001)
BOB: SocketAddress = ("10.0.0.2", 9001)


@dataclass(frozen=True, kw_only=True)
class Weather:
    """What the network does to a datagram."""

    delay_ms: float = 10.0
    loss: float = 0.0
    doubled: float = 0.0
    jitter_ms: float = 0.0  # more than nothing lets datagrams overtake each other


def new_credentials() -> Credentials:
    return make_credentials(MLDSA87PrivateKey.generate())


def engine_settings(
    credentials: Credentials,
    *,
    authorize: Callable[[NodeId], bool] = lambda _: True,
    datagram_bytes: int = 1452,
    on_fault: Callable[[str, Exception], None] | None = None,
) -> EngineSettings:
    def fail(where: str, error: Exception) -> None:
        raise AssertionError(f"the engine raised in {where}") from error

    return EngineSettings(
        credentials=credentials,
        authorize=authorize,
        datagram_bytes=datagram_bytes,
        streams_max=len(Priority),
        stream_window_bytes=STREAM_WINDOW_BYTES,
        idle_timeout_ms=30_000,
        on_fault=on_fault or fail,
    )


@dataclass(eq=False)
class Node:
    """Satisfies ConnectionOwner."""

    world: "World"
    address: SocketAddress
    credentials: Credentials
    authorize: Callable[[NodeId], bool]
    settings: NetworkSettings
    connections: list[Connection] = field(default_factory=list)
    engines: list[AioquicEngine] = field(default_factory=list)
    routes: dict[ConnectionId, Connection] = field(default_factory=dict)
    faults: list[Exception] = field(default_factory=list)
    endings: list[Closed] = field(default_factory=list)
    dropped: list[Drop] = field(default_factory=list)
    retries: int = 0
    completed: int = 0

    def __post_init__(self) -> None:
        self.admission = Admission(host_handshakes_per_s=1000.0, host_handshakes_burst=1000)

    def wake(self, connection: Connection) -> None:
        pass  # the world processes everybody at every step

    def route(self, connection_id: ConnectionId, connection: Connection) -> None:
        self.routes[connection_id] = connection

    def unroute(self, connection_id: ConnectionId) -> None:
        self.routes.pop(connection_id, None)

    def established(self, connection: Connection) -> None:
        self.completed += 1

    def ended(self, connection: Connection, closed: Closed) -> None:
        self.endings.append(closed)

    def dial(self, address: SocketAddress, expected: NodeId) -> Connection:
        engine = make_client(self._engine_settings(expected.__eq__))
        return self._begin(engine, address, is_client=True)

    def receive(self, datagram: bytes, address: SocketAddress) -> None:
        destination = destination_untrusted(datagram)
        connection = None if destination is None else self.routes.get(destination)
        if connection is None:
            connection = self._admit(datagram, address)
        if connection is not None:
            connection.on_datagram_untrusted(datagram, address, now_s=self.world.now_s)

    def _admit(self, datagram: bytes, address: SocketAddress) -> Connection | None:
        answer = self.admission.admit_untrusted(datagram, address, now_s=self.world.now_s)
        match answer:
            case Retry(datagram=retry):
                self.retries += 1
                self.world.send(self.address, [(retry, address)])
                return None
            case Drop():
                self.dropped.append(answer)
                return None
            case Admit():
                engine = make_server(
                    self._engine_settings(self.authorize),
                    original_id=answer.original_id,
                    retry_id=answer.retry_id,
                )
                connection = self._begin(engine, address, is_client=False)
                connection.add_id(answer.retry_id)
                return connection

    def _begin(
        self, engine: AioquicEngine, address: SocketAddress, *, is_client: bool
    ) -> Connection:
        connection = Connection(
            engine=engine,
            address=address,
            is_client=is_client,
            settings=self.settings,
            owner=self,
            clock=lambda: self.world.now_s,
        )
        self.connections.append(connection)
        self.engines.append(engine)
        connection.begin()
        return connection

    def _engine_settings(self, authorize: Callable[[NodeId], bool]) -> EngineSettings:
        return engine_settings(
            self.credentials,
            authorize=authorize,
            on_fault=lambda _, error: self.faults.append(error),
        )


class World:
    """Alice and Bob, and the time."""

    def __init__(
        self,
        *,
        seed: int = 0,
        weather: Weather | None = None,
        settings: NetworkSettings | None = None,
        bob_allows: Callable[[NodeId], bool] | None = None,
    ) -> None:
        self.now_s = 1000.0
        self.chance = random.Random(seed)
        self.weather = weather or Weather()
        self.sent_bytes = 0
        self.datagrams = 0
        self._order = itertools.count()
        self._flying: list[tuple[float, int, SocketAddress, SocketAddress, bytes]] = []
        settings = settings or NetworkSettings(handshake_ms_max=30_000)
        everybody: Callable[[NodeId], bool] = lambda _: True  # noqa: E731
        self.alice = Node(self, ALICE, new_credentials(), everybody, settings)
        self.bob = Node(self, BOB, new_credentials(), bob_allows or everybody, settings)
        self.nodes = {ALICE: self.alice, BOB: self.bob}

    def connect(self) -> tuple[Connection, Connection]:
        """Alice dials Bob; return both ends once established."""
        near = self.alice.dial(BOB, self.bob.credentials.node_id)
        assert self.run(lambda: self.alice.completed > 0 and self.bob.completed > 0)
        return near, self.bob.connections[-1]

    def send(self, sender: SocketAddress, datagrams: list[Datagram]) -> None:
        for data, to in datagrams:
            self.sent_bytes += len(data)
            self.datagrams += 1
            weather = self.weather
            copies = 2 if self.chance.random() < weather.doubled else 1
            for _ in range(copies):
                if self.chance.random() < weather.loss:
                    continue
                delay_ms = weather.delay_ms + self.chance.random() * weather.jitter_ms
                arrival = (self.now_s + delay_ms / 1000, next(self._order), to, sender, data)
                heapq.heappush(self._flying, arrival)

    def run(self, done: Callable[[], bool], *, limit_s: float = 60.0) -> bool:
        """Let time pass until `done`; return whether that came within `limit_s`."""
        until_s = self.now_s + limit_s
        self._process_everybody()
        while not done():
            self.now_s = min(max(self.now_s, self._next_s()), until_s)
            if self.now_s == until_s:
                return False
            while self._flying and self._flying[0][0] <= self.now_s:
                _, _, to, sender, data = heapq.heappop(self._flying)
                self.nodes[to].receive(data, sender)
            self._process_everybody()
        return True

    def pass_time(self, seconds: float) -> None:
        self.run(lambda: False, limit_s=seconds)

    def _next_s(self) -> float:
        times = [c.deadline_s for n in self.nodes.values() for c in n.connections if _is_open(c)]
        if self._flying:
            times.append(self._flying[0][0])
        return min(times, default=self.now_s + 1.0)

    def _process_everybody(self) -> None:
        for node in self.nodes.values():
            for connection in node.connections:
                self.send(node.address, connection.process(now_s=self.now_s))


def _is_open(connection: Connection) -> bool:
    return not connection.closed.is_set()
