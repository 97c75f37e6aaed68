"""Normal-case ordering: pre-prepare, prepare, commit.

Owns the votes of every slot of the current view, and what this replica accepted in it.
Source: Castro and Liskov, OSDI 1999 (PBFT), section 4.2; docs/spec/models.md for the chained
rules (Prepare, FirstVote, NextVote, JumpVote and Commit in ChainedPBFT.tla).
"""

from collections import deque
from dataclasses import dataclass, field

from cretonode.core.effects import Accuse, Persist, Reason, Refuse, Say
from cretonode.core.execution import Execution, follow, path_from_final
from cretonode.core.intake import Intake
from cretonode.core.messages import (
    Commit,
    Position,
    Prepare,
    PrepareCertificate,
    PrePrepare,
    Vote,
)
from cretonode.core.records import Accepted
from cretonode.core.slots import Slot, pre_prepares_of
from cretonode.core.state import State
from cretonode.dag.chain import Link
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from cretonode.limits import FUTURE_VIEW_MESSAGES_MAX, TIMESTAMP_DRIFT_MS_MAX


@dataclass(frozen=True, slots=True)
class Untimely:
    """How far an anchor that got no vote was ahead of the own clock, and when that was seen."""

    ahead_ms: int  # negative: behind it
    at_ms: int


@dataclass(slots=True)
class Ordering:
    """Slots above the final sequence and inside the window."""

    state: State
    intake: Intake
    execution: Execution
    slots: dict[SequenceNumber, Slot] = field(default_factory=dict)
    accepted: dict[SequenceNumber, VertexHash] = field(default_factory=dict)  # in this view
    said: set[SequenceNumber] = field(default_factory=set)  # voted for since the start
    # Of this view, before the restart: below it commits were said, of which none is known.
    committed_to: SequenceNumber = SequenceNumber(0)
    # The last of each leader; forgotten when an anchor of it is accepted.
    untimely: dict[ValidatorIndex, Untimely] = field(default_factory=dict)
    _future: dict[ValidatorIndex, deque[Vote]] = field(default_factory=dict)
    _collected: SequenceNumber = SequenceNumber(0)  # nothing is kept of this one and below

    def on_vote(self, sender: ValidatorIndex, vote: Vote) -> None:
        """Count a vote of this view; keep one of a later view for when it opens."""
        state = self.state
        if vote.view != state.view:
            if vote.view > state.view:
                kept = self._future.setdefault(vote.author, deque(maxlen=FUTURE_VIEW_MESSAGES_MAX))
                kept.append(vote)
            return
        from_leader = vote.author == state.leader
        if not isinstance(vote, Commit) and isinstance(vote, PrePrepare) != from_leader:
            state.emit(Refuse(sender, Reason.NOT_THE_LEADER))
            return
        if not state.final < vote.sequence <= self.high_watermark():
            if vote.sequence > state.final:
                state.emit(Refuse(sender, Reason.OUTSIDE_WATERMARKS))
            return
        slot = self.slot_at(vote.sequence)
        contradicted = slot.add(vote)
        if contradicted is not None:
            state.equivocators.add(vote.author)
            state.emit(Accuse(vote.author, contradicted, vote))
            return
        if isinstance(vote, Commit):
            if slot.try_committed(state.committee, vote) and slot.committed is not None:
                self.execution.learn(slot.committed)
        else:
            slot.try_prepared(state.committee, vote.anchor)
            self._show_proposal(slot)

    def needs(self, vote: Prepare | Commit) -> bool:
        """False when `vote` can change nothing any more: its slot has the certificate, or is final.

        Only reads, and may be asked from another thread: a surplus vote need not be verified.
        """
        if vote.sequence <= self.state.final:
            return False
        slot = self.slots.get(vote.sequence)
        if slot is None or vote.view != self.state.view:
            return True
        if isinstance(vote, Prepare):
            return slot.prepared is None
        return slot.committed is None

    def on_prepare_certificate(self, certificate: PrepareCertificate) -> None:
        """Let a certificate stand in for the pre-prepare and the prepares it holds."""
        state = self.state
        state.note_certified(certificate.view)
        if state.amnesiac:
            state.raise_high(certificate)  # its way back; nobody votes on it
        if certificate.view != state.view:
            return
        if state.final < certificate.sequence <= self.high_watermark():
            slot = self.slot_at(certificate.sequence)
            slot.prepared = slot.prepared or certificate
            if slot.pre_prepare is not None and slot.pre_prepare.anchor != certificate.anchor:
                for word in pre_prepares_of(certificate, state.leader):
                    self.on_vote(word.author, word)

    def _show_proposal(self, slot: Slot) -> None:
        """Send the leader's word to whoever was told something else by it: that proves a lie.

        A leader that shows each its own anchor is otherwise not found out by anybody.
        """
        proposal = slot.pre_prepare
        if proposal is None:
            return
        for author, vote in slot.prepares.items():
            if vote.anchor != proposal.anchor and author not in slot.shown | {self.state.me}:
                slot.shown.add(author)
                self.state.send(author, proposal)

    def begin_view(self) -> None:
        """Drop the old view's votes and count what came early for the new one."""
        self.slots.clear()
        self.accepted.clear()
        self.said.clear()
        self.committed_to = SequenceNumber(0)
        self.intake.prune()
        kept, self._future = self._future, {}
        for author, votes in kept.items():
            for vote in votes:
                self.on_vote(author, vote)

    def resume_high(self, high: PrepareCertificate) -> None:
        """Take up the journal's high certificate, of this view: its commit is said again.

        All commits of a view are at its high certificate or below, and the journal does not tell
        which: none is said below it any more. Whoever waits there for one is shown this
        certificate, and the commits for it make all below final.
        """
        self.committed_to = high.sequence
        if high.sequence > self.state.final:
            self.slot_at(high.sequence).prepared = high

    def slot_at(self, sequence: SequenceNumber) -> Slot:
        """Return the slot of `sequence`, new when there was none."""
        slot = self.slots.get(sequence)
        if slot is None:
            slot = self.slots[sequence] = Slot(sequence)
        return slot

    def high_watermark(self) -> SequenceNumber:
        """The greatest sequence that may be voted on."""
        base = self.state.base
        return self.state.committee.high_watermark(
            self.state.low, base.sequence if base is not None else self.state.final
        )

    def is_on_base(self) -> bool:
        """True when the chain runs through the base of this view, or finality is past it."""
        state = self.state
        base = state.base
        if base is None:
            return False
        # What is final is an ancestor of every later base, or is above it.
        return base.sequence <= state.final or state.chain.at(base.sequence) == base.anchor

    def advance(self) -> None:
        """Commit what is prepared, then accept what follows on the chain."""
        if self.state.final > self._collected:
            self._collect()
        due = [s for s, slot in self.slots.items() if slot.prepared and not slot.commit_said]
        for sequence in sorted(due) if due else ():
            self._try_commit(self.slots[sequence])
        if self.state.amnesiac or self.state.base is None or not self._on_base():
            return
        while self._accept_next():
            pass

    def _collect(self) -> None:
        """Forget slots that are final: a commit certificate says all they said."""
        final = self._collected = self.state.final
        for sequence in [s for s in self.slots if s <= final]:
            del self.slots[sequence]
        for sequence in [s for s in self.accepted if s <= final]:
            del self.accepted[sequence]
            self.said.discard(sequence)

    def _try_commit(self, slot: Slot) -> None:
        certificate = slot.prepared
        if certificate is None or slot.commit_said or slot.sequence < self.committed_to:
            return
        self.state.raise_high(certificate)
        if self.state.amnesiac:
            return
        slot.commit_said = True
        self.state.emit(
            Say(
                Commit(
                    view=certificate.view,
                    sequence=certificate.sequence,
                    anchor=certificate.anchor,
                    author=self.state.me,
                )
            )
        )

    def _on_base(self) -> bool:
        """True when the chain runs through the base of this view; makes it so where possible."""
        state = self.state
        base = state.base
        assert base is not None
        if self.is_on_base():
            return True
        anchor = state.graph.admitted.get(base.anchor)
        if anchor is None:
            if base.sequence - state.final <= state.committee.parameters.window:
                # It was sent before the view changed, if at all.
                self.intake.want(base.anchor, self._holder_of(base), certain=True, urgent=True)
            return False
        path = path_from_final(state, anchor)
        if path is None:
            # A lying leader shows different bases to different replicas, and another branch than
            # this one was certified. Once that one is final past the base, votes go on from it.
            return False
        follow(state, path)
        state.chain.cut(base.sequence)
        return True

    def _holder_of(self, base: Position) -> ValidatorIndex:
        """Return who has the anchor of the base: who prepared it, if that is known here."""
        state = self.state
        if state.high is None or state.high.position != base:
            return state.leader
        able = state.connected - state.equivocators
        return next((v.author for v in state.high.votes if v.author in able), state.leader)

    def _is_first(self, sequence: SequenceNumber) -> bool:
        """True for the sequence after the base of a view above 0.

        Its anchor stands on what was sent before the view changed: what lacks of it is not on its
        way. A leader that lied showed it to others only, or it was lost with one that died.
        """
        base = self.state.base
        return self.state.view > 0 and base is not None and sequence == base.sequence + 1

    def _accept_next(self) -> bool:
        """Put the next anchor on the chain and vote for it. False when there is none yet."""
        state = self.state
        sequence = SequenceNumber(state.chain.top.sequence + 1)
        promised = self.accepted.get(sequence)
        slot = self.slots.get(sequence)
        if promised is None and slot is None:
            return False
        certified = slot.certified() if slot is not None else None
        proposal = slot.pre_prepare if slot is not None else None
        named = promised or certified or (proposal.anchor if proposal is not None else None)
        if named is None or not state.low < sequence <= self.high_watermark():
            # At or below the stable checkpoint the journal has forgotten what was voted: what is
            # missing there comes by commit certificate.
            return False
        anchor = state.graph.admitted.get(named)
        if anchor is None:
            certain = promised is not None or certified is not None
            self.intake.want(
                named,
                state.leader,
                certain=certain,
                proposed=True,
                urgent=self._is_first(sequence) and named in state.graph.orphans,
            )
            return False
        link = state.chain.link(anchor)
        if not self._fits(link, sequence):
            if slot is not None and not slot.refused:
                slot.refused = True
                state.emit(Refuse(state.leader, Reason.INVALID_ANCHOR))
            return False
        if promised is None and certified is None:
            if not self._is_timely(anchor):
                self._refuse_untimely(slot, anchor)
                return False
            self.untimely.pop(anchor.author, None)
        state.chain.extend(link)
        state.pace.on_accepted(sequence, state.now_ms)
        if promised is None:
            self.accepted[sequence] = anchor.hash
            state.emit(Persist(Accepted(state.view, sequence, anchor.hash)))
        if sequence not in self.said:
            self._vote(anchor)
        return True

    def _fits(self, link: Link, sequence: SequenceNumber) -> bool:
        """The rules on an anchor that need no clock."""
        state = self.state
        anchor = link.anchor
        return (
            anchor.author == state.leader
            and anchor.sequence == sequence
            and anchor.parents[0] == state.chain.top.hash
            and state.committee.may_order(link.history)
        )

    def _is_timely(self, anchor: Vertex) -> bool:
        """True near the own clock; and for the time of the anchor before, as none may go back.

        Else clocks that ran ahead at a quorum, and were put right, would stop finality until real
        time is there: no anchor would be timely for anybody. The chain's time stands still instead.
        """
        now_ms, before_ms = self.state.now_ms, self.state.chain.top.timestamp_ms
        latest_ms = max(now_ms + TIMESTAMP_DRIFT_MS_MAX, before_ms)
        return now_ms - TIMESTAMP_DRIFT_MS_MAX <= anchor.timestamp_ms <= latest_ms

    def _refuse_untimely(self, slot: Slot | None, anchor: Vertex) -> None:
        """Refuse once for each slot; it is looked at again, as time may mend it."""
        state = self.state
        if slot is not None and not slot.refused:
            slot.refused = True
            ahead_ms = anchor.timestamp_ms - state.now_ms
            self.untimely[anchor.author] = Untimely(ahead_ms, state.now_ms)
            state.emit(Refuse(state.leader, Reason.UNTIMELY_ANCHOR))

    def _vote(self, anchor: Vertex) -> None:
        """Say the prepare; a leader after a restart says its pre-prepare again."""
        state = self.state
        self.said.add(anchor.sequence)
        kind = PrePrepare if state.leader == state.me else Prepare
        state.emit(
            Say(
                kind(
                    view=state.view,
                    sequence=anchor.sequence,
                    anchor=anchor.hash,
                    author=state.me,
                )
            )
        )
