"""What a watcher tells of a driver, its parts real. Source: docs/operator-socket.md, section 6."""

from dataclasses import replace
from typing import cast

import trio
import trio.testing

from cretonode.config.genesis import Genesis, Validator
from cretonode.core.events import PeerSilent, Received
from cretonode.core.evidence import evidence_of
from cretonode.core.messages import Evidence, Message
from cretonode.core.reputation import Violation
from cretonode.identifiers import ChainId, NodeId, ValidatorIndex, View
from cretonode.network.peer_link import PeerState, PeerStatus
from cretonode.network.peers import Peers
from cretonode.node.driver import Driver
from cretonode.node.progress import Progress
from cretonode.node.service import Service
from cretonode.node.steering import Steering
from cretonode.node.storage_gauge import Sample, StorageGauge
from cretonode.node.watcher import (
    ALIVE_MS,
    LINES_A_DELTA,
    VERTEX_BYTES_A_DELTA,
    VERTICES_MS,
    NodeWatcher,
    WatchSource,
)
from cretonode.observability.recent_lines import LINES_MAX, RECENT
from cretonode.operator.protocol import RESPONSE_BYTES_MAX, Delta, encode_message
from cretonode.operator.protocol_deltas import (
    NOTHING,
    TOPICS,
    Changes,
    changes_untrusted,
    merged,
)
from cretonode.operator.protocol_topics import (
    FamilySnapshot,
    Mark,
    Phase,
    WatchedStatusSnapshot,
)
from cretonode.storage.store import Store
from tests.config.documents import genesis
from tests.core.replicas import anchor, commit, plain, pre_prepare, prepare, view_change
from tests.node.test_alerts import STORAGE
from tests.node.test_old_view import VirtualClock, make_driver, running
from tests.node.test_verification import PREPARE, SECRETS

ALL = frozenset(TOPICS)
STEP_S = 0.125


class Clock(VirtualClock):
    def uptime_ms(self) -> int:
        return int(trio.current_time() * 1000)


class Links:
    """What the service asks of `network.peers.Peers`."""

    def __init__(self, me: int) -> None:
        self._me = me

    def status(self) -> tuple[PeerStatus, ...]:
        return tuple(
            PeerStatus(
                peer=NodeId(secret.node_id),
                address=("127.0.0.1", 9000 + index),
                state=PeerState.CONNECTED,
                state_ms=5.0,
                dialled_by_us=True,
                round_trip_ms=1.5,
                silence_ms=1.0,
                backlog_bytes=0,
                inbound_bytes=0,
                connections=1,
                failures=0,
                last_error="x" * 1000,
                key_in_use=False,
            )
            for index, secret in enumerate(SECRETS)
            if index != self._me
        )


class Gauge:
    """A StorageGauge whose disk stands still until told otherwise."""

    def __init__(self) -> None:
        self.silent_ms = 0
        self.now = Sample(1, STORAGE, (FamilySnapshot(family="state", disk_bytes=9),))

    async def sample(self) -> Sample:
        await trio.lowlevel.checkpoint()
        return self.now


def named_genesis() -> Genesis:
    """Return a genesis document of the validators whose keys the driver's parts have."""
    base = genesis()
    return replace(
        base,
        chain_id=ChainId("tests"),
        validators=tuple(
            Validator(name=f"node-{index}", address=validator.address, public_key=secret.public_key)
            for index, (validator, secret) in enumerate(zip(base.validators, SECRETS, strict=True))
        ),
    )


def source_of(driver: Driver) -> WatchSource:
    clock = cast("Clock", Clock())
    names = named_genesis()
    driver.bans.clock = clock
    service = Service(
        genesis=names,
        name="node-0",
        node_id=SECRETS[0].node_id,
        replica=driver.replica,
        store=cast("Store", None),
        batcher=driver.batcher,
        finality=driver.finality,
        links=driver.links,
        peer_links=cast("Peers", Links(driver.replica.state.me)),
        judgement=driver.bans,
        progress=Progress(driver.replica, driver.finality),
        clock=clock,
        limiter=trio.CapacityLimiter(1),
    )
    steering = Steering(
        replica=driver.replica,
        audible=driver.links.connected,
        put_own=driver.inbox.put_own,
        names=[v.name for v in names.validators],
        log_level="info",
        log_format="json",
    )
    gauge = cast("StorageGauge", Gauge())
    return WatchSource(service=service, driver=driver, gauge=gauge, steering=steering)


class Client:
    """What one client knows."""

    def __init__(self, source: WatchSource, topics: frozenset[str] = ALL) -> None:
        self.watcher: NodeWatcher = source.watcher(topics)
        self.known = NOTHING

    @property
    def status(self) -> WatchedStatusSnapshot:
        assert self.known.status is not None
        return self.known.status[0]

    async def look(self) -> Changes | None:
        """Return what is news; None: no delta came."""
        delta: Delta | None = await self.watcher.delta()
        if delta is None:
            return None
        assert len(encode_message(delta)) <= RESPONSE_BYTES_MAX
        changes = changes_untrusted(delta)
        self.known = merged(self.known, changes, fresh=delta.fresh)
        return changes

    async def look_later(self, after_s: float = STEP_S) -> Changes:
        await trio.sleep(after_s)
        return await self.look() or NOTHING


async def tell(driver: Driver, *messages: Message) -> None:
    for message in messages:
        author = getattr(message, "author", ValidatorIndex(1))
        await driver.inbox.put(author, [Received(author, message)])
        await trio.testing.wait_all_tasks_blocked()


async def test_the_first_delta_tells_every_topic(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(0)
    await running(driver, nursery)
    client = Client(source_of(driver))
    changes = await client.look()
    assert changes is not None
    lacking = {name for name in TOPICS if getattr(changes, name) is None}
    assert lacking == set()
    assert changes.status is not None
    assert changes.status[0].phase == Phase.IDLE
    assert changes.peers is not None
    assert {len(peer.last_error) for peer in changes.peers} == {200}
    assert changes.validators is not None
    assert [v.name for v in changes.validators] == ["node-0", "node-1", "node-2", "node-3"]
    nursery.cancel_scope.cancel()


async def test_a_topic_that_nobody_wants_is_not_told(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(0)
    await running(driver, nursery)
    source = source_of(driver)
    for topic in TOPICS:
        changes = await Client(source, frozenset({topic})).look()
        assert changes is not None
        assert {name for name in TOPICS if getattr(changes, name) is not None} == {topic}
    nursery.cancel_scope.cancel()


async def test_nothing_is_told_twice_and_a_sign_of_life_comes_each_second(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(0)
    await running(driver, nursery)
    client = Client(source_of(driver))
    await client.look()
    told_ms = []
    for step in range(1, 33):
        await trio.sleep(STEP_S)
        if await client.look() is not None:
            told_ms.append(round(step * STEP_S * 1000))
    assert told_ms == [ALIVE_MS, 2 * ALIVE_MS, 3 * ALIVE_MS, 4 * ALIVE_MS]
    nursery.cancel_scope.cancel()


async def test_what_changes_is_told_at_the_next_look(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(1)
    await running(driver, nursery)
    client = Client(source_of(driver))
    await client.look()
    first = anchor(0, 1)
    await tell(driver, first, pre_prepare(0, first), prepare(0, first, 2))
    changes = await client.look_later(VERTICES_MS / 1000)
    assert changes.slots is not None
    (slot,) = changes.slots
    assert list(slot.prepares) == [Mark.SEEN, Mark.SEEN, Mark.SEEN, Mark.MISSING]
    assert slot.prepared
    assert changes.status is not None
    assert changes.status[0].phase == Phase.COMMIT
    assert changes.status[0].votes_lacking == 2
    assert changes.vertices is not None
    assert [vertex.state for vertex in changes.vertices] == ["waiting"]
    assert changes.bans is None
    await tell(driver, view_change(1, 2), view_change(1, 3))
    changes = await client.look_later()
    assert changes.views is not None
    assert changes.views[-1].to_view == View(1)
    assert changes.status is not None
    assert changes.status[0].view == 1
    nursery.cancel_scope.cancel()


async def test_who_falls_silent_is_missed_before_the_connection_is_given_up(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(0)
    await running(driver, nursery)
    for channel in driver.links.channels.values():
        channel.greeted = True
    client = Client(source_of(driver))
    await client.look()
    assert client.status.lacking == ""
    for peer in (2, 3):
        driver.inbox.put_own(PeerSilent(ValidatorIndex(peer)))
    await trio.testing.wait_all_tasks_blocked()
    await client.look_later()
    assert client.status.connected == 4
    assert list(client.status.absent) == [0, 0, 1, 1]
    assert client.status.lacking == (
        "2 of 4 validators are heard, 3 are needed; silent: node-2, node-3, of whom 1 must be "
        "heard again"
    )
    assert [alert.kind for alert in client.known.alerts or ()] == ["quorum_missing"]
    nursery.cancel_scope.cancel()


async def test_a_slow_client_is_told_the_last_state_and_not_each(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(1)
    await running(driver, nursery)
    source = source_of(driver)
    quick, slow = Client(source), Client(source)
    await quick.look()
    await slow.look()
    first = anchor(0, 1)
    told = 0
    for message in (first, pre_prepare(0, first), prepare(0, first, 2), commit(0, first, 3)):
        await tell(driver, message)
        told += len((await quick.look_later()).slots or ())
    assert told >= 3
    assert len((await slow.look_later(VERTICES_MS / 1000)).slots or ()) == 1
    await quick.look_later(VERTICES_MS / 1000)
    assert slow.known.slots == quick.known.slots
    assert slow.known.vertices == quick.known.vertices
    nursery.cancel_scope.cancel()


async def test_violations_bans_and_evidence_are_told_as_they_come(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(0)
    await running(driver, nursery)
    source = source_of(driver)
    client = Client(source)
    await client.look()
    driver.bans.note(ValidatorIndex(2), Violation.FLOOD, "too much")
    changes = await client.look_later()
    assert changes.violations is not None
    assert [(v.validator, v.type) for v in changes.violations] == [(2, "flood")]
    evidence = evidence_of(
        replace(PREPARE, signature=b"1"), replace(PREPARE, anchor=bytes(31) + b"1", signature=b"2")
    )
    assert isinstance(evidence, Evidence)
    driver.bans.accuse(evidence)
    changes = await client.look_later(1.0)
    assert [v.type for v in changes.violations or ()] == ["equivocation"]
    assert [b.validator for b in changes.bans or ()] == [2]
    assert [e.author for e in changes.evidence or ()] == [2]
    assert [r.validator for r in changes.reputation or ()] == [2]
    again = Client(source)
    await again.look()
    assert [v.type for v in again.known.violations or ()] == ["flood", "equivocation"]
    nursery.cancel_scope.cancel()


async def test_a_long_log_comes_in_parts_and_all_of_it(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(0)
    await running(driver, nursery)
    for number in range(LINES_MAX):
        RECENT.add({"event": "x" * 300, "level": "info", "text": "\N{SNOWMAN}" * 300, "n": number})
    client = Client(source_of(driver), frozenset({"log"}))
    for _ in range(LINES_MAX // LINES_A_DELTA):
        await client.look_later()
    assert client.known.log is not None
    numbers = [line.number for line in client.known.log]
    assert numbers == list(range(RECENT.number - LINES_MAX + 1, RECENT.number + 1))
    nursery.cancel_scope.cancel()


async def test_many_vertices_come_in_parts_and_all_of_them(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(0)
    await running(driver, nursery)
    for index in range(1, 201):
        await driver.inbox.put(ValidatorIndex(2), [Received(ValidatorIndex(2), plain(2, index))])
    await trio.testing.wait_all_tasks_blocked()
    book = driver.chronicle.vertices
    client = Client(source_of(driver), frozenset({"vertices"}))
    parents = bytes(32 * 100)
    book.refresh()
    for hash_, entry in list(book.here.items()):
        vertex = replace(
            entry.vertex, parents=tuple(parents[i : i + 32] for i in range(0, 3200, 32))
        )
        book.here[hash_] = entry._replace(vertex=vertex)
    looks = 0
    while len(client.known.vertices or ()) < 200:
        await client.look_later(VERTICES_MS / 1000)
        looks += 1
    assert looks >= 200 * 3200 // VERTEX_BYTES_A_DELTA
    nursery.cancel_scope.cancel()
