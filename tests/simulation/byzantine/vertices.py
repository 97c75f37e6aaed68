"""Vertices that contradict each other or stand on nothing."""

from dataclasses import replace

from cretonode.core.messages import Statement, VertexMessage
from cretonode.crypto.hashing import hash_of
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import AuthorIndex, Height, VertexHash
from tests.simulation.byzantine.behaviour import Behaviour, Outgoing


class TwoVertices(Behaviour):
    """Two plain vertices of one index, one for each part of the others."""

    def says(self, statement: Statement) -> list[Outgoing]:
        """Show a part another vertex."""
        if isinstance(statement, VertexMessage) and not statement.vertex.is_anchor and self.lies():
            later = replace(statement.vertex, timestamp_ms=statement.vertex.timestamp_ms + 1)
            return self.halves(statement, self.keep(replace(statement, vertex=later)))
        return super().says(statement)


class LacksParents(Behaviour):
    """Plain vertices and anchors on a parent that does not exist, or that it gives to nobody."""

    def says(self, statement: Statement) -> list[Outgoing]:
        """Put one part's copy on something it cannot get."""
        if not isinstance(statement, VertexMessage) or not self.lies():
            return super().says(statement)
        vertex = statement.vertex
        if vertex.is_anchor:
            lie = self._baseless(vertex)
        else:
            lie = self._withheld(vertex) if self.rng.random() < 0.5 else self._baseless(vertex)
        return self.halves(statement, self.sign(replace(statement, vertex=lie)))

    def _baseless(self, vertex: Vertex) -> Vertex:
        nothing = VertexHash(hash_of(b"nothing" + vertex.hash))
        parents = (nothing, *vertex.parents[1:]) if vertex.is_anchor else (nothing,)
        if not vertex.is_anchor:
            parents = (nothing, vertex.parents[-1])
        return replace(vertex, parents=parents)

    def _withheld(self, vertex: Vertex) -> Vertex:
        """Return a vertex on a good parent that nobody is shown."""
        hidden = replace(vertex, timestamp_ms=vertex.timestamp_ms + 1)
        return replace(
            vertex,
            index=AuthorIndex(vertex.index + 1_000),
            height=Height(vertex.height + 1),
            parents=(hidden.hash, vertex.parents[-1]),
        )
