"""Two instances with one key: a small enumeration, and proof that it would see a fork."""

from tests.simulation.mutations import MUTATIONS
from tests.simulation.twins import enumerated, parse, sampled, verdict_of


def test_every_plan_of_one_view_holds() -> None:
    """SPEC C3. `just simulate twins=yes` plays all of four views and 10,000 of eight."""
    for case in enumerated(1):
        assert verdict_of(case) is None, f"just simulate twins={case}"


def test_a_sample_of_longer_plans_holds() -> None:
    """SPEC C3, across view changes under changing partitions."""
    for case in sampled(4, 12, seed=1):
        assert verdict_of(case) is None, f"just simulate twins={case}"


def test_twins_catch_a_short_quorum() -> None:
    """An oracle is worth what it catches."""
    with MUTATIONS["quorum one short"].plant():
        assert any(verdict_of(case) is not None for case in enumerated(1))


def test_a_case_is_named_by_what_plays_it_again() -> None:
    """What a failure prints can be given back."""
    case = next(sampled(8, 1, seed=2))
    assert parse(str(case)) == case
