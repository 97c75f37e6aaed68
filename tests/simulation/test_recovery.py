"""Recoveries in whole networks: whatever was final anywhere stays, and finality goes on.

Source: docs/spec/durability.md, section 11.
"""

from collections.abc import Callable
from unittest.mock import patch

import pytest

from cretonode.core import recovery_plan
from cretonode.core.committee import quorum_of
from tests.simulation.amnesia import lose_journal
from tests.simulation.nodes import Node
from tests.simulation.recovery import recover
from tests.simulation.scenario import Outcome, Scenario, Wish, play
from tests.simulation.world import World

SHORT = 6_000  # core steps
Recovered = Callable[[World], list[Node]]


def played(seed: int, size: int, *, prepare: Recovered, times: tuple[int, ...]) -> Outcome:
    """Play a seed; at each of `times`, in milliseconds, recover with those that `prepare` gives."""
    wish = Wish(size=size, liars=(), steps=SHORT, view_changes=0, faults=())
    scenario = Scenario(seed, wish)
    scenario.twins, scenario.liars = 0, ()
    scenario.faults.amnesiacs_max = 0
    world = scenario.world

    def act() -> None:
        recover(world, prepare(world))

    for at_ms in times:
        world.later(at_ms, act)
    return play(seed, scenario, traced=True)


def dark(world: World) -> list[Node]:
    """A power cut. Just enough keep their journals; the others lose journal and database."""
    for node in world.nodes:
        if node.replica is not None:
            world.crash(node)
    size = len(world.nodes)
    whole = size - quorum_of(size) + 1
    turned = world.rng.sample(world.nodes, size)
    for node in turned[whole:]:
        lose_journal(world, node, bytes(32), database=True)
    return turned[: max(quorum_of(size), whole)]


def forgetful(world: World) -> list[Node]:
    """All processes are killed, and all journals are gone; the disks are well."""
    for node in world.nodes:
        node.disk.sync()
        lose_journal(world, node, bytes(32))
    return list(world.nodes)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [3, 4, 7])
def test_enough_journals_know_of_all_that_was_final_anywhere(seed: int, size: int) -> None:
    """n - q + 1 of them, in a power cut, whatever the others lost, and twice."""
    outcome = played(seed, size, prepare=dark, times=(700 + 137 * seed, 2_400))
    assert outcome.violation is None, outcome.violation
    assert sum("recovered to incarnation" in line for line in outcome.trace) == 2


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("size", [2, 4, 7])
def test_without_any_journal_what_the_databases_have_final_stays(seed: int, size: int) -> None:
    outcome = played(seed, size, prepare=forgetful, times=(900 + 211 * seed,))
    assert outcome.violation is None, outcome.violation


def test_a_plan_that_leaves_out_what_was_prepared_forks() -> None:
    """The rule is needed: without it, something that was final is ordered anew."""

    def certified_alone(
        stands: object, _held: object, _proposals: object, _history: object
    ) -> tuple[object, tuple[object, ...]]:
        return stands, ()

    with patch.object(recovery_plan, "_highest_prepared", certified_alone):
        assert any(
            played(seed, 4, prepare=dark, times=(700 + 137 * seed, 2_400)).violation is not None
            for seed in range(12)
        )
