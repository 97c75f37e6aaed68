"""Floods as liars would send them, through `step` alone: each fills what it can.

Each yields now and then, so that the bounds are checked on the way (`tests/core/test_bounds.py`).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from cretonode.core.effects import Accuse
from cretonode.core.events import LookedUp, PeerConnected, PeerSilent
from cretonode.core.messages import Status, Suspect, VertexMessage
from cretonode.core.state import Restored
from cretonode.crypto.hashing import hash_of
from cretonode.dag.graph import FinalVertex
from cretonode.identifiers import AuthorIndex, Height, SequenceNumber, ValidatorIndex, View
from cretonode.limits import (
    AUTHOR_HELD_MAX,
    AUTHOR_UNFINAL_MAX,
    EVIDENCE_PER_AUTHOR_MAX,
    FETCH_SLOTS_MAX,
    FINAL_RECALLED_MAX,
    INDEXES_MAX,
    LOOKUP_HASHES_MAX,
)
from tests.core.replicas import (
    ROOT,
    Driven,
    anchor,
    anchors,
    batch_of,
    checkpoint,
    commit,
    committed,
    make_replica,
    of,
    plain,
    pre_prepare,
    prepare,
    prepared,
    signed,
    view_change,
)

LIAR: Final = 2  # f = 1 of 4; the replica is validator 1, validator 0 leads

Flood = Iterator[Driven]


def far_views(tested: Driven) -> Flood:
    """Votes, suspicions and view-changes of ever later views."""
    genesis = anchor(0, 1)
    for view in range(1, 200):
        tested.hear(prepare(view, genesis, LIAR), commit(view, genesis, LIAR))
        tested.hear(signed(Suspect(view=View(view), author=ValidatorIndex(LIAR))))
        tested.hear(view_change(view, LIAR))
        yield tested


def contradictions(tested: Driven) -> Flood:
    """Every vote twice and more, each time for another anchor; each index twice."""
    for index in range(1, 40):
        for some in anchors(0, 12, index=100 * index):
            tested.hear(prepare(0, some, LIAR), commit(0, some, LIAR), commit(0, some, 3))
            tested.hear(prepare(0, some, 3))
        yield tested
        digest = hash_of(index.to_bytes(2, "big"))
        for sequence in range(1, 100):
            tested.hear(checkpoint(sequence, digest, LIAR))
        yield tested
        tested.hear(view_change(1, LIAR, prepared(0, anchor(0, index))))
        tested.hear(plain(LIAR, 1, transactions=(b"%d" % index,)))
    liars = Counter(effect.author for effect in of(tested.everything, Accuse))
    assert liars[ValidatorIndex(LIAR)] == EVIDENCE_PER_AUTHOR_MAX


def vertices(tested: Driven) -> Flood:
    """More vertices than an author may have: admitted, orphaned, and for one index."""
    for index in range(1, 2 * AUTHOR_HELD_MAX):
        tested.hear_all(plain(LIAR, index), plain(LIAR, index, timestamp_ms=index))
        unknown = plain(3, index, anchor(0, 7, timestamp_ms=index))
        tested.hear_all(
            replace(unknown, vertex=replace(unknown.vertex, author=ValidatorIndex(LIAR)))
        )
        if index % 50 == 0:
            yield tested


def old_vertices(tested: Driven) -> Flood:
    """Vertices below what is final, faster than storage answers."""
    first = plain(LIAR, 1_000)
    tested.finalize(0, first, anchor(0, 1, ROOT, first))
    for index in range(1, 2 * LOOKUP_HASHES_MAX):
        tested.hear(plain(LIAR, index))
    yield tested


def looked_up(index: int) -> FinalVertex:
    """Return what storage says of a vertex that was final long ago."""
    return FinalVertex(
        hash=anchor(0, index, timestamp_ms=1).vertex.hash,
        author=ValidatorIndex(0),
        index=AuthorIndex(index),
        height=Height(1),
        sequence=SequenceNumber(1),
        timestamp_ms=1,
        finalized_by=SequenceNumber(1),
    )


def old_parents(tested: Driven) -> Flood:
    """Vertices that name old final ones and break a rule, without end."""
    tested.finalize(0, *anchors(0, 60))
    for index in range(1, 2 * FINAL_RECALLED_MAX):
        parent = looked_up(index)
        tested.hear(plain(LIAR, 10, parent, height=7))
        tested.step(LookedUp((parent,), ()))
        if index % 500 == 0:
            yield tested


def rising_indexes(tested: Driven) -> Flood:
    """Vertices that break a rule, each with an index of its own, many on one old parent."""
    tested.finalize(0, *anchors(0, 60))
    for index in range(1, 2 * INDEXES_MAX):
        parent = looked_up(1 + index // 50)
        tested.hear(plain(LIAR, 10 + index, parent, height=7))
        if index % 50 == 49:
            tested.step(LookedUp((parent,), ()))
            yield tested


def certificates(tested: Driven) -> Flood:
    """Certificates far above what is here, of lower sequences, too."""
    for some in anchors(0, 60):
        tested.hear(committed(0, some))
        yield tested


def far_ahead(tested: Driven) -> Flood:
    """Peers send vertices without their parents to a replica that is far behind."""
    for peer in (0, LIAR, 3):
        tested.step(PeerConnected(ValidatorIndex(peer)))
        tested.hear(
            Status(
                view=View(0),
                has_base=True,
                final=SequenceNumber(500),
                stable=SequenceNumber(496),
                slots=(),
                newest=(AuthorIndex(0),) * 4,
            ),
            sender=peer,
        )
    yield tested
    tested.hear(committed(0, anchors(0, 60)[-1]))
    for index in range(1, FETCH_SLOTS_MAX * AUTHOR_UNFINAL_MAX + 300):
        unknown = looked_up(index)
        for sender in (0, LIAR, 3):
            tested.hear(plain(LIAR, index, unknown), sender=sender)
        if index % 1_000 == 0:
            yield tested
    for peer in (0, LIAR, 3):
        tested.step(PeerSilent(ValidatorIndex(peer)))
    yield tested


def in_flight(tested: Driven) -> Flood:
    """A leader that proposes and proposes, its anchors late, and then others besides."""
    for some in anchors(0, 40):
        tested.hear(pre_prepare(0, some))
    yield tested
    for some in anchors(0, 40):
        tested.hear(some, pre_prepare(0, some))
        yield tested
    for some in anchors(0, 40, index=50):
        tested.hear(pre_prepare(0, some), prepare(0, some, LIAR), commit(0, some, LIAR))
    yield tested


def proposed(tested: Driven) -> Flood:
    """A proposal on a longer history than one anchor may order, sent from its end."""
    chain = [plain(3, 1)]
    for index in range(2, 700):
        chain.append(plain(3, index, chain[-1], ROOT))
    top = anchor(0, 1, ROOT, chain[-1])
    tested.hear(pre_prepare(0, top), top)
    for message in reversed(chain[1:]):
        tested.hear(message)
    yield tested


def long_run(tested: Driven) -> Flood:
    """Finality goes on and on, and no checkpoint becomes stable."""
    previous: VertexMessage | FinalVertex = ROOT
    for index in range(1, 200):
        tip = plain(LIAR, index, transactions=(b"%d" % index,))
        previous = anchor(0, index, previous, tip)
        tested.finalize(0, tip, previous)
        yield tested


def own_batches(tested: Driven) -> Flood:
    """Clients without end, and no leader."""
    for number in range(2 * AUTHOR_UNFINAL_MAX):
        if tested.replica.wants_batch():
            tested.do(batch_of(b"%d" % number))
        yield tested
    yield tested.restart()


def orphans_at_start(tested: Driven) -> Flood:
    """Storage gives back vertices whose parents nobody remembers."""
    unknown = anchors(0, 200)
    pending = tuple(plain(LIAR, index, unknown[index]) for index in range(1, 200))
    yield make_replica(restored=Restored(final=ROOT, pending=pending))
    yield tested


FLOODS: Final = (
    far_views,
    contradictions,
    vertices,
    old_vertices,
    old_parents,
    rising_indexes,
    certificates,
    far_ahead,
    in_flight,
    proposed,
    long_run,
    own_batches,
    orphans_at_start,
)
