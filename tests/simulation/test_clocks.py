"""Clocks that are far off, and put right: what stops, what goes on, and what is said about it."""

from typing import Final

from cretonode.limits import TIMESTAMP_DRIFT_MS_MAX
from tests.simulation.test_views import finals, load, network, run, views
from tests.simulation.world import World

DAY_MS: Final = 86_400_000


def restarted(world: World, ahead_ms: dict[str, int]) -> None:
    """Start every node again, some with another clock: a node reads the wall clock at start."""
    for node in world.nodes:
        world.crash(node)
    for node in world.nodes:
        node.ahead_ms = ahead_ms.get(node.name, node.ahead_ms)
    for node in world.nodes:
        world.start(node)


def test_a_network_whose_clocks_were_a_day_ahead_goes_on_when_they_are_right() -> None:
    """No anchor may go back behind the one before, so the chain is a day ahead of everybody."""
    world = network()
    names = [node.name for node in world.nodes]
    restarted(world, dict.fromkeys(names, DAY_MS))
    load(world, 100, 3_000)
    assert run(world, 5_000, lambda: min(finals(world)) > 10)
    restarted(world, dict.fromkeys(names, 0))
    before, reached = views(world), max(finals(world))
    load(world, 100, 3_000)
    assert run(world, 5_000, lambda: min(finals(world)) > reached + 10)
    assert views(world) == before, "no leader is to blame"
    for node in world.nodes:
        assert node.replica is not None
        assert node.replica.state.chain.final.timestamp_ms > world.now_ms + DAY_MS - 10_000
        assert not node.replica.ordering.untimely


def test_two_clocks_that_no_quorum_shares_stop_finality_and_are_named() -> None:
    """SPEC C10: nothing is final, everybody knows whose clock differs, and by how much."""
    world = network()
    ahead_ms = 2 * TIMESTAMP_DRIFT_MS_MAX
    restarted(world, {"n2": ahead_ms, "n3": ahead_ms})
    load(world, 100, 30_000)
    assert not run(world, 30_000, lambda: max(finals(world)) > 0)
    for node in world.nodes:
        assert node.replica is not None
        seen = node.replica.ordering.untimely
        assert seen, "some leader of the other clock has proposed meanwhile"
        own = node.name in ("n2", "n3")
        for leader, found in seen.items():
            assert (leader in (2, 3)) != own
            differs_ms = -ahead_ms if own else ahead_ms
            assert abs(found.ahead_ms - differs_ms) < 10_000
    restarted(world, {"n2": 0, "n3": 0})
    load(world, 100, 3_000)
    assert run(world, 20_000, lambda: not world.acknowledged - world.oracles.executed.keys())
    assert min(finals(world)) > 0
