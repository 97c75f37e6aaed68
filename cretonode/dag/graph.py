"""The vertices that wait for finality, and just enough of the final ones to judge them.

A vertex is admitted when all its parents are known and the rules on ancestry hold; before that
it waits as an orphan. The rules depend on bytes and ancestors alone, so that every honest
replica judges alike, whenever it looks. Source: docs/spec/dag.md.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from cretonode.dag.vertex import Vertex
from cretonode.identifiers import (
    AuthorIndex,
    Height,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
)
from cretonode.limits import AUTHOR_HELD_MAX, AUTHOR_ORPHANS_MAX, FINAL_RECALLED_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalVertex:
    """What remains in memory of a finalized vertex."""

    hash: VertexHash
    author: ValidatorIndex
    index: AuthorIndex
    height: Height
    sequence: SequenceNumber  # of an anchor; 0 for a plain vertex
    timestamp_ms: int
    finalized_by: SequenceNumber  # the sequence whose anchor finalized it


def genesis_vertex(genesis: VertexHash) -> FinalVertex:
    """Return the root of the graph: the anchor of sequence 0, which nobody authored."""
    return FinalVertex(
        hash=genesis,
        author=ValidatorIndex(-1),
        index=AuthorIndex(0),
        height=Height(0),
        sequence=SequenceNumber(0),
        timestamp_ms=0,
        finalized_by=SequenceNumber(0),
    )


class Refusal(Enum):
    """Why a vertex was not taken in."""

    INVALID = auto()  # breaks a rule on ancestry; nobody will ever admit it
    TOO_MANY_HELD = auto()  # its author has too many that are not final
    TOO_MANY_ORPHANS = auto()


@dataclass(frozen=True, slots=True)
class Added:
    """The outcome of offering one vertex."""

    admitted: tuple[Vertex, ...] = ()  # the vertex and orphans it released, parents first
    missing: tuple[VertexHash, ...] = ()  # parents not known here
    dropped: tuple[Vertex, ...] = ()  # complete now, but breaking a rule or past a bound
    refusal: Refusal | None = None


@dataclass(slots=True)
class Graph:
    """Vertices by hash: admitted, orphaned and recently final.

    Bound: AUTHOR_HELD_MAX admitted and AUTHOR_ORPHANS_MAX orphans per author (vertices offered as
    `wanted`, because a certificate needs them, are not counted); `final` is trimmed by `forget`.
    """

    genesis: FinalVertex
    admitted: dict[VertexHash, Vertex] = field(default_factory=dict)
    final: dict[VertexHash, FinalVertex] = field(default_factory=dict)
    newest_final: dict[ValidatorIndex, FinalVertex] = field(default_factory=dict)
    orphans: dict[VertexHash, Vertex] = field(default_factory=dict)
    _recalled: dict[VertexHash, None] = field(default_factory=dict)  # final, from storage; by age
    _wanted: set[VertexHash] = field(default_factory=set)  # orphans that bounds do not stop
    _missing: dict[VertexHash, set[VertexHash]] = field(default_factory=dict)
    _children: dict[VertexHash, set[VertexHash]] = field(default_factory=dict)
    _held: defaultdict[ValidatorIndex, int] = field(default_factory=lambda: defaultdict(int))
    _orphaned: defaultdict[ValidatorIndex, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.final[self.genesis.hash] = self.genesis

    def knows(self, vertex: VertexHash) -> bool:
        """True when `vertex` is admitted, or final and still remembered."""
        return vertex in self.admitted or vertex in self.final

    def held_by(self, author: ValidatorIndex) -> int:
        """Return how many admitted vertices of `author` are not final."""
        return self._held[author]

    def orphaned_by(self, author: ValidatorIndex) -> int:
        """Return how many vertices of `author` wait for a parent."""
        return self._orphaned[author]

    def add(self, vertex: Vertex, *, wanted: bool) -> Added:
        """Take in `vertex` and every orphan it completes."""
        if self.knows(vertex.hash):
            return Added()
        missing = tuple(parent for parent in vertex.parents if not self.knows(parent))
        if missing:
            return self._keep_orphan(vertex, missing, wanted=wanted)
        if vertex.hash in self.orphans:
            self._drop_orphan(vertex.hash)
        if not wanted and self._held[vertex.author] >= AUTHOR_HELD_MAX:
            return Added(refusal=Refusal.TOO_MANY_HELD)
        if not self._is_valid(vertex):
            return Added(dropped=(vertex,), refusal=Refusal.INVALID)
        self._admit(vertex)
        released, dropped = self._release(vertex.hash)
        return Added(admitted=(vertex, *released), dropped=tuple(dropped))

    def missing_of(self, orphan: VertexHash) -> tuple[VertexHash, ...]:
        """Return the parents that `orphan` waits for."""
        return tuple(sorted(self._missing.get(orphan, ())))

    def is_awaited(self, vertex: VertexHash) -> bool:
        """True when some orphan waits for `vertex`."""
        return vertex in self._children

    def mark_wanted(self, orphan: VertexHash) -> bool:
        """Let `orphan` in when it is complete, whatever its author holds. False: done before."""
        fresh = orphan not in self._wanted
        self._wanted.add(orphan)
        return fresh

    def remember_final(self, vertex: FinalVertex) -> Added:
        """Record a finalized vertex that storage knows; return the orphans this settled."""
        assert vertex.hash not in self.admitted, vertex
        self.final[vertex.hash] = vertex
        self._note_newest(vertex)
        released, dropped = self._release(vertex.hash)
        return Added(admitted=tuple(released), dropped=tuple(dropped))

    def recall_final(self, vertex: FinalVertex) -> Added:
        """Record a vertex that was forgotten and that something names again; as remember_final.

        Bound: the newest FINAL_RECALLED_MAX, and the parents of what waits.
        """
        added = self.remember_final(vertex)
        self._recalled[vertex.hash] = None
        if len(self._recalled) > 2 * FINAL_RECALLED_MAX:
            kept = self._named()
            for old in list(self._recalled)[:FINAL_RECALLED_MAX]:
                del self._recalled[old]
                if old not in kept:
                    self.final.pop(old, None)
        return added

    def release(self, orphan: VertexHash) -> bool:
        """Let bounds stop `orphan` again; it goes when its author has too many. True: it went."""
        self._wanted.discard(orphan)
        if self._orphaned[self.orphans[orphan].author] <= AUTHOR_ORPHANS_MAX:
            return False
        self._drop_orphan(orphan)
        return True

    def finalize(self, vertex: Vertex, *, finalized_by: SequenceNumber) -> FinalVertex:
        """Move an admitted vertex to the final ones."""
        del self.admitted[vertex.hash]
        self._held[vertex.author] -= 1
        final = FinalVertex(
            hash=vertex.hash,
            author=vertex.author,
            index=vertex.index,
            height=vertex.height,
            sequence=vertex.sequence,
            timestamp_ms=vertex.timestamp_ms,
            finalized_by=finalized_by,
        )
        self.final[vertex.hash] = final
        self._note_newest(final)
        return final

    def forget(self, below: SequenceNumber) -> None:
        """Drop final vertices finalized before `below` that nothing here can still ask for.

        Each author's newest, genesis, and the parents of all that waits are kept.
        """
        kept = self._named()
        self.final = {
            key: vertex
            for key, vertex in self.final.items()
            if vertex.finalized_by >= below or key in kept
        }
        self._recalled = {key: None for key in self._recalled if key in self.final}

    def history(
        self, anchor: Vertex, covered: Iterable[VertexHash] | dict[VertexHash, SequenceNumber]
    ) -> tuple[Vertex, ...]:
        """Return the ancestors of `anchor` that are neither final nor in `covered`, and itself.

        Order: by (height, author, index, hash), so parents before children, `anchor` last.
        """
        seen = {anchor.hash}
        found = [anchor]
        stack = [anchor]
        while stack:
            for parent in stack.pop().parents:
                if parent in seen or parent in self.final or parent in covered:
                    continue
                seen.add(parent)
                vertex = self.admitted[parent]  # admitted vertices have their whole ancestry
                found.append(vertex)
                stack.append(vertex)
        found.sort(key=lambda vertex: vertex.order_key)
        assert found[-1] is anchor, "an anchor is higher than all its ancestors"
        return tuple(found)

    def _named(self) -> set[VertexHash]:
        """Return the final vertices that something here can still ask for, and others."""
        named = {vertex.hash for vertex in self.newest_final.values()} | {self.genesis.hash}
        for waiting in (self.admitted, self.orphans):
            named.update(parent for vertex in waiting.values() for parent in vertex.parents)
        return named

    def _is_valid(self, vertex: Vertex) -> bool:
        """The rules on ancestry: heights, kinds, and whose vertices may be named."""
        parents = [self._brief(parent) for parent in vertex.parents]
        if vertex.height != 1 + max(parent.height for parent in parents):
            return False
        own = [parent for parent in parents if parent.author == vertex.author]
        if any(parent.index >= vertex.index for parent in own):
            return False
        if not vertex.is_anchor:
            *previous, anchor = parents
            named_own = not previous or previous[0].author == vertex.author
            return named_own and _is_anchor_or_genesis(anchor)
        first, *others = parents
        authors = [parent.author for parent in others]
        return (
            _is_anchor_or_genesis(first)
            and first.sequence == vertex.sequence - 1
            and len(set(authors)) == len(authors)
            and vertex.timestamp_ms >= first.timestamp_ms
        )

    def _brief(self, vertex: VertexHash) -> Vertex | FinalVertex:
        return self.admitted.get(vertex) or self.final[vertex]

    def _admit(self, vertex: Vertex) -> None:
        self.admitted[vertex.hash] = vertex
        self._held[vertex.author] += 1

    def _note_newest(self, vertex: FinalVertex) -> None:
        newest = self.newest_final.get(vertex.author)
        if newest is None or vertex.index > newest.index:
            self.newest_final[vertex.author] = vertex

    def _keep_orphan(
        self, vertex: Vertex, missing: tuple[VertexHash, ...], *, wanted: bool
    ) -> Added:
        if vertex.hash not in self.orphans:
            if not wanted and self._orphaned[vertex.author] >= AUTHOR_ORPHANS_MAX:
                return Added(refusal=Refusal.TOO_MANY_ORPHANS)
            self.orphans[vertex.hash] = vertex
            if wanted:
                self._wanted.add(vertex.hash)
            self._orphaned[vertex.author] += 1
            self._missing[vertex.hash] = set(missing)
            for parent in missing:
                self._children.setdefault(parent, set()).add(vertex.hash)
        return Added(missing=missing)

    def _drop_orphan(self, orphan: VertexHash) -> Vertex:
        vertex = self.orphans.pop(orphan)
        self._wanted.discard(orphan)
        self._orphaned[vertex.author] -= 1
        for parent in self._missing.pop(orphan):
            children = self._children.get(parent)
            if children is not None:
                children.discard(orphan)
                if not children:
                    del self._children[parent]
        return vertex

    def _release(self, parent: VertexHash) -> tuple[list[Vertex], list[Vertex]]:
        """Settle, in a fixed order, every orphan whose last missing parent became known."""
        released: list[Vertex] = []
        dropped: list[Vertex] = []
        ready = [parent]
        while ready:
            for child in sorted(self._children.pop(ready.pop(), ())):
                waiting_for = self._missing.get(child)
                if waiting_for is None:
                    continue  # settled already, through another parent
                waiting_for.difference_update([p for p in waiting_for if self.knows(p)])
                if waiting_for:
                    continue
                fits = (
                    child in self._wanted
                    or self._held[self.orphans[child].author] < AUTHOR_HELD_MAX
                )
                vertex = self._drop_orphan(child)
                if fits and self._is_valid(vertex):
                    self._admit(vertex)
                    released.append(vertex)
                    ready.append(vertex.hash)
                else:
                    dropped.append(vertex)
        return released, dropped


def _is_anchor_or_genesis(vertex: Vertex | FinalVertex) -> bool:
    return vertex.sequence > 0 or vertex.height == 0
