"""Amnesia, and the way back: a replica that lost its journal asks before it speaks again.

Owns the own requests and what others attested. While `state.amnesiac` the replica follows the
chain and says nothing but Rejoin. Source: docs/spec/durability.md, section 8; Rejoin.tla.
"""

from dataclasses import dataclass, field

from cretonode.core.committee import Committee
from cretonode.core.effects import Persist, Rejoined, Say
from cretonode.core.messages import Attestation, Rejoin, VertexMessage
from cretonode.core.proposer import Proposer
from cretonode.core.records import AmnesiaEnded
from cretonode.core.state import NEVER_MS, State
from cretonode.identifiers import AuthorIndex, ValidatorIndex, View
from cretonode.limits import (
    ATTESTED_MAX,
    AUTHOR_UNFINAL_MAX,
    INDEX_AHEAD_MAX,
    REJOIN_REPEAT_MS,
    REJOIN_REPEAT_MS_MAX,
    RUN_AHEAD_VIEWS,
)


def attesters_needed(committee: Committee) -> int:
    """Return how many others must attest: n - q + 1 honest ones are among them.

    Those share a validator, honest and never lost, with any q: with the q that were in the view
    below the highest one this replica entered, and with the q that made any of its vertices final.
    """
    return committee.size - committee.quorum + committee.faults + 1


def can_rejoin(committee: Committee) -> bool:
    """True when the others can make a certificate without one amnesiac."""
    return committee.size - committee.quorum >= 1


@dataclass(slots=True)
class Amnesia:
    """Bound: one attestation of each other validator."""

    state: State
    proposer: Proposer
    nonce: bytes | None  # None: nothing was lost
    attested: dict[ValidatorIndex, Attestation] = field(default_factory=dict)
    _asked_ms: int = -NEVER_MS
    _pause_ms: int = REJOIN_REPEAT_MS
    _until: View = View(0)

    def check_own(self, message: VertexMessage) -> None:
        """Halt on an own vertex that the journal does not know of: it is not the newest one.

        A journal and a database put back together vouch for each other, and both are old.
        """
        state = self.state
        index = message.vertex.index
        if not state.amnesiac and message.author == state.me and index > self.proposer.index:
            state.halt(
                f"a peer shows vertex {index} of this node, signed; its vote journal knows of "
                f"{self.proposer.index} at most: the journal is an old copy, or the key works "
                "elsewhere too. If it is a copy, move the journal directory away: the node then "
                "starts as an amnesiac and finds back"
            )

    def on_attestation(self, message: Attestation) -> None:
        """Take the first answer of each to the request of this loss."""
        state = self.state
        if not state.amnesiac or message.about != state.me or message.nonce != self.nonce:
            return
        if max(message.view, message.index) <= ATTESTED_MAX:
            self.attested.setdefault(message.author, message)

    def on_connected(self) -> None:
        """Somebody more can hear: ask soon."""
        self._pause_ms = REJOIN_REPEAT_MS

    def lacking(self) -> list[ValidatorIndex]:
        """Return who has not attested; empty once enough have."""
        if self.floor() is not None:
            return []
        return [peer for peer in self.state.peers if peer not in self.attested]

    def floor(self) -> View | None:
        """Return the highest view in which this replica may have spoken; None: not known yet.

        Any n - q + f + 1 answers will do, so the lowest are taken: a liar's high one stops nobody.
        """
        highest = self._bound([message.view for message in self.attested.values()])
        return None if highest is None else View(highest + RUN_AHEAD_VIEWS)

    def advance(self) -> None:
        """End the amnesia when that is safe, else ask when it is time to."""
        state = self.state
        if not state.amnesiac:
            return
        floor = self.floor()
        if floor is not None and self._is_certified_above(floor):
            self._end()
            return
        until = View(0) if floor is None else View(floor + 1)
        if until != self._until:
            self._until, self._pause_ms, self._asked_ms = until, REJOIN_REPEAT_MS, -NEVER_MS
        if state.now_ms >= self.next_deadline_ms():
            if self._asked_ms >= 0:
                self._pause_ms = min(2 * self._pause_ms, REJOIN_REPEAT_MS_MAX)
            self._asked_ms = state.now_ms
            assert self.nonce is not None
            state.emit(Say(Rejoin(nonce=self.nonce, until=until, author=state.me)))

    def next_deadline_ms(self) -> int:
        """When to ask again."""
        return self._asked_ms + self._pause_ms if self.state.amnesiac else NEVER_MS

    def _is_certified_above(self, floor: View) -> bool:
        """True when a certificate shows that a view above `floor` works, without this replica."""
        high = self.state.high
        return (
            high is not None
            and high.view > floor
            and high.view <= self.state.view
            and all(vote.author != self.state.me for vote in high.votes)
        )

    def _end(self) -> None:
        """Speak again, in the view of the certificate: nothing was said there before."""
        indexes = sorted(message.index for message in self.attested.values())
        index = self._bound(list(indexes))
        assert index is not None
        if len(indexes) > 1:  # one liar must not use up the numbers
            index = min(index, indexes[-2] + INDEX_AHEAD_MAX)
        # Of an honest author at most so many vertices are not final, and what was final is held
        # by one of those who attested.
        self.proposer.index = AuthorIndex(max(index, self.proposer.index) + AUTHOR_UNFINAL_MAX)
        state = self.state
        state.amnesiac = False
        state.emit(Persist(AmnesiaEnded(self.proposer.index)), Rejoined(state.view))

    def _bound(self, attested: list[int]) -> int | None:
        needed = attesters_needed(self.state.committee)
        return sorted(attested)[needed - 1] if len(attested) >= needed else None
