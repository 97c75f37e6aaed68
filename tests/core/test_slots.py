"""The votes of one slot and when they make a certificate. PBFT 4.2."""

from itertools import permutations

from cretonode.core.messages import Commit, Prepare, PrePrepare
from cretonode.core.slots import Slot
from cretonode.identifiers import SequenceNumber
from tests.core.replicas import (
    COMMITTEE,
    anchor,
    commit,
    committed,
    named,
    pre_prepare,
    prepare,
    prepared,
)

A = anchor(0, 1)
B = anchor(0, 2, transactions=(b"b",))


def slot_with(*votes: PrePrepare | Prepare | Commit) -> Slot:
    slot = Slot(SequenceNumber(1))
    for vote in votes:
        if slot.add(vote) is not None:
            continue
        if isinstance(vote, Commit):
            slot.try_committed(COMMITTEE, vote)
        else:
            slot.try_prepared(COMMITTEE, vote.anchor)
    return slot


def test_q_matching_votes_prepare_in_whatever_order_they_come() -> None:
    """DESIGN 2: the pre-prepare is the leader's prepare."""
    votes = (pre_prepare(0, A), prepare(0, A, 1), prepare(0, A, 2))
    for order in permutations(votes):
        assert slot_with(*order).prepared == prepared(0, A)


def test_without_the_leaders_word_nothing_is_prepared() -> None:
    assert slot_with(*(prepare(0, A, a) for a in (1, 2, 3))).prepared is None


def test_fewer_than_q_prepare_nothing() -> None:
    assert slot_with(pre_prepare(0, A), prepare(0, A, 1), prepare(0, A, 1)).prepared is None


def test_votes_for_different_anchors_do_not_add_up() -> None:
    slot = slot_with(pre_prepare(0, A), prepare(0, A, 1), prepare(0, B, 2), prepare(0, B, 3))
    assert slot.prepared is None
    commits = slot_with(commit(0, A, 0), commit(0, A, 1), commit(0, B, 2), commit(0, B, 3))
    assert commits.committed is None


def test_the_first_vote_of_an_author_counts_and_a_second_one_is_evidence() -> None:
    """PBFT 4.2; DESIGN 2, Detector."""
    slot = slot_with(prepare(0, A, 1), commit(0, A, 1), pre_prepare(0, A))
    assert slot.add(prepare(0, B, 1)) == prepare(0, A, 1)
    assert slot.add(commit(0, B, 1)) == commit(0, A, 1)
    assert slot.add(pre_prepare(0, B)) == pre_prepare(0, A)
    assert slot.add(prepare(0, A, 1)) is None, "the same again is no evidence"
    assert slot.prepares[prepare(0, A, 1).author].anchor == named(A)


def test_q_equal_commits_are_a_certificate() -> None:
    for order in permutations([commit(0, A, a) for a in (0, 1, 2)]):
        assert slot_with(*order).committed == committed(0, A)


def test_a_certificate_is_made_once_and_holds_exactly_q_votes() -> None:
    """No surplus signatures are relayed: an honest relay could be framed with a bad one."""
    slot = slot_with(*(commit(0, A, a) for a in (3, 2, 1)))
    assert slot.committed == committed(0, A, (1, 2, 3))
    slot.add(commit(0, A, 0))
    assert not slot.try_committed(COMMITTEE, commit(0, A, 0))
    assert slot.committed == committed(0, A, (1, 2, 3))


def test_the_certified_anchor_is_what_a_certificate_says() -> None:
    assert Slot(SequenceNumber(1)).certified() is None
    assert slot_with(*(commit(0, B, a) for a in (0, 1, 2))).certified() == named(B)
    assert Slot(SequenceNumber(1), prepared=prepared(0, A)).certified() == named(A)
