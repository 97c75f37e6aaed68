"""Finality: which certificate finalizes what, in which order, and exactly once.

`alone` is the only validator of its chain: window 4, checkpoints every 2, dedup window 4.
"""

import pytest

from cretonode.core.effects import Accuse, Effect, Finalize, Halt, Retake, Stable
from cretonode.core.execution import log_leaf
from cretonode.core.merkle_log import MerkleLog
from cretonode.core.messages import Checkpoint, VertexMessage
from cretonode.crypto.canonical import decode_untrusted
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import SequenceNumber
from tests.core.replicas import (
    ROOT,
    Driven,
    alone,
    anchor,
    anchors,
    batch_of,
    commit,
    committed,
    make_replica,
    named,
    of,
    plain,
    pre_prepare,
    said,
)

A = anchors(0, 12)


def final_sequences(effects: list[Effect]) -> list[int]:
    return [f.sequence for f in of(effects, Finalize)]


def run(tested: Driven, *transactions: bytes) -> tuple[int, ...]:
    """Have the only validator finalize a batch; return what it skipped."""
    tested.now_ms += 1_000
    (final,) = of(tested.do(batch_of(*transactions)), Finalize)
    return final.skipped


# --- certificates


def test_a_commit_certificate_finalizes_its_anchor_and_all_before_it() -> None:
    """DESIGN 2, Phases: through the first-parent chain, everything before it."""
    tested = make_replica()
    effects = tested.finalize(0, *A[:5])
    assert final_sequences(effects) == [1, 2, 3, 4, 5]
    certificates = [f.certificate for f in of(effects, Finalize)]
    assert certificates == [None] * 4 + [committed(0, A[4])]


def test_the_history_of_an_anchor_is_ordered_by_height_author_index_and_hash() -> None:
    """DESIGN 2, Anchors; the same on every replica, whatever the order of arrival."""
    p1, p2, q1 = plain(2, 1), plain(2, 2, plain(2, 1), ROOT), plain(3, 1)
    top = anchor(0, 1, ROOT, p2, q1)
    expected = (p1.vertex, q1.vertex, p2.vertex, top.vertex)
    for order in ((p1, p2, q1, top), (top, q1, p2, p1)):
        tested = make_replica()
        (final,) = of(tested.hear_all(*order, committed(0, top)), Finalize)
        assert final.vertices == expected


def test_a_certificate_waits_for_its_anchor() -> None:
    tested = make_replica()
    assert not final_sequences(tested.hear(committed(0, A[2])))
    assert not final_sequences(tested.hear(A[2], A[1]))
    assert final_sequences(tested.hear(A[0])) == [1, 2, 3]


def test_a_lower_certificate_finalizes_while_a_higher_one_waits() -> None:
    tested = make_replica()
    tested.hear(committed(0, A[5]))
    assert final_sequences(tested.finalize(0, *A[:2])) == [1, 2]
    assert final_sequences(tested.hear(*A[2:6])) == [3, 4, 5, 6]


def test_a_certificate_finalizes_a_sibling_of_what_was_accepted() -> None:
    """The quorum's word stands above the own vote."""
    sibling = anchor(0, 9)
    tested = make_replica()
    tested.hear(A[0], A[1], pre_prepare(0, A[0]), pre_prepare(0, A[1]))
    (final,) = of(tested.finalize(0, sibling), Finalize)
    assert final.anchor == sibling.vertex
    assert not of(tested.everything, Halt)


@pytest.mark.parametrize("behind", [1, 2], ids=["at the final sequence", "below it"])
def test_a_conflicting_certificate_halts_the_replica(behind: int) -> None:
    """DESIGN 2, Phases: an anchor that conflicts with the own final chain halts the node."""
    tested = make_replica()
    tested.finalize(0, *A[:2])
    other = anchor(0, 9, ROOT) if behind == 2 else anchor(0, 9, A[0])
    effects = tested.hear(other, committed(0, other))
    assert len(of(effects, Halt)) == 1
    assert tested.hear(A[3]) == []


def test_a_certificate_above_a_conflicting_chain_halts_the_replica() -> None:
    tested = make_replica()
    tested.finalize(0, *A[:2])
    fork = anchors(0, 4, index=20)
    effects = tested.hear(*fork, committed(0, fork[3]))
    assert len(of(effects, Halt)) == 1
    assert not final_sequences(effects)


@pytest.mark.parametrize("late", [False, True], ids=["both wait", "the first is final"])
def test_two_certificates_of_one_sequence_halt_it_with_both(late: bool) -> None:
    """DESIGN 2, Phases: with evidence. It may not hold the anchor of either."""
    tested = make_replica()
    first, second = committed(0, A[0], (0, 1, 2)), committed(0, anchor(0, 9), (0, 2, 3))
    tested.hear(first, *([A[0]] if late else []))
    effects = tested.hear(second)
    (halt,) = of(effects, Halt)
    assert halt.certificates == (first, second)
    assert "[0, 1, 2]" in halt.cause
    assert "[0, 2, 3]" in halt.cause
    assert [(a.author, a.first, a.second) for a in of(effects, Accuse)] == [
        (author, commit(0, A[0], author), commit(0, anchor(0, 9), author)) for author in (0, 2)
    ]


def test_certificates_of_two_views_halt_it_and_accuse_nobody_by_themselves() -> None:
    """An honest validator may commit twice in different views, once f + 1 others have lied."""
    tested = make_replica()
    effects = tested.hear(committed(0, A[0]), committed(1, anchor(1, 9)))
    assert len(of(effects, Halt)) == 1
    assert not of(effects, Accuse)


def test_the_same_certificate_again_is_nothing() -> None:
    tested = make_replica()
    tested.finalize(0, *A[:2])
    assert tested.hear(committed(0, A[1]), committed(0, A[0])) == []


def test_waiting_certificates_are_bounded_and_the_highest_is_kept() -> None:
    """SPEC C5; the chain covers what is below."""
    tested = make_replica()
    chain = anchors(0, 60)
    tested.hear(*(committed(0, message) for message in chain))
    waiting = tested.replica.execution.waiting
    assert len(waiting) <= 2 * tested.committee.parameters.window
    assert max(waiting) == 60
    assert final_sequences(tested.hear(*chain))[-1] == 60


# --- exactly once


def test_a_transaction_is_executed_once_and_the_bitmap_says_so() -> None:
    """SPEC C7; DESIGN 2, Anchors: a bitmap of skips is part of what the checkpoint digests."""
    one = plain(2, 1, transactions=(b"a", b"b"))
    two = plain(3, 1, transactions=(b"b", b"c", b"a"))
    top = anchor(0, 1, ROOT, one, two, transactions=(b"c", b"d"))
    (final,) = of(make_replica().finalize(0, one, two, top), Finalize)
    assert final.vertices == (one.vertex, two.vertex, top.vertex)
    assert final.skipped == (0b00, 0b101, 0b01)


def test_a_transaction_is_skipped_across_sequences_until_the_window_has_passed() -> None:
    """SPEC C7: within the dedup window."""
    tested = alone()
    assert run(tested, b"t") == (0,)
    assert run(tested, b"u", b"t") == (0b10,)
    assert run(tested, b"v") == (0,)
    assert run(tested, b"t") == (1,)
    assert run(tested, b"t") == (0,), "D sequences after it was executed"


def test_a_restart_forgets_no_executed_transaction() -> None:
    """SPEC C7, C8."""
    tested = alone()
    run(tested, b"t")
    run(tested, b"u")
    again = tested.restart()
    assert run(again, b"t", b"w", b"u") == (0b101,)


def test_a_restarted_replica_skips_exactly_what_a_running_one_skips() -> None:
    """SPEC C7: dedup is the same on every node, across restart. A transaction executed at 1 and
    skipped at 4 may be executed again from 5 on; who restarts must not count from 4."""
    running, stopped = alone(), alone()
    for tested in (running, stopped):
        for transaction in (b"t", b"u", b"v", b"t", b"w"):
            run(tested, transaction)
    again = stopped.restart()
    assert run(again, b"t") == run(running, b"t") == (0,)
    assert said(again.everything, Checkpoint)[-1] == said(running.everything, Checkpoint)[-1]


# --- the log


def test_the_log_holds_sequence_position_vertex_and_bitmap_of_all_that_was_executed() -> None:
    """DESIGN 2, Checkpoints."""
    tested = make_replica()
    p1 = plain(2, 1, transactions=(b"x", b"x"))
    effects = tested.finalize(0, p1, anchor(0, 1, ROOT, p1))
    expected = MerkleLog()
    (final,) = of(effects, Finalize)
    for place, (vertex, skipped) in enumerate(zip(final.vertices, final.skipped, strict=True)):
        expected.append(log_leaf(SequenceNumber(1), place, vertex.hash, skipped))
    assert final.log == expected
    leaf = decode_untrusted(log_leaf(SequenceNumber(1), 0, named(p1), 0b10))
    assert leaf == [1, 0, named(p1), hash_of(b"\x02")]


def test_each_finalize_carries_its_own_copy_of_the_log() -> None:
    finals = of(make_replica().finalize(0, *A[:3]), Finalize)
    assert [f.log.size for f in finals] == [1, 2, 3]


def test_an_old_final_vertex_received_again_is_not_ordered_again() -> None:
    """The Lookup path: finalized too long ago to be remembered in memory."""
    tested = alone()
    for number in range(12):
        run(tested, b"%d" % number)
    assert of(tested.everything, Stable)
    old = tested.disk.tables.vertices[tested.disk.tables.sequences[SequenceNumber(1)].anchor.hash]
    assert not tested.replica.state.graph.knows(old.vertex.hash)
    effects = tested.hear_all(old)
    assert not tested.replica.state.graph.admitted
    assert old.vertex.hash not in tested.replica.state.graph.admitted
    assert not final_sequences(effects)
    assert run(tested, b"new") == (0,)
    assert _ordered_once(tested, old)


def _ordered_once(tested: Driven, message: VertexMessage) -> bool:
    orders = [v.hash for f in of(tested.everything, Finalize) for v in f.vertices]
    return orders.count(message.vertex.hash) == 1


# --- too late


def test_a_vertex_that_comes_too_late_executes_nothing() -> None:
    """SPEC C7: its author was away for longer than anybody knows what was executed."""
    tested = make_replica()
    chain = anchors(0, 16)
    tested.finalize(0, *chain)
    known = plain(2, 1, chain[0], transactions=(b"a", b"b"))
    late = plain(3, 1, transactions=(b"c", b"d"))
    top = anchor(0, 17, chain[-1], known, late)
    (final,) = of(tested.finalize(0, known, late, top), Finalize)
    assert final.vertices == (late.vertex, known.vertex, top.vertex)
    skipped = dict(zip((v.author for v in final.vertices), final.skipped, strict=True))
    assert skipped == {2: 0b00, 3: 0b11, 0: 0}, "D is 16: 1 is near enough, genesis is not"
    assert final.retakes == (), "neither is its own"


def test_what_a_late_vertex_carried_is_not_executed_so_it_may_be_later() -> None:
    tested = make_replica()
    chain = anchors(0, 16)
    tested.finalize(0, *chain)
    late = plain(3, 1, transactions=(b"c",))
    again = plain(2, 1, chain[-1], transactions=(b"c",))
    top = anchor(0, 17, chain[-1], late, again)
    (final,) = of(tested.finalize(0, late, again, top), Finalize)
    skipped = dict(zip((v.author for v in final.vertices), final.skipped, strict=True))
    assert skipped == {3: 0b1, 2: 0b0, 0: 0}


def test_an_anchor_that_lost_is_judged_by_its_own_sequence() -> None:
    """An honest leader puts into an anchor what it took at most `batch_age_max` (8) before."""
    lost = anchor(1, 1, A[10], transactions=(b"t",))
    for length, skipped in ((19, 0), (20, 1)):
        tested = make_replica()
        chain = anchors(0, length)
        tested.finalize(0, *chain)
        top = anchor(0, 30, chain[-1], lost)
        (final,) = of(tested.finalize(0, lost, top), Finalize)
        assert dict(zip(final.vertices, final.skipped, strict=True))[lost.vertex] == skipped


def test_the_author_is_told_to_take_up_again_what_came_too_late() -> None:
    """SPEC C7, C8: nothing acknowledged is lost; also when the author was restarted meanwhile."""
    tested = make_replica(3)
    (own,) = said(tested.do(batch_of(b"a", b"b")), VertexMessage)
    tested = tested.restart()
    chain = anchors(0, 16)
    tested.finalize(0, *chain)
    top = anchor(0, 17, chain[-1], own)
    (final,) = of(tested.finalize(0, top), Finalize)
    assert final.skipped == (0b11, 0)
    assert final.retakes == (Retake(own.vertex.hash, SequenceNumber(0)),)


def test_a_restarted_replica_judges_what_is_late_like_a_running_one() -> None:
    late = plain(3, 1, transactions=(b"c",))
    chain = anchors(0, 16)
    top = anchor(0, 17, chain[-1], late)
    running, stopped = make_replica(), make_replica()
    for tested in (running, stopped):
        tested.hear_all(late)
        tested.finalize(0, *chain)
    again = stopped.restart()
    (first,) = of(running.finalize(0, top), Finalize)
    (second,) = of(again.finalize(0, top), Finalize)
    assert first.skipped == second.skipped == (1, 0)
    assert first.log == second.log
