from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from cretonode.errors import MalformedMessage
from cretonode.identifiers import NodeId
from cretonode.network.certificate import node_id_of
from cretonode.network.connection import Connection
from cretonode.network.endpoint import open_endpoint
from cretonode.network.frames import LENGTH_BYTES, Priority
from cretonode.network.peer_link import PeerLink, PeerState
from cretonode.network.peers import Peers
from cretonode.network.quic_engine import Closed, CloseKind, Established
from cretonode.network.settings import NetworkSettings, PeerSettings
from tests.network.fakes import FakeEngine
from tests.network.nodes import (
    DIAL_MS,
    IDS,
    LOOPBACK,
    QUICK,
    Record,
    address_of,
    new_peers,
    opened,
    several,
    until,
)
from tests.network.simulated import World


def is_up(record: Record, *, times: int = 1) -> bool:
    return len(record.connected) >= times


async def test_four_nodes_have_one_connection_to_each_other() -> None:
    async with several(4) as endpoints, trio.open_nursery() as nursery:
        table = {endpoint.node_id: address_of(endpoint) for endpoint in endpoints}
        records = [Record() for _ in endpoints]
        patient = PeerSettings(fallback_dial_ms=60_000, first_dial_ms=60_000)
        everybody = [
            new_peers(e, table, r, patient) for e, r in zip(endpoints, records, strict=True)
        ]
        for peers in everybody:
            nursery.start_soon(peers.run)
        for record in records:
            await record.until(lambda r: is_up(r, times=3))
        for index, peers in enumerate(everybody):
            statuses = peers.status()
            assert [s.peer for s in statuses] == [i for i in IDS if i != IDS[index]]
            assert {s.state for s in statuses} == {PeerState.CONNECTED}
            dialled = {s.peer: s.dialled_by_us for s in statuses}
            assert dialled == {p: IDS[index] < p for p in dialled}, "the lower id dials"
            assert endpoints[index].connections_open == 3
            assert peers.connected() == tuple(dialled)
        assert everybody[0].offer(IDS[3], Priority.VOTES, b"aye")
        await records[3].until(lambda r: (IDS[0], Priority.VOTES, b"aye") in r.frames)
        nursery.cancel_scope.cancel()


async def test_a_peer_that_restarts_is_connected_again() -> None:
    async with opened(0) as zero, trio.open_nursery() as nursery:
        record = Record()
        async with opened(1) as one, trio.open_nursery() as inner:
            port = one.address[1]
            nursery.start_soon(new_peers(zero, {IDS[1]: address_of(one)}, record).run)
            inner.start_soon(new_peers(one, {IDS[0]: address_of(zero)}, Record()).run)
            await record.until(is_up)
            inner.cancel_scope.cancel()
        await record.until(lambda r: len(r.lost) == 1)
        assert "goodbye" in record.lost[0][1]
        async with opened(1, port=port) as one, trio.open_nursery() as inner:
            inner.start_soon(new_peers(one, {IDS[0]: address_of(zero)}, Record()).run)
            await record.until(lambda r: is_up(r, times=2))
            inner.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def test_a_peer_that_was_killed_and_restarts_takes_over_its_old_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other side still believes in the old one, and is the one that should dial."""
    patient = NetworkSettings(silence_ms_max=30_000)
    async with opened(0, settings=patient) as zero, trio.open_nursery() as nursery:
        record = Record()
        async with opened(1) as one:
            port = one.address[1]
            nursery.start_soon(new_peers(zero, {IDS[1]: address_of(one)}, record).run)
            async with trio.open_nursery() as inner:
                inner.start_soon(new_peers(one, {IDS[0]: address_of(zero)}, Record()).run)
                await record.until(is_up)
                inner.cancel_scope.cancel()
            monkeypatch.setattr(one._udp, "send", len)  # killed: its goodbye is never sent
        async with opened(1, port=port) as one, trio.open_nursery() as inner:
            inner.start_soon(new_peers(one, {IDS[0]: address_of(zero)}, Record()).run)
            await record.until(lambda r: is_up(r, times=2))
            inner.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def test_swapped_certificates_are_named_and_the_rest_goes_on() -> None:
    """Node 0's table has the addresses of 1 and 2 mixed up."""
    async with several(4) as (zero, one, two, three), trio.open_nursery() as nursery:
        mixed_up = {
            IDS[1]: address_of(two),
            IDS[2]: address_of(one),
            IDS[3]: address_of(three),
        }
        record = Record()
        peers = new_peers(zero, mixed_up, record)
        nursery.start_soon(peers.run)
        await record.until(lambda r: IDS[3] in r.connected)
        await until(lambda: all(s.failures for s in peers.status()[:2]))
        for status in peers.status()[:2]:
            assert status.last_error.startswith("unknown_key: node ")
            assert status.state is not PeerState.CONNECTED
        assert record.connected == [IDS[3]]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def turned_away() -> AsyncGenerator[Peers]:
    """Give one whose only peer does not know its key, and which tries again and again."""
    settings = PeerSettings(backoff_ms_first=1, backoff_ms_max=1, refused_ms=2)
    async with (
        opened(0) as zero,
        opened(1, authorize=lambda _: False) as one,
        trio.open_nursery() as nursery,
    ):
        peers = new_peers(zero, {IDS[1]: address_of(one)}, Record(), settings)
        nursery.start_soon(peers.run)
        yield peers
        nursery.cancel_scope.cancel()


async def test_a_peer_is_missing_since_it_was_there_last_and_not_since_the_last_try() -> None:
    async with turned_away() as peers:
        await until(lambda: peers.status()[0].failures >= 1)
        known_missing_s = trio.current_time()
        await until(lambda: peers.status()[0].failures >= 4)
        at_least_ms = (trio.current_time() - known_missing_s) * 1000
        assert peers.status()[0].state_ms >= at_least_ms


async def test_an_unknown_key_is_logged_once_and_tried_seldom(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with turned_away() as peers:
        await until(lambda: peers.status()[0].failures >= 4)
    assert "key_refused" in peers.status()[0].last_error
    assert capsys.readouterr().out.count("peer_refused") == 1


async def test_both_dialling_at_once_leaves_one_connection() -> None:
    eager = PeerSettings(fallback_dial_ms=0, backoff_ms_first=1, backoff_ms_max=20)
    for _ in range(5):
        async with opened(0) as zero, opened(1) as one, trio.open_nursery() as nursery:
            records = Record(), Record()
            near = new_peers(zero, {IDS[1]: address_of(one)}, records[0], eager)
            far = new_peers(one, {IDS[0]: address_of(zero)}, records[1], eager)
            nursery.start_soon(near.run)
            nursery.start_soon(far.run)
            await until(lambda: settled(near, far, zero.connections_open + one.connections_open))  # noqa: B023
            status = near.status()[0]
            assert status.dialled_by_us
            assert not far.status()[0].dialled_by_us
            nursery.cancel_scope.cancel()


async def test_a_peer_over_its_rate_is_not_read_and_not_dropped() -> None:
    glacial = PeerSettings(frames_per_s=0.001, frames_burst=5)
    async with opened(0) as zero, opened(1) as one, trio.open_nursery() as nursery:
        record = Record()
        peers = new_peers(zero, {IDS[1]: address_of(one)}, record, glacial)
        nursery.start_soon(peers.run)
        far = await one.accept()
        await record.until(is_up)
        for i in range(15):
            assert far.offer(Priority.VOTES, bytes([i]))
        near = peers.connection_to(IDS[1])
        assert near is not None
        waiting = 10 * (LENGTH_BYTES + 1)
        await until(lambda: near.inbound_bytes == waiting and far.backlog_bytes == 0)
        await trio.testing.wait_all_tasks_blocked()
        assert [frame for _, _, frame in record.frames] == [bytes([i]) for i in range(5)]
        assert record.lost == []
        nursery.cancel_scope.cancel()


async def test_a_peer_whose_frames_make_no_sense_is_dropped_with_the_reason() -> None:
    async with opened(0) as zero, opened(1) as one, trio.open_nursery() as nursery:
        record = Record()
        record.refuse = MalformedMessage("not a vote")
        nursery.start_soon(new_peers(zero, {IDS[1]: address_of(one)}, record).run)
        far = await one.accept()
        far.offer(Priority.VOTES, b"nonsense")
        await record.until(lambda r: bool(r.lost))
        assert record.lost == [(IDS[1], "not a vote")]
        await far.closed.wait()
        assert far.close_reason == Closed(CloseKind.MALFORMED, "not a vote", by_peer=True)
        nursery.cancel_scope.cancel()


async def test_somebody_authorized_but_not_in_the_table_is_turned_away() -> None:
    key = MLDSA87PrivateKey.generate()
    async with (
        opened(0, authorize=lambda _: True) as zero,
        open_endpoint(bind=LOOPBACK, key=key, authorize=lambda _: True) as other,
        trio.open_nursery() as nursery,
    ):
        assert node_id_of(key.public_key()) not in IDS
        nursery.start_soon(new_peers(zero, {}, Record()).run)
        connection = await other.connect(address_of(zero), IDS[0], dial_timeout_ms=10_000)
        await connection.closed.wait()
        assert connection.close_reason is not None
        assert connection.close_reason.reason == "not in the table of peers"
        nursery.cancel_scope.cancel()


def test_frames_for_a_peer_that_is_not_connected_are_refused() -> None:
    async def offer() -> bool:
        async with opened(0) as zero:
            peers = new_peers(zero, {IDS[1]: ("127.0.0.1", 9)}, Record())
            assert not peers.offer(IDS[2], Priority.VOTES, b"to nobody")
            return peers.offer(IDS[1], Priority.VOTES, b"too early")

    assert not trio.run(offer)


# --- which of two connections stays


class SlowDialler:
    """Satisfies Dialler: dials succeed when the test says so, or never."""

    def __init__(self) -> None:
        self.dialling = trio.Event()
        self.answer = trio.Event()
        self.connection: Connection | None = None

    async def connect(
        self, address: tuple[str, int], expected: NodeId, *, dial_timeout_ms: int
    ) -> Connection:
        self.dialling.set()
        await self.answer.wait()
        assert self.connection is not None
        return self.connection


UNHURRIED = replace(QUICK, first_dial_ms=50, at_once_ms=60_000)  # on a busy machine, too


def new_link(*, we_are_lower: bool, dialler: SlowDialler, record: Record) -> PeerLink:
    own, peer = (IDS[0], IDS[1]) if we_are_lower else (IDS[1], IDS[0])
    return PeerLink(
        own=own,
        peer=peer,
        address=("10.0.0.1", 1),
        dialler=dialler,
        events=record,
        jitter=lambda: 0.0,
        settings=UNHURRIED,
    )


async def test_the_higher_id_stops_dialling_when_it_is_dialled() -> None:
    dialler, record = SlowDialler(), Record()
    link = new_link(we_are_lower=False, dialler=dialler, record=record)
    theirs, _ = established(is_client=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.keep_connected)
        await dialler.dialling.wait()
        link.arrived(theirs)
        await record.until(is_up)
        assert link.connection is theirs
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("dial_succeeds", [True, False])
async def test_the_lower_id_keeps_what_it_dials_and_else_what_it_was_dialled(
    dial_succeeds: bool,
) -> None:
    dialler, record = SlowDialler(), Record()
    link = new_link(we_are_lower=True, dialler=dialler, record=record)
    ours, _ = established(is_client=True)
    theirs, theirs_engine = established(is_client=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.keep_connected)
        await dialler.dialling.wait()
        link.arrived(theirs)
        if dial_succeeds:
            dialler.connection = ours
            dialler.answer.set()
        else:
            link._dial_scope.cancel()
        await record.until(is_up)
        assert link.connection is (ours if dial_succeeds else theirs)
        assert bool(theirs_engine.closings) is dial_succeeds
        nursery.cancel_scope.cancel()


def established(
    *, is_client: bool, silence_s: float = 0.0, process: int = 0, host: str = "10.0.0.1"
) -> tuple[Connection, FakeEngine]:
    engine = FakeEngine()
    connection = Connection(
        engine=engine,
        address=(host, 1),
        is_client=is_client,
        settings=NetworkSettings(),
        owner=World().bob,
        clock=lambda: 100.0,
    )
    engine.heard_s = 100.0 - silence_s
    engine.pending.append(Established(IDS[1], process))
    connection.process(now_s=100.0)
    return connection, engine


@pytest.mark.parametrize(
    ("we_are_lower", "old_is_ours", "old_silent", "new_stays"),
    [
        (True, True, False, False),
        (True, True, True, True),
        (True, False, False, True),
        (False, True, False, True),
        (False, False, False, True),
    ],
    ids=[
        "ours stays against theirs",
        "unless it is silent",
        "theirs yields to theirs",
        "ours yields to theirs, who are lower",
        "theirs yields to their newer one",
    ],
)
async def test_of_two_connections_both_sides_keep_the_same(
    we_are_lower: bool, old_is_ours: bool, old_silent: bool, new_stays: bool
) -> None:
    link = new_link(we_are_lower=we_are_lower, dialler=SlowDialler(), record=Record())
    old, old_engine = established(is_client=old_is_ours, silence_s=60.0 if old_silent else 0.0)
    new, new_engine = established(is_client=False)
    link.connection = old
    link.arrived(new)
    assert bool(old_engine.closings) is new_stays
    assert bool(new_engine.closings) is not new_stays


@pytest.mark.parametrize("we_are_lower", [True, False])
@pytest.mark.parametrize("old_is_ours", [True, False])
async def test_another_process_at_the_same_address_takes_over_at_once(
    we_are_lower: bool, old_is_ours: bool
) -> None:
    """An address has one owner: the old process is gone, however lately it was heard."""
    link = new_link(we_are_lower=we_are_lower, dialler=SlowDialler(), record=Record())
    old, old_engine = established(is_client=old_is_ours, process=1)
    new, new_engine = established(is_client=False, process=2)
    link.connection = old
    link.arrived(new)
    assert old_engine.closings
    assert not new_engine.closings


async def test_another_process_elsewhere_is_refused_while_the_first_is_heard() -> None:
    for silence_s, stays in ((0.0, True), (60.0, False)):
        link = new_link(we_are_lower=True, dialler=SlowDialler(), record=Record())
        old, old_engine = established(is_client=False, process=1, silence_s=silence_s)
        new, new_engine = established(is_client=False, process=2, host="10.0.0.2")
        link.connection = old
        link.arrived(new)
        assert bool(new_engine.closings) is stays
        assert bool(old_engine.closings) is not stays


async def test_who_dials_in_vain_takes_the_peer_that_comes() -> None:
    """The peer was not there when the dial began; it would answer to a repetition at best."""
    dialler, record = SlowDialler(), Record()
    link = new_link(we_are_lower=True, dialler=dialler, record=record)
    theirs, _ = established(is_client=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.keep_connected)
        await dialler.dialling.wait()
        link._dialling_since_s -= 2 * UNHURRIED.at_once_ms / 1000
        link.arrived(theirs)
        await record.until(is_up)
        assert link.connection is theirs
        nursery.cancel_scope.cancel()


async def test_a_process_that_just_started_does_not_wait_long_to_be_dialled() -> None:
    """Nobody knows yet that it is there. After that, the lower id has its time to dial."""
    link = new_link(we_are_lower=False, dialler=SlowDialler(), record=Record())
    assert link._fallback_s() == UNHURRIED.first_dial_ms / 1000
    assert link._fallback_s() == UNHURRIED.fallback_dial_ms / 1000


def settled(near: Peers, far: Peers, connections: int) -> bool:
    states = {near.status()[0].state, far.status()[0].state}
    return connections == 2 and states == {PeerState.CONNECTED}


async def test_a_second_process_with_a_key_is_told_and_the_first_goes_on() -> None:
    """Two machines with one key: whoever is heard stays."""
    async with several(2) as (first, peer), opened(0) as second:
        addresses = {IDS[1]: address_of(peer)}
        seen, refused = Record(), Record()
        theirs = Peers(
            endpoint=peer,
            addresses={IDS[0]: address_of(first)},
            events=Record(),
            jitter=lambda: 0.0,
        )
        mine = Peers(endpoint=first, addresses=addresses, events=seen, jitter=lambda: 0.0)
        other = Peers(endpoint=second, addresses=addresses, events=refused, jitter=lambda: 0.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(theirs.run)
            nursery.start_soon(mine.run)
            await until(lambda: mine.connection_to(IDS[1]) is not None)
            standing = mine.connection_to(IDS[1])
            nursery.start_soon(other.run)
            await until(lambda: other.status()[0].key_in_use)
            assert "another process with this key is connected" in other.status()[0].last_error
            assert mine.connection_to(IDS[1]) is standing
            assert seen.lost == []
            nursery.cancel_scope.cancel()


async def test_the_same_process_may_come_again() -> None:
    """After a break in the network its newer connection takes over from the older one at once."""
    async with several(2) as (dialler, peer):
        theirs = Peers(
            endpoint=peer,
            addresses={IDS[0]: address_of(dialler)},
            events=Record(),
            jitter=lambda: 0.0,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(theirs.run)
            older = await dialler.connect(address_of(peer), IDS[1], dial_timeout_ms=DIAL_MS)
            await until(lambda: theirs.connection_to(IDS[0]) is not None)
            newer = await dialler.connect(address_of(peer), IDS[1], dial_timeout_ms=DIAL_MS)
            await until(older.closed.is_set)
            assert newer.is_established
            nursery.cancel_scope.cancel()


async def test_a_banned_peer_is_told_why_and_let_in_again_when_pardoned() -> None:
    """SPEC B2: banned means disconnected; whoever dials."""
    async with several(2) as endpoints, trio.open_nursery() as nursery:
        table = {endpoint.node_id: address_of(endpoint) for endpoint in endpoints}
        quick = PeerSettings(
            fallback_dial_ms=100, backoff_ms_first=1, backoff_ms_max=20, refused_ms=50
        )
        judge, banned = 0, 1
        records = [Record(), Record()]
        everybody = [new_peers(e, table, r, quick) for e, r in zip(endpoints, records, strict=True)]
        for peers in everybody:
            nursery.start_soon(peers.run)
        for record in records:
            await record.until(is_up)
        everybody[judge].ban(IDS[banned], "two vertices with index 7")
        await records[banned].until(lambda r: len(r.lost) == 1)
        assert records[banned].lost[0][1].startswith("banned: two vertices with index 7")
        await until(lambda: everybody[judge].status()[0].state is PeerState.BANNED)
        # It dials again and again, and is turned away each time.
        turned_away = endpoints[judge].counters.connections_ended
        await until(lambda: turned_away["banned"] >= 3)
        assert len(records[judge].connected) == 1
        everybody[judge].pardon(IDS[banned])
        await records[judge].until(lambda r: is_up(r, times=2))
        assert everybody[judge].offer(IDS[banned], Priority.VOTES, b"aye")
        await records[banned].until(lambda r: (IDS[judge], Priority.VOTES, b"aye") in r.frames)
        nursery.cancel_scope.cancel()
