"""Which pairs of statements contradict, and that nothing else passes for evidence."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.core.certificate import check_shape_untrusted
from cretonode.core.evidence import KINDS, brief, check_untrusted, evidence_of, subject_of
from cretonode.core.messages import Evidence, Prepare, Statement, Suspect, ViewChange
from cretonode.errors import MalformedMessage
from cretonode.identifiers import ValidatorIndex, View
from tests.core.replicas import (
    COMMITTEE,
    anchors,
    checkpoint,
    commit,
    new_view,
    plain,
    pre_prepare,
    prepare,
    prepared,
    signed,
    view_change,
)
from tests.wire.strategies import EVIDENCE_STATEMENTS

A = anchors(0, 3)
B = anchors(0, 3, index=11)

CONTRADICTIONS: dict[str, tuple[Statement, Statement]] = {
    "two vertices": (plain(2, 1), plain(2, 1, transactions=(b"x",))),
    "two pre-prepares": (pre_prepare(0, A[0]), pre_prepare(0, B[0])),
    "a pre-prepare and another prepare": (pre_prepare(0, A[0]), prepare(0, B[0], 0)),
    "two prepares": (prepare(0, A[0], 2), prepare(0, B[0], 2)),
    "two commits": (commit(0, A[0], 2), commit(0, B[0], 2)),
    "two view-changes": (view_change(2, 3), view_change(2, 3, prepared(0, A[0]))),
    "two bases": (new_view(1), new_view(1, prepared(0, A[0]))),
    "two digests": (checkpoint(4, b"d" * 32, 1), checkpoint(4, b"e" * 32, 1)),
    "a commit and less": (commit(0, A[1], 2), view_change(1, 2, prepared(0, A[0]))),
    "a commit and nothing": (commit(0, A[0], 2), view_change(1, 2)),
    "a commit and another anchor": (commit(0, A[1], 2), view_change(1, 2, prepared(0, B[1]))),
}
HONEST: dict[str, tuple[Statement, Statement]] = {
    "the same vote again": (prepare(0, A[0], 2), prepare(0, A[0], 2)),
    "signed anew": (prepare(0, A[0], 2), replace(prepare(0, A[0], 2), signature=b"again")),
    "another sequence": (prepare(0, A[0], 2), prepare(0, A[1], 2)),
    "another view": (prepare(0, A[0], 2), prepare(1, B[0], 2)),
    "another phase": (prepare(0, A[0], 2), commit(0, B[0], 2)),
    "another author": (prepare(0, A[0], 2), prepare(0, B[0], 3)),
    "another index": (plain(2, 1), plain(2, 2)),
    "the proof of a view-change is not signed over": (
        view_change(2, 3, prepared(0, A[0])),
        view_change(2, 3, prepared(0, A[0], (1, 2, 3))),
    ),
    "the timeouts of a new-view are not either": (
        new_view(1, prepared(0, A[0])),
        new_view(1, prepared(0, A[0]), (1, 2, 3)),
    ),
    "a commit reported": (commit(0, A[1], 2), view_change(1, 2, prepared(0, A[1]))),
    "a commit and more": (commit(0, A[0], 2), view_change(1, 2, prepared(0, A[1]))),
    "a view-change before the commit's view": (commit(1, A[1], 2), view_change(1, 2)),
    "a suspicion": (
        signed(Suspect(view=View(0), author=ValidatorIndex(2))),
        signed(Suspect(view=View(1), author=ValidatorIndex(2))),
    ),
    "two checkpoints": (checkpoint(4, b"d" * 32, 1), checkpoint(8, b"e" * 32, 1)),
}


@pytest.mark.parametrize("pair", CONTRADICTIONS.values(), ids=list(CONTRADICTIONS))
def test_what_no_honest_validator_signs_both_is_evidence(
    pair: tuple[Statement, Statement],
) -> None:
    """DESIGN 2, Detector and accountability."""
    one, other = pair
    evidence = evidence_of(one, other)
    assert evidence is not None
    assert evidence == evidence_of(other, one), "one order, so one encoding"
    assert {evidence.first, evidence.second} == {brief(one), brief(other)}
    assert evidence.author == one.author
    assert subject_of(evidence)
    check_shape_untrusted(COMMITTEE, evidence)
    with pytest.raises(MalformedMessage, match=r"other order|do not contradict"):
        check_untrusted(Evidence(first=evidence.second, second=evidence.first))


@pytest.mark.parametrize("pair", HONEST.values(), ids=list(HONEST))
def test_what_an_honest_validator_may_sign_both_is_none(pair: tuple[Statement, Statement]) -> None:
    one, other = pair
    assert evidence_of(one, other) is None
    assert evidence_of(other, one) is None
    for first, second in (pair, (other, one)):
        with pytest.raises(MalformedMessage):
            check_untrusted(Evidence(first=brief(first), second=brief(second)))


def test_evidence_holds_no_more_than_is_signed() -> None:
    """An unsigned part could be swapped on the way, and make two of one piece."""
    one, other = view_change(2, 3), view_change(2, 3, prepared(0, A[0]))
    with pytest.raises(MalformedMessage, match="more than its signatures cover"):
        check_untrusted(Evidence(first=one, second=other))
    bare = replace(other, certificate=None)
    check_untrusted(Evidence(first=one, second=bare))


def test_evidence_against_nobody_of_the_committee_is_refused() -> None:
    one, other = prepare(0, A[0], 9), prepare(0, B[0], 9)
    evidence = evidence_of(one, other)
    assert evidence is not None
    with pytest.raises(MalformedMessage, match="validator 9"):
        check_shape_untrusted(COMMITTEE, evidence)


@given(EVIDENCE_STATEMENTS, EVIDENCE_STATEMENTS)
@settings(max_examples=500, deadline=None)
def test_any_two_statements_are_evidence_or_refused(one: Statement, other: Statement) -> None:
    """What the check passes is what `evidence_of` makes, and of one author and one subject."""
    made = evidence_of(one, other)
    for first, second in ((one, other), (other, one)):
        raw = Evidence(first=first, second=second)
        try:
            check_untrusted(raw)
        except MalformedMessage:
            assert raw != made
        else:
            assert raw == made
            assert first.author == second.author
            assert type(first) in KINDS
            assert first != second


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_an_honest_life_never_makes_evidence(data: st.DataObject) -> None:
    """Votes along one chain, views entered with what was committed: no pair contradicts."""
    said: list[Statement] = []
    high = None
    view = 0
    sequence = 0
    for _ in range(data.draw(st.integers(1, 12))):
        if data.draw(st.booleans()) and sequence < 3:
            said.append(_prepare(view, sequence))
            if data.draw(st.booleans()):
                high = prepared(view, A[sequence])
                said.append(commit(view, A[sequence], 2))
            sequence += 1
        else:
            view += data.draw(st.integers(1, 2))
            said.append(view_change(view, 2, high))
            sequence = high.sequence if high is not None else 0
    for one in said:
        for other in said:
            assert evidence_of(one, other) is None, (one, other)


def _prepare(view: int, sequence: int) -> Prepare:
    return prepare(view, A[sequence], 2)


def test_a_view_change_hides_only_what_was_committed_below_it() -> None:
    left = view_change(3, 2, prepared(1, A[1]))
    assert isinstance(left, ViewChange)
    for view, at, hidden in (
        (0, 2, False),
        (1, 0, False),
        (1, 1, False),
        (1, 2, True),
        (2, 0, True),
    ):
        assert (evidence_of(commit(view, A[at], 2), left) is not None) == hidden, (view, at)
    assert evidence_of(commit(3, A[2], 2), left) is None
