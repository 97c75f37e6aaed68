"""What a signature binds. SPEC K3, DESIGN 2: chain, version, type, validator set, incarnation."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest

from cretonode.core import statements
from cretonode.core.committee import Committee
from cretonode.core.messages import (
    FetchSlots,
    FetchVertices,
    Message,
    Position,
    Statement,
    Status,
    Suspect,
)
from cretonode.core.recovery import index_before
from cretonode.core.statements import Claim, claims_of, statement_of
from cretonode.crypto.canonical import decode_untrusted
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import (
    ChainId,
    Incarnation,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from tests.core.replicas import (
    COMMITTEE,
    anchor,
    checkpoint,
    commit,
    committed,
    new_view,
    plain,
    pre_prepare,
    prepare,
    prepared,
    signature_of,
    signed,
    stable,
    view_change,
)

A = anchor(1, 1)
B = anchor(1, 2, transactions=(b"other",))
DIGEST = hash_of(b"log")
STATEMENTS: dict[str, Statement] = {
    "vertex": A,
    "pre-prepare": pre_prepare(1, A),
    "prepare": prepare(1, A, 1),
    "commit": commit(1, A, 1),
    "view-change": view_change(1, 1),
    "new-view": new_view(1),
    "suspect": signed(Suspect(view=View(1), author=ValidatorIndex(1))),
    "checkpoint": checkpoint(1, DIGEST, 1),
}
EVERY = pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS.keys())


@EVERY
@pytest.mark.parametrize(
    "other",
    [
        lambda c: replace(c, chain_id=ChainId("another")),
        lambda c: replace(c, validator_set=hash_of(b"other validators")),
    ],
    ids=["chain", "validator set"],
)
def test_a_signature_is_worth_nothing_elsewhere(
    statement: Statement, other: Callable[[Committee], Committee]
) -> None:
    """SPEC K3."""
    assert statement_of(other(COMMITTEE), statement) != statement_of(COMMITTEE, statement)


@pytest.mark.parametrize("kind", STATEMENTS.keys() - {"vertex"})
def test_a_signature_is_worth_nothing_in_another_incarnation_of_its_author(kind: str) -> None:
    """DESIGN 2: no vote of an old incarnation can count in the new one."""
    statement = STATEMENTS[kind]
    other = replace(COMMITTEE, incarnations=tuple(Incarnation(int(i == 1)) for i in range(4)))
    assert statement_of(other, statement) != statement_of(COMMITTEE, statement)


def test_the_index_of_a_vertex_tells_its_incarnation() -> None:
    """So what is older than a recovery goes on in the graph, and no number is used twice."""
    for number in (0, 1, 7):
        later = anchor(1, index_before(Incarnation(number)) + 1)
        fields = decode_untrusted(statement_of(COMMITTEE, later))
        assert isinstance(fields, list)
        assert fields[4:8] == ["vertex", 1, number, later.vertex.hash]


@EVERY
def test_a_signature_binds_the_protocol_version(
    statement: Statement, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = statement_of(COMMITTEE, statement)
    monkeypatch.setattr(statements, "PROTOCOL_VERSION", 2)
    assert statement_of(COMMITTEE, statement) != before


@EVERY
def test_the_incarnation_of_somebody_else_changes_nothing(statement: Statement) -> None:
    other = replace(COMMITTEE, incarnations=tuple(Incarnation(int(i == 2)) for i in range(4)))
    assert statement_of(other, statement) == statement_of(COMMITTEE, statement)


@EVERY
def test_a_statement_names_project_version_chain_set_kind_and_author_first(
    statement: Statement,
) -> None:
    kind = next(name for name, one in STATEMENTS.items() if one is statement)
    head = ["cretonode", 1, "tests", COMMITTEE.validator_set, kind, 1, 0]
    fields = decode_untrusted(statement_of(COMMITTEE, statement))
    assert isinstance(fields, list)
    assert fields[:7] == head


@EVERY
def test_another_author_signs_other_bytes(statement: Statement) -> None:
    """Also where leader and backup would say the same."""
    if isinstance(statement, type(A)):
        other: Statement = anchor(2, 1)
    else:
        other = replace(statement, author=ValidatorIndex(2))
    assert statement_of(COMMITTEE, other) != statement_of(COMMITTEE, statement)


def test_no_two_kinds_can_ever_give_equal_bytes() -> None:
    """The kind is a text of its own at a fixed place, and the encoding is one to one."""
    made = [statement_of(COMMITTEE, one) for one in STATEMENTS.values()]
    kinds = {decode_untrusted(data)[4] for data in made}  # type: ignore[index]
    assert len(kinds) == len(STATEMENTS)
    assert all(a != b for a, b in combinations(made, 2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (A, B),
        (A, anchor(1, 2)),
        (prepare(1, A, 1), prepare(2, A, 1)),
        (prepare(1, A, 1), prepare(1, B, 1)),
        (prepare(1, A, 1), replace(prepare(1, A, 1), sequence=SequenceNumber(2))),
        (view_change(1, 1), view_change(2, 1)),
        (view_change(2, 1), view_change(2, 1, prepared(1, A))),
        (view_change(2, 1, prepared(0, A)), view_change(2, 1, prepared(1, A))),
        (new_view(1), new_view(1, prepared(0, A))),
        (checkpoint(4, DIGEST, 1), checkpoint(8, DIGEST, 1)),
        (checkpoint(4, DIGEST, 1), checkpoint(4, hash_of(b"x"), 1)),
    ],
)
def test_every_field_of_a_vote_is_signed(one: Statement, other: Statement) -> None:
    assert statement_of(COMMITTEE, one) != statement_of(COMMITTEE, other)


def test_genesis_is_no_position_of_view_zero() -> None:
    """Views are shifted by one, so that the position of genesis has bytes of its own."""
    low = view_change(1, 1)
    zero = replace(low, high=Position(View(0), SequenceNumber(0), low.high.anchor))
    assert statement_of(COMMITTEE, low) != statement_of(COMMITTEE, zero)


def test_a_proof_beside_a_view_change_is_not_signed_over() -> None:
    """It proves itself; any valid certificate for the position will do."""
    one = view_change(2, 1, prepared(1, A))
    other = replace(one, certificate=prepared(1, A, (1, 2, 3)))
    assert statement_of(COMMITTEE, one) == statement_of(COMMITTEE, other)


def test_a_prepare_certificate_rests_on_the_leaders_pre_prepare_and_others_prepares() -> None:
    """PBFT 4.2; DESIGN 2: the pre-prepare is the leader's prepare."""
    assert list(claims_of(COMMITTEE, prepared(1, A))) == [
        Claim(ValidatorIndex(a), statement_of(COMMITTEE, vote), signature_of(a))
        for a, vote in ((0, prepare(1, A, 0)), (1, pre_prepare(1, A)), (2, prepare(1, A, 2)))
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (committed(1, A), [commit(1, A, a) for a in range(3)]),
        (stable(4, DIGEST), [checkpoint(4, DIGEST, a) for a in range(3)]),
        (view_change(1, 2), [view_change(1, 2)]),
        (new_view(1), [new_view(1), *(view_change(1, a) for a in range(3))]),
        (
            view_change(2, 3, prepared(0, A)),
            [view_change(2, 3, prepared(0, A)), pre_prepare(0, A)]
            + [prepare(0, A, a) for a in (1, 2)],
        ),
        (plain(3, 1), [plain(3, 1)]),
    ],
    ids=["commits", "checkpoints", "view-change", "new-view", "view-change with proof", "vertex"],
)
def test_a_message_rests_on_these_signatures_and_no_others(
    message: Message, expected: list[Statement]
) -> None:
    claims = [(claim.author, claim.statement) for claim in claims_of(COMMITTEE, message)]
    assert claims == [(one.author, statement_of(COMMITTEE, one)) for one in expected]


def test_a_new_view_rests_on_the_view_changes_and_on_the_proof_of_its_base() -> None:
    message = new_view(2, prepared(0, A))
    assert len(list(claims_of(COMMITTEE, message))) == 1 + 3 + 3


def test_requests_and_status_rest_on_the_connection() -> None:
    status = Status(
        view=View(0),
        has_base=True,
        final=SequenceNumber(0),
        stable=SequenceNumber(0),
        slots=(),
        newest=(),
    )
    fetch = FetchSlots(first=SequenceNumber(1), count=1)
    for message in (status, fetch, FetchVertices(hashes=(VertexHash(b"h" * 32),))):
        assert not list(claims_of(COMMITTEE, message))
