"""The journal folds to the promises, and the promises write the shortest journal."""

import random

import pytest

from cretonode.core.records import (
    Accepted,
    BaseAdopted,
    HighCertificate,
    OwnVertex,
    Promises,
    Record,
    SaidCheckpoint,
    SaidNewView,
    SaidViewChange,
    StableCheckpoint,
    ViewEntered,
    fold,
)
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import AuthorIndex, Digest, SequenceNumber, VertexHash, View
from cretonode.limits import CHECKPOINTS_SAID_MAX
from tests.core.replicas import anchors, named, new_view, prepared, stable, view_change

CHAIN = anchors(0, 40)
OTHER = VertexHash(b"o" * 32)


def digest(sequence: int) -> Digest:
    return hash_of(b"log %d" % sequence)


def sequence(number: int) -> SequenceNumber:
    return SequenceNumber(number)


def random_journal(rng: random.Random) -> list[Record]:
    """A journal as a replica writes it: all but the checkpoints only rises."""
    journal: list[Record] = []
    view, base, top, own, low, high = 0, 0, 0, 0, 0, (-1, 0)
    for _ in range(rng.randint(0, 60)):
        match rng.randint(0, 7):
            case 0:
                view += rng.randint(1, 3)
                base = 0
                journal.append(ViewEntered(View(view)))
            case 1 if view > 0 and not base:
                base = top = max(low, rng.randint(1, 30))
                journal.append(BaseAdopted(View(view), prepared(0, CHAIN[base - 1]).position))
            case 2:
                own += rng.randint(1, 2)
                journal.append(OwnVertex(AuthorIndex(own), VertexHash(hash_of(b"%d" % own))))
            case 3 if top < 39:
                top += 1
                journal.append(Accepted(View(view), sequence(top), named(CHAIN[top - 1])))
            case 4 if (view, top) > high and top:
                high = (view, top)
                journal.append(HighCertificate(prepared(view, CHAIN[top - 1])))
            case 5 if view > 0:
                journal.append(SaidViewChange(view_change(view, 1)))
            case 6 if view > 0:
                journal.append(SaidNewView(new_view(view)))
            case 7:
                made = low + 4
                journal.append(SaidCheckpoint(sequence(made), digest(made)))
                if rng.random() < 0.5:
                    low, top = made, max(top, made)  # nothing is accepted below it any more
                    journal.append(StableCheckpoint(stable(made, digest(made))))
    return journal


@pytest.mark.parametrize("seed", range(200))
def test_rotation_keeps_every_promise(seed: int) -> None:
    """DESIGN 2, Durability: rotation first copies the live values. fold(records()) is identity."""
    promises = fold(random_journal(random.Random(seed)))
    assert fold(promises.records()) == promises
    assert fold(promises.records()).records() == promises.records()


@pytest.mark.parametrize("seed", range(50))
def test_a_journal_cut_anywhere_still_folds(seed: int) -> None:
    """A power cut leaves some prefix of what was not synced."""
    journal = random_journal(random.Random(seed))
    for end in range(len(journal) + 1):
        fold(journal[:end])


def test_an_empty_journal_has_promised_nothing() -> None:
    assert fold([]) == Promises()
    assert Promises().records() == []


def test_a_new_view_starts_with_no_base_and_no_votes() -> None:
    """DESIGN 2, Phases: one base per view; votes are of the view entered."""
    promises = fold(
        [
            Accepted(View(0), sequence(1), named(CHAIN[0])),
            ViewEntered(View(2)),
            SaidViewChange(view_change(2, 1)),
            BaseAdopted(View(2), prepared(0, CHAIN[0]).position),
            Accepted(View(2), sequence(2), named(CHAIN[1])),
        ]
    )
    assert promises.view == 2
    assert promises.accepted == {2: named(CHAIN[1])}
    assert promises.base == prepared(0, CHAIN[0]).position
    assert fold([*promises.records(), ViewEntered(View(3))]) == Promises(view=View(3))


def test_a_stable_checkpoint_lets_older_promises_go() -> None:
    """DESIGN 2, Checkpoints: what garbage collection stands on."""
    journal: list[Record] = [
        Accepted(View(0), sequence(s), named(CHAIN[s - 1])) for s in range(1, 7)
    ]
    journal += [SaidCheckpoint(sequence(s), digest(s)) for s in (2, 4, 6)]
    promises = fold([*journal, StableCheckpoint(stable(4, digest(4)))])
    assert promises.accepted.keys() == {5, 6}
    assert promises.checkpoints.keys() == {4, 6}


def test_of_checkpoints_that_never_become_stable_the_newest_are_kept() -> None:
    said = [SaidCheckpoint(sequence(s), digest(s)) for s in range(1, 3 * CHECKPOINTS_SAID_MAX)]
    promises = fold(said)
    kept = [int(s) for s in promises.checkpoints]
    assert kept == list(range(2 * CHECKPOINTS_SAID_MAX, 3 * CHECKPOINTS_SAID_MAX))
    assert promises.records() == said[-CHECKPOINTS_SAID_MAX:]


@pytest.mark.parametrize(
    "journal",
    [
        [ViewEntered(View(2)), ViewEntered(View(2))],
        [ViewEntered(View(2)), ViewEntered(View(1))],
        [
            ViewEntered(View(1)),
            BaseAdopted(View(1), prepared(0, CHAIN[0]).position),
            BaseAdopted(View(1), prepared(0, CHAIN[1]).position),
        ],
        [BaseAdopted(View(1), prepared(0, CHAIN[0]).position)],
        [OwnVertex(AuthorIndex(2), OTHER), OwnVertex(AuthorIndex(2), OTHER)],
        [Accepted(View(1), sequence(1), OTHER)],
        [Accepted(View(0), sequence(1), OTHER), Accepted(View(0), sequence(1), named(CHAIN[0]))],
        [HighCertificate(prepared(1, CHAIN[0])), HighCertificate(prepared(0, CHAIN[5]))],
        [HighCertificate(prepared(1, CHAIN[0])), HighCertificate(prepared(1, CHAIN[0]))],
        [SaidCheckpoint(sequence(4), digest(4)), SaidCheckpoint(sequence(4), digest(5))],
    ],
    ids=[
        "a view twice",
        "a view back",
        "two bases in one view",
        "a base of another view",
        "an index twice",
        "a vote of another view",
        "two anchors for one slot",
        "the high certificate falls",
        "the high certificate stands",
        "two digests for one checkpoint",
    ],
)
def test_a_journal_that_contradicts_itself_is_our_own_bug(journal: list[Record]) -> None:
    """House style 12: better no start than a second vote."""
    with pytest.raises(AssertionError):
        fold(journal)
