"""What one connection does by itself, with a fake engine and a clock that the test moves."""

from dataclasses import dataclass, field

import pytest
import trio

from cretonode.errors import ConnectionLost
from cretonode.network.connection import Connection
from cretonode.network.frames import Priority, frame_header
from cretonode.network.quic_engine import (
    Closed,
    CloseKind,
    ConnectionId,
    ConnectionIdIssued,
    ConnectionIdRetired,
    Established,
    StreamData,
    StreamId,
)
from cretonode.network.settings import STREAM_WINDOW_BYTES, NetworkSettings
from tests.network.fakes import FakeEngine
from tests.network.nodes import IDS
from tests.network.simulated import BOB


@dataclass
class Owner:
    """Satisfies ConnectionOwner."""

    woken: int = 0
    routes: set[ConnectionId] = field(default_factory=set)
    endings: list[Closed] = field(default_factory=list)

    def wake(self, connection: Connection) -> None:
        self.woken += 1

    def route(self, connection_id: ConnectionId, connection: Connection) -> None:
        self.routes.add(connection_id)

    def unroute(self, connection_id: ConnectionId) -> None:
        self.routes.discard(connection_id)

    def established(self, connection: Connection) -> None: ...

    def ended(self, connection: Connection, closed: Closed) -> None:
        self.endings.append(closed)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Case:
    engine: FakeEngine
    owner: Owner
    clock: Clock
    connection: Connection

    def process(self) -> None:
        self.connection.process(now_s=self.clock.now_s)

    def arrive(self, priority: Priority, *frames: bytes) -> None:
        data = bytes([priority]) + b"".join(frame_header(f) + f for f in frames)
        self.engine.pending.append(StreamData(StreamId(priority), data, ended=False))
        self.process()


@pytest.fixture
def case() -> Case:
    engine, owner, clock = FakeEngine(), Owner(), Clock()
    connection = Connection(
        engine=engine,
        address=BOB,
        is_client=False,
        settings=NetworkSettings(),
        owner=owner,
        clock=clock,
    )
    connection.begin()
    made = Case(engine, owner, clock, connection)
    engine.heard_s = clock.now_s
    engine.pending.append(Established(IDS[0]))
    made.process()
    return made


async def test_taking_frames_wakes_the_endpoint_to_grant_credit(case: Case) -> None:
    case.arrive(Priority.BULK, bytes(STREAM_WINDOW_BYTES // 2), b"short")
    woken = case.owner.woken
    await case.connection.receive()
    assert case.owner.woken > woken
    case.process()
    assert case.engine.granted


async def test_whoever_waits_for_a_frame_is_woken_by_it(case: Case) -> None:
    received: list[tuple[Priority, bytes]] = []

    async def receive() -> None:
        received.append(await case.connection.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        case.arrive(Priority.VOTES, b"aye")
    assert received == [(Priority.VOTES, b"aye")]


async def test_whoever_waits_learns_that_it_is_over(case: Case) -> None:
    async def receive() -> None:
        with pytest.raises(ConnectionLost, match=r"silent: no word \(closed by us\)"):
            await case.connection.receive()

    case.connection.offer(Priority.BULK, bytes(2_000_000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        nursery.start_soon(case.connection.wait_drained, Priority.BULK)
        await trio.testing.wait_all_tasks_blocked()
        case.engine.pending.append(Closed(CloseKind.SILENT, "no word", by_peer=False))
        case.process()
    assert len(case.owner.endings) == 1
    assert not case.connection.offer(Priority.VOTES, b"too late")


def test_a_keep_alive_is_sent_once_in_its_interval(case: Case) -> None:
    pings = case.engine.pings
    for _ in range(100):
        case.clock.now_s = case.connection.deadline_s
        case.engine.heard_s = case.clock.now_s
        case.process()
    assert case.engine.pings - pings == 100
    elapsed_ms = (case.clock.now_s - 100.0) * 1000
    assert 10_000 - 125 <= elapsed_ms <= 12_500


def test_a_peer_that_fell_silent_is_given_up_however_much_is_sent_to_it(case: Case) -> None:
    silent_s = NetworkSettings().silence_ms_max / 1000
    for _ in range(200):
        case.clock.now_s = min(case.clock.now_s + 0.05, case.connection.deadline_s)
        case.engine.outgoing.append((b"a status", BOB))
        case.process()
        if case.engine.closings:
            break
    assert [kind for _, kind, _ in case.engine.closings] == [CloseKind.SILENT]
    assert silent_s < case.clock.now_s - 100.0 <= silent_s + 0.3


def test_a_busy_connection_is_seldom_woken_to_look_for_silence(case: Case) -> None:
    woken_early = 0
    for _ in range(200):
        case.clock.now_s += 0.05
        case.engine.heard_s = case.clock.now_s
        case.engine.outgoing.append((b"a vote", BOB))
        case.process()
        woken_early += case.connection.deadline_s <= case.clock.now_s + 0.05
    assert woken_early <= 4  # in ten seconds: once in the time after which it would be given up
    assert not case.engine.closings


def test_its_ids_are_known_while_it_stands_and_forgotten_when_it_ends(case: Case) -> None:
    first = case.engine.connection_id
    second, third = ConnectionId(b"2" * 8), ConnectionId(b"3" * 8)
    case.engine.pending += [ConnectionIdIssued(second), ConnectionIdIssued(third)]
    case.engine.pending.append(ConnectionIdRetired(second))
    case.process()
    assert case.owner.routes == {first, third}
    case.engine.pending.append(Closed(CloseKind.GOODBYE, "", by_peer=True))
    case.process()
    assert case.owner.routes == set()
    assert case.connection.ids == {first, third}, "which linger with the endpoint"


def test_nothing_happens_to_a_connection_that_is_over(case: Case) -> None:
    case.engine.pending.append(Closed(CloseKind.GOODBYE, "", by_peer=True))
    case.process()
    case.connection.close("again")
    case.process()
    assert case.engine.closings == []
    assert len(case.owner.endings) == 1
