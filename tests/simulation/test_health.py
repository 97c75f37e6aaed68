"""A healed network keeps its own pace, and its checkpoints become stable: SPEC C3, C8."""

import pytest

from tests.simulation.scenario import SPARSE, Scenario, Wish, play

SHORT = 8_000  # core steps


@pytest.mark.parametrize("size", [3, 4, 7])
def test_journals_lost_in_turn_cost_no_pace(size: int) -> None:
    """Nobody's journal knows a stable checkpoint any more; every database does."""
    outcome = play(1, Scenario(1, Wish(size=size, steps=SHORT, in_turn=True)), traced=True)
    assert outcome.violation is None, outcome.violation
    lost = [line for line in outcome.trace if line.endswith("loses its journal")]
    assert len(lost) >= size
    assert outcome.marks["restart: window of the database"] >= size
    assert outcome.sequences > SPARSE.window


@pytest.mark.parametrize("size", [3, 4])
def test_a_network_of_honest_nodes_shows_its_pace(size: int) -> None:
    """Without losses, too, and with as many down as a quorum can spare or fewer."""
    scenario = Scenario(4, Wish(size=size, liars=(), faults=("crash",), steps=2_000))
    scenario.twins, scenario.faults.drifts = 0, False
    outcome = play(4, scenario)
    assert outcome.violation is None, outcome.violation
    assert sum(count for name, count in outcome.marks.items() if name.startswith("kept")) == 1
