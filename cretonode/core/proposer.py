"""Making vertices: a plain one for each batch of clients' transactions, anchors as leader.

The leader puts its own batch into its next anchor, so that a slot costs one vertex per author.
Source: DESIGN section 2, Who makes vertices and Anchors.
"""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from cretonode.core.effects import Persist, Say
from cretonode.core.events import Batch
from cretonode.core.messages import PrePrepare, VertexMessage
from cretonode.core.ordering import Ordering
from cretonode.core.records import Accepted, OwnVertex
from cretonode.core.state import NEVER_MS, State
from cretonode.dag.graph import FinalVertex
from cretonode.dag.payload import EMPTY_ROOT
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import AuthorIndex, Height, SequenceNumber, ValidatorIndex, VertexHash
from cretonode.limits import AUTHOR_UNFINAL_MAX, HISTORY_TRANSACTIONS_MAX

LIGHT_TRANSACTIONS: Final = 64  # fewer than these are ordered without waiting for company
PACE: Final = 1.5  # from one light proposal to the next, in times that a slot takes
PACE_WEIGHT: Final = 8  # slots over which that time is smoothed
NO_BATCH: Final = Batch(payload=b"", transaction_ids=b"", root=EMPTY_ROOT, count=0)


@dataclass(slots=True)
class Proposer:
    """Bound: one batch waits, and one own vertex is on its way to disk and signature."""

    state: State
    ordering: Ordering
    index: AuthorIndex = AuthorIndex(0)  # of the newest own vertex, said or not
    newest: VertexHash | None = None  # the newest own vertex that came back
    proposed_ms: int = 0
    slot_ms: float = 0.0  # from proposal to finality here, smoothed
    _timed: SequenceNumber | None = None  # the proposal whose slot is being timed
    _batch: Batch | None = None
    _taken: FinalVertex | None = None  # the final anchor when the batch was taken
    _coming: VertexHash | None = None

    def wants_batch(self) -> bool:
        """True when a Batch would be turned into a vertex now or with the next anchor."""
        return (
            not self.state.halted
            and not self.state.amnesiac
            and not self.state.behind
            and self._batch is None
            and self._coming is None
            # While the parents of the newest own vertex are looked up after a restart, the next one
            # cannot name it, and nobody who lacks it would ever ask for it.
            and self.newest not in self.state.graph.orphans
            and self.state.graph.held_by(self.state.me) < AUTHOR_UNFINAL_MAX
        )

    def on_batch(self, batch: Batch) -> None:
        """Take the next transactions of this node's clients."""
        assert self._batch is None, "offer a batch only when one is wanted"
        self._batch = batch
        self._taken = self.state.chain.final

    def on_own_vertex(self, vertex: Vertex) -> None:
        """Note that an own vertex came back, durable and signed."""
        if vertex.hash == self._coming:
            self._coming = None
        self.newest = vertex.hash

    def advance(self) -> None:
        """Propose when it is time to, or put a waiting batch into a plain vertex."""
        self._time_slot()
        if self._coming is not None or self.state.behind:
            return
        may_propose = self.state.leads and self._may_propose()
        # A leader that may not propose must not sit on what its clients gave it: in a plain vertex
        # the others know of it, and leave the leader when it waits for too long.
        if self._batch is not None and (not may_propose or self._is_aged()):
            self.index = AuthorIndex(self.index + 1)
            self._say(self._vertex(SequenceNumber(0), self._plain_parents()))
        elif may_propose and self.state.now_ms >= self._due_ms():
            self._propose()

    def next_deadline_ms(self) -> int:
        """When the next proposal is due."""
        waits = self._coming is not None or self.state.behind
        if not waits and self.state.leads and self._may_propose():
            return self._due_ms()
        return NEVER_MS

    # --- anchors

    def _may_propose(self) -> bool:
        """True when there is something to order and room to order it."""
        state = self.state
        base = state.base
        assert base is not None
        following = state.chain.top.sequence + 1
        if following <= state.low:
            return False  # what was proposed there before a power cut is not known any more
        if not self.ordering.is_on_base() or following > self.ordering.high_watermark():
            return False
        if self.ordering.accepted.get(SequenceNumber(following)) is not None:
            return False  # promised before a restart; the anchor is on its way here
        if following == base.sequence + 1 and (state.view > 0 or base.sequence > state.final):
            return True  # so that the base finalizes, even when there is nothing else to order
        if state.graph.held_by(state.me) >= AUTHOR_UNFINAL_MAX:
            return False
        return self._batch is not None or len(state.chain.covered) < len(state.graph.admitted)

    def _is_aged(self) -> bool:
        """True when the next anchor may not carry the batch: see `dedup.reference_of`."""
        assert self._taken is not None
        age = self.state.chain.top.sequence + 1 - self._taken.sequence
        return age > self.state.committee.parameters.batch_age_max

    def _due_ms(self) -> int:
        """One proposal per slot interval; sooner when nothing is in flight and little waits.

        A slot costs the same whatever it orders, so fewer and fuller ones are faster once the
        machines are busy. Even with little to order a third of the time is left free: slots back
        to back would stand in each other's way and take longer for it.
        """
        interval_ms: float = self.state.timing.slot_interval_ms
        if not self.state.chain.links and self._is_light():
            interval_ms = min(interval_ms, PACE * self.slot_ms)
        return self.proposed_ms + round(interval_ms)

    def _time_slot(self) -> None:
        if self._timed is not None and self.state.final >= self._timed:
            took_ms = self.state.progress_ms - self.proposed_ms
            self.slot_ms += (took_ms - self.slot_ms) / PACE_WEIGHT
            self._timed = None

    def _is_light(self) -> bool:
        """True when so little waits that company is not worth waiting for."""
        covered = self.state.chain.covered
        waiting = self._batch.count if self._batch is not None else 0
        for vertex in self.state.graph.admitted.values():
            if vertex.hash not in covered:
                waiting += vertex.transaction_count
        return waiting < LIGHT_TRANSACTIONS

    def _propose(self) -> None:
        state = self.state
        self.proposed_ms = state.now_ms
        sequence = SequenceNumber(state.chain.top.sequence + 1)
        self._timed = sequence
        anchor = self._anchor(sequence)
        self.ordering.accepted[sequence] = anchor.hash
        self.ordering.said.add(sequence)
        state.emit(Persist(Accepted(state.view, sequence, anchor.hash)))
        self._say(anchor)
        state.emit(
            Say(PrePrepare(view=state.view, sequence=sequence, anchor=anchor.hash, author=state.me))
        )

    def _anchor(self, sequence: SequenceNumber) -> Vertex:
        """Return the next anchor; what would break a bound on its history is left for later."""
        state = self.state
        self.index = AuthorIndex(self.index + 1)
        top = state.chain.top.hash
        uncovered = self._uncovered()
        anchor = self._vertex(sequence, (top, *map(_tip, uncovered)))
        if self._fits(anchor):
            return anchor
        parents = [top]
        turn = sequence % len(uncovered)  # so that everybody comes first in time
        for own in uncovered[turn:] + uncovered[:turn]:
            parents += self._longest_fitting(sequence, parents, own)
        return self._vertex(sequence, tuple(parents))

    def _longest_fitting(
        self, sequence: SequenceNumber, parents: list[VertexHash], own: list[Vertex]
    ) -> list[VertexHash]:
        """Return the end of as much of an author's chain as fits beside `parents`; [] for none.

        An author gets its share of the transactions, and one vertex at least.
        """
        share = HISTORY_TRANSACTIONS_MAX // self.state.committee.size
        sizes = accumulate(vertex.transaction_count for vertex in own)
        count_max = max(1, sum(size <= share for size in sizes))

        def fits(count: int) -> bool:
            return self._fits(self._vertex(sequence, (*parents, _tip(own[:count]))))

        # More of a chain orders more, so all that fit come before all that do not.
        count = bisect_left(range(1, count_max + 1), 1, key=lambda count: not fits(count))
        return [_tip(own[:count])] if count else []

    def _fits(self, anchor: Vertex) -> bool:
        return self.state.committee.may_order(self.state.chain.link(anchor).history)

    def _uncovered(self) -> list[list[Vertex]]:
        """Return, of each author, the oldest vertices that no anchor covers yet, by author.

        Bound: AUTHOR_UNFINAL_MAX of each.
        """
        state = self.state
        uncovered: defaultdict[ValidatorIndex, list[Vertex]] = defaultdict(list)
        for vertex in state.graph.admitted.values():
            if vertex.hash not in state.chain.covered:
                uncovered[vertex.author].append(vertex)
        return [
            sorted(uncovered[author], key=lambda v: (v.index, v.hash))[:AUTHOR_UNFINAL_MAX]
            for author in sorted(uncovered)
        ]

    # --- vertices

    def _plain_parents(self) -> tuple[VertexHash, ...]:
        """Return the own newest vertex and the anchor that was final when the batch was taken.

        One when they are one. Too long ago, genesis stands in: the vertex is too late then.
        """
        graph = self.state.graph
        taken = self._taken
        is_known = taken is not None and taken.hash in graph.final
        anchor = taken.hash if taken is not None and is_known else graph.genesis.hash
        if self.newest is None or self.newest == anchor or not graph.knows(self.newest):
            return (anchor,)
        return (self.newest, anchor)

    def _vertex(self, sequence: SequenceNumber, parents: tuple[VertexHash, ...]) -> Vertex:
        state = self.state
        known = [self._known(parent) for parent in parents]
        batch = self._batch or NO_BATCH
        return Vertex(
            author=state.me,
            index=self.index,
            height=Height(1 + max(vertex.height for vertex in known)),
            sequence=sequence,
            parents=parents,
            timestamp_ms=max(state.now_ms, known[0].timestamp_ms),
            payload_root=batch.root,
            payload_bytes=len(batch.payload),
            transaction_count=batch.count,
        )

    def _say(self, vertex: Vertex) -> None:
        batch = self._batch or NO_BATCH
        self._batch = None
        self._coming = vertex.hash
        self.state.emit(
            Persist(OwnVertex(vertex.index, vertex.hash)),
            Say(
                VertexMessage(
                    vertex=vertex, payload=batch.payload, transaction_ids=batch.transaction_ids
                )
            ),
        )

    def _known(self, vertex: VertexHash) -> Vertex | FinalVertex:
        graph = self.state.graph
        return graph.admitted.get(vertex) or graph.final[vertex]


def _tip(own: list[Vertex]) -> VertexHash:
    """Return the end of an author's chain; the oldest when it has several."""
    named = {parent for vertex in own for parent in vertex.parents}
    return next(vertex.hash for vertex in own if vertex.hash not in named)
