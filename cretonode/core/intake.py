"""Vertices on their way into the graph: checked against what is final, held while a parent lacks.

Owns the messages of orphans, the transaction ids of admitted vertices, and the list of vertices
that are wanted. Source: docs/spec/dag.md, section 3.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from cretonode.core.effects import Accuse, Lookup, Reason, Refuse, Send, Serve, Store
from cretonode.core.events import LookedUp
from cretonode.core.messages import FetchVertices, VertexMessage
from cretonode.core.state import NEVER_MS, State
from cretonode.dag.graph import Added, Refusal
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import AuthorIndex, ValidatorIndex, VertexHash
from cretonode.limits import (
    AUTHOR_UNFINAL_MAX,
    FETCH_HASHES_MAX,
    INDEXES_MAX,
    LOOKUP_HASHES_MAX,
)

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
    certain: bool  # something certified depends on it: bounds on its author do not count
    proposed: bool = False  # the leader's open proposal depends on it: they do not, up to a number
    asked: bool = False


@dataclass(slots=True)
class Intake:
    """The only way into the graph for what peers send."""

    state: State
    transaction_ids: dict[VertexHash, bytes] = field(default_factory=dict)
    certified: set[VertexHash] = field(default_factory=set)  # by a range; owned by catch-up
    _seen: dict[ValidatorIndex, dict[VertexHash, int]] = field(default_factory=dict)
    _served_ms: dict[ValidatorIndex, int] = field(default_factory=dict)  # last final vertex of each
    _orphans: dict[VertexHash, VertexMessage] = field(default_factory=dict)
    _checking: dict[VertexHash, tuple[ValidatorIndex, VertexMessage]] = field(default_factory=dict)
    _wants: dict[VertexHash, Want] = field(default_factory=dict)
    _granted: set[VertexHash] = field(default_factory=set)  # past bounds, for proposals of the view
    _oldest: tuple[int, int | None] | None = None  # equivocators, `oldest_ms` with so many
    _stored: set[VertexHash] = field(default_factory=set)  # on disk already, not yet admitted
    _by_index: dict[tuple[ValidatorIndex, AuthorIndex], VertexMessage] = field(default_factory=dict)
    _indexes_max: int = INDEXES_MAX  # in `_by_index`, before it is gone through

    def on_vertex(self, sender: ValidatorIndex, message: VertexMessage) -> None:
        """Take in a vertex with a good signature and a payload that fits its header."""
        vertex = message.vertex
        graph = self.state.graph
        if graph.knows(vertex.hash) or vertex.hash in graph.orphans:
            return
        if vertex.hash in self._checking or self._is_for_later(sender, vertex):
            return
        if sender == self.state.me:
            self._stored.add(vertex.hash)  # when it was said, or read back at start
        self._check_index(message)
        newest = graph.newest_final.get(vertex.author)
        if newest is not None and vertex.index <= newest.index:
            # It may have been finalized too long ago to be remembered here.
            if len(self._checking) < LOOKUP_HASHES_MAX or vertex.hash in self.certified:
                self._checking[vertex.hash] = (sender, message)
                self.state.emit(Lookup((vertex.hash,)))
            return
        self._offer(sender, message)

    def on_looked_up(self, event: LookedUp) -> None:
        """Go on with what waited for storage."""
        graph = self.state.graph
        for final in event.final:
            self._checking.pop(final.hash, None)
            wanted = self._wants.pop(final.hash, None) is not None
            # Nobody else needs to have it in memory: an old vertex can be sent at any time.
            if not graph.knows(final.hash) and (wanted or graph.is_awaited(final.hash)):
                self._settle(graph.recall_final(final))
        for absent in event.absent:
            waiting = self._checking.pop(absent, None)
            if waiting is not None and not graph.knows(absent):
                self._offer(*waiting)

    def want(
        self,
        vertex: VertexHash,
        ask: ValidatorIndex,
        *,
        certain: bool,
        proposed: bool = False,
        urgent: bool = False,
    ) -> None:
        """Get `vertex` soon: something certified (`certain`) or `proposed` depends on it, or an
        orphan does. It is probably on its way, and asked for after a while; at once when `urgent`.
        """
        graph = self.state.graph
        seeking, seen = [vertex], {vertex}
        while seeking:
            lacking = seeking.pop()
            if lacking in self.certified:
                continue  # catch-up fetches it
            if lacking in graph.orphans:
                news = self._exempt(lacking, certain=certain, proposed=proposed)
                if news or (urgent and len(seen) < FETCH_HASHES_MAX):
                    further = [v for v in graph.missing_of(lacking) if v not in seen]
                    seen.update(further)
                    seeking += further
                continue
            want = self._wants.get(lacking)
            if want is not None:
                want.certain = want.certain or certain
                want.proposed = want.proposed or proposed
            elif not graph.knows(lacking):
                ask_at_ms = self.state.now_ms + self.state.timing.fetch_delay_ms
                want = self._wants[lacking] = Want(ask_at_ms, ask, certain, proposed)
            if want is not None and urgent and not want.asked:
                want.ask_at_ms = self.state.now_ms

    def prune(self) -> None:
        """Forget what nothing needs any more: the proposals of a view that is over.

        The bounds on authors count again for what came in on account of these.
        """
        graph = self.state.graph
        granted, self._granted = sorted(self._granted), set()
        for vertex in granted:
            if vertex in graph.orphans and graph.release(vertex):
                del self._orphans[vertex]
                if graph.is_awaited(vertex):
                    self.want(vertex, self.state.leader, certain=False)
        self._wants = {v: w for v, w in self._wants.items() if w.certain or graph.is_awaited(v)}
        for want in self._wants.values():
            want.proposed = False

    def advance(self) -> None:
        """Ask for what is overdue: who named it first, then everybody else in turn."""
        if not self._wants:
            return
        state = self.state
        due: dict[ValidatorIndex, list[VertexHash]] = {}
        for vertex, want in self._wants.items():
            if want.ask_at_ms > state.now_ms:
                continue
            want.asked = True
            want.ask_at_ms = state.now_ms + state.timing.fetch_timeout_ms
            peer = self._peer_for(want)
            asked = due.setdefault(peer, [])
            if len(asked) < FETCH_HASHES_MAX:
                asked.append(vertex)
                # The next time somebody else: a silent peer costs one timeout.
                want.ask = ValidatorIndex((peer + 1) % state.committee.size)
        for peer, hashes in due.items():
            if peer != state.me:
                state.emit(Send(peer, FetchVertices(hashes=tuple(hashes))))

    def next_deadline_ms(self) -> int:
        """When `advance` has something to do."""
        if not self._wants:
            return NEVER_MS
        return min(want.ask_at_ms for want in self._wants.values())

    def oldest_ms(self) -> int | None:
        """Since when some author has waited for one of its vertices to become final.

        An author's wait starts anew with each of its vertices that becomes final: one that
        branches cannot make others wait for all its branches.
        """
        accused = len(self.state.equivocators)
        if self._oldest is None or self._oldest[0] != accused:  # asked several times in each step
            waits = [
                max(next(iter(seen.values())), self._served_ms.get(author, 0))
                for author, seen in self._seen.items()
                if seen and author not in self.state.equivocators
            ]
            self._oldest = (accused, min(waits, default=None))
        return self._oldest[1]

    def seen_ms(self, vertex: Vertex) -> int:
        """Return when an admitted vertex was first seen."""
        return self._seen[vertex.author][vertex.hash]

    def waits_ms(
        self, history: tuple[Vertex, ...], *, leader: ValidatorIndex
    ) -> tuple[int | None, int | None]:
        """Return how long `leader` has kept own vertices of `history` waiting, and others' ones.

        Others' vertices may never have been sent to the leader, on purpose. What is taken off for
        them is the time until this replica has surely sent them there itself.
        """
        state = self.state
        waits: dict[bool, int] = {}
        for vertex in history:
            if vertex.author != leader and vertex.author not in state.equivocators:
                began_ms = max(self.seen_ms(vertex), self._served_ms.get(vertex.author, 0))
                own = vertex.author == state.me
                waits[own] = max(waits.get(own, 0), state.now_ms - began_ms)
        relayed_ms = state.timing.finality_timeout_ms + state.timing.heartbeat_ms
        others_ms = waits.get(False)
        return waits.get(True), others_ms - relayed_ms if others_ms is not None else None

    def finalized(self, vertex: Vertex) -> bytes:
        """Let go of a vertex that became final; return its transaction ids."""
        self._oldest = None
        self.certified.discard(vertex.hash)
        del self._seen[vertex.author][vertex.hash]
        self._served_ms[vertex.author] = self.state.now_ms
        self._granted.discard(vertex.hash)
        return self.transaction_ids.pop(vertex.hash)

    def forget(self) -> None:
        """Drop final vertices too far behind, and what only serves to notice a second vertex for
        one index when no vertex is near.
        """
        graph = self.state.graph
        graph.forget(self.state.remembered_from)
        newest = graph.newest_final
        self._by_index = {
            key: message
            for key, message in self._by_index.items()
            if message.vertex.hash in graph.admitted
            or message.vertex.hash in graph.orphans
            or (key[0] in newest and key[1] <= newest[key[0]].index < key[1] + AUTHOR_UNFINAL_MAX)
        }
        self._indexes_max = len(self._by_index) + INDEXES_MAX

    def serve(self, peer: ValidatorIndex, hashes: tuple[VertexHash, ...]) -> None:
        """Send what storage holds of `hashes`."""
        self.state.emit(Serve(peer, vertices=hashes))

    def _offer(self, sender: ValidatorIndex, message: VertexMessage) -> None:
        vertex = message.vertex
        graph = self.state.graph
        certain = self._is_certain(sender, vertex)
        want = self._wants.get(vertex.hash)
        proposed = not certain and want is not None and want.proposed and self._grant(vertex.hash)
        self._orphans[vertex.hash] = message
        added = graph.add(vertex, wanted=certain or proposed)
        if added.refusal is not None:
            self.state.emit(Refuse(sender, REASON_OF[added.refusal]))
        if vertex.hash in graph.orphans:
            self._wants.pop(vertex.hash, None)
            self._seek(added.missing, sender, certain=certain, proposed=proposed)
        else:
            self._settle(added)
            self._orphans.pop(vertex.hash, None)
            if added.refusal is not None:
                self._granted.discard(vertex.hash)
        if graph.knows(vertex.hash) or vertex.hash in graph.orphans:
            self._by_index.setdefault((vertex.author, vertex.index), _brief(message))
            if len(self._by_index) > self._indexes_max:
                self.forget()

    def _is_certain(self, sender: ValidatorIndex, vertex: Vertex) -> bool:
        """True when the bounds on what an author may have here do not count for `vertex`."""
        want = self._wants.get(vertex.hash)
        if sender == self.state.me or (want is not None and want.certain):
            return True
        return vertex.hash in self.certified

    def _is_for_later(self, sender: ValidatorIndex, vertex: Vertex) -> bool:
        """True for new traffic that a replica far behind has no use for: ranges bring it in time.

        What is known to be needed, or has all its parents here, is taken even then.
        """
        if not self.state.behind or sender == self.state.me:
            return False
        if vertex.hash in self.certified or vertex.hash in self._wants:
            return False
        graph = self.state.graph
        return not all(graph.knows(parent) for parent in vertex.parents)

    def _grant(self, vertex: VertexHash) -> bool:
        """Let `vertex` pass the bounds on its author, while fewer do than one anchor may order."""
        if len(self._granted) < self.state.committee.history_vertices_max:
            self._granted.add(vertex)
        return vertex in self._granted

    def _exempt(self, orphan: VertexHash, *, certain: bool, proposed: bool) -> bool:
        """Let an orphan in when it is complete, whatever its author has. True: this is news."""
        graph = self.state.graph
        if certain:
            granted = orphan in self._granted
            self._granted.discard(orphan)
            return graph.mark_wanted(orphan) or granted
        return proposed and self._grant(orphan) and graph.mark_wanted(orphan)

    def _seek(
        self,
        missing: tuple[VertexHash, ...],
        ask: ValidatorIndex,
        *,
        certain: bool,
        proposed: bool,
    ) -> None:
        fresh = tuple(
            parent
            for parent in missing
            if parent not in self._wants
            and parent not in self.state.graph.orphans
            and parent not in self._checking
        )
        for parent in missing:
            self.want(parent, ask, certain=certain, proposed=proposed)
        if fresh:
            self.state.emit(Lookup(fresh))

    def _settle(self, added: Added) -> None:
        if added.admitted:
            self._oldest = None
        for vertex in added.admitted:
            message = self._orphans.pop(vertex.hash)
            self._wants.pop(vertex.hash, None)
            self.transaction_ids[vertex.hash] = message.transaction_ids
            self._seen.setdefault(vertex.author, {})[vertex.hash] = self.state.now_ms
            if vertex.hash in self._stored:
                self._stored.discard(vertex.hash)
            else:
                self.state.emit(Store(message))
        for vertex in added.dropped:
            self._orphans.pop(vertex.hash, None)
            self._wants.pop(vertex.hash, None)
            self._granted.discard(vertex.hash)

    def _check_index(self, message: VertexMessage) -> None:
        """Two vertices for one (author, index) are evidence."""
        vertex = message.vertex
        first = self._by_index.get((vertex.author, vertex.index))
        if first is None or first.vertex.hash == vertex.hash:
            return
        if vertex.author not in self.state.equivocators:
            self.state.equivocators.add(vertex.author)
            self.state.emit(Accuse(vertex.author, first, _brief(message)))

    def _peer_for(self, want: Want) -> ValidatorIndex:
        """Return whom to ask: the first connected one from `want.ask` on, proven liars last; itself
        when alone.
        """
        state = self.state
        size = state.committee.size
        turns = [ValidatorIndex((want.ask + step) % size) for step in range(size)]
        able = [peer for peer in turns if peer != state.me and peer in state.connected]
        return next((p for p in able if p not in state.equivocators), able[0] if able else state.me)


def _brief(message: VertexMessage) -> VertexMessage:
    """Return what evidence needs of a vertex: the payload is left out."""
    return replace(message, payload=b"", transaction_ids=b"")
