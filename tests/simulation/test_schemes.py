"""Schemes bring about what they are for, and honest validators stand it."""

import pytest

from tests.simulation.scenario import Scenario, Wish, play

SHORT = 4_000  # core steps


@pytest.mark.parametrize(
    ("liar", "mark", "known"),
    [
        ("leads slowly", "suspected: slow leader", 3),
        ("base to one", "base: off the final chain", 2),
        ("attests low", "journal lost: rejoined", 2),
    ],
    ids=["a slow leader", "a base of one's own", "an early return"],
)
def test_a_scheme_comes_off_and_does_no_harm(liar: str, mark: str, known: int) -> None:
    """The seed that is known first; others, should it not come off any more."""
    for seed in (known, *range(16)):
        outcome = play(seed, Scenario(seed, Wish(size=4, liars=(liar,), steps=SHORT)))
        assert outcome.violation is None, f"seed {seed}: {outcome.violation}"
        if outcome.acts[liar] and outcome.marks.get(mark):
            return
    pytest.fail(f"{mark}: never within 16 seeds")
