"""Catching up: fetching ranges of finalized sequences from peers that have them.

Nothing a peer says is believed: vertices carry their authors' signatures and only a commit
certificate finalizes them, so a liar costs one timeout. Source: DESIGN section 2, Catch-up.
"""

from dataclasses import dataclass
from typing import Final

from cretonode.core.execution import Execution
from cretonode.core.intake import Intake
from cretonode.core.messages import FetchSlots
from cretonode.core.retransmission import Retransmission
from cretonode.core.state import NEVER_MS, State
from cretonode.identifiers import SequenceNumber, ValidatorIndex
from cretonode.limits import FETCH_SLOTS_MAX

GAP_MIN: Final = 8  # behind by fewer sequences, single vertices are fetched by hash


@dataclass(slots=True)
class Request:
    """A range asked of one peer."""

    peer: ValidatorIndex
    last: SequenceNumber
    seen: SequenceNumber  # the own final sequence when something last came of it
    deadline_ms: int


@dataclass(slots=True)
class CatchUp:
    """At most one range request is under way."""

    state: State
    intake: Intake
    execution: Execution
    retransmission: Retransmission
    _request: Request | None = None
    _turn: int = 0

    @property
    def target(self) -> SequenceNumber:
        """The highest sequence known to be final anywhere; the own one when not behind."""
        highest = self.execution.highest()
        return highest.sequence if highest is not None else self.state.final

    def advance(self) -> None:
        """Ask for the next range, or for the single anchor that lacks."""
        state = self.state
        self._review()
        highest = self.execution.highest()
        if highest is None:
            return
        if highest.sequence - state.final < GAP_MIN:
            self.intake.want(highest.anchor, state.committee.leader_of(highest.view), certain=True)
            return
        if self._request is None:
            self._ask()

    def next_deadline_ms(self) -> int:
        """When a peer has had its time."""
        return self._request.deadline_ms if self._request is not None else NEVER_MS

    def _review(self) -> None:
        """Close a request that is done, prolong one that moves, give up one that does not."""
        request, state = self._request, self.state
        if request is None:
            return
        if state.final > request.seen:
            request.seen = state.final
            request.deadline_ms = state.now_ms + 4 * state.timing.fetch_timeout_ms
        if state.final >= request.last or state.now_ms >= request.deadline_ms:
            if state.final < request.last:
                self._turn += 1  # the next one in turn may do better
            self._request = None
            self.intake.trusted = None

    def _ask(self) -> None:
        state = self.state
        ahead = [
            peer
            for peer in sorted(state.connected)
            if self.retransmission.finals.get(peer, 0) > state.final
        ]
        if not ahead:
            return
        peer = ahead[self._turn % len(ahead)]
        first = SequenceNumber(state.final + 1)
        self._request = Request(
            peer=peer,
            last=SequenceNumber(min(state.final + FETCH_SLOTS_MAX, self.target)),
            seen=state.final,
            deadline_ms=state.now_ms + 4 * state.timing.fetch_timeout_ms,
        )
        self.intake.trusted = peer
        state.send(peer, FetchSlots(first=first, count=FETCH_SLOTS_MAX))
