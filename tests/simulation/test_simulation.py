"""Whole networks in one thread: seeds that must hold, and what the same seed must give again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import marks
from tests.simulation.byzantine import EVERY
from tests.simulation.faults import KINDS
from tests.simulation.scenario import STEPS_MIN, VIEW_CHANGES_MIN, Scenario, Wish, play

ROOT = Path(__file__).parent.parent.parent
SHORT = 4_000  # core steps; `just simulate seeds=1000` plays seeds of full length
SEEDS = range(1_000, 1_016)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_seed_breaks_a_promise(seed: int) -> None:
    """SPEC C3, C7, C8: agreement, exactly once, durable before sent, and life after healing."""
    outcome = play(seed, Scenario(seed, Wish(steps=SHORT)))
    again = f"just simulate seed={seed} steps={SHORT} trace=yes"
    assert outcome.violation is None, f"{again}: {outcome.violation}"
    assert outcome.sequences > 0


def test_a_seed_of_full_length_is_long_and_eventful() -> None:
    """The plan goes on until enough has happened: no seed is discarded for being dull."""
    outcome = play(0)
    assert outcome.violation is None, f"just simulate seed=0 trace=yes: {outcome.violation}"
    assert outcome.steps >= STEPS_MIN
    assert outcome.view_changes >= VIEW_CHANGES_MIN
    assert outcome.marks.keys() & set(marks.EXPECTED), "marks are taken"


@pytest.mark.parametrize("size", [1, 2])
def test_committees_without_faults_to_spare_settle(size: int) -> None:
    """One or two validators run, too: what crashes comes back."""
    outcome = play(3, Scenario(3, Wish(size=size, steps=1_000, view_changes=0)))
    assert outcome.violation is None, outcome.violation
    assert outcome.sequences > 0


@pytest.mark.parametrize("behaviour", EVERY)
def test_one_liar_of_four_breaks_nothing(behaviour: str) -> None:
    """SPEC C3, B1-B5: safe whatever f validators say, and alive while they go on."""
    wish = Wish(size=4, liars=(behaviour,), steps=SHORT)
    outcome = play(2_000, Scenario(2_000, wish))
    assert outcome.violation is None, outcome.violation


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fault_alone_breaks_nothing(kind: str) -> None:
    """SPEC C3, C8, C10: each fault of the mix, often, and nothing else but deposed leaders."""
    outcome = play(2_001, Scenario(2_001, Wish(size=4, faults=(kind,), steps=SHORT)))
    assert outcome.violation is None, outcome.violation


@pytest.mark.parametrize("seed", [7, 11])
def test_a_seed_is_a_whole_run(seed: int) -> None:
    """The same seed gives the same trace in another process with another hash seed."""
    program = (
        "from tests.simulation.scenario import Scenario, Wish, play; "
        f"print(play({seed}, Scenario({seed}, Wish(steps={SHORT}))).trace_hash)"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(hashes) == 1, hashes
    here = play(seed, Scenario(seed, Wish(steps=SHORT))).trace_hash
    assert here == hashes.pop().strip()
