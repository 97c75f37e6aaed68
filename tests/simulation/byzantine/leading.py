"""Leaders that propose two things, the wrong thing, to the wrong ones, or too late."""

from collections.abc import Iterable
from dataclasses import replace

from cretonode.core.effects import Effect
from cretonode.core.messages import Commit, Message, PrePrepare, Statement, VertexMessage
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import AuthorIndex, ValidatorIndex, VertexHash
from tests.simulation.byzantine.behaviour import Behaviour, Outgoing, Setting, Stored
from tests.simulation.byzantine.voting import EchoesVotes


class SplitsAnchors(EchoesVotes):
    """Two anchors for one sequence, one for each part of the others, as two whole chains.

    Sometimes the chains are crossed: a part is shown a child of what the other part accepted.
    """

    def __init__(self, setting: Setting) -> None:
        """Draw how often the two chains are crossed."""
        super().__init__(setting)
        self.other: dict[VertexHash, VertexHash] = {}  # the second anchor of each first one
        self.crossing = self.rng.choice((0.0, 0.3))

    def says(self, statement: Statement) -> list[Outgoing]:
        """Show each part its own anchor, proposal and commits."""
        match statement:
            case VertexMessage(vertex=vertex) if vertex.is_anchor:
                if vertex.parents[0] in self.other or self.lies():
                    lie = self.keep(replace(statement, vertex=self.sibling(vertex)))
                    self.other[vertex.hash] = lie.vertex.hash
                    return self.halves(statement, lie)
            case PrePrepare() | Commit() if statement.anchor in self.other:
                anchor = self.other[statement.anchor]
                return self.halves(statement, self.sign(replace(statement, anchor=anchor)))
            case _:
                pass
        return super().says(statement)

    def sibling(self, anchor: Vertex) -> Vertex:
        """Return another anchor for the same sequence, on the second chain if there is one."""
        first, *tips = anchor.parents
        if self.rng.random() >= self.crossing:
            first = self.other.get(first, first)
        return replace(anchor, parents=(first, *tips), timestamp_ms=anchor.timestamp_ms + 1)


class NamesWrongParent(Behaviour):
    """Proposes an anchor to everybody, then a child of another anchor for the same sequence.

    The other anchor has an index of its own, so that nothing contradicts anything before the child
    is proposed: two vertices of one index would end the view at once.
    """

    def __init__(self, setting: Setting) -> None:
        """Start with one chain."""
        super().__init__(setting)
        self.siblings: dict[VertexHash, VertexHash] = {}
        self.other: dict[VertexHash, VertexHash] = {}

    def says(self, statement: Statement) -> list[Outgoing]:
        """Keep proposing the first and building on the second."""
        match statement:
            case VertexMessage(vertex=vertex) if vertex.is_anchor:
                return self._anchor(statement)
            case PrePrepare() | Commit() if statement.anchor in self.other:
                return self.to_all(
                    self.sign(replace(statement, anchor=self.other[statement.anchor]))
                )
            case _:
                return super().says(statement)

    def _anchor(self, message: VertexMessage) -> list[Outgoing]:
        vertex = message.vertex
        first, *tips = vertex.parents
        wrong = self.siblings.get(first) or self.other.get(first)
        if wrong is not None:
            self.acts += 1
            index = AuthorIndex(vertex.index + 1)
            child = replace(vertex, index=index, parents=(wrong, *tips))
            lie = self.keep(replace(message, vertex=child))
            self.other[vertex.hash] = lie.vertex.hash
            return self.to_all(lie)
        if not self.lies():
            return self.to_all(message)
        index = AuthorIndex(vertex.index + 1)
        sibling = self.keep(replace(message, vertex=replace(vertex, index=index)))
        self.siblings[vertex.hash] = sibling.vertex.hash
        return [*self.to_all(message), *self.to_all(sibling)]


class CertificateToOne(Behaviour):
    """Gives its newest prepare certificate to one validator, then says nothing for a while."""

    def __init__(self, setting: Setting) -> None:
        """Start talking."""
        super().__init__(setting)
        self._silent_until_ms = 0

    def outgoing(self, effects: Iterable[Effect], now_ms: int, stored: Stored) -> list[Outgoing]:
        """Say nothing while silent."""
        silent = now_ms < self._silent_until_ms
        found = super().outgoing(effects, now_ms, stored)
        return [] if silent else found

    def says(self, statement: Statement) -> list[Outgoing]:
        """Fall silent instead of committing."""
        silent = self.now_ms < self._silent_until_ms
        if not isinstance(statement, Commit) or silent or not self.highs or not self.lies():
            return super().says(statement)
        self.acts += 1
        self._silent_until_ms = self.now_ms + self.rng.choice((1, 3)) * self.timeout_ms
        return [(self.rng.choice(self.peers), self.highs[-1])]


class ProposesLate(Behaviour):
    """Holds each proposal back for most of the time that the others wait."""

    def says(self, statement: Statement) -> list[Outgoing]:
        """Let a pre-prepare wait."""
        if not isinstance(statement, PrePrepare) or not self.lies():
            return super().says(statement)
        self.acts += 1
        for peer in self.peers:
            self.later(self.timeout_ms * 8 // 10, peer, statement)
        return []

    def sends(self, peer: ValidatorIndex, message: Message) -> list[Outgoing]:
        """Answer no status with what is held back."""
        held = isinstance(message, PrePrepare) and any(m == message for _, (_, m) in self._held)
        return [] if held else super().sends(peer, message)


class LeadsSlowly(Behaviour):
    """Leads so slowly that only its pace gives it away, as `schemes.SlowTurns` makes it do."""


class Censors(Behaviour):
    """Never hears of one author's vertices while it leads; some do not talk to it either."""

    def __init__(self, setting: Setting) -> None:
        """Draw the victim."""
        super().__init__(setting)
        self.victim = self.rng.choice(self.peers)
        self.shuns = self.rng.random() < 0.5

    def outgoing(self, effects: Iterable[Effect], now_ms: int, stored: Stored) -> list[Outgoing]:
        """Leave the victim out."""
        found = super().outgoing(effects, now_ms, stored)
        if not self.shuns:
            return found
        kept = [out for out in found if out[0] != self.victim]
        self.acts += len(found) - len(kept)
        return kept

    def hears(self, sender: ValidatorIndex, message: Message, now_ms: int) -> bool:
        """Be deaf to the victim's vertices, whoever brings them."""
        heard = super().hears(sender, message, now_ms)
        if self.leads and isinstance(message, VertexMessage) and message.author == self.victim:
            self.acts += 1
            return False
        return heard and not (self.shuns and sender == self.victim)
