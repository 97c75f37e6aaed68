"""The shape of certificates: each rule refuses in its own sentence, before any signature."""

from dataclasses import replace

import pytest

from cretonode.core.certificate import check_shape_untrusted
from cretonode.core.messages import (
    Message,
    Position,
    SlotStatus,
    Status,
    ViewChangeVote,
    genesis_position,
)
from cretonode.crypto.hashing import hash_of
from cretonode.errors import MalformedMessage
from cretonode.identifiers import AuthorIndex, SequenceNumber, ValidatorIndex, VertexHash, View
from tests.core.replicas import (
    COMMITTEE,
    GENESIS,
    ROOT,
    anchor,
    anchors,
    checkpoint,
    commit,
    committed,
    new_view,
    plain,
    pre_prepare,
    prepare,
    prepared,
    signature_of,
    stable,
    view_change,
    votes_of,
)

A = anchor(0, 1)
B = anchor(0, 2, transactions=(b"b",))
DIGEST = hash_of(b"log")
SLOT = SlotStatus(accepted=True, prepares=1, commits=1)
STATUS = Status(
    view=View(0),
    has_base=True,
    final=SequenceNumber(0),
    stable=SequenceNumber(0),
    slots=(SLOT,) * 9,
    newest=(AuthorIndex(0),) * 4,
)
UNPROVEN = Position(View(0), SequenceNumber(5), VertexHash(b"h" * 32))
MIXED = tuple(
    ViewChangeVote(ValidatorIndex(a), high, signature_of(a))
    for a, high in enumerate(
        (genesis_position(GENESIS), prepared(0, A).position, prepared(1, A).position)
    )
)


@pytest.mark.parametrize(
    "message",
    [
        A,
        pre_prepare(0, A),
        prepare(0, A, 1),
        commit(0, A, 3),
        prepared(0, A),
        committed(5, A, (0, 2, 3)),
        stable(4, DIGEST),
        checkpoint(4, DIGEST, 0),
        view_change(1, 2),
        view_change(3, 2, prepared(2, A)),
        new_view(1),
        new_view(2, prepared(1, A)),
        replace(
            new_view(2), base=prepared(1, A).position, timeouts=MIXED, certificate=prepared(1, A)
        ),
        STATUS,
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_honest_replicas_send_has_a_good_shape(message: Message) -> None:
    check_shape_untrusted(COMMITTEE, message)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (prepared(0, A, (0, 1)), "a certificate of 2 votes; q is 3"),
        (committed(0, A, range(4)), "a certificate of 4 votes; q is 3"),
        (stable(4, DIGEST, ()), "a certificate of 0 votes; q is 3"),
        (
            replace(prepared(0, A), votes=votes_of((0, 1, 2))[::-1]),
            "the authors of a certificate are not in rising order",
        ),
        (
            replace(committed(0, A), votes=votes_of((0, 1, 1))),
            "the authors of a certificate are not in rising order",
        ),
        (committed(0, A, (0, 1, 4)), "validator 4; there are 4"),
        (prepare(0, A, 4), "validator 4; there are 4"),
        (view_change(1, 9), "validator 9; there are 4"),
        (plain(4, 1), "validator 4; there are 4"),
        (
            plain(0, 1, *anchors(1, 6), sequence=1),
            "an anchor with more parents than authors",
        ),
        (
            view_change(1, 2, prepared(1, A)),
            "a view-change reports a position of its own view or later",
        ),
        (
            replace(view_change(1, 2), high=UNPROVEN),
            "a position without its prepare certificate",
        ),
        (
            replace(view_change(1, 2), high=replace(UNPROVEN, view=View(-1))),
            "a position without its prepare certificate",
        ),
        (
            replace(view_change(2, 2, prepared(1, A)), certificate=prepared(1, B)),
            "a prepare certificate for another position",
        ),
        (
            replace(view_change(2, 2, prepared(1, A)), certificate=prepared(0, A)),
            "a prepare certificate for another position",
        ),
        (view_change(2, 2, prepared(1, A, (0, 1))), "a certificate of 2 votes; q is 3"),
        (
            replace(new_view(1), author=ValidatorIndex(2)),
            "a new-view from a validator that does not lead the view",
        ),
        (new_view(1, authors=(0, 1)), "a certificate of 2 votes; q is 3"),
        (
            new_view(1, prepared(1, A)),
            "a timeout certificate reports a position of the view it opens",
        ),
        (
            replace(
                new_view(2),
                base=prepared(0, A).position,
                timeouts=MIXED,
                certificate=prepared(0, A),
            ),
            "a new-view on another base than the highest position reported",
        ),
        (
            replace(new_view(2), timeouts=MIXED),
            "a new-view on another base than the highest position reported",
        ),
        (
            replace(new_view(2, prepared(1, A)), certificate=None),
            "a position without its prepare certificate",
        ),
        (
            replace(new_view(2, prepared(1, A)), certificate=prepared(1, B)),
            "a prepare certificate for another position",
        ),
        (replace(STATUS, newest=()), "a status names another number of authors"),
        (replace(STATUS, slots=(SLOT,) * 10), "a status with more slots than the window"),
    ],
)
def test_a_shape_no_honest_replica_sends_is_refused(message: Message, sentence: str) -> None:
    """DESIGN 2, View change and Phases."""
    with pytest.raises(MalformedMessage) as caught:
        check_shape_untrusted(COMMITTEE, message)
    assert sentence in str(caught.value)


def test_genesis_needs_no_certificate_and_can_have_none() -> None:
    """DESIGN 2: genesis ranks below all."""
    forged = replace(view_change(1, 2), certificate=prepared(0, ROOT))
    with pytest.raises(MalformedMessage):
        check_shape_untrusted(COMMITTEE, forged)
    assert genesis_position(GENESIS).rank < prepared(0, A).position.rank
