"""What moves views, in whole networks: who is fetched back, who is replaced, what healing costs."""

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import pytest

from cretonode.core.committee import Parameters
from cretonode.core.messages import (
    Commit,
    Message,
    NewView,
    Statement,
    VertexMessage,
    ViewChange,
    genesis_position,
)
from cretonode.core.state import Timing
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import AuthorIndex, ValidatorIndex, VertexHash, View
from cretonode.limits import AUTHOR_ORPHANS_MAX
from tests.simulation.byzantine.behaviour import Behaviour, Outgoing, Setting
from tests.simulation.byzantine.leading import ProposesLate
from tests.simulation.nodes import Node
from tests.simulation.oracles import Oracles
from tests.simulation.scenario import committee_of
from tests.simulation.world import World

PARAMETERS = Parameters(window=64, checkpoint_interval=16, dedup_window=512)
TIMEOUT_MS = 3_000
# Statuses and suspicions that come seldom make an hour short.
CALM = Timing(
    view_change_timeout_ms=TIMEOUT_MS,
    status_interval_ms=5_000,
    heartbeat_ms=20_000,
    suspect_ms=20_000,
)
S = TypeVar("S", bound=Statement)
# What of an honest core would make evidence beside a view-change that reports genesis.
CONTRADICTING = (ViewChange, Commit, NewView)


class AlwaysAhead(Behaviour):
    """Says, in each view, that it has left for the next one, and nothing that contradicts it."""

    def says(self, statement: Statement) -> list[Outgoing]:
        """Leave no view in the way that the core would, and hide nothing that it said."""
        return [] if isinstance(statement, CONTRADICTING) else super().says(statement)

    def sends(self, peer: ValidatorIndex, message: Message) -> list[Outgoing]:
        """As `says`."""
        return [] if isinstance(message, CONTRADICTING) else super().sends(peer, message)

    def adds(self) -> list[Outgoing]:
        """Leave."""
        if self.acts > self.view:
            return []
        self.acts = self.view + 1
        genesis = genesis_position(self.committee.genesis)
        return self.to_all(
            self.sign(
                ViewChange(view=View(self.acts), high=genesis, certificate=None, author=self.me)
            )
        )


class FloodsOrphans(Behaviour):
    """Sends each of two backups, first, so many vertices on nothing that no orphan more is taken;
    then gives its real ones to the leader alone."""

    def says(self, statement: Statement) -> list[Outgoing]:
        """Flood, and favour the leader."""
        if not isinstance(statement, VertexMessage):
            return super().says(statement)
        leader = self.committee.leader_of(self.view)
        found: list[Outgoing] = [(leader, statement)]
        for offset in range(AUTHOR_ORPHANS_MAX if self.acts == 0 else 0):
            nothing = VertexHash(hash_of(b"nothing %d" % offset))
            index = AuthorIndex(10_000 + offset)
            header = replace(
                statement.vertex, index=index, parents=(nothing, statement.vertex.parents[-1])
            )
            lie = self.sign(replace(statement, vertex=header))
            found += [(peer, lie) for peer in self.peers if peer != leader]
        self.acts += 1
        return found

    def serves(self, peer: ValidatorIndex, messages: Any) -> list[Outgoing]:
        """Give nothing to anybody else either."""
        return []


def network(
    size: int = 4,
    liar: tuple[int, type[Behaviour]] | None = None,
    *,
    timeout_ms: int = TIMEOUT_MS,
    timing: Timing | None = None,
) -> World:
    """Return a running network with good links."""
    committee = committee_of(size, PARAMETERS)
    timing = timing or Timing(view_change_timeout_ms=timeout_ms)
    oracles = Oracles(PARAMETERS.dedup_window)
    world = World(committee, timing, random.Random(1), oracles)
    world.trace = []
    for i in range(size):
        node = world.add_node(f"n{i}", ValidatorIndex(i), honest=liar is None or liar[0] != i)
        if liar is not None and liar[0] == i:
            node.behaviour = liar[1](setting_of(world, node.me))
    for node in world.nodes:
        world.start(node)
    return world


def setting_of(world: World, me: ValidatorIndex) -> Setting:
    def sign(statement: S) -> S:
        return world.sign_as(me, statement)

    return Setting(
        committee=world.committee,
        me=me,
        sign=sign,
        rng=random.Random(2),
        timeout_ms=world.timing.view_change_timeout_ms,
    )


def load(world: World, every_ms: int, for_ms: int, nodes: list[Node] | None = None) -> None:
    """Have clients submit to each node in turn."""
    nodes = nodes or [node for node in world.nodes if node.honest]
    for i, at_ms in enumerate(range(0, for_ms, every_ms)):
        node = nodes[i % len(nodes)]
        world.later(at_ms, lambda n=node, i=i: world.submit(n, [b"tx%d" % i]))  # type: ignore[misc]


def run(world: World, for_ms: int, done: Callable[[], bool] = lambda: False) -> bool:
    return world.run_until(world.now_ms + for_ms, done)


def views(world: World) -> list[int]:
    return [n.replica.state.view for n in world.nodes if n.replica is not None and n.honest]


def finals(world: World) -> list[int]:
    return [n.replica.state.final for n in world.nodes if n.replica is not None and n.honest]


def causes(world: World, cause: str) -> list[int]:
    """Return when a node entered a view for that cause."""
    lines = [line for line in world.trace or () if line.endswith(f": {cause}")]
    return [int(line.split()[0]) for line in lines]


# --- alone


def test_one_that_is_cut_off_comes_back_to_the_view_of_the_others() -> None:
    """It was seen to leave alone when its quorum was back, and to stay away for twelve minutes."""
    world = network()
    load(world, 200, 20_000)
    run(world, 2_000)
    world.split([{"n0", "n1", "n2"}, {"n3"}])
    run(world, 10_000)
    before = views(world)
    world.heal()
    run(world, 5_000)
    assert views(world) == before
    assert max(finals(world)) - min(finals(world)) <= 2


def test_a_database_lost_under_an_intact_journal_costs_no_view() -> None:
    """All is fetched again, for longer than the timeout: that is not the leader's fault."""
    world = network(timeout_ms=500)
    load(world, 100, 25_000)
    run(world, 10_000)
    node = world.node("n3")
    world.crash(node)
    node.disk.operations.clear()
    node.disk.operations_synced = 0
    node.disk.tables = type(node.disk.tables)()
    for name in ("n0", "n1", "n2"):
        world.links[(name, "n3")].delay_ms = 60
    world.start(node)
    run(world, 5_000)
    assert views(world) == [0, 0, 0, 0]
    assert min(finals(world)) > 60


def leave_alone(world: World, name: str) -> None:
    """Let a node time out alone, as one that a bug or a slow disk misled."""
    replica = world.node(name).replica
    assert replica is not None
    replica.views._leave(View(replica.state.view + 1), "timeout")


def test_one_that_left_alone_is_fetched_back() -> None:
    world = network()
    load(world, 200, 10_000)
    run(world, 2_000)
    leave_alone(world, "n3")
    left_ms = world.now_ms
    assert run(world, 10_000, lambda: views(world) == [1, 1, 1, 1])
    assert world.now_ms - left_ms < 2 * world.timing.suspect_ms + 500
    reached = max(finals(world))
    assert run(world, 2_000, lambda: min(finals(world)) > reached + 5)


def test_a_liar_that_is_always_ahead_moves_views_no_faster_than_the_pauses() -> None:
    """The longest pause is 32 timeouts, and halves in as long a peace."""
    timeout_ms = 300
    world = network(liar=(3, AlwaysAhead), timeout_ms=timeout_ms)
    load(world, 2_000, 60_000)
    run(world, 61_000)
    moved = sorted(causes(world, "fetched back"))
    assert len(moved) >= 4, "it is heard"
    pauses_ms = [b - a for a, b in pairwise(moved)]
    base_ms = 2 * timeout_ms
    assert all(p >= base_ms << i for i, p in zip(range(5), pauses_ms, strict=False)), pauses_ms
    assert all(p >= base_ms << 4 for p in pauses_ms[4:]), pauses_ms
    assert len(world.acknowledged - world.oracles.executed.keys()) == 0


# --- slow leaders


def test_a_leader_just_under_the_timeout_is_replaced() -> None:
    """DESIGN 2, What moves the view (b). Each of its sequences takes 2.4 s of 3."""
    world = network(liar=(0, ProposesLate))
    behaviour = world.node("n0").behaviour
    assert behaviour is not None
    behaviour.rate = 1.0
    load(world, 500, 90_000)
    assert run(world, 90_000, lambda: min(views(world)) >= 1)
    assert 50 < behaviour.acts < 160, "fifty with vertices of each backup"
    assert not causes(world, "timeout")
    load(world, 100, 10_000)
    run(world, 10_000)
    assert max(views(world)) == 1, "the new leader is no slower than it should be"


def test_honest_leaders_on_slow_links_are_not_replaced() -> None:
    world = network()
    for link in world.links.values():
        link.delay_ms, link.jitter_ms = 260, 20
    load(world, 400, 60_000)
    run(world, 60_000)
    assert views(world) == [0, 0, 0, 0]
    assert min(finals(world)) > 60


# --- healing


@pytest.mark.parametrize("halves", [[{"n0", "n1"}, {"n2", "n3"}], [{"n0"}, {"n1"}, {"n2", "n3"}]])
def test_an_hour_of_partition_costs_only_seconds(halves: list[set[str]]) -> None:
    """DESIGN 2, View change."""
    world = network(timing=CALM)
    load(world, 500, 3_000)
    run(world, 3_000)
    world.split(halves)
    for at_ms in (1_000, 1_000_000, 3_500_000):
        for node in world.nodes:
            world.later(at_ms, lambda n=node: world.submit(n, [b"cut off %d" % n.me]))  # type: ignore[misc]
    run(world, 3_600_000)
    reached = max(finals(world))
    world.heal()
    assert run(world, 2_500, lambda: min(finals(world)) > reached)
    assert run(world, 2_500, lambda: not world.acknowledged - world.oracles.executed.keys())


def test_an_hour_of_lost_messages_costs_only_seconds() -> None:
    """Worse than a partition: nobody falls silent, so every view fails and every timeout grows."""
    world = network(timing=CALM)
    load(world, 10_000, 3_600_000)
    for link in world.links.values():
        link.loss = 0.9
    run(world, 3_600_000)
    world.heal()
    lacking = world.acknowledged - world.oracles.executed.keys()
    assert run(world, 20_000, lambda: lacking <= world.oracles.executed.keys())


# --- vertices on nothing


def test_a_flood_of_orphans_does_not_keep_backups_from_voting() -> None:
    """SPEC C3: what an honest leader has ordered of the liar, everybody else can fetch."""
    world = network(liar=(3, FloodsOrphans))
    liar = world.node("n3")
    load(world, 100, 8_000, [liar, world.node("n1")])
    run(world, 10_000)
    assert views(world) == [0, 0, 0]
    assert len(world.acknowledged - world.oracles.executed.keys()) == 0
    assert min(finals(world)) > 20
