"""A leader that is slow, while the votes are fast, is suspected after fifty sequences of its own.

The replica is validator 2 of 4; a case names who else has vertices.
"""

from collections.abc import Callable

import pytest

from cretonode.core.messages import Suspect
from cretonode.core.pace import REST_MS, SEQUENCES_GOOD, SEQUENCES_JUDGED, Pace
from cretonode.core.state import Timing
from cretonode.identifiers import SequenceNumber, ValidatorIndex, View
from tests.core.replicas import (
    Driven,
    anchor,
    batch_of,
    brief,
    committed,
    committee_of,
    make_replica,
    new_view,
    plain,
    pre_prepare,
    said,
    suspect,
)

LIMIT_MS = 500
SLOW = 10**9  # a timeout that does not matter here
RELAYED_MS = 1_500


def make_backup() -> Driven:
    wide = committee_of(window=64, interval=32, dedup=64)
    return make_replica(2, committee=wide, timing=Timing(view_change_timeout_ms=SLOW))


def make_pace() -> Pace:
    return Pace(committee_of(), ValidatorIndex(3), View(0))


def judge(pace: Pace, count: int, *, waited_ms: int | None, votes_ms: int, first: int = 1) -> None:
    for i in range(count):
        sequence = SequenceNumber(first + i)
        pace.on_accepted(sequence, 1_000)
        pace.on_final(
            sequence, 1_000 + votes_ms, own_ms=waited_ms, others_ms=None, limit_ms=LIMIT_MS
        )


def test_fifty_slow_sequences_make_a_slow_leader_and_one_fewer_does_not() -> None:
    """DESIGN 2, What moves the view (b)."""
    pace = make_pace()
    judge(pace, SEQUENCES_JUDGED - 1, waited_ms=501, votes_ms=20)
    assert not pace.slow
    judge(pace, 1, waited_ms=501, votes_ms=20, first=SEQUENCES_JUDGED)
    assert pace.slow
    judge(pace, 26, waited_ms=100, votes_ms=20, first=100)
    assert not pace.slow, "the median counts, over the newest fifty"


def test_a_slow_network_is_not_the_leaders_fault() -> None:
    """DESIGN 2: while links are healthy. The votes of a slot do not depend on the leader."""
    pace = make_pace()
    judge(pace, 3 * SEQUENCES_JUDGED, waited_ms=2_000, votes_ms=251)
    assert not pace.slow


def test_sequences_that_kept_nobody_waiting_or_came_late_do_not_count() -> None:
    pace = make_pace()
    judge(pace, 10 * SEQUENCES_JUDGED, waited_ms=None, votes_ms=20)
    for sequence in range(1_000, 2_000):  # fetched, not voted on
        pace.on_final(SequenceNumber(sequence), 0, own_ms=9_999, others_ms=9_999, limit_ms=LIMIT_MS)
    judge(pace, SEQUENCES_JUDGED - 1, waited_ms=501, votes_ms=20)
    assert not pace.slow


# --- several leaders


Waits = Callable[[int, int], int | None]  # of a leader and a sequence; None: it does nothing


def rotate(waits: Waits, sequences: int, *, size: int = 4, slot_ms: int = 100) -> list[int]:
    """Play a network in which views move only when enough find the leader slow, or it does nothing;
    return in which view each sequence became final.
    """
    committee = committee_of(size)
    paces = [Pace(committee, ValidatorIndex(me), View(0)) for me in range(size)]
    view, now_ms, views = 0, 0, []
    for sequence in range(1, sequences + 1):
        now_ms += slot_ms
        while (waited_ms := waits(view % size, sequence)) is None:
            view += 1
            for pace in paces:
                pace.begin_view(View(view), now_ms)
        for pace in paces:
            pace.on_accepted(SequenceNumber(sequence), now_ms - 20)
            pace.on_final(
                SequenceNumber(sequence),
                now_ms,
                own_ms=waited_ms,
                others_ms=waited_ms - RELAYED_MS,
                limit_ms=LIMIT_MS,
            )
        views.append(view)
        doubters = [p for p in paces if p.slow and p.me != view % size]
        if len(doubters) >= max(2, committee.faults + 1):
            view += 1
            for pace in paces:
                pace.begin_view(View(view), now_ms)
    return views


def test_a_single_slow_leader_is_replaced_and_the_next_one_stays() -> None:
    views = rotate(lambda leader, _: 900 if leader == 0 else 100, 2_000)
    assert views[SEQUENCES_JUDGED] == 1
    assert views[-1] == 1


def test_each_leader_gets_its_own_fifty() -> None:
    views = rotate(lambda leader, _: 900 if leader < 3 else 100, 1_000)
    assert [views.index(v) for v in range(4)] == [i * SEQUENCES_JUDGED for i in range(4)]
    assert views[-1] == 3


@pytest.mark.parametrize("size", [3, 4, 7, 31])
def test_when_all_are_equally_slow_there_is_one_round_of_changes_and_then_rest(size: int) -> None:
    """Overload: every change makes it slower still."""
    round_of = SEQUENCES_JUDGED * size
    views = rotate(lambda *_: 900, round_of + 500, size=size)
    assert views[-1] == views[round_of] == size - 1


def test_rests_grow_while_all_stay_slow() -> None:
    """At most a round of changes after each rest, and rests double: 20 minutes of overload."""
    views = rotate(lambda *_: 900, 20 * 600)
    assert views[-1] <= 5 * 4
    longest = max(views.count(view) for view in set(views))
    assert longest * 100 >= 4 * REST_MS


def test_the_rest_comes_with_dead_leaders_too() -> None:
    """A view that nobody opens says nothing of the pace, but its leader has had its turn."""
    views = rotate(lambda leader, _: None if leader == 2 else 900, 700)
    assert views[-1] == views[3 * SEQUENCES_JUDGED] == 3


def test_the_fastest_of_slow_leaders_is_kept() -> None:
    views = rotate(lambda leader, _: 700 if leader == 1 else 1_500, 700)
    assert views[-1] % 4 == 1
    assert views[-1] <= 5


def test_a_liar_that_is_much_slower_than_the_others_is_replaced_even_then() -> None:
    """It is the last of the round: that it comes when the others rest must not help it."""
    views = rotate(lambda leader, _: 5_000 if leader == 3 else 900, 700)
    assert views[-1] == 4


def test_the_limit_falls_back_when_a_leader_keeps_it() -> None:
    """A liar cannot live on an overload that is over."""

    def waits(leader: int, sequence: int) -> int:
        overloaded = sequence <= 600
        return 900 if overloaded or leader == 0 else 100

    views = rotate(waits, 1_200)
    assert views[599] == 3
    views = rotate(lambda leader, s: 900 if s <= 150 else waits(leader, s + 450), 2_000)
    assert views[-1] == 3, "the leader of that moment is good"
    views = rotate(lambda leader, s: waits(leader, s) if leader != 3 or s <= 600 else 900, 1_400)
    assert views[-1] % 4 == 1, "one that is still slow is left when the rest is over"


def test_a_limit_that_is_now_kept_and_now_missed_moves_few_views() -> None:
    """Waits that swing around the limit every fifty sequences, whoever leads."""
    views = rotate(lambda _, s: 600 if s // SEQUENCES_JUDGED % 2 else 400, 6_000)
    assert views[-1] <= 3 * 4


def test_what_the_own_lead_looks_like_ends_no_row() -> None:
    """A leader does not judge itself: of others' vertices it takes off what relaying takes."""
    pace = Pace(committee_of(), ValidatorIndex(1), View(1))
    judge(pace, 3 * SEQUENCES_JUDGED, waited_ms=9_000, votes_ms=20)
    assert not pace.slow


def test_a_slow_network_does_not_make_a_good_leader() -> None:
    pace = make_pace()
    judge(pace, SEQUENCES_JUDGED, waited_ms=900, votes_ms=20)
    for view in (1, 2):
        assert pace.slow
        pace.begin_view(View(view), 1_000)
        judge(pace, 3 * SEQUENCES_GOOD, waited_ms=100, votes_ms=400, first=1_000)
        judge(pace, SEQUENCES_JUDGED, waited_ms=900, votes_ms=20, first=5_000)
    pace.begin_view(View(3), 1_000)
    judge(pace, SEQUENCES_JUDGED, waited_ms=900, votes_ms=20)
    assert not pace.slow, "the row went on: all have had their turn"


def lead_slowly(tested: Driven, count: int, delay_ms: int, *, author: int | None = None) -> int:
    """Play a leader that lets each vertex wait; return how often this replica says Suspect."""
    top = tested.replica.state.chain.final
    for i in range(1, count + 1):
        if author is None:
            tested.do(batch_of(b"tx%d" % i))
            newest = tested.replica.proposer.newest
            assert newest is not None
            tip = tested.replica.state.graph.admitted[newest]
        else:
            made = plain(author, i, *([tip] if i > 1 else []), top, timestamp_ms=0)
            tested.hear(made)
            tip = brief(made)
        tested.wait(delay_ms)
        a = anchor(0, i, top, tip, timestamp_ms=tested.now_ms)
        tested.hear_all(a, pre_prepare(0, a), committed(0, a))
        top = tested.replica.state.chain.final
    return len(said(tested.everything, Suspect))


def test_a_leader_that_lets_own_vertices_wait_is_suspected() -> None:
    assert lead_slowly(make_backup(), SEQUENCES_JUDGED + 1, 501) > 0
    assert lead_slowly(make_backup(), SEQUENCES_JUDGED + 1, 499) == 0


def test_for_vertices_of_others_it_gets_the_time_that_relaying_takes() -> None:
    """Their author may not have sent them to the leader, to have it suspected."""
    assert lead_slowly(make_backup(), SEQUENCES_JUDGED + 1, 2_001, author=3) > 0
    assert lead_slowly(make_backup(), SEQUENCES_JUDGED + 1, 1_999, author=3) == 0


def test_enough_who_find_the_leader_slow_replace_it_and_the_new_one_starts_afresh() -> None:
    tested = make_backup()
    lead_slowly(tested, SEQUENCES_JUDGED + 1, 501)
    tested.hear(suspect(3))
    assert tested.replica.state.view == 1
    tested.hear(new_view(1))
    assert not tested.replica.views.own_suspect()
