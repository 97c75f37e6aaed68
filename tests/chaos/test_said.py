"""Whatever a node says twice with another content is a contradiction, whoever heard it."""

import pytest

from chaos.said import Said
from cretonode.core.messages import Position
from cretonode.core.records import (
    Accepted,
    BaseAdopted,
    OwnVertex,
    Record,
    SaidCheckpoint,
    ViewEntered,
)
from cretonode.identifiers import AuthorIndex, Digest, SequenceNumber, VertexHash, View

A, B = VertexHash(b"a" * 32), VertexHash(b"b" * 32)


def vote(view: int, sequence: int, anchor: VertexHash) -> Accepted:
    return Accepted(View(view), SequenceNumber(sequence), anchor)


def base(view: int, sequence: int) -> BaseAdopted:
    return BaseAdopted(View(view), Position(View(0), SequenceNumber(sequence), A))


def checkpoint(sequence: int, digest: bytes) -> SaidCheckpoint:
    return SaidCheckpoint(SequenceNumber(sequence), Digest(digest))


def heard(*lives: list[Record]) -> list[str]:
    said = Said("node0")
    for records in lives:
        said.hear(records)
    return said.contradictions


def test_a_journal_read_again_and_longer_contradicts_nothing() -> None:
    first: list[Record] = [vote(0, 1, A), OwnVertex(AuthorIndex(1), A), ViewEntered(View(2))]
    assert heard(first, [*first, base(2, 1), vote(2, 2, B)], [ViewEntered(View(2))]) == []


@pytest.mark.parametrize(
    "lives",
    [
        ([vote(0, 1, A)], [vote(0, 1, B)]),
        ([vote(0, 1, A), vote(0, 1, B)],),
        ([OwnVertex(AuthorIndex(3), A)], [OwnVertex(AuthorIndex(3), B)]),
        ([base(1, 1)], [base(1, 2)]),
        ([checkpoint(64, A)], [checkpoint(64, B)]),
        ([ViewEntered(View(3)), vote(2, 9, A)],),
        ([ViewEntered(View(3)), ViewEntered(View(3))],),
    ],
    ids=[
        "a vote after a crash",
        "a vote at once",
        "the index of a vertex",
        "the base of a view",
        "a checkpoint",
        "a vote in a view it had left",
        "a view entered again",
    ],
)
def test_another_content_is_a_contradiction(lives: tuple[list[Record], ...]) -> None:
    assert len(heard(*lives)) == 1
