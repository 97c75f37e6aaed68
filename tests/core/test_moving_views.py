"""What moves the view: timeouts, suspicions, lies and leaders that leave.

The replica is validator 1 of 4 unless a test says otherwise: it leads view 1, and 0 leads view 0.
"""

import pytest

from cretonode.core.effects import Accuse, Finalize, Halt, Persist, Say
from cretonode.core.events import PeerConnected, PeerSilent, StepDown, Tick
from cretonode.core.messages import Prepare, Suspect, ViewChange
from cretonode.core.records import BaseAdopted
from cretonode.identifiers import ValidatorIndex, View
from tests.core.replicas import (
    ROOT,
    TIMING,
    Driven,
    anchor,
    anchors,
    committed,
    committee_of,
    make_replica,
    new_view,
    of,
    persisted,
    plain,
    pre_prepare,
    prepared,
    said,
    suspect,
    view_change,
)
from tests.core.test_views import views_entered

A = anchors(0, 6)
TIMEOUT_MS = TIMING.view_change_timeout_ms


def test_a_vertex_known_but_not_final_for_the_timeout_moves_the_view() -> None:
    """DESIGN 2, What moves the view (a)."""
    tested = make_replica(2)
    tested.wait(1_000)
    tested.hear(plain(3, 1))
    deadline_ms = tested.now_ms + TIMEOUT_MS
    tested.now_ms = deadline_ms - 1
    assert not said(tested.step(Tick()), ViewChange)
    assert tested.replica.views.next_deadline_ms() == deadline_ms
    assert [m.view for m in said(tested.wait(1), ViewChange)] == [1]
    assert views_entered(tested) == [(1, "timeout")]


def test_nothing_to_do_never_times_out() -> None:
    tested = make_replica(2)
    for _ in range(50):
        tested.wait(TIMEOUT_MS)
    assert views_entered(tested) == []


def test_a_vertex_that_became_final_stops_its_timer() -> None:
    tested = make_replica(2)
    tip = plain(3, 1)
    tested.hear(tip)
    tested.wait(TIMEOUT_MS - 10)
    tested.finalize(0, anchor(0, 1, ROOT, tip))
    tested.wait(TIMEOUT_MS)
    assert views_entered(tested) == []


def test_the_vertices_of_a_proven_equivocator_start_no_timer() -> None:
    """DESIGN 2, What moves the view (a)."""
    tested = make_replica(2)
    effects = tested.hear(plain(3, 1), plain(3, 1, transactions=(b"other",)), plain(3, 2))
    assert len(of(effects, Accuse)) == 1
    tested.wait(10 * TIMEOUT_MS)
    assert views_entered(tested) == []


def test_an_opened_view_owes_the_sequence_after_its_base() -> None:
    """A leader that opens its view and then says nothing is left, with no vertex waiting."""
    tested = make_replica(2)
    tested.wait(1)
    tested.hear(new_view(1))
    tested.wait(TIMEOUT_MS - 1)
    assert tested.replica.state.view == 1
    tested.wait(1)
    assert views_entered(tested)[-1] == (2, "timeout")


def test_a_view_change_is_timed_only_once_q_are_in_it() -> None:
    """So that a minority does not run away from the majority (PBFT 4.5.1)."""
    tested = make_replica(3)
    tested.hear_all(view_change(1, 2), view_change(1, 0))
    deadline_ms = tested.now_ms + TIMEOUT_MS
    assert tested.replica.views.next_deadline_ms() == deadline_ms
    alone = make_replica(3)
    alone.hear_all(view_change(1, 2))
    alone.hear_all(prepared(1, A[0]))  # shown to be open, but nobody is known to be in it
    alone.wait(20 * TIMEOUT_MS)
    assert views_entered(alone) == [(1, "certificate")]


def failed_views(tested: Driven, count: int) -> list[int]:
    """Let views fail one after another; return how long each was waited for."""
    lengths = []
    for view in range(1, count + 1):
        tested.hear_all(*(view_change(view, a) for a in range(4) if a != tested.me))
        lengths.append(tested.replica.views.next_deadline_ms() - tested.now_ms)
        tested.now_ms = tested.replica.views.next_deadline_ms()
        tested.do(Tick())
    return lengths


def test_timeouts_grow_to_a_cap_and_decay_on_progress() -> None:
    """DESIGN 2, View change."""
    assert failed_views(make_replica(2), 8) == [TIMEOUT_MS << i for i in (0, 1, 2, 3, 4, 4, 4, 4)]
    tested = make_replica(2)
    failed_views(tested, 2)
    tested.finalize(0, A[0])
    tested.finalize(0, A[1])
    assert tested.replica.views._timeout_ms() == TIMEOUT_MS


def test_views_that_failed_beyond_the_cap_are_not_paid_off_one_by_one() -> None:
    """DESIGN 2: timeouts decay on progress. After a long outage the first progress shows."""
    tested = make_replica(2)
    failed_views(tested, 12)
    tested.finalize(0, A[0])
    assert tested.replica.views._timeout_ms() < TIMEOUT_MS << 4


def test_progress_is_never_the_moment_a_view_fails() -> None:
    """DESIGN 2: timeouts decay on progress. A leader that needed 1.5 timeouts, as it might, has
    just delivered: the shorter timeout must count from the delivery, not from before it."""
    tested = make_replica(2)
    tested.hear(plain(3, 1))
    tested.now_ms += TIMEOUT_MS
    tested.do(Tick())
    tested.hear_all(view_change(1, 1), view_change(1, 3))
    tested.hear(new_view(1))
    entered_ms = tested.replica.views.entered_ms
    other = plain(3, 2, plain(3, 1), ROOT)
    tested.hear(other)
    tested.now_ms = entered_ms + TIMEOUT_MS + TIMEOUT_MS // 2
    tested.step(Tick())
    b1 = anchor(1, 1, ROOT, plain(3, 1))
    effects = tested.hear(b1, committed(1, b1))
    assert of(effects, Finalize)
    assert tested.replica.deadline_ms() > tested.now_ms
    tested.wait(1)
    assert tested.replica.state.view == 1


def test_a_leader_proven_to_equivocate_is_left_at_once() -> None:
    """SPEC C4, B5."""
    tested = make_replica(2)
    other = anchor(0, 9)
    effects = tested.hear(A[0], other, pre_prepare(0, A[0]), pre_prepare(0, other))
    assert [m.view for m in said(effects, ViewChange)] == [1]
    assert views_entered(tested) == [(1, "equivocation")]


def test_an_equivocator_that_opens_a_later_view_is_left_at_once_too() -> None:
    """DESIGN 2, Anchors: if it is a proven equivocator, validators move on at once."""
    tested = make_replica(2)
    tested.hear(plain(1, 1), plain(1, 1, transactions=(b"x",)))
    assert views_entered(tested) == []
    tested.hear(new_view(1))
    assert views_entered(tested) == [(1, "new-view"), (2, "equivocation")]


def test_a_view_that_a_quorum_has_not_reached_is_not_left_whatever_the_cause() -> None:
    """So nobody is more than one view above one that q have entered: docs/spec/models.md, 5."""
    tested = make_replica(2)
    tested.hear(view_change(1, 0))
    assert views_entered(tested) == [(1, "leader left")]
    tested.hear(suspect(0, 1), suspect(3, 1), view_change(2, 1))
    tested.hear(plain(1, 1), plain(1, 1, transactions=(b"x",)))
    tested.wait(20 * TIMEOUT_MS)
    assert tested.replica.state.view == 1, "the leader of view 1 is gone, a liar, and suspected"
    tested.come_back([Say(view_change(1, 2))])
    tested.hear(view_change(1, 3))
    assert tested.replica.state.view == 2, "q left for view 1 or later: 0, 1, 2 and 3"


@pytest.mark.parametrize("cause", ["suspect", "leader left", "equivocation"])
def test_a_view_that_is_not_open_is_left_at_once_when_a_quorum_is_there(cause: str) -> None:
    """A known equivocator or dead leader whose turn it is must not cost a whole timeout."""
    tested = make_replica(2)
    if cause == "equivocation":
        tested.hear(plain(1, 1), plain(1, 1, transactions=(b"x",)))
    tested.hear_all(view_change(1, 0), view_change(1, 3))
    if cause == "suspect":
        tested.do(PeerSilent(ValidatorIndex(1)))
        tested.hear(suspect(3, 1))
    elif cause == "leader left":
        tested.hear(view_change(2, 1))
    assert views_entered(tested)[-1] == (2, cause)


def test_one_that_was_away_adopts_the_highest_certified_view_and_takes_part() -> None:
    """SPEC C9; DESIGN 2: a quorum works in view 6, says a certificate. The new-view opens it."""
    tested = make_replica(2)
    tested.hear(prepared(6, A[0], (0, 1, 3)))
    assert views_entered(tested) == [(6, "certificate")]
    assert not of(tested.everything, Halt)
    base = prepared(5, A[0])
    b2 = anchor(2, 1, A[0])
    effects = tested.hear(new_view(6, base), A[0])
    assert persisted(effects, BaseAdopted) == [BaseAdopted(View(6), base.position)]
    assert tested.replica.state.leads, "it leads view 6"
    other = make_replica(3)
    other.hear(prepared(6, A[0], (0, 1, 3)), new_view(6, base), A[0], b2)
    assert said(other.hear(pre_prepare(6, b2)), Prepare)


def test_a_leader_that_leaves_its_own_view_takes_everybody_along() -> None:
    """DESIGN 2, What moves the view (d)."""
    tested = make_replica(2)
    effects = tested.hear(view_change(1, 0))
    assert [m.view for m in said(effects, ViewChange)] == [1]
    assert views_entered(tested) == [(1, "leader left")]


def test_a_leader_told_to_step_down_gives_its_view_up_and_nobody_else_does() -> None:
    """DESIGN 2, What moves the view (d): operator command, SIGTERM."""
    assert [m.view for m in said(make_replica(0).step(StepDown()), ViewChange)] == [1]
    assert not said(make_replica(2).step(StepDown()), ViewChange)
    lonely = make_replica(0, committee=committee_of(1))
    assert not said(lonely.step(StepDown()), ViewChange), "nobody else could take over"


# --- suspicion


def test_one_who_hears_nothing_of_the_leader_says_so_and_stays() -> None:
    """DESIGN 2, What moves the view (b): one flaky link drags nobody."""
    tested = make_replica(2)
    effects = tested.do(PeerSilent(ValidatorIndex(0)))
    assert [(s.view, s.author) for s in said(effects, Suspect)] == [(0, 2)]
    assert not said(effects, ViewChange)
    assert not of(effects, Persist), "revocable, not journaled"
    assert not said(tested.wait(TIMING.suspect_ms - 1), Suspect)
    assert said(tested.wait(1), Suspect)


def test_two_of_four_who_suspect_the_leader_leave() -> None:
    """min(n - 1, max(2, f + 1)) suspicions."""
    tested = make_replica(2)
    tested.do(PeerSilent(ValidatorIndex(0)))
    effects = tested.hear(suspect(3))
    assert [m.view for m in said(effects, ViewChange)] == [1]
    assert views_entered(tested) == [(1, "suspect")]


def test_a_view_change_counts_as_a_suspicion() -> None:
    tested = make_replica(2)
    tested.hear(suspect(1))
    assert [m.view for m in said(tested.hear(view_change(1, 3)), ViewChange)] == [1]


def test_suspicions_of_other_views_of_the_leader_and_of_long_ago_do_not_count() -> None:
    tested = make_replica(2)
    tested.hear(suspect(3, view=1), suspect(0), suspect(1))
    tested.wait(2 * TIMING.suspect_ms)
    tested.hear(suspect(3))
    assert views_entered(tested) == []
    tested.hear(suspect(1))
    assert views_entered(tested) == [(1, "suspect")]


def test_hearing_the_leader_again_ends_the_suspicion() -> None:
    tested = make_replica(2)
    tested.do(PeerSilent(ValidatorIndex(0)))
    tested.step(PeerConnected(ValidatorIndex(0)))
    assert not said(tested.wait(10 * TIMING.suspect_ms), Suspect)


def test_nobody_is_suspected_but_the_leader() -> None:
    tested = make_replica(2)
    effects = tested.do(PeerSilent(ValidatorIndex(3)))
    assert not said(effects, Suspect)
