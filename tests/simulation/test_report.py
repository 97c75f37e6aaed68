"""What a run of seeds reports, and when it fails although no seed shows a violation."""

import pytest

from tests.simulation import marks, real_world
from tests.simulation.__main__ import LONG, command_of, main, report
from tests.simulation.byzantine import EVERY
from tests.simulation.gate import names_like
from tests.simulation.mutations import MUTATIONS
from tests.simulation.options import parse
from tests.simulation.scenario import STEPS_MIN, VIEW_CHANGES_MIN, Outcome


def test_a_run_that_ran_into_everything_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """Figures are printed, a line each."""
    assert not report([outcome(seed) for seed in range(LONG)], 60.0, steps=STEPS_MIN)
    assert "core steps    20000000, 333333 per second" in capsys.readouterr().out


def test_a_long_run_fails_for_a_mark_that_never_fired(capsys: pytest.CaptureFixture[str]) -> None:
    """And names it."""
    silent = marks.EXPECTED[3]
    seeds = [outcome(seed, without=silent) for seed in range(LONG)]
    assert report(seeds, 60.0, steps=STEPS_MIN)
    assert f"FAILED: never fired: {silent}" in capsys.readouterr().out


def test_a_long_run_fails_for_a_liar_that_never_lied(capsys: pytest.CaptureFixture[str]) -> None:
    """And names it."""
    seeds = [outcome(seed, without="two bases") for seed in range(LONG)]
    assert report(seeds, 60.0, steps=STEPS_MIN)
    assert "FAILED: never acted: two bases" in capsys.readouterr().out


def test_a_run_fails_for_a_seed_that_was_too_short(capsys: pytest.CaptureFixture[str]) -> None:
    """A seed has to be long and eventful by its plan, and this is where it shows when not."""
    assert report([outcome(5, steps=STEPS_MIN - 1)], 1.0, steps=STEPS_MIN)
    assert "seeds [5]" in capsys.readouterr().out


def test_a_violation_names_what_plays_it_again() -> None:
    """Length belongs to the run, so it belongs to the command."""
    assert command_of(17, STEPS_MIN) == "just simulate seed=17 trace=yes"
    assert command_of(17, 500) == "just simulate seed=17 steps=500 trace=yes"


def test_planted_bugs_are_chosen_by_how_their_names_begin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Quoted, or with dashes for the spaces; what names nothing is refused, not passed."""
    assert names_like("two bases") == names_like("two-bases") == ["two bases"]
    assert names_like("new-view one") == ["new-view one short"]
    assert names_like("") == list(MUTATIONS)
    assert main(["mutations=yes", "only=two basis"]) == 2
    assert "no planted bug begins with 'two basis'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seeds=0"], "seeds is '0'; expected 1 to 1000000, a whole number"),
        (["seeds=many"], "seeds is 'many'; expected 1 to"),
        (["seed=-1"], "seed is '-1'; expected 0 to"),
        (["seed=3", "seeds=10"], "expected either"),
        (["seeds=3", "seeds=4"], "seeds is given twice"),
        (["workers=0"], "workers is '0'; expected 1 to 256"),
        (["mutations=true"], "mutations is 'true'; expected yes or no"),
        (["sedes=3"], "unknown: sedes; allowed: seeds, first, seed,"),
        (["1000"], "'1000' is no key=value"),
        (["twins=yes", "mutations=yes"], "mutations and twins are plays of their own"),
        (["twins=2"], "twins is '2'; expected yes, or a case like 2:15,3,0,5"),
        (["twins=4:1"], "(0 to 3)"),
        (["twins=0:16"], "(0 to 15)"),
    ],
)
def test_what_cannot_be_played_is_named_with_what_is_allowed(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_what_is_not_said_depends_on_what_is_played() -> None:
    plain, disks, one = parse([]), parse(["disks=yes"]), parse(["seed=7", "trace=yes"])
    assert (plain.seeds, plain.steps) == (range(200), STEPS_MIN)
    assert (disks.seeds, disks.steps) == (range(20), real_world.STEPS_MIN)
    assert (one.seeds, one.is_one, one.traced) == (range(7, 8), True, True)
    assert parse(["first=5", "seeds=2", "steps=9"]).seeds == range(5, 7)


def outcome(seed: int, *, steps: int = STEPS_MIN, without: str = "") -> Outcome:
    """Return what a seed did that ran into everything but one thing."""
    return Outcome(
        seed=seed,
        violation=None,
        is_finding=False,
        steps=steps,
        simulated_ms=1_000,
        sequences=10,
        transactions=10,
        view_changes=VIEW_CHANGES_MIN,
        cpu_s=0.5,
        trace_hash="",
        trace=(),
        acts={name: 1 for name in EVERY if name != without},
        marks={name: 1 for name in marks.EXPECTED if name != without},
    )
