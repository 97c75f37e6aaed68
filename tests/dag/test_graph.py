"""Who is admitted, who waits, what is forgotten, and in which order history stands."""

import random

import pytest

from cretonode.core.messages import VertexMessage
from cretonode.dag.graph import FinalVertex, Graph, Refusal
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import AuthorIndex, Height, SequenceNumber, ValidatorIndex
from cretonode.limits import AUTHOR_HELD_MAX, AUTHOR_ORPHANS_MAX
from tests.core.replicas import ROOT, anchor, anchors, named, plain


def graph_of(*messages: VertexMessage) -> Graph:
    graph = Graph(ROOT)
    for message in messages:
        assert add(graph, message)
    return graph


def add(graph: Graph, message: VertexMessage, *, wanted: bool = False) -> list[Vertex]:
    return list(graph.add(message.vertex, wanted=wanted).admitted)


def final_of(message: VertexMessage, by: int = 1) -> FinalVertex:
    vertex = message.vertex
    return FinalVertex(
        hash=vertex.hash,
        author=vertex.author,
        index=vertex.index,
        height=vertex.height,
        sequence=vertex.sequence,
        timestamp_ms=vertex.timestamp_ms,
        finalized_by=SequenceNumber(by),
    )


A1 = anchor(0, 1)
A2 = anchor(0, 2, A1)
P1 = plain(1, 1)
P2 = plain(1, 2, P1, ROOT)
Q1 = plain(2, 1)


@pytest.mark.parametrize(
    "message",
    [
        plain(1, 1),
        plain(1, 3, P1, ROOT),
        plain(1, 2, P1, A1),
        plain(1, 2, A1),
        anchor(0, 1, ROOT, P1, Q1),
        anchor(3, 1, A1, P1, Q1),
        anchor(1, 2, A1, P1),
        anchor(0, 2, A1, timestamp_ms=A1.vertex.timestamp_ms),
    ],
    ids=[
        "the first of its author",
        "after a gap in the index",
        "on a newer anchor",
        "that names an anchor alone",
        "an anchor with tips",
        "an anchor on another author's",
        "an anchor that names its author's own",
        "an anchor at its parent's time",
    ],
)
def test_a_vertex_that_follows_the_rules_is_admitted(message: VertexMessage) -> None:
    """DESIGN 2, Vertex: validity depends on bytes and ancestors alone."""
    graph = graph_of(A1, P1, Q1) if message not in (A1, P1) else Graph(ROOT)
    if not graph.knows(message.vertex.hash):
        assert add(graph, message) == [message.vertex]


@pytest.mark.parametrize(
    "message",
    [
        plain(1, 2, P1, ROOT, height=3),
        plain(1, 2, P1, ROOT, height=1),
        plain(1, 1, P1, ROOT),
        plain(2, 5, P1, ROOT),
        plain(1, 2, ROOT, P1),
        plain(1, 2, P1),
        plain(1, 2, P1, Q1),
        anchor(0, 9, A2, P1, P2),
        plain(0, 9, A1, sequence=3),
        plain(0, 9, P1, sequence=1),
        plain(0, 9, A1, sequence=1),
        anchor(0, 1, A1),
        anchor(1, 1, A1, P2),
        anchor(0, 9, A1, timestamp_ms=A1.vertex.timestamp_ms - 1),
    ],
    ids=[
        "too high",
        "too low",
        "an index not above its own parent's",
        "another author's vertex for its own",
        "the anchor named first",
        "no anchor at all",
        "a plain vertex for the anchor",
        "an anchor with two of one author",
        "an anchor that skips a sequence",
        "an anchor on a plain vertex",
        "an anchor beside its own parent",
        "an anchor whose index repeats its first parent's",
        "an anchor whose index is below its own tip's",
        "an anchor that goes back in time",
    ],
)
def test_a_vertex_that_breaks_a_rule_on_ancestry_is_invalid(message: VertexMessage) -> None:
    """DESIGN 2, Vertex: heights, kinds, whose vertices may be named, and anchors never go back."""
    graph = graph_of(A1, A2, P1, P2, Q1)
    added = graph.add(message.vertex, wanted=True)
    assert added.refusal is Refusal.INVALID
    assert added.dropped == (message.vertex,)
    assert not graph.knows(message.vertex.hash)


def test_two_vertices_of_one_index_are_both_valid() -> None:
    """DESIGN 2, Vertex: they are evidence, and both order if they are referenced."""
    graph = graph_of(P1)
    assert add(graph, plain(1, 1, transactions=(b"other",)))


def test_an_orphan_waits_for_every_parent_and_comes_in_after_them() -> None:
    graph = Graph(ROOT)
    child = anchor(3, 1, A1, P2, Q1)
    assert graph.add(child.vertex, wanted=False).missing == (named(A1), named(P2), named(Q1))
    assert graph.add(P2.vertex, wanted=False).missing == (named(P1),)
    assert add(graph, A1) == [A1.vertex]
    assert add(graph, Q1) == [Q1.vertex]
    assert add(graph, P1) == [P1.vertex, P2.vertex, child.vertex]
    assert not graph.orphans


def test_orphans_are_released_in_one_order_whatever_order_they_came_in() -> None:
    """House style 8: the same events give the same effects, byte for byte."""
    children = [plain(author, 2, P1) if author == 1 else plain(author, 1, A1) for author in (1, 2)]
    children += [plain(3, i, A1) for i in range(1, 20)]
    orders = set()
    for seed in range(10):
        graph = Graph(ROOT)
        random.Random(seed).shuffle(children)
        for child in children:
            graph.add(child.vertex, wanted=False)
        orders.add(tuple(v.hash for v in add(graph, A1)))
    assert len(orders) == 1


def test_an_orphan_that_turns_out_invalid_is_dropped_with_what_it_released_kept() -> None:
    graph = Graph(ROOT)
    bad = plain(1, 2, P1, ROOT, height=9)
    graph.add(bad.vertex, wanted=False)
    graph.add(P2.vertex, wanted=False)
    added = graph.add(P1.vertex, wanted=False)
    assert added.admitted == (P1.vertex, P2.vertex)
    assert added.dropped == (bad.vertex,)
    assert not graph.orphans


def test_any_order_of_arrival_admits_the_same_vertices() -> None:
    """DESIGN 2: never on which sibling came first."""
    chain = anchors(0, 5)
    messages = [*chain, P1, P2, Q1, plain(2, 2, Q1, chain[1]), anchor(3, 1, chain[4], P2, Q1)]
    for seed in range(50):
        random.Random(seed).shuffle(messages)
        graph = Graph(ROOT)
        for message in messages:
            graph.add(message.vertex, wanted=False)
        assert graph.admitted.keys() == {named(m) for m in messages}, seed
        assert not graph.orphans
        assert not graph._missing
        assert not graph._children


def test_the_orphans_of_an_author_are_bounded() -> None:
    """DESIGN 2: orphans bounded per author; what a certificate needs is taken all the same."""
    graph = Graph(ROOT)
    for index in range(AUTHOR_ORPHANS_MAX):
        assert graph.add(plain(1, index + 1, A1).vertex, wanted=False).missing
    one_more = plain(1, 1_000, A1).vertex
    assert graph.add(one_more, wanted=False).refusal is Refusal.TOO_MANY_ORPHANS
    assert graph.add(plain(2, 1, A1).vertex, wanted=False).missing, "another author has its own"
    assert graph.add(one_more, wanted=True).missing


def test_the_vertices_held_of_an_author_are_bounded() -> None:
    """DESIGN 2: bounds are refusals; finality makes room again."""
    graph = Graph(ROOT)
    for index in range(AUTHOR_HELD_MAX):
        assert add(graph, plain(1, index + 1))
    one_more = plain(1, 1_000)
    assert graph.add(one_more.vertex, wanted=False).refusal is Refusal.TOO_MANY_HELD
    assert add(graph, plain(2, 1))
    graph.finalize(P1.vertex, finalized_by=SequenceNumber(1))
    assert graph.held_by(ValidatorIndex(1)) == AUTHOR_HELD_MAX - 1
    assert add(graph, one_more)


def test_released_orphans_count_towards_what_their_author_may_have_held() -> None:
    """SPEC C5: every buffer bounded. Each vertex of a second author releases 64 more of a first."""
    graph = Graph(ROOT)
    index = 0
    for step in range(1, 8):
        door = plain(2, step, sequence=1)
        for _ in range(AUTHOR_ORPHANS_MAX):
            index += 1
            graph.add(plain(1, index, door).vertex, wanted=False)
        graph.add(door.vertex, wanted=False)
    assert graph.held_by(ValidatorIndex(1)) <= AUTHOR_HELD_MAX


def test_history_is_ordered_by_height_author_index_and_hash() -> None:
    """DESIGN 2, Anchors: the anchor last, parents before children, final ones left out."""
    top = anchor(3, 1, A1, P2, Q1)
    graph = graph_of(A1, P1, P2, Q1, top)
    everything = [A1, P1, Q1, P2, top]
    assert graph.history(top.vertex, {}) == tuple(m.vertex for m in everything)
    assert graph.history(top.vertex, {named(A1)}) == tuple(m.vertex for m in everything[1:])
    graph.finalize(P1.vertex, finalized_by=SequenceNumber(1))
    left = [m.vertex for m in everything if m is not P1]
    assert graph.history(top.vertex, {}) == tuple(left)


def test_forgetting_keeps_what_something_waiting_names_and_each_newest() -> None:
    """A vertex that waits must still be judged by its final parents."""
    chain = anchors(0, 6)
    waiting = plain(1, 1, chain[1])
    orphan = anchor(2, 1, chain[2], plain(3, 1))
    graph = graph_of(*chain, waiting)
    graph.add(orphan.vertex, wanted=False)
    for message in chain:
        graph.finalize(message.vertex, finalized_by=message.vertex.sequence)
    graph.forget(SequenceNumber(5))
    kept = {ROOT.hash, named(chain[1]), named(chain[2]), named(chain[4]), named(chain[5])}
    assert graph.final.keys() == kept
    graph.forget(SequenceNumber(100))
    assert named(chain[5]) in graph.final, "its author's newest"
    assert ROOT.hash in graph.final


def test_a_final_vertex_that_storage_remembers_settles_orphans() -> None:
    """The Lookup path: a parent finalized too long ago to be in memory."""
    graph = Graph(ROOT)
    child = plain(1, 1, A1)
    graph.add(child.vertex, wanted=False)
    assert graph.remember_final(final_of(A1)).admitted == (child.vertex,)
    assert graph.knows(named(A1))
    assert graph.newest_final[ValidatorIndex(0)].index == AuthorIndex(1)


def test_an_older_final_vertex_is_not_taken_for_the_newest() -> None:
    graph = Graph(ROOT)
    graph.remember_final(final_of(A2, by=2))
    graph.remember_final(final_of(A1))
    assert graph.newest_final[ValidatorIndex(0)].hash == named(A2)


def test_the_same_vertex_again_changes_nothing() -> None:
    graph = graph_of(P1)
    assert graph.add(P1.vertex, wanted=False).admitted == ()
    assert graph.held_by(ValidatorIndex(1)) == 1
    graph.add(plain(1, 3, P2, A1).vertex, wanted=False)
    graph.add(plain(1, 3, P2, A1).vertex, wanted=False)
    assert graph._orphaned[ValidatorIndex(1)] == 1


def test_genesis_is_a_final_anchor_that_nobody_authored() -> None:
    graph = Graph(ROOT)
    assert graph.knows(ROOT.hash)
    assert (ROOT.author, ROOT.height, ROOT.sequence) == (-1, Height(0), SequenceNumber(0))
