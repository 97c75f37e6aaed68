"""Pre-prepare, prepare, commit: what a backup votes for, and what it never does.

The replica is validator 1 of 4, a backup of leader 0 in view 0, unless a test says otherwise.
"""

from dataclasses import replace

import pytest

from cretonode.core.effects import Accuse, Entered, Finalize, Reason, Refuse, Say, Send, Store
from cretonode.core.messages import (
    Commit,
    Message,
    NewView,
    Prepare,
    PrePrepare,
    Statement,
    VertexMessage,
    ViewChange,
)
from cretonode.core.records import Accepted, HighCertificate, ViewEntered
from cretonode.identifiers import SequenceNumber, ValidatorIndex, View
from cretonode.limits import (
    FUTURE_VIEW_MESSAGES_MAX,
    PAYLOAD_TRANSACTIONS_MAX,
)
from tests.core.replicas import (
    ROOT,
    anchor,
    anchors,
    batch_of,
    commit,
    committed,
    make_replica,
    named,
    new_view,
    of,
    persisted,
    place_of_record,
    place_of_word,
    plain,
    pre_prepare,
    prepare,
    prepared,
    said,
    sent,
    signed,
    view_change,
)

A = anchors(0, 12)
LEADER = ValidatorIndex(0)


def sequences(votes: list[Prepare] | list[Commit] | list[PrePrepare]) -> list[int]:
    return [vote.sequence for vote in votes]


# --- prepare


def test_a_backup_journals_and_then_prepares_what_the_leader_proposed() -> None:
    """DESIGN 2, Phases: the replica journals, then broadcasts Prepare(v, s, h)."""
    tested = make_replica()
    assert of(tested.hear(A[0]), Store) == [Store(A[0])]
    effects = tested.hear(pre_prepare(0, A[0]))
    assert persisted(effects, Accepted) == [Accepted(View(0), SequenceNumber(1), named(A[0]))]
    assert place_of_record(effects, Accepted) < place_of_word(effects, Prepare)
    (vote,) = said(effects, Prepare)
    assert (vote.view, vote.sequence, vote.anchor, vote.author) == (0, 1, named(A[0]), 1)


def test_a_backup_waits_for_the_anchor_and_all_its_ancestors() -> None:
    """DESIGN 2, Phases: present means headers and payloads of its whole non-final ancestry."""
    tip = plain(2, 2, plain(2, 1), anchor(3, 1))
    top = anchor(0, 1, ROOT, tip)
    tested = make_replica()
    assert not said(tested.hear(pre_prepare(0, top), top, tip, plain(2, 1)), Prepare)
    effects = tested.hear(anchor(3, 1))
    assert [store.message for store in of(effects, Store)][-1] == top
    assert sequences(said(effects, Prepare)) == [1]


def test_a_backup_prepares_one_anchor_only_for_a_view_and_sequence() -> None:
    """PBFT 4.2, third condition; the second pre-prepare is evidence."""
    other = anchor(0, 2, transactions=(b"other",))
    tested = make_replica()
    tested.hear(A[0], other, pre_prepare(0, A[0]))
    effects = tested.hear(pre_prepare(0, other))
    assert of(effects, Accuse) == [Accuse(LEADER, pre_prepare(0, A[0]), pre_prepare(0, other))]
    assert not said(effects, Prepare)
    assert not persisted(effects, Accepted)


def test_a_backup_repeats_no_prepare() -> None:
    tested = make_replica()
    tested.hear(A[0], pre_prepare(0, A[0]))
    assert not said(tested.hear(pre_prepare(0, A[0]), A[0]), Prepare)
    assert not said(tested.wait(200), Prepare)


def test_a_backup_pipelines_without_waiting_for_certificates() -> None:
    """DESIGN 2, Phases; SPEC C5: several sequences in flight, each on the one before."""
    tested = make_replica()
    proposals = [pre_prepare(0, message) for message in A[:4]]
    effects = tested.hear(*A[:4], *reversed(proposals))
    assert sequences(said(effects, Prepare)) == [1, 2, 3, 4]


@pytest.mark.parametrize("sibling_first", [False, True], ids=["after it", "before it"])
def test_a_backup_refuses_an_anchor_on_a_sibling_of_the_accepted_one(sibling_first: bool) -> None:
    """NextVote in ChainedPBFT.tla; mutant "noparent" forks. The leader makes two anchors with
    different indexes for sequence 1, proposes one, and then proposes a child of the other."""
    sibling = anchor(0, 2)
    child = anchor(0, 3, sibling)
    tested = make_replica()
    tested.hear(A[0], sibling, child)
    proposals = [pre_prepare(0, A[0]), pre_prepare(0, child)]
    effects = tested.hear(*(reversed(proposals) if sibling_first else proposals))
    effects += tested.wait(100)
    assert [(v.sequence, v.anchor) for v in said(effects, Prepare)] == [(1, named(A[0]))]
    assert of(effects, Refuse) == [Refuse(LEADER, Reason.INVALID_ANCHOR)], "told once"


def test_a_certificate_for_the_sibling_does_not_make_it_prepare_either() -> None:
    """Commit needs no own prepare (Commit in the model); Prepare does need the chain."""
    sibling = anchor(0, 2)
    child = anchor(0, 3, sibling)
    tested = make_replica()
    tested.hear(A[0], sibling, child, pre_prepare(0, A[0]))
    effects = tested.hear(prepared(0, child, (0, 2, 3)))
    assert sequences(said(effects, Commit)) == [2]
    assert not said(effects, Prepare)


def test_after_a_certified_sibling_it_goes_on_only_above_all_it_accepted() -> None:
    """JumpVote in ChainedPBFT.tla: on a certified anchor, above every anchor accepted here."""
    b1 = anchor(0, 21)
    b2 = anchor(0, 22, b1)
    b3 = anchor(0, 23, b2)
    b4 = anchor(0, 24, b3)
    tested = make_replica()
    tested.hear(*A[:3], b1, b2, b3, b4)
    tested.hear(*(pre_prepare(0, message) for message in A[:3]))
    effects = tested.hear(committed(0, b1), pre_prepare(0, b4))
    assert [f.anchor.hash for f in of(effects, Finalize)] == [named(b1)]
    assert not said(effects, Prepare), "2 and 3 are promised to others"
    effects = tested.hear(committed(0, b3))
    assert [(v.sequence, v.anchor) for v in said(effects, Prepare)] == [(4, named(b4))]


@pytest.mark.parametrize(
    "proposal",
    [
        pre_prepare(0, anchor(2, 1)),
        replace(pre_prepare(0, A[1]), sequence=SequenceNumber(1)),
        replace(pre_prepare(0, plain(0, 9)), sequence=SequenceNumber(1)),
    ],
    ids=["of another author", "of another sequence", "that is a plain vertex"],
)
def test_a_backup_refuses_an_anchor(proposal: PrePrepare) -> None:
    """DESIGN 2, Anchors: one vertex of the leader's own, for this very sequence."""
    tested = make_replica()
    effects = tested.hear(*A[:2], anchor(2, 1), plain(0, 9), proposal)
    assert not said(effects, Prepare)
    assert of(effects, Refuse) == [Refuse(LEADER, Reason.INVALID_ANCHOR)]


def test_a_backup_refuses_an_anchor_with_too_long_a_history() -> None:
    """DESIGN 2, Bounds: history per anchor; 2 n AUTHOR_UNFINAL_MAX = 512 for 4 validators."""
    tested = make_replica()
    ends = []
    for author in (0, 2, 3):
        end = plain(author, 1)
        tested.hear(end)
        for index in range(2, 172):
            end = plain(author, index, end, ROOT)
            tested.hear(end)
        ends.append(end)
    top = anchor(0, 200, ROOT, *ends)
    effects = tested.hear(top, pre_prepare(0, top))
    assert of(effects, Refuse) == [Refuse(LEADER, Reason.INVALID_ANCHOR)]
    assert not said(effects, Prepare)


@pytest.mark.parametrize(
    "vote", [pre_prepare(0, A[0], leader=2), prepare(0, A[0], 0)], ids=["pre-prepare", "prepare"]
)
def test_only_the_leader_pre_prepares_and_it_never_prepares(vote: Statement) -> None:
    """PBFT 4.2."""
    effects = make_replica().hear(A[0], vote)
    assert of(effects, Refuse) == [Refuse(vote.author, Reason.NOT_THE_LEADER)]
    assert not said(effects, Prepare)


# --- certificates


def test_a_commit_is_preceded_by_its_certificate_in_the_journal() -> None:
    """DESIGN 2, Phases: it journals high_pc, then broadcasts Commit; mutant "loselock" forks."""
    tested = make_replica()
    promise = said(tested.hear(A[0], pre_prepare(0, A[0]), prepare(0, A[0], 2)), Prepare)
    effects = tested.hear(*map(signed, promise))  # one step
    (vote,) = said(effects, Commit)
    assert (vote.view, vote.sequence, vote.anchor) == (0, 1, named(A[0]))
    assert persisted(effects, HighCertificate) == [HighCertificate(prepared(0, A[0]))]
    assert place_of_record(effects, HighCertificate) < place_of_word(effects, Commit)


def test_the_own_vote_counts_only_when_it_comes_back() -> None:
    """SPEC C8: what is not durable and signed yet is worth nothing."""
    tested = make_replica()
    effects = tested.hear(A[0], prepare(0, A[0], 2), pre_prepare(0, A[0]))
    assert said(effects, Prepare)
    assert not said(effects, Commit)
    effects = tested.hear(*said(effects, Prepare))
    assert said(effects, Commit)
    effects = tested.hear(commit(0, A[0], 0), commit(0, A[0], 2))
    assert not of(effects, Finalize)
    assert of(tested.hear(commit(0, A[0], 1)), Finalize)


def test_a_prepare_certificate_stands_in_for_a_missed_pre_prepare() -> None:
    """DESIGN 2, Phases."""
    tested = make_replica()
    effects = tested.hear(A[0], prepared(0, A[0], (0, 2, 3)))
    assert sequences(said(effects, Commit)) == [1]
    assert sequences(said(effects, Prepare)) == [1]
    assert persisted(effects, Accepted) == [Accepted(View(0), SequenceNumber(1), named(A[0]))]


def test_it_commits_what_is_certified_although_the_anchor_is_not_here() -> None:
    """Commit in ChainedPBFT.tla: c need not have prepared h itself, nor lower certificates."""
    effects = make_replica().hear(prepared(0, A[2], (0, 2, 3)))
    assert sequences(said(effects, Commit)) == [3]
    assert not said(effects, Prepare)


def test_the_high_certificate_never_falls() -> None:
    """DESIGN 2, Phases: it only rises in (view, sequence); mutant "lockdown" forks."""
    tested = make_replica()
    effects = tested.hear(prepared(0, A[2]), prepared(0, A[0]), prepared(0, A[1]))
    assert sequences(said(effects, Commit)) == [3, 1, 2]
    assert persisted(effects, HighCertificate) == [HighCertificate(prepared(0, A[2]))]
    (message,) = said(tested.hear(view_change(1, 2), view_change(1, 3)), ViewChange)
    assert message.high == prepared(0, A[2]).position
    assert message.certificate == prepared(0, A[2])


@pytest.mark.parametrize("certificate", [prepared(5, A[0]), committed(5, A[0])])
def test_a_certificate_of_a_later_view_moves_it_there_without_a_vote(
    certificate: Statement,
) -> None:
    """DESIGN 2, View change: a node that was away adopts the highest certified view at once."""
    tested = make_replica()
    effects = tested.hear(A[0], certificate)
    assert [(e.view, e.leader) for e in of(effects, Entered)] == [(5, 1)]
    assert persisted(effects, ViewEntered) == [ViewEntered(View(5))]
    for kind in (Prepare, PrePrepare, Commit, ViewChange, NewView):
        assert not said(effects, kind)


def test_a_prepare_certificate_of_an_older_view_is_not_committed() -> None:
    """Mutant "oldcommit" forks: after its view-change it votes for nothing below its view."""
    tested = make_replica()
    tested.hear(A[0], view_change(1, 2), view_change(1, 3))
    effects = tested.hear(pre_prepare(0, A[0]), prepared(0, A[0]), prepare(0, A[0], 2))
    effects += tested.hear(pre_prepare(0, A[0]), *(commit(0, A[0], a) for a in (0, 2)))
    assert not said(effects, Prepare)
    assert not said(effects, Commit)
    assert not persisted(effects, Accepted)
    assert not persisted(effects, HighCertificate)


# --- base


def test_nothing_is_accepted_before_the_view_has_a_base() -> None:
    """FirstVote in ChainedPBFT.tla."""
    tested = make_replica(2)
    tested.hear_all(view_change(1, 0), view_change(1, 3))
    b1 = anchor(1, 1)
    effects = tested.hear(b1, pre_prepare(1, b1))
    assert not said(effects, Prepare)
    effects = tested.hear(new_view(1))
    assert sequences(said(effects, Prepare)) == [1], "the proposal was kept"


def test_nothing_is_accepted_at_or_below_the_base() -> None:
    """DESIGN 2, Phases: its first accepted sequence is base.sequence + 1."""
    tested = make_replica(2)
    b1 = anchor(1, 1)
    b2_on_a1 = anchor(1, 3, A[0])
    b3 = anchor(1, 4, A[1])
    tested.hear(*A[:2], b1, b2_on_a1, b3)
    effects = tested.hear(new_view(1, prepared(0, A[1])))
    for low in (b1, b2_on_a1):
        effects += tested.hear(pre_prepare(1, low), prepared(1, low))
    assert not said(effects, Prepare)
    assert not persisted(effects, Accepted)
    effects = tested.hear(pre_prepare(1, b3))
    assert [(v.sequence, v.anchor) for v in said(effects, Prepare)] == [(3, named(b3))]


def test_the_first_accepted_anchor_extends_the_base() -> None:
    """FirstVote; mutant "twobases" forks."""
    tested = make_replica(2)
    b1 = anchor(1, 1)
    b2 = anchor(1, 2, b1)
    tested.hear(A[0], b1, b2, new_view(1, prepared(0, A[0])))
    effects = tested.hear(pre_prepare(1, b2))
    assert of(effects, Refuse) == [Refuse(ValidatorIndex(1), Reason.INVALID_ANCHOR)]
    assert not said(effects, Prepare)


def test_what_was_accepted_in_an_older_view_may_be_replaced_in_a_newer_one() -> None:
    """DESIGN 2, View change: un-prepared anchors of the old view are just vertices."""
    tested = make_replica(2)
    tested.hear(*A[:2], *(pre_prepare(0, message) for message in A[:2]), new_view(1))
    b1 = anchor(1, 1, ROOT, A[1])
    effects = tested.hear(b1, pre_prepare(1, b1))
    assert [(v.view, v.sequence, v.anchor) for v in said(effects, Prepare)] == [(1, 1, named(b1))]
    (final,) = of(tested.hear(committed(1, b1)), Finalize)
    assert [v.hash for v in final.vertices] == [named(A[0]), named(A[1]), named(b1)]


# --- window and early votes


def test_votes_outside_the_window_are_refused() -> None:
    """PBFT 4.3; DESIGN 2: low < s <= low + W."""
    tested = make_replica()
    chain = anchors(0, 9)
    effects = tested.hear(*chain, *(pre_prepare(0, message) for message in chain))
    assert sequences(said(effects, Prepare)) == list(range(1, 9))
    assert of(effects, Refuse) == [Refuse(LEADER, Reason.OUTSIDE_WATERMARKS)]
    effects = tested.hear(prepare(0, chain[8], 2), commit(0, chain[8], 2), prepared(0, chain[8]))
    assert len(of(effects, Refuse)) == 2
    assert not said(effects, Commit)


def test_the_sequence_after_the_base_is_always_inside_the_window() -> None:
    """DESIGN 2, Phases: s <= max(low + W, base.sequence + 1); the liveness model needs it."""
    tested = make_replica()
    chain = anchors(0, 8)
    tested.hear(*chain, *(pre_prepare(0, message) for message in chain))
    tested.hear(new_view(2, prepared(0, chain[7])))
    b9 = anchor(2, 1, chain[7])
    b10 = anchor(2, 2, b9)
    effects = tested.hear(b9, b10, pre_prepare(2, b9), pre_prepare(2, b10))
    assert sequences(said(effects, Prepare)) == [9]
    assert of(effects, Refuse) == [Refuse(ValidatorIndex(2), Reason.OUTSIDE_WATERMARKS)]


def test_votes_for_final_sequences_are_daily_weather() -> None:
    """House style 11; DESIGN 2, Retransmission: re-sends are never violations."""
    tested = make_replica()
    tested.finalize(0, A[0])
    effects = tested.hear(pre_prepare(0, A[0]), prepare(0, A[0], 2), commit(0, A[0], 2))
    assert not of(effects, Refuse)
    assert not said(effects, Prepare)


def test_votes_of_a_later_view_wait_for_it() -> None:
    """They may overtake the new-view that opens it."""
    b1 = anchor(1, 1)
    tested = make_replica(2)
    early = [prepare(1, b1, a) for a in (0, 3)] + [pre_prepare(1, b1)]
    assert not said(tested.hear(b1, *early), Commit)
    effects = tested.hear(new_view(1))
    assert sequences(said(effects, Commit)) == [1]
    assert sequences(said(effects, Prepare)) == [1]


def test_early_votes_are_bounded_per_author() -> None:
    """SPEC C5: every buffer bounded."""
    tested = make_replica()
    for view in range(2, 3 * FUTURE_VIEW_MESSAGES_MAX):
        tested.hear(prepare(view, A[0], 3 if view % 4 != 3 else 2))
    kept = tested.replica.ordering._future
    assert all(len(votes) <= FUTURE_VIEW_MESSAGES_MAX for votes in kept.values())


def test_a_vote_for_another_anchor_is_evidence_in_each_phase() -> None:
    """DESIGN 2, Detector."""
    other = anchor(0, 5)
    tested = make_replica()
    for one, two in (
        (prepare(0, A[0], 2), prepare(0, other, 2)),
        (commit(0, A[0], 3), commit(0, other, 3)),
    ):
        effects = tested.hear(one, two)
        assert of(effects, Accuse) == [Accuse(one.author, one, two)]


# --- the leader


def test_who_was_told_something_else_by_the_leader_is_sent_its_word() -> None:
    """SPEC B5. A leader that shows each its own anchor signs two words, but nobody hears both;
    the view would pass by timeout."""
    tested = make_replica(2)
    other = anchor(0, 9)
    assert not sent(tested.hear(prepare(0, other, 3), prepare(0, A[0], 1)), PrePrepare)
    effects = tested.hear(pre_prepare(0, A[0]))
    assert sent(effects, PrePrepare) == sent(effects, PrePrepare, 3) == [pre_prepare(0, A[0])]
    assert not sent(tested.hear(prepare(0, other, 3)), PrePrepare), "once"
    late = make_replica(2)
    late.hear(pre_prepare(0, A[0]))
    assert sent(late.hear(prepare(0, other, 3)), PrePrepare, 3) == [pre_prepare(0, A[0])]


def test_both_words_of_a_leader_over_the_network_end_its_view_at_once() -> None:
    """SPEC C4, B5: 1 and 2 accept A, 3 accepts another; each then hears of the other's."""
    other = anchor(0, 9)
    nodes = {me: make_replica(me) for me in (1, 2, 3)}
    for me, node in nodes.items():
        mine = other if me == 3 else A[0]
        node.hear(mine, pre_prepare(0, mine))
    queue = [(me, effect) for me, node in nodes.items() for effect in node.everything]
    while queue:
        me, effect = queue.pop(0)
        heard: list[tuple[int, Message]] = []
        if isinstance(effect, Say):
            heard = [(peer, signed(effect.statement)) for peer in nodes]
        elif isinstance(effect, Send) and isinstance(effect.message, PrePrepare):
            heard = [(effect.peer, effect.message)]
        for peer, message in heard:
            queue += [(peer, e) for e in nodes[peer].hear(message, sender=me)]
    assert [node.replica.state.view for node in nodes.values()] == [1, 1, 1]
    accused = {a.author for node in nodes.values() for a in of(node.everything, Accuse)}
    assert accused == {0}


def test_a_certificate_shows_the_leaders_other_word() -> None:
    """The leader's signature in it is on a pre-prepare."""
    tested = make_replica(2)
    other = anchor(0, 9)
    effects = tested.hear(A[0], pre_prepare(0, A[0]), prepared(0, other))
    assert of(effects, Accuse) == [
        Accuse(ValidatorIndex(0), pre_prepare(0, A[0]), pre_prepare(0, other))
    ]
    assert tested.replica.state.view == 1
    fine = make_replica(2)
    assert not of(fine.hear(pre_prepare(0, A[0]), prepared(0, A[0])), Accuse)


def test_the_leader_says_no_prepare_and_counts_its_pre_prepare() -> None:
    """DESIGN 2, Phases: the PrePrepare is the leader's prepare."""
    tested = make_replica(0)
    effects = tested.do(batch_of(b"tx"))
    (proposal,) = said(effects, PrePrepare)
    assert not said(effects, Prepare)
    top = tested.replica.state.graph.admitted[proposal.anchor]
    effects = tested.hear(prepare(0, top, 2), prepare(0, top, 3))
    assert sequences(said(effects, Commit)) == [1]


def test_a_backup_refuses_an_anchor_that_orders_too_many_transactions() -> None:
    """SPEC C5: a rule on anchors, so that what dedup remembers is bounded."""
    for count, accepted in ((16, True), (17, False)):
        tested = make_replica()
        ends = []
        for author, length in ((2, 8), (3, count - 8)):
            end = full(plain(author, 1))
            tested.hear(end)
            for index in range(2, length + 1):
                end = full(plain(author, index, end, ROOT))
                tested.hear(end)
            ends.append(end)
        top = anchor(0, 1, ROOT, *ends)
        effects = tested.hear(top, pre_prepare(0, top))
        assert bool(said(effects, Prepare)) == accepted
        assert bool(of(effects, Refuse)) != accepted


def full(message: VertexMessage) -> VertexMessage:
    """Return a vertex whose header says that it is full."""
    vertex = replace(message.vertex, transaction_count=PAYLOAD_TRANSACTIONS_MAX)
    return replace(message, vertex=vertex)
