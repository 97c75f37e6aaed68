"""Checkpoints: stated when executed, stable with q, and a disagreement stops the replica.

The replica is validator 1 of 4; the checkpoint interval is 4, the window 8.
"""

from collections.abc import Callable

import pytest

from cretonode.core.effects import Accuse, Effect, Halt, Say, Stable
from cretonode.core.messages import Checkpoint, CheckpointCertificate, Commit, Prepare
from cretonode.core.records import SaidCheckpoint, StableCheckpoint
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import Digest, SequenceNumber, ValidatorIndex
from tests.core.replicas import (
    Driven,
    anchors,
    checkpoint,
    committed,
    make_replica,
    of,
    persisted,
    place_of_record,
    place_of_word,
    pre_prepare,
    said,
    stable,
)

A = anchors(0, 14)
WRONG = hash_of(b"wrong")


def executed(count: int = 4) -> tuple[Driven, list[Effect], Digest]:
    """Return a replica that finalized `count` sequences, what it did, and its last digest."""
    tested = make_replica()
    effects = tested.finalize(0, *A[:count])
    return tested, effects, said(effects, Checkpoint)[-1].digest


def test_a_checkpoint_is_journaled_and_stated_every_k_sequences() -> None:
    """PBFT 4.3; DESIGN 2, Checkpoints."""
    _, effects, digest = executed(8)
    assert [m.sequence for m in said(effects, Checkpoint)] == [4, 8]
    assert persisted(effects, SaidCheckpoint)[-1] == SaidCheckpoint(SequenceNumber(8), digest)
    assert place_of_record(effects, SaidCheckpoint) < place_of_word(effects, Checkpoint)


def test_the_digest_fixes_the_order() -> None:
    assert executed()[2] == executed()[2]
    other = anchors(0, 4, index=5)
    tested = make_replica()
    (message,) = said(tested.finalize(0, *other), Checkpoint)
    assert message.digest != executed()[2]


def test_q_equal_digests_are_a_stable_checkpoint() -> None:
    tested, _, digest = executed()
    assert not of(tested.hear(checkpoint(4, digest, 0)), Stable)
    effects = tested.hear(checkpoint(4, digest, 2))
    certificate = stable(4, digest)
    assert of(effects, Stable) == [Stable(certificate)]
    assert persisted(effects, StableCheckpoint) == [StableCheckpoint(certificate)]
    assert tested.replica.state.low == 4


def test_a_stable_checkpoint_moves_the_window() -> None:
    """SPEC C5."""
    tested, _, digest = executed(8)
    tested.hear(*A, *(pre_prepare(0, message) for message in A[8:]))
    assert not said(tested.everything, Prepare), "the window is full"
    tested.hear(stable(4, said(tested.everything, Checkpoint)[0].digest))
    effects = tested.hear(*(pre_prepare(0, message) for message in A[8:]))
    assert [v.sequence for v in said(effects, Prepare)] == [9, 10, 11, 12]
    assert of(tested.hear(stable(8, digest)), Stable)


def test_the_own_vote_counts_only_when_it_comes_back() -> None:
    """SPEC C8."""
    tested = make_replica()
    effects = tested.hear(*A[:4], committed(0, A[3]))
    (own,) = said(effects, Checkpoint)
    effects = tested.hear(checkpoint(4, own.digest, 0), checkpoint(4, own.digest, 2))
    assert not of(effects, Stable)


def test_votes_that_came_before_the_execution_count_after_it() -> None:
    digest = executed()[2]
    tested = make_replica()
    tested.hear(*(checkpoint(4, digest, a) for a in (0, 2, 3)))
    effects = tested.finalize(0, *A[:4])
    assert of(effects, Stable) == [Stable(stable(4, digest, (0, 2, 3)))]


def test_a_certificate_from_a_peer_is_taken_once_executed_this_far() -> None:
    digest = executed()[2]
    tested = make_replica()
    assert not of(tested.hear(stable(4, digest)), Stable)
    tested.finalize(0, *A[:4])
    assert of(tested.hear(stable(4, digest)), Stable)
    assert not of(tested.hear(stable(4, digest)), Stable), "again"


@pytest.mark.parametrize("by_certificate", [True, False], ids=["certificate", "votes"])
def test_a_quorum_with_another_digest_halts_the_replica(by_certificate: bool) -> None:
    """DESIGN 2, Checkpoints: stop voting."""
    tested, _, _ = executed()
    votes = [stable(4, WRONG)] if by_certificate else [checkpoint(4, WRONG, a) for a in (0, 2, 3)]
    effects = tested.hear(*votes)
    (halt,) = of(effects, Halt)
    assert "sequence 4" in halt.cause
    assert WRONG.hex() in halt.cause
    effects = tested.hear(A[4], pre_prepare(0, A[4]))
    assert effects == [], "it does nothing more"


def test_a_replica_that_halts_says_nothing_more_in_that_step() -> None:
    """effects.Halt: going on would mean to lie. What is said after it must not be said."""
    tested = make_replica()
    tested.hear(*(checkpoint(4, WRONG, a) for a in (0, 2, 3)))
    tested.hear(*A[:5], pre_prepare(0, A[4]))
    # One step: the certificate executes sequence 4, the digests differ, and 5 could be voted for.
    tested.hear(committed(0, A[3]))
    halted_at = next(i for i, e in enumerate(tested.everything) if isinstance(e, Halt))
    after = tested.everything[halted_at + 1 :]
    assert not of(after, Say)


def test_a_halted_replica_asks_for_no_wake_up() -> None:
    """A deadline in the past would make its shell spin."""
    tested, _, _ = executed()
    tested.hear(stable(4, WRONG))
    tested.now_ms += 100_000
    assert tested.step_tick() == []
    assert tested.replica.deadline_ms() > tested.now_ms


def expecting(digest: Digest) -> Driven:
    """Return a replica that a range has shown the checkpoint of sequence 4, before it is there."""
    tested = make_replica()
    tested.replica.checkpoints.expect(stable(4, digest))
    return tested


def in_a_range(tested: Driven, certificate: CheckpointCertificate) -> list[Effect]:
    tested.replica.checkpoints.expect(certificate)
    return tested.replica._settle()


def from_a_peer(tested: Driven, certificate: CheckpointCertificate) -> list[Effect]:
    return tested.hear(certificate)


@pytest.mark.parametrize("second", [in_a_range, from_a_peer])
def test_two_certificates_for_one_checkpoint_halt_the_replica_and_accuse(
    second: Callable[[Driven, CheckpointCertificate], list[Effect]],
) -> None:
    """Like two commit certificates for one sequence (docs/spec/consensus.md, 3.3, 6): both are
    verified, so more than f lied, and which one is true the own execution cannot tell for them."""
    digest = executed()[2]
    tested = expecting(digest)
    other = stable(4, WRONG, (0, 2, 3))
    effects = second(tested, other)
    (halt,) = of(effects, Halt)
    assert halt.certificates == (stable(4, digest), other)
    assert [accusation.author for accusation in of(effects, Accuse)] == [0, 2]
    assert not said(tested.hear(*A[:4], committed(0, A[3])), Checkpoint)


def test_a_certificate_that_contradicts_the_stable_checkpoint_halts_the_replica() -> None:
    tested, _, digest = executed()
    tested.hear(stable(4, digest))
    (halt,) = of(tested.hear(stable(4, WRONG)), Halt)
    assert halt.certificates == (stable(4, digest), stable(4, WRONG))


def test_the_same_checkpoint_by_others_is_welcome() -> None:
    digest = executed()[2]
    tested = expecting(digest)
    tested.replica.checkpoints.expect(stable(4, digest, (0, 2, 3)))
    assert of(tested.finalize(0, *A[:4]), Stable)


def test_an_expected_checkpoint_with_another_digest_than_the_own_halts_the_replica() -> None:
    tested = expecting(WRONG)
    (halt,) = of(tested.finalize(0, *A[:4]), Halt)
    assert halt.certificates == (stable(4, WRONG),)


def test_f_wrong_digests_change_nothing() -> None:
    tested, _, digest = executed()
    effects = tested.hear(checkpoint(4, WRONG, 3), checkpoint(4, digest, 0))
    effects += tested.hear(checkpoint(4, digest, 2))
    assert of(effects, Stable) == [Stable(stable(4, digest))]
    assert not of(effects, Halt)


def test_two_digests_of_one_author_are_evidence() -> None:
    """DESIGN 2, Detector."""
    tested, _, digest = executed()
    one, two = checkpoint(4, digest, 3), checkpoint(4, WRONG, 3)
    assert of(tested.hear(one, two), Accuse) == [Accuse(ValidatorIndex(3), one, two)]


def test_votes_are_kept_for_real_checkpoints_near_the_window_only() -> None:
    """SPEC C5: at most 2 W / K sequences of n votes."""
    tested = make_replica()
    for sequence in range(200):
        tested.hear(checkpoint(sequence, WRONG, 3))
    assert set(tested.replica.checkpoints._votes) == {4, 8, 12, 16}


def test_what_a_stable_checkpoint_covers_is_forgotten() -> None:
    tested, _, digest = executed(8)
    tested.hear(stable(8, digest))
    assert set(tested.replica.checkpoints.own) == {8}
    assert all(s >= 8 for s in tested.replica.checkpoints._votes)
    assert not said(tested.everything, Commit)
