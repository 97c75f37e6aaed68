"""Lost journals in whole networks: everybody finds back, nobody contradicts itself.

Source: docs/spec/durability.md, section 8.
"""

import pytest

from tests.simulation.amnesia import lose_journal
from tests.simulation.clockwork import START_MS
from tests.simulation.scenario import Scenario, Wish, play

SHORT = 8_000  # core steps


def count(trace: tuple[str, ...], words: str) -> int:
    return sum(words in line for line in trace)


@pytest.mark.parametrize("seed", [3, 5, 12])
@pytest.mark.parametrize("size", [3, 4, 7])
def test_one_that_forgot_everything_finds_back(seed: int, size: int) -> None:
    """SPEC C8, with whatever faults the seed draws; nothing of the disk is left."""
    scenario = Scenario(seed, Wish(size=size, liars=(), steps=SHORT))
    scenario.twins = 0
    scenario.faults.crashes_max = scenario.faults.amnesiacs_max = 0
    world = scenario.world

    def lose() -> None:
        victim = world.nodes[seed % size]
        if victim.replica is not None:
            lose_journal(world, victim, bytes([seed]) * 32, database=seed % 2 == 0)
            world.start(victim)
        else:
            world.later(100, lose)

    world.later(1_500, lose)
    outcome = play(seed, scenario, traced=True)
    assert outcome.violation is None, outcome.violation
    assert count(outcome.trace, "loses its journal") >= 1
    back = count(outcome.trace, "is no amnesiac any more")
    assert back == count(outcome.trace, "loses its journal")


@pytest.mark.parametrize("seed", [6, 9, 10])
def test_a_liar_and_one_that_lags_bring_nobody_back_too_early(seed: int) -> None:
    """The schedule that `rejoined on few` does not survive."""
    outcome = play(
        seed, Scenario(seed, Wish(size=4, liars=("attests low",), steps=SHORT)), traced=True
    )
    assert outcome.violation is None, outcome.violation
    assert count(outcome.trace, "loses its journal") >= 1


@pytest.mark.parametrize("seed", range(4))
def test_a_liar_that_asks_without_end_moves_few_views(seed: int) -> None:
    """One after 1 s, then after 2, 4, 8, ... s; a restarted leader begins anew to count."""
    wish = Wish(size=4, liars=("asks to rejoin",), steps=SHORT, view_changes=0)
    scenario = Scenario(seed, wish)
    scenario.faults.deposes = False
    outcome = play(seed, scenario, traced=True)
    assert outcome.violation is None, outcome.violation
    assert outcome.acts["asks to rejoin"] > 200
    restarts = count(outcome.trace, "crashes")
    assert count(outcome.trace, "stepped down") <= 8 + restarts


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_a_site_that_loses_power_at_one_instant_goes_on_by_itself(seed: int) -> None:
    """Every node loses what it had not synced, of journal and database each another part."""
    scenario = Scenario(seed, Wish(size=4, liars=(), steps=SHORT))
    scenario.twins = 0
    world = scenario.world

    def power_cut() -> None:
        up = [node for node in world.nodes if node.replica is not None]
        for node in up:
            world.crash(node)
        for node in up:
            world.later(100, lambda node=node: world.start(node) if node.replica is None else None)

    for at_ms in (1_000, 2_500, 4_000):
        world.later(at_ms, power_cut)
    outcome = play(seed, scenario, traced=True)
    assert outcome.violation is None, outcome.violation
    assert world.now_ms > START_MS + 4_000
