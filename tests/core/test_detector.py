"""The detector in a replica: what it remembers, what it sends, and that it stays small."""

from dataclasses import replace

import pytest

from cretonode.core.effects import Accuse, Effect, Entered, Late, Send
from cretonode.core.events import PeerConnected, PeerSilent
from cretonode.core.evidence import evidence_of
from cretonode.core.messages import Evidence, Message, NewView, PrePrepare, ViewChangeVote
from cretonode.core.state import Restored
from cretonode.identifiers import ValidatorIndex
from cretonode.limits import (
    DETECTOR_CHECKPOINTS_MAX,
    DETECTOR_VIEWS_MAX,
    DETECTOR_VOTES_MAX,
    EVIDENCE_PER_AUTHOR_MAX,
)
from tests.core.replicas import (
    ROOT,
    TIMING,
    Driven,
    anchors,
    checkpoint,
    commit,
    committed,
    committee_of,
    high_of,
    make_replica,
    new_view,
    of,
    plain,
    pre_prepare,
    prepare,
    prepared,
    sent,
    signature_of,
    stable,
    view_change,
)

A = anchors(0, 6)
B = anchors(0, 6, index=11)


def connected(tested: Driven) -> Driven:
    """Return a replica to which everybody is connected."""
    for peer in tested.replica.state.peers:
        tested.step(PeerConnected(peer))
    return tested


def accused(effects: list[Effect]) -> list[int]:
    return [accusation.author for accusation in of(effects, Accuse)]


def evidence(index: int = 1, author: int = 3) -> Evidence:
    found = evidence_of(plain(author, index), plain(author, index, transactions=(b"x",)))
    assert found is not None
    return found


# --- what is compared


@pytest.mark.parametrize(
    ("earlier", "later", "culprits"),
    [
        (commit(0, A[0], 2), committed(0, B[0], (0, 2, 3)), [2]),
        (committed(0, A[0], (0, 2, 3)), committed(0, B[0], (1, 2, 3)), [2, 3]),
        (pre_prepare(0, A[0]), prepared(0, B[0], (0, 2, 3)), [0]),
        (prepared(0, A[0], (0, 1, 2)), prepared(0, B[0], (0, 2, 3)), [0, 2]),
        (commit(0, A[1], 2), view_change(1, 2, prepared(0, A[0])), [2]),
        (view_change(1, 2, prepared(0, A[0])), commit(0, A[1], 2), [2]),
        (committed(0, A[1], (0, 2, 3)), new_view(1, prepared(0, A[0]), (1, 2, 3)), [2, 3]),
        (view_change(2, 3, prepared(0, A[0], (0, 2, 3))), prepared(0, B[0], (1, 2, 3)), [2, 3]),
        (checkpoint(4, b"d" * 32, 3), stable(4, b"e" * 32, (0, 2, 3)), [3]),
    ],
    ids=[
        "a vote with a commit certificate",
        "two commit certificates",
        "a pre-prepare with a prepare certificate",
        "two prepare certificates",
        "a view-change that hides a commit",
        "a commit that comes after it",
        "a timeout certificate that hides commits",
        "the certificate in a view-change",
        "a checkpoint with a certificate",
    ],
)
def test_statements_are_found_wherever_they_travel(
    earlier: Message, later: Message, culprits: list[int]
) -> None:
    """Single votes are shown to single replicas; certificates bring them together."""
    tested = make_replica(1)
    assert accused(tested.hear(earlier, sender=3)) == []
    assert accused(tested.hear(later, sender=3)) == culprits


def test_a_vote_that_came_too_late_to_count_is_compared_all_the_same() -> None:
    tested = make_replica(1)
    tested.hear(prepare(0, A[0], 3))
    tested.hear(new_view(4, authors=(0, 2, 3)))
    assert accused(tested.hear(prepare(0, B[0], 3))) == [3]


def test_a_replica_does_not_compare_its_own_statements() -> None:
    """A twin with the same key is for the operator to end, not for this replica to judge."""
    tested = make_replica(1)
    tested.hear(prepared(0, A[0], (0, 1, 2)), sender=3)
    effects = tested.hear(commit(0, B[0], 1), prepared(0, B[0], (0, 1, 3)), sender=3)
    assert accused(effects) == [0]


# --- gossip


def test_evidence_is_sent_to_everybody_but_the_culprit_once() -> None:
    tested = connected(make_replica(1))
    tested.hear(commit(0, A[0], 3))
    effects = tested.hear(commit(0, B[0], 3))
    assert accused(effects) == [3]
    made = evidence_of(commit(0, A[0], 3), commit(0, B[0], 3))
    assert [(e.peer, e.message) for e in of(effects, Send) if isinstance(e.message, Evidence)] == [
        (0, made),
        (2, made),
    ]
    again = tested.hear(commit(0, B[1], 3), commit(0, B[0], 3))
    assert (accused(again), sent(again, Evidence)) == ([], [])


def test_evidence_that_is_heard_is_believed_and_passed_on_once() -> None:
    """SPEC B4: every honest node bans on the same proof."""
    tested = connected(make_replica(1))
    effects = tested.hear(evidence(), sender=2)
    assert accused(effects) == [3]
    assert {e.peer for e in of(effects, Send) if isinstance(e.message, Evidence)} == {0, 2}
    again = tested.hear(evidence(), sender=0)
    assert (accused(again), sent(again, Evidence)) == ([], [])


def test_a_peer_that_connects_gets_one_piece_of_each_culprit() -> None:
    tested = make_replica(1)
    tested.hear(evidence(1, 3), evidence(2, 3), evidence(1, 2), sender=0)
    effects = tested.step(PeerConnected(ValidatorIndex(0)))
    assert sent(effects, Evidence, 0) == [evidence(1, 2), evidence(1, 3)]
    effects = tested.step(PeerConnected(ValidatorIndex(2)))
    assert sent(effects, Evidence, 2) == [evidence(1, 3)], "not what it knows of itself"


def test_evidence_against_the_leader_moves_the_view_at_once() -> None:
    """SPEC B5; also when somebody else found it."""
    tested = make_replica(1)
    effects = tested.hear(evidence(author=0), sender=2)
    assert [(entered.view, entered.cause) for entered in of(effects, Entered)] == [
        (1, "equivocation")
    ]


def test_what_was_kept_counts_after_a_restart_and_is_not_reported_again() -> None:
    tested = make_replica(1, restored=Restored(final=ROOT, evidence=(evidence(),)))
    assert tested.replica.state.equivocators == {3}
    assert accused(tested.at_start) == []
    assert accused(tested.hear(evidence(), sender=2)) == []
    assert sent(tested.step(PeerConnected(ValidatorIndex(0))), Evidence) == [evidence()]


def test_the_leaders_word_is_shown_to_whoever_prepared_another() -> None:
    """Three backups told three things make no certificate; two of them make the evidence."""
    tested = connected(make_replica(1))
    tested.hear(pre_prepare(0, A[0]))
    effects = tested.hear(prepare(0, B[0], 2))
    assert sent(effects, PrePrepare, 2) == [pre_prepare(0, A[0])]
    assert sent(tested.hear(prepare(0, B[0], 2)), PrePrepare) == [], "once"
    assert sent(tested.hear(prepare(0, A[0], 3)), PrePrepare) == []
    late = connected(make_replica(1))
    assert sent(late.hear(prepare(0, B[0], 2)), PrePrepare) == []
    assert sent(late.hear(pre_prepare(0, A[0])), PrePrepare, 2) == [pre_prepare(0, A[0])]
    victim = connected(make_replica(2))
    victim.hear(pre_prepare(0, B[0]))
    assert accused(victim.hear(pre_prepare(0, A[0]), sender=1)) == [0]


# --- bounds


def test_at_most_eight_pieces_of_an_author_are_kept_and_sent() -> None:
    """DESIGN 2: at most 8 per author stored."""
    tested = connected(make_replica(1))
    effects = [e for i in range(1, 30) for e in tested.hear(evidence(i), sender=0)]
    assert len(accused(effects)) == EVIDENCE_PER_AUTHOR_MAX
    assert len(sent(effects, Evidence)) == 2 * EVIDENCE_PER_AUTHOR_MAX
    assert len(tested.replica.detector.evidence[ValidatorIndex(3)]) == EVIDENCE_PER_AUTHOR_MAX


def test_a_flood_of_statements_fills_only_its_author_s_place() -> None:
    tested = make_replica(1, committee=committee_of(window=4096, interval=2, dedup=4096))
    detector, three = tested.replica.detector, ValidatorIndex(3)
    for i in range(DETECTOR_VOTES_MAX):
        far = replace(prepare(0, A[0], 3), sequence=i + 1)
        detector.observe(three, far)
        detector.observe(three, replace(commit(0, A[0], 3), sequence=i + 1))
        detector.observe(three, replace(commit(0, A[0], 3), view=i))
        detector.observe(three, view_change(i + 1, 3))
        detector.observe(three, checkpoint(i + 1, b"d" * 32, 3))
        detector.observe(three, _new_view(i + 1))
    heard = detector._heard[ValidatorIndex(3)]
    assert len(heard.votes) == DETECTOR_VOTES_MAX // 4
    assert len(heard.commits) <= DETECTOR_VIEWS_MAX
    assert len(heard.view_changes) == len(heard.new_views) == DETECTOR_VIEWS_MAX
    assert len(heard.checkpoints) == DETECTOR_CHECKPOINTS_MAX
    assert not detector._heard[ValidatorIndex(2)].votes


def _new_view(view: int) -> NewView:
    vote = ViewChangeVote(ValidatorIndex(3), high_of(None), signature_of(3))
    made = new_view(1)
    return replace(made, view=view, author=ValidatorIndex(3), timeouts=(vote,))


def test_votes_of_views_that_nobody_vouched_for_are_not_kept() -> None:
    """Or a liar would make room for its lies with views that will never come."""
    tested = make_replica(1)
    tested.hear(commit(7, A[0], 3))
    assert not tested.replica.detector._heard[ValidatorIndex(3)].votes


# --- lateness


def test_a_leader_that_lets_a_vertex_wait_is_late_once_for_each_timeout() -> None:
    """SPEC B1, timeout."""
    tested = connected(make_replica(1))
    tested.hear(plain(2, 1))
    assert of(tested.wait(TIMING.finality_timeout_ms - 1), Late) == []
    effects = tested.wait(LOOK) + tested.wait(LOOK)
    assert [late.leader for late in of(effects, Late)] == [0]
    assert of(tested.wait(LOOK), Late) == []
    assert len(of(tested.wait(TIMING.finality_timeout_ms), Late)) == 1


def test_a_leader_is_not_late_when_this_replica_is_cut_off() -> None:
    tested = connected(make_replica(1))
    tested.hear(plain(2, 1))
    for peer in (2, 3):
        tested.step(PeerSilent(ValidatorIndex(peer)))
    assert of(tested.wait(2 * TIMING.finality_timeout_ms), Late) == []


def test_a_leader_is_not_late_for_what_waits_here_for_a_vertex() -> None:
    tested = connected(make_replica(1))
    tested.hear(plain(2, 1), committed(0, A[1]))
    assert of(tested.wait(2 * TIMING.finality_timeout_ms), Late) == []


LOOK = 100
