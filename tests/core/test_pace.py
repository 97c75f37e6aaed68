"""A leader that is slow, while the votes are fast, is suspected after fifty sequences of its own.

The replica is validator 2 of 4; a case names who else has vertices.
"""

from cretonode.core.messages import Suspect
from cretonode.core.pace import SEQUENCES_JUDGED, Pace
from cretonode.core.state import Timing
from cretonode.identifiers import SequenceNumber
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


def make_backup() -> Driven:
    wide = committee_of(window=64, interval=32, dedup=64)
    return make_replica(2, committee=wide, timing=Timing(view_change_timeout_ms=SLOW))


def judge(pace: Pace, count: int, *, waited_ms: int | None, votes_ms: int, first: int = 1) -> None:
    for i in range(count):
        sequence = SequenceNumber(first + i)
        pace.on_accepted(sequence, 1_000)
        pace.on_final(
            sequence, 1_000 + votes_ms, own_ms=waited_ms, others_ms=None, limit_ms=LIMIT_MS
        )


def test_fifty_slow_sequences_make_a_slow_leader_and_one_fewer_does_not() -> None:
    """DESIGN 2, What moves the view (b)."""
    pace = Pace()
    judge(pace, SEQUENCES_JUDGED - 1, waited_ms=501, votes_ms=20)
    assert not pace.slow
    judge(pace, 1, waited_ms=501, votes_ms=20, first=SEQUENCES_JUDGED)
    assert pace.slow
    judge(pace, 26, waited_ms=100, votes_ms=20, first=100)
    assert not pace.slow, "the median counts, over the newest fifty"


def test_a_slow_network_is_not_the_leaders_fault() -> None:
    """DESIGN 2: while links are healthy. The votes of a slot do not depend on the leader."""
    pace = Pace()
    judge(pace, 3 * SEQUENCES_JUDGED, waited_ms=2_000, votes_ms=251)
    assert not pace.slow


def test_sequences_that_kept_nobody_waiting_or_came_late_do_not_count() -> None:
    pace = Pace()
    judge(pace, 10 * SEQUENCES_JUDGED, waited_ms=None, votes_ms=20)
    for sequence in range(1_000, 2_000):  # fetched, not voted on
        pace.on_final(SequenceNumber(sequence), 0, own_ms=9_999, others_ms=9_999, limit_ms=LIMIT_MS)
    judge(pace, SEQUENCES_JUDGED - 1, waited_ms=501, votes_ms=20)
    assert not pace.slow


def test_the_next_leader_gets_its_own_fifty_and_more_after_each_slow_one() -> None:
    """So that a limit that no leader can keep costs little."""
    pace = Pace()
    needed = []
    for _ in range(7):
        count = 0
        while not pace.slow:
            count += 1
            judge(pace, 1, waited_ms=501, votes_ms=20, first=count)
        needed.append(count // SEQUENCES_JUDGED)
        pace.begin_view()
    assert needed == [1, 2, 4, 8, 16, 16, 16]
    judge(pace, SEQUENCES_JUDGED, waited_ms=100, votes_ms=20)
    pace.begin_view()
    judge(pace, SEQUENCES_JUDGED, waited_ms=501, votes_ms=20)
    assert pace.slow, "a good leader ends the row"


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
