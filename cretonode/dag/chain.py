"""The anchors a replica builds on: its final anchor and the accepted ones above it.

Each link knows the history that its anchor would finalize, so that a vertex is ordered by
exactly one sequence. Source: docs/spec/dag.md, section 4.
"""

from dataclasses import dataclass, field

from cretonode.dag.graph import FinalVertex, Graph
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, VertexHash


@dataclass(frozen=True, slots=True)
class Link:
    """An accepted anchor and what it finalizes, in order, itself last."""

    anchor: Vertex
    history: tuple[Vertex, ...]


@dataclass(slots=True)
class Chain:
    """Consecutive anchors above the final one, each the first parent of the next."""

    graph: Graph
    final: FinalVertex
    links: list[Link] = field(default_factory=list)
    covered: dict[VertexHash, SequenceNumber] = field(default_factory=dict)

    @property
    def top(self) -> Vertex | FinalVertex:
        """The anchor that the next one must name as its first parent."""
        return self.links[-1].anchor if self.links else self.final

    def link(self, anchor: Vertex) -> Link:
        """Return what `anchor` would finalize on top of this chain."""
        return Link(anchor, self.graph.history(anchor, self.covered))

    def extend(self, link: Link) -> None:
        """Put a link, made for this top, on top."""
        anchor = link.anchor
        assert anchor.parents[0] == self.top.hash, (anchor, self.top)
        assert anchor.sequence == self.top.sequence + 1, (anchor, self.top)
        self.links.append(link)
        for vertex in link.history:
            self.covered[vertex.hash] = anchor.sequence

    def cut(self, top: SequenceNumber) -> None:
        """Forget the links above sequence `top`; their vertices are plain ancestors again."""
        while self.links and self.links[-1].anchor.sequence > top:
            for vertex in self.links.pop().history:
                del self.covered[vertex.hash]

    def at(self, sequence: SequenceNumber) -> VertexHash | None:
        """Return the anchor of `sequence`, when it is the final one or above it on this chain."""
        offset = sequence - self.final.sequence
        if offset == 0:
            return self.final.hash
        return self.links[offset - 1].anchor.hash if 0 < offset <= len(self.links) else None

    def finalize_lowest(self) -> Link:
        """Take the lowest link off: its anchor is the final one now."""
        link = self.links.pop(0)
        for vertex in link.history:
            del self.covered[vertex.hash]
            final = self.graph.finalize(vertex, finalized_by=link.anchor.sequence)
        self.final = final
        return link
