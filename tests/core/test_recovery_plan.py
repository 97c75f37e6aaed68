"""The plan that follows from proposals. Source: docs/spec/durability.md, section 11."""

from dataclasses import replace

import pytest

from cretonode.core.messages import CheckpointCertificate, CommitCertificate, PrepareCertificate
from cretonode.core.recovery import Recovery
from cretonode.core.recovery_plan import JournalState, Plan, Proposal, make_plan
from cretonode.dag.vertex import Vertex
from cretonode.errors import ConfigError
from cretonode.identifiers import (
    Digest,
    Incarnation,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
)
from cretonode.limits import RECOVERIES_MAX
from tests.core.replicas import COMMITTEE, anchor, anchors, committed, prepared, stable

LINE = anchors(0, 9)  # sequences 1 to 9
FORK = anchor(0, 99, LINE[4])  # another anchor of sequence 6
DIGEST = Digest(b"d" * 32)


def proposal(
    author: int,
    final: int,
    *,
    certified: int | None = None,
    journal: JournalState = JournalState.WHOLE,
    high: PrepareCertificate | None = None,
    held: int | None = None,
    extra: tuple[Vertex, ...] = (),
    recoveries: tuple[Recovery, ...] = (),
    promised: int = 0,
    checkpoint: CheckpointCertificate | None = None,
    certificate: CommitCertificate | None = None,
) -> Proposal:
    """Return what a validator has: certified as far as final unless said, held up to `held`."""
    top = final if certified is None else certified
    if certificate is None and top > 0:
        certificate = committed(0, LINE[top - 1])
    return Proposal(
        author=ValidatorIndex(author),
        recoveries=recoveries,
        promised=Incarnation(promised),
        journal=journal,
        final=SequenceNumber(final),
        anchor=LINE[final - 1].vertex.hash if final else COMMITTEE.genesis,
        certificate=certificate,
        checkpoint=checkpoint,
        high=high,
        anchors=(
            *(message.vertex for message in LINE[max(0, top - 1) : max(final, held or 0)]),
            *extra,
        ),
    )


def plan_of(*proposals: Proposal) -> Plan:
    return make_plan(COMMITTEE, proposals)


def test_the_highest_certified_sequence_counts_whoever_has_it() -> None:
    plan = plan_of(proposal(2, 0), proposal(0, 5), proposal(1, 3, checkpoint=stable(4, DIGEST)))
    recovery = plan.recovery
    assert (recovery.previous, recovery.incarnation) == (0, 1)
    assert (recovery.final, recovery.base) == (5, 5)
    assert recovery.final_anchor == recovery.base_anchor == LINE[4].vertex.hash
    assert (recovery.checkpoint, recovery.digest) == (4, DIGEST)
    assert [p.author for p in plan.proposals] == [0, 1, 2], "by author, whatever the order"
    assert plan.missing(COMMITTEE) == [3]


def test_where_nothing_is_final_genesis_stays_the_base() -> None:
    plan = plan_of(*(proposal(author, 0) for author in range(3)))
    assert plan.recovery.position == COMMITTEE.origin


def test_what_was_prepared_above_is_taken_up() -> None:
    """Whoever committed it may have known it to be final."""
    high = prepared(0, LINE[6])
    plan = plan_of(proposal(0, 5, high=high, held=7), proposal(1, 5), proposal(2, 0))
    assert (plan.recovery.final, plan.recovery.base) == (5, 7)
    assert plan.recovery.base_anchor == LINE[6].vertex.hash
    assert plan.beyond == ()


def test_the_anchor_may_be_held_by_another_than_who_knows_that_it_was_prepared() -> None:
    high = prepared(0, LINE[6])
    plan = plan_of(proposal(0, 5, high=high), proposal(1, 4, held=7), proposal(2, 0))
    assert plan.recovery.base == 7


def test_what_nobody_holds_is_named_and_the_next_lower_one_counts() -> None:
    plan = plan_of(
        proposal(0, 5, high=prepared(0, LINE[8])),
        proposal(1, 5, high=prepared(0, LINE[5]), held=6),
        proposal(2, 0),
    )
    assert plan.recovery.base == 6
    assert [position.sequence for position in plan.beyond] == [9]


def test_a_higher_view_counts_more_than_a_higher_sequence() -> None:
    """As in a view change: what is above was not committed, or the later view would stand on it."""
    later = prepared(3, LINE[5])
    plan = plan_of(
        proposal(0, 5, high=prepared(0, LINE[7]), held=8),
        proposal(1, 5, high=later, held=6),
        proposal(2, 5),
    )
    assert plan.recovery.base == 6


def test_a_prepare_certificate_below_what_is_certified_adds_nothing() -> None:
    plan = plan_of(proposal(0, 3, high=prepared(0, LINE[3]), held=4), *map_final(5, 1, 2))
    assert plan.recovery.base == 5


def map_final(final: int, *authors: int) -> list[Proposal]:
    return [proposal(author, final) for author in authors]


def test_final_sequences_that_only_a_certificate_above_proved_are_kept() -> None:
    """Such a validator was stopped while it caught up."""
    behind = proposal(0, 6, certified=2)
    plan = plan_of(behind, *map_final(8, 1, 2))
    assert plan.recovery.base == 8


def test_a_recovery_after_a_recovery_stands_on_it() -> None:
    first = plan_of(*map_final(5, 0, 1, 2)).recovery
    again = plan_of(*(proposal(author, 5, recoveries=(first,), high=None) for author in range(3)))
    assert (again.recovery.previous, again.recovery.incarnation) == (1, 2)
    assert again.recovery.position == first.position
    assert again.history == (first,)


def test_prepare_certificates_of_an_older_incarnation_do_not_count() -> None:
    first = plan_of(*map_final(5, 0, 1, 2)).recovery
    missed = proposal(2, 4, high=prepared(7, LINE[6]), held=7)
    plan = plan_of(*(proposal(a, 5, recoveries=(first,)) for a in (0, 1)), missed)
    assert plan.recovery.base == 5
    assert plan.whole == 2


def test_a_number_that_somebody_signed_for_is_not_used_again() -> None:
    plan = plan_of(proposal(0, 5), proposal(1, 5, promised=3), proposal(2, 5))
    assert (plan.recovery.previous, plan.recovery.incarnation) == (0, 4)


OTHER = replace(plan_of(*map_final(2, 0, 1, 2)).recovery)


@pytest.mark.parametrize(
    ("proposals", "sentence"),
    [
        (map_final(5, 0, 1), r"2 proposals; a recovery needs those of 3 of the 4 validators"),
        (map_final(5, 0, 1, 1), r"two proposals of validator 1"),
        (
            [proposal(0, 6, certificate=committed(0, FORK)), *map_final(6, 1, 2)],
            r"validators 0 and 1 hold commit certificates of sequence 6 for two anchors.*more than",
        ),
        (
            [proposal(0, 5, high=prepared(1, FORK), extra=(FORK.vertex,)), *map_final(7, 1, 2)],
            r"validator 0 holds a prepare certificate of sequence 6, view 1.*does not stand on",
        ),
        (
            [proposal(0, 5, checkpoint=stable(8, DIGEST)), *map_final(5, 1, 2)],
            r"a quorum executed up to sequence 8, and no proposal proves more than 5",
        ),
        (
            [proposal(0, 8, certified=4), *map_final(5, 1, 2)],
            r"validator 0 has final sequences up to 8, but its certificates prove 4",
        ),
        (
            [
                replace(proposal(0, 6, certified=4), anchor=FORK.vertex.hash),
                *map_final(8, 1),
                proposal(2, 8, certified=4),
            ],
            r"validator 0 has another final anchor of sequence 6",
        ),
        (
            [
                proposal(0, 5, recoveries=(OTHER,)),
                proposal(1, 5, recoveries=(replace(OTHER, base=SequenceNumber(3)),)),
                proposal(2, 5),
            ],
            r"has applied another recovery than others have",
        ),
        (
            [proposal(0, 2, recoveries=(OTHER,)), proposal(1, 5), proposal(2, 2)],
            r"validator 1 has final sequences up to 5 and has missed the recovery to incarnation 1",
        ),
        (
            [proposal(author, 5, recoveries=(OTHER,) * RECOVERIES_MAX) for author in range(3)],
            r"at most 16 are possible",
        ),
    ],
    ids=[
        "too few",
        "twice",
        "two certified anchors",
        "prepared beside what is final",
        "a checkpoint above all",
        "ahead without a proof",
        "another chain below",
        "two lines of recoveries",
        "ahead of a recovery it missed",
        "too many recoveries",
    ],
)
def test_what_makes_no_plan_is_a_sentence(proposals: list[Proposal], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        plan_of(*proposals)


def test_only_whole_journals_of_this_incarnation_vouch_for_anything() -> None:
    plan = plan_of(
        proposal(0, 5, journal=JournalState.LOST),
        proposal(1, 5, journal=JournalState.EMPTY),
        proposal(2, 5),
    )
    assert plan.whole == 1


def test_the_anchor_of_a_liar_is_found_by_its_hash_alone() -> None:
    """Headers are linked by hashes from a certificate: what does not link changes nothing."""
    stray = replace(LINE[7].vertex, parents=(VertexHash(bytes(32)),))
    plan = plan_of(proposal(0, 5, extra=(stray,)), *map_final(5, 1, 2))
    assert plan.recovery.base == 5


def test_nobody_uses_up_the_numbers_by_a_claim() -> None:
    plan = plan_of(proposal(0, 5), proposal(1, 5, promised=16), proposal(2, 5))
    assert plan.recovery.incarnation == 17
    with pytest.raises(ConfigError, match=r"validator 1 says .* 17; .* leave its proposal out"):
        plan_of(proposal(0, 5), proposal(1, 5, promised=17), proposal(2, 5))
