"""Reputation: what bans and what does not, for how long, and never into a stall."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.core.reputation import (
    BANNED_BELOW,
    COSTS,
    SCORE_MAX,
    BannedBy,
    Noted,
    Reputation,
    Violation,
)
from cretonode.errors import ClientError
from cretonode.identifiers import ValidatorIndex
from cretonode.limits import REASON_CHARACTERS_MAX, VIOLATIONS_PER_AUTHOR_MAX

NOW_MS = 1_700_000_000_000
WINDOW_MS = 600_000
BAN_MS = 3_600_000
ME, ONE, TWO, THREE = map(ValidatorIndex, range(4))


def reputation(*, size: int = 4, faults: int = 1) -> Reputation:
    return Reputation(size=size, faults=faults, me=ME, window_ms=WINDOW_MS, ban_ms=BAN_MS)


def noted(
    violation: Violation, author: ValidatorIndex = ONE, *, at_ms: int = NOW_MS, detail: str = "x"
) -> Noted:
    return Noted(at_ms=at_ms, author=author, violation=violation, detail=detail)


def test_everybody_begins_with_the_best_score() -> None:
    assert reputation().score(ONE, NOW_MS) == SCORE_MAX
    assert reputation().standings(NOW_MS) == ()


@pytest.mark.parametrize("violation", Violation)
def test_each_type_lowers_the_score_by_its_cost(violation: Violation) -> None:
    judged = reputation()
    judged.note(noted(violation))
    assert judged.score(ONE, NOW_MS) == SCORE_MAX - COSTS[violation]
    assert judged.score(TWO, NOW_MS) == SCORE_MAX
    assert judged.counts[violation] == 1


def test_the_score_recovers_little_by_little_within_the_window() -> None:
    judged = reputation()
    judged.note(noted(Violation.INVALID_SIGNATURE))
    scores = [judged.score(ONE, NOW_MS + WINDOW_MS * part // 4) for part in range(5)]
    assert scores == [700, 775, 850, 925, 1000]


def test_a_proven_equivocation_bans_at_once() -> None:
    judged = reputation()
    ban = judged.note(noted(Violation.EQUIVOCATION, detail="two vertices with index 7"))
    assert ban is not None
    assert ban.reason == "equivocation: two vertices with index 7"
    assert (ban.since_ms, ban.until_ms, ban.by) == (NOW_MS, NOW_MS + BAN_MS, BannedBy.DETECTOR)
    assert list(judged.banned(NOW_MS)) == [ONE]


def test_a_single_fault_of_the_channel_bans_nobody_and_more_of_them_do() -> None:
    judged = reputation()
    bans = [judged.note(noted(Violation.MALFORMED)) for _ in range(3)]
    assert [ban is not None for ban in bans] == [False, False, True]


def test_timeouts_alone_never_reach_the_threshold() -> None:
    """SPEC B3."""
    judged = reputation()
    for _ in range(1_000):
        assert judged.note(noted(Violation.TIMEOUT)) is None
    assert judged.score(ONE, NOW_MS) == BANNED_BELOW
    assert judged.standings(NOW_MS) == ()


def test_timeouts_do_not_help_another_fault_to_ban() -> None:
    judged = reputation()
    for _ in range(60):
        judged.note(noted(Violation.TIMEOUT))
    assert judged.note(noted(Violation.MALFORMED)) is None
    assert judged.score(ONE, NOW_MS) == BANNED_BELOW


def test_a_ban_runs_out_and_the_validator_begins_afresh() -> None:
    judged = reputation()
    judged.note(noted(Violation.EQUIVOCATION))
    assert judged.banned(NOW_MS + BAN_MS - 1)
    assert not judged.banned(NOW_MS + BAN_MS)
    assert judged.expire(NOW_MS + BAN_MS) == [ONE]
    assert judged.expire(NOW_MS + BAN_MS) == []
    assert judged.score(ONE, NOW_MS + BAN_MS) == SCORE_MAX
    assert len(judged.log[ONE]) == 1, "the log remembers"


def test_what_was_before_a_ban_does_not_ban_again() -> None:
    judged = Reputation(size=4, faults=1, me=ME, window_ms=10 * BAN_MS, ban_ms=BAN_MS)
    judged.note(noted(Violation.EQUIVOCATION))
    judged.expire(NOW_MS + BAN_MS)
    assert judged.note(noted(Violation.REPLAY, at_ms=NOW_MS + BAN_MS + 1)) is None


def test_each_further_ban_lasts_twice_as_long_up_to_a_bound() -> None:
    judged = reputation()
    now_ms = NOW_MS
    lasted = []
    for _ in range(8):
        ban = judged.note(noted(Violation.EQUIVOCATION, at_ms=now_ms))
        assert ban is not None
        assert ban.until_ms is not None
        lasted.append((ban.until_ms - ban.since_ms) // BAN_MS)
        now_ms = ban.until_ms + 1
        judged.expire(now_ms)
    assert lasted == [1, 2, 4, 8, 16, 32, 32, 32]


def test_no_second_ban_while_one_stands() -> None:
    judged = reputation()
    assert judged.note(noted(Violation.EQUIVOCATION)) is not None
    assert judged.note(noted(Violation.EQUIVOCATION, at_ms=NOW_MS + 5)) is None
    (standing,) = judged.standings(NOW_MS + 5)
    assert standing.ban.since_ms == NOW_MS


def test_with_more_than_f_banned_the_newest_are_warnings() -> None:
    """SPEC B3: a node never bans itself into a stall."""
    judged = reputation()
    judged.note(noted(Violation.EQUIVOCATION, TWO))
    judged.note(noted(Violation.EQUIVOCATION, ONE, at_ms=NOW_MS + 1))
    assert [(s.ban.validator, s.in_force) for s in judged.standings(NOW_MS + 1)] == [
        (TWO, True),
        (ONE, False),
    ]
    judged.remove(TWO, NOW_MS + 2)
    assert list(judged.banned(NOW_MS + 2)) == [ONE], "the warning takes the room"


def test_where_one_crash_is_survived_and_no_liar_nobody_is_banned() -> None:
    judged = reputation(size=3, faults=0)
    judged.note(noted(Violation.EQUIVOCATION))
    assert judged.banned(NOW_MS) == {}
    assert len(judged.standings(NOW_MS)) == 1


def test_a_node_never_bans_itself() -> None:
    judged = reputation()
    assert judged.note(noted(Violation.EQUIVOCATION, ME)) is None
    with pytest.raises(ClientError, match="cannot ban itself"):
        judged.add(ME, reason="x", lasts_ms=None, now_ms=NOW_MS)


def test_an_operator_bans_and_takes_it_back() -> None:
    judged = reputation()
    ban = judged.add(ONE, reason="leaked key", lasts_ms=None, now_ms=NOW_MS)
    assert (ban.until_ms, ban.by) == (None, BannedBy.OPERATOR)
    assert list(judged.banned(NOW_MS + 10**12)) == [ONE]
    judged.remove(ONE, NOW_MS + 5)
    assert judged.banned(NOW_MS + 5) == {}
    with pytest.raises(ClientError, match="is not banned"):
        judged.remove(ONE, NOW_MS + 5)


def test_an_operator_cannot_ban_past_the_guard() -> None:
    """Operator bans count toward f (DESIGN 2, Detector and accountability)."""
    judged = reputation()
    judged.add(ONE, reason="x", lasts_ms=1_000, now_ms=NOW_MS)
    with pytest.raises(ClientError, match=r"at most 1 can be banned; banned now: 1\. Take one"):
        judged.add(TWO, reason="x", lasts_ms=None, now_ms=NOW_MS + 1)
    judged.add(ONE, reason="longer", lasts_ms=None, now_ms=NOW_MS + 2)
    assert judged.bans[ONE].until_ms is None
    judged.note(noted(Violation.EQUIVOCATION, TWO, at_ms=NOW_MS + 3))
    assert list(judged.banned(NOW_MS + 3)) == [ONE]


def test_an_operator_s_pardon_clears_the_score() -> None:
    judged = reputation()
    judged.note(noted(Violation.EQUIVOCATION))
    judged.remove(ONE, NOW_MS + 1)
    assert judged.score(ONE, NOW_MS + 1) == SCORE_MAX


@given(
    st.lists(
        st.tuples(st.sampled_from(Violation), st.integers(0, 6), st.integers(0, 2 * WINDOW_MS)),
        max_size=400,
    ),
    st.sampled_from([(1, 0), (3, 0), (4, 1), (7, 2)]),
)
@settings(max_examples=60, deadline=None)
def test_whatever_happens_at_most_f_others_are_banned_and_everything_stays_small(
    events: list[tuple[Violation, int, int]], numbers: tuple[int, int]
) -> None:
    size, faults = numbers
    judged = reputation(size=size, faults=faults)
    now_ms = NOW_MS
    for violation, author, later_ms in events:
        now_ms += later_ms
        index = ValidatorIndex(author % size)
        judged.expire(now_ms)
        judged.note(noted(violation, index, at_ms=now_ms, detail="d" * 1_000))
        banned = judged.banned(now_ms)
        assert len(banned) <= faults
        assert ME not in banned
        assert 0 <= judged.score(index, now_ms) <= SCORE_MAX
        assert len(judged.log[index]) <= VIOLATIONS_PER_AUTHOR_MAX
        assert len(judged.log[index][-1].detail) == REASON_CHARACTERS_MAX
    assert judged.counts.total() == len(events)
