"""The anchors above the final one, each with exactly what it alone would finalize."""

import pytest

from cretonode.core.messages import VertexMessage
from cretonode.dag.chain import Chain
from cretonode.dag.graph import Graph
from cretonode.identifiers import SequenceNumber
from tests.core.replicas import ROOT, anchor, anchors, named, plain

P = [plain(author, 1) for author in range(1, 4)]
A1 = anchor(0, 1, ROOT, P[0])
A2 = anchor(0, 2, A1, P[0], P[1])
A3 = anchor(0, 3, A2, P[2])


def chain_of(*links: VertexMessage, known: tuple[VertexMessage, ...] = ()) -> Chain:
    graph = Graph(ROOT)
    for message in (*P, A1, A2, A3, *known):
        graph.add(message.vertex, wanted=True)
    chain = Chain(graph, ROOT)
    for message in links:
        chain.extend(chain.link(message.vertex))
    return chain


def test_a_vertex_is_ordered_by_exactly_one_sequence() -> None:
    """DESIGN 2, Anchors: the not-yet-final causal history."""
    chain = chain_of(A1, A2, A3)
    histories = [[v.hash for v in link.history] for link in chain.links]
    assert histories == [
        [named(P[0]), named(A1)],
        [named(P[1]), named(A2)],
        [named(P[2]), named(A3)],
    ]
    assert chain.covered == {
        vertex: link.anchor.sequence for link in chain.links for vertex in (
            v.hash for v in link.history
        )
    }  # fmt: skip


def test_only_a_child_of_the_top_extends_the_chain() -> None:
    """The chained rule, NextVote in ChainedPBFT.tla; breaking it here is our own bug."""
    sibling = anchor(1, 9, ROOT)
    chain = chain_of(A1, known=(sibling,))
    with pytest.raises(AssertionError):
        chain.extend(chain.link(A3.vertex))
    with pytest.raises(AssertionError):
        chain.extend(chain.link(sibling.vertex))
    assert chain.top == A1.vertex


def test_cutting_gives_the_vertices_back() -> None:
    """After a view change, un-prepared anchors are plain ancestors: no transaction is lost."""
    chain = chain_of(A1, A2, A3)
    chain.cut(SequenceNumber(1))
    assert chain.top == A1.vertex
    assert chain.covered.keys() == {named(P[0]), named(A1)}
    again = anchor(2, 9, A1, A3)
    chain.graph.add(again.vertex, wanted=True)
    history = chain.link(again.vertex).history
    assert [v.hash for v in history] == [
        named(m) for m in sorted((P[1], A2, P[2], A3, again), key=lambda m: m.vertex.order_key)
    ]


def test_cutting_at_or_above_the_top_changes_nothing() -> None:
    chain = chain_of(A1, A2)
    chain.cut(SequenceNumber(2))
    chain.cut(SequenceNumber(9))
    assert len(chain.links) == 2


def test_the_lowest_link_becomes_the_final_anchor() -> None:
    chain = chain_of(A1, A2)
    link = chain.finalize_lowest()
    assert link.anchor == A1.vertex
    assert chain.final.hash == named(A1)
    assert chain.final.finalized_by == 1
    assert chain.graph.final[named(P[0])].finalized_by == 1
    assert chain.covered.keys() == {named(P[1]), named(A2)}
    assert named(A1) not in chain.graph.admitted


def test_positions_are_found_from_the_final_anchor_up() -> None:
    chain = chain_of(A1, A2)
    assert [chain.at(SequenceNumber(s)) for s in range(-1, 4)] == [
        None,
        ROOT.hash,
        named(A1),
        named(A2),
        None,
    ]
    chain.finalize_lowest()
    assert chain.at(SequenceNumber(0)) is None
    assert chain.at(SequenceNumber(1)) == named(A1)


def test_a_long_chain_keeps_its_books() -> None:
    links = anchors(0, 30)
    chain = chain_of(known=tuple(links))
    for message in links:
        chain.extend(chain.link(message.vertex))
    chain.cut(SequenceNumber(20))
    for _ in range(20):
        chain.finalize_lowest()
    assert not chain.covered
    assert chain.top == chain.final
    assert chain.final.sequence == 20
