"""Vertices on their way into the graph: checked against what is final, held while a parent lacks.

Owns the messages of orphans, the transaction ids of admitted vertices, and the list of vertices
that are wanted. Source: docs/spec/dag.md, section 3.
"""

from dataclasses import dataclass, field
from typing import Final

from cretonode.core.effects import Accuse, Lookup, Reason, Refuse, Send, Serve, Store
from cretonode.core.events import LookedUp
from cretonode.core.messages import FetchVertices, VertexMessage
from cretonode.core.state import NEVER_MS, State
from cretonode.dag.graph import Added, Refusal
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import AuthorIndex, ValidatorIndex, VertexHash
from cretonode.limits import FETCH_HASHES_MAX, LOOKUP_HASHES_MAX

REASON_OF: Final = {
    Refusal.INVALID: Reason.INVALID_VERTEX,
    Refusal.TOO_MANY_HELD: Reason.TOO_MANY_HELD,
    Refusal.TOO_MANY_ORPHANS: Reason.TOO_MANY_ORPHANS,
}


@dataclass(slots=True)
class Want:
    """A vertex somebody named and this replica lacks."""

    ask_at_ms: int
    ask: ValidatorIndex  # the next to be asked


@dataclass(slots=True)
class Intake:
    """The only way into the graph for what peers send."""

    state: State
    transaction_ids: dict[VertexHash, bytes] = field(default_factory=dict)
    first_seen: dict[VertexHash, int] = field(default_factory=dict)  # ms; oldest first
    trusted: ValidatorIndex | None = None  # answers a range request: its vertices are wanted
    _orphans: dict[VertexHash, VertexMessage] = field(default_factory=dict)
    _checking: dict[VertexHash, tuple[ValidatorIndex, VertexMessage]] = field(default_factory=dict)
    _wants: dict[VertexHash, Want] = field(default_factory=dict)
    _stored: set[VertexHash] = field(default_factory=set)  # on disk already, not yet admitted
    _by_index: dict[tuple[ValidatorIndex, AuthorIndex], VertexMessage] = field(default_factory=dict)

    def on_vertex(self, sender: ValidatorIndex, message: VertexMessage) -> None:
        """Take in a vertex with a good signature and a payload that fits its header."""
        vertex = message.vertex
        graph = self.state.graph
        if graph.knows(vertex.hash) or vertex.hash in graph.orphans:
            return
        if vertex.hash in self._checking:
            return
        if sender == self.state.me:
            self._stored.add(vertex.hash)  # when it was said, or read back at start
        self._note_index(message)
        newest = graph.newest_final.get(vertex.author)
        if newest is not None and vertex.index <= newest.index:
            # It may have been finalized too long ago to be remembered here.
            if len(self._checking) < LOOKUP_HASHES_MAX:
                self._checking[vertex.hash] = (sender, message)
                self.state.emit(Lookup((vertex.hash,)))
            return
        self._offer(sender, message)

    def on_looked_up(self, event: LookedUp) -> None:
        """Go on with what waited for storage."""
        graph = self.state.graph
        for final in event.final:
            self._checking.pop(final.hash, None)
            self._wants.pop(final.hash, None)
            if not graph.knows(final.hash):
                self._settle(graph.remember_final(final))
        for absent in event.absent:
            waiting = self._checking.pop(absent, None)
            if waiting is not None and not graph.knows(absent):
                self._offer(*waiting)

    def want(self, vertex: VertexHash, ask: ValidatorIndex) -> None:
        """Get `vertex`, which something certified or accepted depends on, soon."""
        graph = self.state.graph
        if graph.knows(vertex) or vertex in graph.orphans or vertex in self._wants:
            return
        self._wants[vertex] = Want(self.state.now_ms + self.state.timing.fetch_delay_ms, ask)

    def advance(self) -> None:
        """Ask for what is overdue: who named it first, then everybody else in turn."""
        state = self.state
        due: dict[ValidatorIndex, list[VertexHash]] = {}
        for vertex, want in self._wants.items():
            if want.ask_at_ms > state.now_ms:
                continue
            asked = due.setdefault(self._next_peer(want), [])
            if len(asked) < FETCH_HASHES_MAX:
                asked.append(vertex)
                want.ask_at_ms = state.now_ms + state.timing.fetch_timeout_ms
        for peer, hashes in due.items():
            if peer != state.me and hashes:
                state.emit(Send(peer, FetchVertices(hashes=tuple(hashes))))

    def next_deadline_ms(self) -> int:
        """When `advance` has something to do."""
        return min((want.ask_at_ms for want in self._wants.values()), default=NEVER_MS)

    def oldest_ms(self) -> int | None:
        """When the oldest admitted vertex that is not final was first seen."""
        return next(iter(self.first_seen.values()), None)

    def finalized(self, vertex: Vertex) -> bytes:
        """Let go of a vertex that became final; return its transaction ids."""
        self.first_seen.pop(vertex.hash, None)
        return self.transaction_ids.pop(vertex.hash)

    def forget(self) -> None:
        """Drop what is kept only to notice a second vertex for one index."""
        newest = self.state.graph.newest_final
        self._by_index = {
            key: message
            for key, message in self._by_index.items()
            if key[0] not in newest or key[1] + 64 > newest[key[0]].index
        }

    def serve(self, peer: ValidatorIndex, hashes: tuple[VertexHash, ...]) -> None:
        """Send what storage holds of `hashes`."""
        self.state.emit(Serve(peer, vertices=hashes))

    def _offer(self, sender: ValidatorIndex, message: VertexMessage) -> None:
        vertex = message.vertex
        wanted = vertex.hash in self._wants or sender in (self.trusted, self.state.me)
        added = self.state.graph.add(vertex, wanted=wanted)
        if added.refusal is not None:
            self.state.emit(Refuse(sender, REASON_OF[added.refusal]))
        if added.missing:
            self._orphans[vertex.hash] = message
            self._wants.pop(vertex.hash, None)
            self._seek(added.missing, sender)
        else:
            self._orphans[vertex.hash] = message
            self._settle(added)
            self._orphans.pop(vertex.hash, None)

    def _seek(self, missing: tuple[VertexHash, ...], ask: ValidatorIndex) -> None:
        fresh = tuple(
            parent
            for parent in missing
            if parent not in self._wants
            and parent not in self.state.graph.orphans
            and parent not in self._checking
        )
        for parent in fresh:
            self.want(parent, ask)
        if fresh:
            self.state.emit(Lookup(fresh))

    def _settle(self, added: Added) -> None:
        for vertex in added.admitted:
            message = self._orphans.pop(vertex.hash)
            self._wants.pop(vertex.hash, None)
            self.transaction_ids[vertex.hash] = message.transaction_ids
            if vertex.author not in self.state.equivocators:
                self.first_seen[vertex.hash] = self.state.now_ms
            if vertex.hash in self._stored:
                self._stored.discard(vertex.hash)
            else:
                self.state.emit(Store(message))
        for vertex in added.invalid:
            self._orphans.pop(vertex.hash, None)
            self._wants.pop(vertex.hash, None)

    def _note_index(self, message: VertexMessage) -> None:
        """Keep the first vertex of each (author, index); a second one is evidence."""
        vertex = message.vertex
        brief = VertexMessage(
            vertex=vertex, payload=b"", transaction_ids=b"", signature=message.signature
        )
        first = self._by_index.setdefault((vertex.author, vertex.index), brief)
        if first.vertex.hash != vertex.hash and vertex.author not in self.state.equivocators:
            self.state.equivocators.add(vertex.author)
            for held in [h for h in self.first_seen if self._author_of(h) == vertex.author]:
                del self.first_seen[held]
            self.state.emit(Accuse(vertex.author, first, brief))

    def _author_of(self, vertex: VertexHash) -> ValidatorIndex:
        return self.state.graph.admitted[vertex].author

    def _next_peer(self, want: Want) -> ValidatorIndex:
        """Return whom to ask, and move on so that one silent peer costs one timeout."""
        state = self.state
        ask = want.ask
        for _ in range(state.committee.size):
            if ask != state.me and ask in state.connected:
                break
            ask = ValidatorIndex((ask + 1) % state.committee.size)
        want.ask = ValidatorIndex((ask + 1) % state.committee.size)
        return ask
