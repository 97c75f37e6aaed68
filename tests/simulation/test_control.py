"""The control: with f + 1 adversaries a fork must occur, and what they signed names them all.

It shows that the oracles see a fork when there is one, and that evidence is enough for
accountability: at least f + 1 culprits, and no honest validator among them. Judged are what the
detectors of honest nodes hold once these have exchanged what nodes exchange, and, beside it, all
that they ever heard (`forensics`), which shows what a detector without bounds could know.
"""

import random

from cretonode.core.events import StepDown
from cretonode.core.evidence import check_untrusted
from cretonode.core.state import Timing
from cretonode.identifiers import ValidatorIndex
from tests.simulation.clockwork import START_MS
from tests.simulation.disk import Disk
from tests.simulation.forensics import culprits_of
from tests.simulation.oracles import Oracles
from tests.simulation.scenario import Scenario, Wish, committee_of, play
from tests.simulation.world import World

EXCHANGE_MS = 5_000  # several statuses


def test_a_fork_in_one_view_names_all_who_made_it() -> None:
    """Two of four are played twice: each of the others hears its own instance of both.

    The two are cut off from each other: else each would show the other what proves the lie before
    anything is final.
    """
    world = _world_with_liars(0, 1)
    for liar in (0, 1):
        world.add_node(f"n{liar}b", ValidatorIndex(liar), honest=False)
    world.heard, world.oracles.forks = [], []
    world.split([{"n0", "n1", "n2"}, {"n0b", "n1b", "n3"}])
    for node in world.nodes:
        world.start(node)
    world.submit(world.node("n0"), [b"paid"])
    world.submit(world.node("n0b"), [b"paid to somebody else"])
    assert world.run_until(START_MS + 400, lambda: bool(world.oracles.forks)), "no fork"
    assert not named_by_detectors(world), "each of the two has heard one side alone"
    _exchange(world)
    assert named_by_detectors(world) == {0, 1}
    assert culprits_of(world.committee, world.heard) == {0, 1}


def test_a_fork_across_views_names_all_who_made_it() -> None:
    """Two of four commit with the third, forget it, and open the next view with the fourth.

    No two votes of one view contradict each other: each view-change hides a commit. Who heard the
    commits is shown the new-view that rests on these when it says in which view it is.
    """
    world = _world_with_liars(0, 1)
    world.heard, world.oracles.forks = [], []
    world.split([{"n0", "n1", "n2"}, {"n3"}])
    for node in world.nodes:
        world.start(node)
    world.submit(world.node("n2"), [b"paid"])
    world.run_until(START_MS + 300)
    assert world.oracles.order, "three of four are a quorum"
    for name in ("n0", "n1"):
        liar = world.node(name)
        world.crash(liar)
        liar.disk = Disk(world.committee)
    world.split([{"n0", "n1", "n3"}, {"n2"}])
    for name in ("n0", "n1"):
        liar = world.node(name)
        world.start(liar)
        world.deliver(liar, StepDown())
    world.later(50, world.submit, world.node("n3"), [b"paid again, to somebody else"])
    assert world.run_until(START_MS + 60_000, lambda: bool(world.oracles.forks)), "no fork"
    assert not named_by_detectors(world), "each of the two has heard one side alone"
    _exchange(world)
    assert named_by_detectors(world) == {0, 1}
    assert culprits_of(world.committee, world.heard) == {0, 1}
    alone = {node.name: set(node.replica.detector.evidence) for node in world.nodes if node.replica}
    assert alone == {"n2": {0, 1}, "n3": {0, 1}}, "it is gossiped"


def test_honest_nodes_are_never_culprits() -> None:
    """Whatever one liar of four says, crashes and restarts make nobody else contradict itself."""
    for seed in range(6):
        scenario = Scenario(seed, Wish(size=4, liars=("votes twice",), steps=4_000))
        world = scenario.world
        world.heard = []
        assert play(seed, scenario).violation is None
        assert culprits_of(world.committee, world.heard) <= liars_of(world)
        assert named_by_detectors(world) <= liars_of(world)


def liars_of(world: World) -> set[ValidatorIndex]:
    return {node.me for node in world.nodes if not node.honest}


def named_by_detectors(world: World) -> set[ValidatorIndex]:
    """Return whom honest nodes hold evidence of that would convince anybody."""
    named: set[ValidatorIndex] = set()
    for node in world.nodes:
        if node.honest and node.replica is not None:
            for pieces in node.replica.detector.evidence.values():
                for piece in pieces.values():
                    check_untrusted(piece)
                    named.add(piece.author)
    return named


def _exchange(world: World) -> None:
    """Leave honest nodes among themselves for a while."""
    for node in world.nodes:
        if not node.honest and node.replica is not None:
            world.crash(node)
            node.retired = True
    world.heal()
    world.run_until(world.now_ms + EXCHANGE_MS)


def _world_with_liars(*liars: int) -> World:
    committee = committee_of(4)
    timing = Timing(view_change_timeout_ms=500, slot_interval_ms=20)
    world = World(committee, timing, random.Random(1), Oracles(512))
    for i in range(committee.size):
        world.add_node(f"n{i}", ValidatorIndex(i), honest=i not in liars)
    return world
