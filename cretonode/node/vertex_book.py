"""The vertices that somebody who watches is shown: those here that are not final, and the newest
final ones.

The latter are noted as they become final; the former are looked up when somebody asks, so that
they cost nothing while nobody does. Pure. Source: docs/operator-socket.md, section 6.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from cretonode.core.effects import Finalize
from cretonode.dag.graph import Graph
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, VertexHash
from cretonode.operator.protocol_deltas import VERTICES_MAX
from cretonode.operator.protocol_topics import VertexSnapshot, VertexState

LOOKED_AT_MAX: Final = VERTICES_MAX  # of those that wait, the newest; as many orphans


class Entry(NamedTuple):
    """One vertex as it was noted last."""

    number: int
    vertex: Vertex
    state: VertexState
    sequence: SequenceNumber | None


@dataclass(slots=True)
class VertexBook:
    """Bound: VERTICES_MAX final vertices and as many that were let go; of those that wait,
    LOOKED_AT_MAX, and as many orphans.
    """

    graph: Graph
    number: int = 0  # of changes
    past: deque[Entry] = field(default_factory=lambda: deque(maxlen=VERTICES_MAX))
    here: dict[VertexHash, Entry] = field(default_factory=dict)

    def on_finalize(self, effect: Finalize) -> None:
        """Note what a sequence made final."""
        for vertex in effect.vertices[-VERTICES_MAX:]:
            self.here.pop(vertex.hash, None)
            self.number += 1
            self.past.append(Entry(self.number, vertex, VertexState.FINAL, effect.sequence))

    def refresh(self) -> None:
        """Look at what is here and not final."""
        graph = self.graph
        for vertex in islice(reversed(graph.admitted.values()), LOOKED_AT_MAX):
            self._note(vertex, VertexState.WAITING)
        for vertex in islice(reversed(graph.orphans.values()), LOOKED_AT_MAX):
            self._note(vertex, VertexState.ORPHAN)
        gone = [h for h in self.here if h not in graph.admitted and h not in graph.orphans]
        for hash_ in gone:
            entry = self.here.pop(hash_)
            if hash_ not in graph.final:  # else it is noted when the sequence is carried out
                self.number += 1
                dropped = VertexState.DROPPED
                self.past.append(Entry(self.number, entry.vertex, dropped, None))
        while len(self.here) > 2 * LOOKED_AT_MAX:
            del self.here[next(iter(self.here))]

    def changed(self, number: int) -> Iterator[tuple[int, VertexSnapshot]]:
        """Yield what changed after `number`, with the number of the change, the oldest first."""
        if self.number == number:
            return
        found = [entry for entry in self.here.values() if entry.number > number]
        for entry in reversed(self.past):
            if entry.number <= number:
                break
            found.append(entry)
        found.sort(key=lambda entry: entry.number)
        for entry in found:
            yield entry.number, self._snapshot(entry)

    def _note(self, vertex: Vertex, state: VertexState) -> None:
        known = self.here.get(vertex.hash)
        if known is None or known.state is not state:
            self.number += 1
            self.here[vertex.hash] = Entry(self.number, vertex, state, None)

    def _snapshot(self, entry: Entry) -> VertexSnapshot:
        missing: tuple[VertexHash, ...] = ()
        if entry.state is VertexState.ORPHAN:
            missing = self.graph.missing_of(entry.vertex.hash)
        return snapshot_of(entry.vertex, entry.state, entry.sequence, missing)


def snapshot_of(
    vertex: Vertex,
    state: VertexState,
    sequence: SequenceNumber | None,
    missing: tuple[VertexHash, ...] = (),
) -> VertexSnapshot:
    """Return a vertex as it is shown."""
    return VertexSnapshot(
        hash=vertex.hash,
        author=vertex.author,
        index=vertex.index,
        height=vertex.height,
        anchor=vertex.sequence,
        parents=b"".join(vertex.parents),
        timestamp_ms=vertex.timestamp_ms,
        transactions=vertex.transaction_count,
        payload_bytes=vertex.payload_bytes,
        state=state.value,
        sequence=sequence,
        missing=b"".join(missing),
    )
