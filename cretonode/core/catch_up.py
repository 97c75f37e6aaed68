"""Catching up: which finalized sequences are asked for, of whom, and what is believed of it.

Headers come a range at a time and prove themselves (`core.ranges`); the vertices then come from
several peers at once (`core.bodies`) and become final one sequence after the other, so that an
interruption loses nothing. A liar or a staller costs one timeout (`core.suppliers`).
Source: DESIGN section 2, Catch-up; docs/spec/consensus.md, section 7.2.
"""

from dataclasses import dataclass, field

from cretonode.core.bodies import Bodies
from cretonode.core.checkpoint import Checkpoints
from cretonode.core.effects import Lookup, Reason, Refuse
from cretonode.core.events import LookedUp
from cretonode.core.execution import Execution, Proven
from cretonode.core.intake import Intake
from cretonode.core.messages import (
    FetchSlots,
    SlotHeaders,
    VertexMessage,
)
from cretonode.core.ranges import CertifiedRange, verified_range
from cretonode.core.state import NEVER_MS, State
from cretonode.core.suppliers import Suppliers
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from cretonode.limits import (
    FETCH_SLOTS_MAX,
    HEADERS_AHEAD_MAX,
    LOOKUP_HASHES_MAX,
)


@dataclass(slots=True)
class Asked:
    """The range request that is under way, and its answer while storage is asked about it."""

    peer: ValidatorIndex
    first: SequenceNumber
    bottom: VertexHash  # the anchor that the range must stand on
    asked_ms: int
    deadline_ms: int
    found: CertifiedRange | None = None
    unsure: set[VertexHash] = field(default_factory=set)  # named by it: final already, or a lie


@dataclass(slots=True)
class CatchUp:
    """Bound: one range request at a time, and what `Bodies` may hold."""

    state: State
    intake: Intake
    execution: Execution
    checkpoints: Checkpoints
    suppliers: Suppliers
    ranges: int = 0  # taken, since the start
    failures: int = 0  # lies and timeouts, since the start
    _asked: Asked | None = None
    _top: tuple[SequenceNumber, VertexHash] | None = None  # of the newest range taken
    _is_unnamed: bool = False  # what that range ordered: nothing above it can be checked
    _handed_on_ms: int = 0  # when the last certified vertex came

    def __post_init__(self) -> None:
        self.bodies = Bodies(self.state, self.intake, self.suppliers)

    bodies: Bodies = field(init=False)

    @property
    def target(self) -> SequenceNumber:
        """The highest sequence known to be final anywhere; the own one when not behind."""
        highest = self.execution.highest()
        return highest.sequence if highest is not None else self.state.final

    # --- what comes

    def on_headers(self, sender: ValidatorIndex, message: SlotHeaders) -> None:
        """Take the answer to the range request; a late or unasked one says nothing of anybody."""
        asked = self._asked
        if asked is None or asked.found is not None:
            return
        if sender != asked.peer or message.first != asked.first:
            return
        found = verified_range(message)
        if found is None:
            self._fail(Reason.INVALID_RANGE if message.certificate is not None else None)
            return
        if found.bottom != asked.bottom:
            self.state.halt(
                f"a commit certificate for sequence {found.certificate.sequence} leads to another "
                f"anchor of sequence {asked.first - 1} than a certificate before: more than f "
                "validators lied",
                (found.certificate,),
            )
            return
        asked.found = found
        asked.unsure = {
            vertex
            for vertex in found.below
            if vertex not in self.intake.certified and not self.state.graph.knows(vertex)
        }
        unsure = sorted(asked.unsure)
        for start in range(0, len(unsure), LOOKUP_HASHES_MAX):
            self.state.emit(Lookup(tuple(unsure[start : start + LOOKUP_HASHES_MAX])))
        if not unsure:
            self._take(asked, found)

    def on_looked_up(self, event: LookedUp) -> None:
        """Take the range once all that lies below it is known to be final."""
        asked = self._asked
        if asked is None or asked.found is None:
            return
        if not asked.unsure.isdisjoint(event.absent):
            self._fail(Reason.INVALID_RANGE)  # it leaves out what its sequences ordered
            return
        asked.unsure.difference_update(vertex.hash for vertex in event.final)
        if not asked.unsure:
            self._take(asked, asked.found)

    def on_vertex(self, sender: ValidatorIndex, message: VertexMessage) -> bool:
        """Take a certified vertex; False when it is none that was waited for."""
        taken = self.bodies.on_vertex(sender, message)
        if taken:
            self._handed_on_ms = self.state.now_ms
        return taken

    # --- what follows

    def advance(self) -> None:
        """Ask for the next range and for vertices, or for the single anchor that lacks."""
        state = self.state
        if self._is_idle():
            state.behind = False
            return
        self._review()
        if state.now_ms >= self._stuck_ms():
            self._begin_again()
        self.bodies.advance()
        highest = self.execution.highest()
        gap = self.target - state.final
        state.behind = gap >= state.committee.parameters.behind_sequences
        if highest is None or self._asked is not None:
            return
        following = self._following()
        if not state.behind:
            if not self.bodies and not self._is_proven():
                leader = state.committee.leader_of(highest.view)
                self.intake.want(highest.anchor, leader, certain=True)
        elif following <= highest.sequence and self._has_room(following) and not self._is_unnamed:
            self._ask(following)

    def next_deadline_ms(self) -> int:
        """When a peer has had its time, or one that failed may be asked again."""
        if self._is_idle():
            return NEVER_MS
        deadline_ms = min(self.bodies.next_deadline_ms(), self._stuck_ms())
        if self._asked is not None:
            deadline_ms = min(deadline_ms, self._asked.deadline_ms)
        if self.state.behind:
            deadline_ms = min(deadline_ms, self.suppliers.next_rested_ms() or NEVER_MS)
        return deadline_ms

    def _is_idle(self) -> bool:
        """True when nothing certified lacks and nothing is under way: the rule in good times."""
        execution = self.execution
        return not (execution.waiting or execution.proven or self._asked or self.bodies.is_busy)

    def _stuck_ms(self) -> int:
        """When what was handed on must have become final, if nothing else is under way."""
        if self._asked is not None or self.bodies or not self._is_proven():
            return NEVER_MS
        return max(self.state.progress_ms, self._handed_on_ms) + self.suppliers.patience_ms

    def _begin_again(self) -> None:
        """Forget what was certified and is not final: a vertex of it got lost on the way."""
        self._top, self._is_unnamed = None, False
        self.checkpoints.expected.clear()
        self.execution.proven.clear()
        self.intake.certified.clear()

    def _following(self) -> SequenceNumber:
        """Return the first sequence that no range taken covers."""
        if self._top is not None and self._top[0] <= self.state.final:
            self._top, self._is_unnamed = None, False
        return SequenceNumber((self._top[0] if self._top else self.state.final) + 1)

    def _has_room(self, following: SequenceNumber) -> bool:
        """Keep headers ahead of the vertices, and not too many."""
        ahead = following - 1 - self.state.final
        return ahead <= FETCH_SLOTS_MAX and len(self.bodies) < HEADERS_AHEAD_MAX

    def _is_proven(self) -> bool:
        """True when the next sequence is certified and only its vertices lack."""
        return SequenceNumber(self.state.final + 1) in self.execution.proven

    def _ask(self, first: SequenceNumber) -> None:
        state = self.state
        peer = self.suppliers.choose(first, spare=1)  # small, and all that follows waits for it
        if peer is None:
            return
        bottom = self._top[1] if self._top else state.chain.final.hash
        # An answer may be as long as a request for vertices allows, and comes behind those.
        deadline_ms = state.now_ms + self.suppliers.limit_ms(peer, 0)
        self._asked = Asked(peer, first, bottom, state.now_ms, deadline_ms)
        self.suppliers.asked(peer)
        count = min(FETCH_SLOTS_MAX, self.target - first + 1)
        state.send(peer, FetchSlots(first=first, count=count))

    def _review(self) -> None:
        """Give up the range request when its peer is gone or too slow, or nobody needs it."""
        asked, state = self._asked, self.state
        if asked is None:
            return
        is_waited_for = asked.found is None
        if asked.peer not in state.connected or state.final >= asked.first + FETCH_SLOTS_MAX:
            self._close()
        elif is_waited_for and self.suppliers.is_doubted(asked.peer) and self._has_trusted(asked):
            self._close()  # one that did not fail before is that far by now
        elif is_waited_for and state.now_ms >= asked.deadline_ms:
            self._fail(Reason.TOO_SLOW)

    def _has_trusted(self, asked: Asked) -> bool:
        return self.suppliers.has_trusted(asked.first)

    def _take(self, asked: Asked, found: CertifiedRange) -> None:
        """Believe a range: its anchors are final as soon as they are here."""
        state = self.state
        self._close()
        self.suppliers.served(asked.peer)
        self.ranges += 1
        if not state.committee.is_past(found.certificate.sequence):
            state.note_certified(found.certificate.view)
        for sequence, anchor in found.anchors:
            if state.final < sequence <= max(found.last, found.first):
                own = found.certificate if sequence == found.certificate.sequence else None
                self.execution.proven[sequence] = Proven(anchor, own)
        if found.checkpoint is not None and found.checkpoint.sequence > state.low:
            self.checkpoints.expect(found.checkpoint)
        self.bodies.add(found.vertices, found.last)
        if found.vertices:
            top = dict(found.anchors)[found.last]
            self._top = (found.last, top) if found.last > state.final else None
        else:
            # One sequence ordered more than an answer may hold: it is fetched vertex by vertex.
            # Until it is final, an honest answer about the next would name what nobody knows.
            self.intake.want(found.anchors[0][1], asked.peer, certain=True)
            self._top, self._is_unnamed = found.anchors[0], True
        self.bodies.advance()

    def _fail(self, reason: Reason | None) -> None:
        """Put the peer last. Without a reason it only had nothing to give."""
        asked = self._asked
        assert asked is not None
        self._close()
        self.suppliers.failed(asked.peer, since_ms=asked.asked_ms)
        self.failures += 1
        if reason is not None:
            self.state.emit(Refuse(asked.peer, reason))

    def _close(self) -> None:
        assert self._asked is not None
        self.suppliers.ended(self._asked.peer)
        self._asked = None
