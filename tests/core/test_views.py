"""Leaving a view, proving that enough left, opening the next one on one base.

The replica is validator 1 of 4 unless a test says otherwise: it leads view 1, and 0 leads view 0.
"""

import pytest

from cretonode.core.effects import Accuse, Entered, Finalize, Halt, Persist
from cretonode.core.events import Tick
from cretonode.core.messages import NewView, Prepare, PrePrepare, ViewChange, genesis_position
from cretonode.core.records import (
    BaseAdopted,
    HighCertificate,
    SaidNewView,
    SaidViewChange,
    ViewEntered,
    fold,
)
from cretonode.core.state import Restored, Timing
from cretonode.identifiers import ValidatorIndex, View
from tests.core.replicas import (
    GENESIS,
    ROOT,
    Driven,
    anchor,
    anchors,
    batch_of,
    committed,
    committee_of,
    make_replica,
    named,
    new_view,
    of,
    persisted,
    place_of_record,
    place_of_word,
    pre_prepare,
    prepared,
    said,
    signed,
    view_change,
    words_of,
)

A = anchors(0, 6)


def views_entered(tested: Driven) -> list[tuple[int, str]]:
    return [(effect.view, effect.cause) for effect in of(tested.everything, Entered)]


# --- leaving


def test_leaving_a_view_is_journaled_and_reports_the_highest_certificate() -> None:
    """DESIGN 2, View change; Enter in ChainedPBFT.tla."""
    tested = make_replica()
    tested.hear(prepared(0, A[1]))
    effects = tested.hear(view_change(1, 2), view_change(1, 3))
    (message,) = said(effects, ViewChange)
    assert (message.view, message.author) == (1, 1)
    assert (message.high, message.certificate) == (prepared(0, A[1]).position, prepared(0, A[1]))
    assert persisted(effects, ViewEntered) == [ViewEntered(View(1))]
    assert persisted(effects, SaidViewChange) == [SaidViewChange(message)]
    assert place_of_record(effects, ViewEntered) < place_of_word(effects, ViewChange)
    assert place_of_record(effects, SaidViewChange) < place_of_word(effects, ViewChange)


def test_a_replica_without_any_certificate_reports_genesis() -> None:
    """DESIGN 2: genesis ranks below all and needs no certificate."""
    tested = make_replica()
    (message,) = said(tested.hear(view_change(1, 2), view_change(1, 3)), ViewChange)
    assert (message.high, message.certificate) == (genesis_position(GENESIS), None)


def test_one_more_than_f_pull_a_replica_along_and_f_do_not() -> None:
    """SPEC C4: f+1 view-changes for a higher view; at least one of them is honest."""
    tested = make_replica()
    assert not said(tested.hear(view_change(6, 2)), ViewChange)
    assert [m.view for m in said(tested.hear(view_change(4, 3)), ViewChange)] == [4]
    assert views_entered(tested) == [(4, "joined")]


def test_it_joins_the_view_that_f_plus_one_have_reached() -> None:
    """DESIGN 2: the (f+1)-th highest view; of 7 validators the third highest."""
    tested = make_replica(committee=committee_of(7))
    tested.hear(view_change(9, 2), view_change(4, 3))
    effects = tested.hear(view_change(6, 5))
    assert [m.view for m in said(effects, ViewChange)] == [4]


def test_one_validator_cannot_be_counted_twice() -> None:
    tested = make_replica()
    tested.hear(view_change(1, 2), view_change(2, 2), view_change(3, 2), view_change(3, 2))
    assert views_entered(tested) == []


def test_two_view_changes_of_one_author_for_one_view_are_evidence() -> None:
    """DESIGN 2, Detector."""
    tested = make_replica()
    one, two = view_change(2, 3), view_change(2, 3, prepared(0, A[0]))
    assert of(tested.hear(one, one, two), Accuse) == [Accuse(ValidatorIndex(3), one, two)]
    assert of(tested.hear(view_change(1, 3)), Accuse) == [], "an older one is only late"


# --- opening


def test_the_leader_opens_the_view_on_the_highest_position_of_q_view_changes() -> None:
    """DESIGN 2, View change; Bases in ChainedPBFT.tla."""
    tested = make_replica()
    tested.hear_all(view_change(1, 2, prepared(0, A[1])))
    effects = tested.hear_all(view_change(1, 3, prepared(0, A[0])))
    (message,) = said(effects, NewView)
    assert message.view == 1
    assert message.base == prepared(0, A[1]).position
    assert message.certificate == prepared(0, A[1])
    assert [(vote.author, vote.high) for vote in message.timeouts] == [
        (1, genesis_position(GENESIS)),
        (2, prepared(0, A[1]).position),
        (3, prepared(0, A[0]).position),
    ]
    assert persisted(effects, SaidNewView) == [SaidNewView(message)]
    assert place_of_record(effects, SaidNewView) < place_of_word(effects, NewView)
    assert persisted(effects, BaseAdopted) == [BaseAdopted(View(1), message.base)]


def test_the_leader_adopts_its_new_view_only_when_it_comes_back() -> None:
    """SPEC C8."""
    tested = make_replica()
    own = said(tested.hear(view_change(1, 2), view_change(1, 3)), ViewChange)
    effects = tested.hear(*map(signed, own))
    (message,) = said(effects, NewView)
    assert tested.replica.state.base is None
    assert not persisted(effects, BaseAdopted)
    effects = tested.hear(signed(message))
    assert persisted(effects, BaseAdopted) == [BaseAdopted(View(1), message.base)]


def test_view_changes_for_other_views_do_not_add_up() -> None:
    """Mutant "mixvc" forks."""
    tested = make_replica()
    effects = tested.hear_all(view_change(1, 2), view_change(2, 3), view_change(2, 0))
    assert not said(effects, NewView)
    assert tested.replica.state.view == 2


def test_q_who_left_for_different_views_open_none_of_them() -> None:
    """Mutant "mixvc" forks. Of 7 validators q is 5: four left for view 8, two for view 7."""
    tested = make_replica(committee=committee_of(7))
    left = [view_change(7, 5), view_change(7, 6), *(view_change(8, a) for a in (2, 3, 4))]
    effects = tested.hear_all(*left)
    assert tested.replica.state.leads is False
    assert (tested.replica.state.view, tested.replica.state.leader) == (8, tested.me)
    assert not said(effects, NewView)
    assert said(tested.hear_all(view_change(8, 6)), NewView)


def test_a_leader_opens_its_view_once() -> None:
    tested = make_replica()
    effects = tested.hear_all(view_change(1, 2), view_change(1, 3), view_change(1, 0))
    assert len(said(effects, NewView)) == 1
    assert not said(tested.hear_all(view_change(1, 0, prepared(0, A[0]))), NewView)


def test_the_new_leader_proposes_after_the_base_even_when_there_is_nothing_to_order() -> None:
    """DESIGN 2, View change: so that the base finalizes."""
    tested = make_replica()
    tested.hear(A[0], A[1])
    effects = tested.hear_all(view_change(1, 2, prepared(0, A[1])), view_change(1, 3))
    (proposal,) = said(effects, PrePrepare)
    assert (proposal.view, proposal.sequence) == (1, 3)
    assert tested.replica.state.graph.admitted[proposal.anchor].parents[0] == named(A[1])


# --- being shown a base


def test_the_base_of_a_view_is_journaled_and_its_certificate_learned() -> None:
    """DESIGN 2, Phases; mutant "losebase" forks."""
    tested = make_replica(2)
    effects = tested.hear(new_view(1, prepared(0, A[1])))
    assert persisted(effects, BaseAdopted) == [BaseAdopted(View(1), prepared(0, A[1]).position)]
    assert persisted(effects, HighCertificate) == [HighCertificate(prepared(0, A[1]))]
    assert fold([e.record for e in of(effects, Persist)]).base == prepared(0, A[1]).position


@pytest.mark.parametrize(
    "second", [new_view(1), new_view(1, prepared(0, A[1]))], ids=["lower", "higher"]
)
def test_of_two_new_views_only_the_first_base_is_adopted(second: NewView) -> None:
    """DESIGN 2, Phases: two bases in one view fork; the second is evidence."""
    first = new_view(1, prepared(0, A[0]))
    tested = make_replica(2)
    tested.hear(first)
    effects = tested.hear(second)
    assert ValidatorIndex(1) in [accusation.author for accusation in of(effects, Accuse)]
    assert not persisted(effects, BaseAdopted)
    assert fold([e.record for e in of(tested.everything, Persist)]).view == 2, "and it moves on"


def test_the_same_base_with_other_proof_is_no_contradiction() -> None:
    tested = make_replica(2)
    tested.hear(new_view(1, prepared(0, A[0])))
    again = new_view(1, prepared(0, A[0], (1, 2, 3)), authors=(1, 2, 3))
    assert tested.hear(again) == []


def test_a_new_view_below_the_own_view_is_late() -> None:
    tested = make_replica(2)
    tested.hear(view_change(3, 0), view_change(3, 1))
    effects = tested.hear(new_view(1))
    assert effects == []
    assert tested.replica.state.view == 3


def test_a_new_view_above_the_own_view_is_entered_and_adopted() -> None:
    """DESIGN 2: adopts the highest certified view at once."""
    tested = make_replica(2)
    effects = tested.hear(new_view(5, prepared(0, A[1])))
    assert persisted(effects, ViewEntered) == [ViewEntered(View(5))]
    assert [r.base.sequence for r in persisted(effects, BaseAdopted)] == [2]
    assert place_of_record(effects, ViewEntered) < place_of_record(effects, BaseAdopted)
    assert not said(effects, ViewChange)


def test_a_new_view_equal_to_the_own_view_is_adopted_whatever_the_own_lock() -> None:
    """DESIGN 2: they vote on that alone, not on their own lock: no hidden-lock stall."""
    tested = make_replica(2)
    tested.hear(A[0], A[1], prepared(0, A[1]), view_change(1, 0), view_change(1, 3))
    b2 = anchor(1, 1, A[0])
    effects = tested.hear(new_view(1, prepared(0, A[0])), b2, pre_prepare(1, b2))
    assert [(v.sequence, v.anchor) for v in said(effects, Prepare)] == [(2, named(b2))]


def test_a_liar_with_two_bases_does_not_halt_an_honest_replica() -> None:
    """One liar (0, leader of view 4) opens view 4 on A3 of view 3 for this replica, whose timeout
    certificate has it, and on B1 of view 2 for the others, whose certificate does not. They go on
    to finalize B2 in view 4. At most f lied, so nobody may halt, and 1 must neither vote at or
    below its own base nor stay behind once finality is past it."""
    a = anchors(3, 3)
    b1 = anchor(2, 1)
    b2 = anchor(0, 1, b1)
    b3 = anchor(0, 2, b2)
    b4 = anchor(0, 3, b3)
    tested = make_replica(1)
    tested.hear(*a, b1, prepared(3, a[2], (0, 1, 3)), new_view(4, prepared(3, a[2]), (0, 1, 3)))
    effects = tested.hear(b2, committed(4, b2, (0, 2, 3)), b3, pre_prepare(4, b3))
    assert not of(effects, Halt)
    assert [f.sequence for f in of(effects, Finalize)] == [1, 2]
    assert not said(effects, Prepare), "3 is the sequence of its base"
    effects = tested.hear(committed(4, b3, (0, 2, 3)), b4, pre_prepare(4, b4))
    assert [v.sequence for v in said(effects, Prepare)] == [4]


# --- restart in the middle of a view change


def test_a_power_cut_between_entering_a_view_and_its_view_change_is_no_dead_end() -> None:
    """SPEC C3, C8: the journal may end after ViewEntered(1) and before SaidViewChange. Nothing
    was sent. If the replica said nothing now, two such replicas of four would leave the view
    without q view-changes, and no timer runs: finality would never resume."""
    promises = fold([ViewEntered(View(1))])
    tested = make_replica(2, restored=Restored(promises=promises, final=ROOT), start=False)
    effects = tested.start()
    assert [m.view for m in said(effects, ViewChange)] in ([1], [2])


def test_four_replicas_cut_off_there_find_a_view_again() -> None:
    """The same, played out: everything said reaches everybody, and time passes."""
    timing = Timing(view_change_timeout_ms=500)
    restored = Restored(promises=fold([ViewEntered(View(1))]), final=ROOT)
    nodes = [make_replica(me, restored=restored, timing=timing, start=False) for me in range(4)]
    queue = [(node.me, effect) for node in nodes for effect in node.start()]
    for turn in range(400):
        while queue:
            author, effect = queue.pop(0)
            for word in words_of([effect]):
                for node in nodes:
                    queue += [(node.me, e) for e in node.hear(signed(word), sender=author)]
        for node in nodes:
            node.now_ms += 50
            queue += [(node.me, e) for e in node.step(Tick())]
            if turn == 2 and node.replica.wants_batch():
                queue += [(node.me, e) for e in node.step(batch_of(b"tx %d" % node.me))]
    assert [node.replica.state.final > 0 for node in nodes] == [True] * 4


def test_a_replica_that_gave_its_leadership_up_says_nothing_more_in_that_view() -> None:
    tested = make_replica(0)
    effects = tested.do(batch_of(b"tx"))
    assert said(effects, PrePrepare)
    tested.hear_all(view_change(1, 2), view_change(1, 3))
    effects = tested.do(batch_of(b"more"))
    assert not said(effects, PrePrepare)
