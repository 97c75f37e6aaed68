"""Status: what a replica has and lacks, so that peers send exactly the difference.

Lost messages are never repeated blindly: a Status goes out on connection, periodically while
anything is unfinished, and as a slow heartbeat. Answering one is never a violation.
Source: DESIGN section 2, Retransmission.
"""

from dataclasses import dataclass, field
from typing import Final

from cretonode.core.checkpoint import Checkpoints
from cretonode.core.execution import Execution
from cretonode.core.intake import Intake
from cretonode.core.messages import Message, SlotStatus, Status
from cretonode.core.ordering import Ordering
from cretonode.core.slots import Slot
from cretonode.core.state import State
from cretonode.core.views import Views
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import AuthorIndex, SequenceNumber, ValidatorIndex, VertexHash
from cretonode.limits import AUTHOR_UNFINAL_MAX

RESENT_MESSAGES_MAX: Final = 64  # in answer to one status
RESENT_VERTICES_MAX: Final = AUTHOR_UNFINAL_MAX  # all that one author may have unfinal
RESENT_BYTES_MAX: Final = 2 * 1024 * 1024  # of their payloads, and the vertex that exceeds them


@dataclass(slots=True)
class Retransmission:
    """When to send a Status, and what to answer to one."""

    state: State
    intake: Intake
    ordering: Ordering
    execution: Execution
    checkpoints: Checkpoints
    views: Views
    finals: dict[ValidatorIndex, SequenceNumber] = field(default_factory=dict)  # peers' own word
    _sent_ms: int = 0
    _resent: dict[ValidatorIndex, dict[VertexHash, int]] = field(default_factory=dict)  # when, ms

    # --- own status

    def advance(self) -> None:
        """Send a status to everybody when one is due."""
        timing = self.state.timing
        if self.state.now_ms < self._sent_ms + min(timing.status_interval_ms, timing.heartbeat_ms):
            return  # whatever is unfinished
        if self.state.now_ms >= self.next_deadline_ms():
            self._sent_ms = self.state.now_ms
            status = self.status()
            for peer in self.state.peers:
                self.state.send(peer, status)

    def next_deadline_ms(self) -> int:
        """Soon after progress stopped while anything is unfinished; else the heartbeat."""
        timing = self.state.timing
        heartbeat_ms = self._sent_ms + timing.heartbeat_ms
        if not self._unfinished():
            return heartbeat_ms
        last_ms = max(self._sent_ms, self.state.progress_ms)
        return min(heartbeat_ms, last_ms + timing.status_interval_ms)

    def status(self) -> Status:
        """Return what this replica has and lacks."""
        state = self.state
        first = state.final + 1
        # Far behind, votes are of no use, and nobody should send any.
        last = state.final if state.behind else max(self.ordering.slots, default=state.final)
        last = SequenceNumber(min(last, state.final + state.committee.parameters.window))
        slots = (self.ordering.slots.get(SequenceNumber(s)) for s in range(first, last + 1))
        return Status(
            view=state.view,
            has_base=state.base is not None,
            final=state.final,
            stable=state.low,
            slots=tuple(self._slot_status(slot) for slot in slots),
            newest=tuple(
                self.newest_of(ValidatorIndex(author)) for author in range(state.committee.size)
            ),
        )

    def _unfinished(self) -> bool:
        state = self.state
        return (
            state.base is None
            or bool(state.graph.admitted)
            or bool(state.graph.orphans)
            or bool(self.execution.waiting)
            or bool(self.ordering.slots)
            or max(self.checkpoints.own, default=0) > state.low
        )

    def _slot_status(self, slot: Slot | None) -> SlotStatus:
        if slot is None:
            return SlotStatus(accepted=False, prepares=0, commits=0)
        return SlotStatus(
            accepted=slot.pre_prepare is not None or slot.prepared is not None,
            prepares=_bits(slot.prepares),
            commits=_bits(slot.commits),
        )

    def newest_of(self, author: ValidatorIndex) -> AuthorIndex:
        """Return the highest index such that this replica holds the author's chain up to it."""
        graph = self.state.graph
        final = graph.newest_final.get(author)
        indexes = [v.index for v in graph.admitted.values() if v.author == author]
        return max(indexes, default=final.index if final is not None else AuthorIndex(0))

    # --- peers' status

    def on_connected(self, peer: ValidatorIndex) -> None:
        """Tell `peer` what lacks here. What was under way to it is lost."""
        self._resent.pop(peer, None)
        self.state.send(peer, self.status())

    def on_status(self, peer: ValidatorIndex, status: Status) -> None:
        """Send `peer` what it lacks and this replica has."""
        self.finals[peer] = status.final
        answer: list[Message] = []
        answer += self._view_answer(status)
        newest = self.execution.newest_certificate()
        if newest is not None and status.final < newest.sequence:
            answer.append(newest)
        gap = self.state.final - status.final
        is_far_behind = gap >= self.state.committee.parameters.behind_sequences
        if not is_far_behind:
            answer += self._checkpoint_answer(status)
            if status.view == self.state.view:
                answer += self._slot_answer(status)
        for message in answer[:RESENT_MESSAGES_MAX]:
            self.state.send(peer, message)
        if is_far_behind:
            return  # it fetches ranges, and drops what it cannot connect
        vertices = self._vertex_answer(peer, status)
        if vertices:
            self.intake.serve(peer, vertices)

    def _view_answer(self, status: Status) -> list[Message]:
        """A peer behind, or one that waits in this view change, needs what proves the view."""
        views = self.views
        if status.view > self.state.view or (status.view == self.state.view and status.has_base):
            return []
        if views.new_view is not None:
            return [views.new_view]
        own = views.own_view_change()
        return [own] if own is not None and own.view > status.view - 1 else []

    def _checkpoint_answer(self, status: Status) -> list[Message]:
        if status.stable < self.state.low:
            stable = self.checkpoints.stable
            return [stable] if stable is not None and status.final >= stable.sequence else []
        votes = (self.checkpoints.own_vote(s) for s in self.checkpoints.own if s > status.stable)
        return [vote for vote in votes if vote is not None]

    def _slot_answer(self, status: Status) -> list[Message]:
        answer: list[Message] = []
        for sequence in sorted(self.ordering.slots):
            if sequence <= status.final:
                continue
            offset = sequence - status.final - 1
            theirs = (
                status.slots[offset]
                if offset < len(status.slots)
                else SlotStatus(accepted=False, prepares=0, commits=0)
            )
            answer += self._one_slot_answer(self.ordering.slots[sequence], theirs)
        return answer

    def _one_slot_answer(self, slot: Slot, theirs: SlotStatus) -> list[Message]:
        me = self.state.me
        quorum = self.state.committee.quorum
        answer: list[Message] = []
        if slot.committed is not None and theirs.commits.bit_count() < quorum:
            return [slot.committed]
        # The pre-prepare is the leader's prepare, so q - 1 others complete a certificate.
        if slot.prepared is not None and theirs.prepares.bit_count() < quorum - 1:
            answer.append(slot.prepared)
        elif not theirs.accepted and slot.pre_prepare is not None:
            answer.append(slot.pre_prepare)
        if me in slot.prepares and not theirs.prepares >> me & 1:
            answer.append(slot.prepares[me])
        if me in slot.commits and not theirs.commits >> me & 1:
            answer.append(slot.commits[me])
        return answer

    def _vertex_answer(self, peer: ValidatorIndex, status: Status) -> tuple[VertexHash, ...]:
        """Own vertices the peer lacks; to the leader also others' that wait too long."""
        state = self.state
        late_ms = state.now_ms - state.timing.finality_timeout_ms
        lacking = [
            vertex
            for vertex in state.graph.admitted.values()
            if vertex.index > status.newest[vertex.author]
            and (
                vertex.author == state.me
                or (peer == state.leader and self.intake.seen_ms(vertex) < late_ms)
            )
        ]
        lacking.sort(key=lambda vertex: vertex.order_key)
        return self._not_under_way(peer, lacking)

    def _not_under_way(self, peer: ValidatorIndex, lacking: list[Vertex]) -> tuple[VertexHash, ...]:
        """Return the first of `lacking`, but for those that `peer` was sent a moment ago."""
        now_ms = self.state.now_ms
        again_ms = now_ms - 2 * self.state.timing.status_interval_ms
        sent = {v: ms for v, ms in self._resent.get(peer, {}).items() if ms > again_ms}
        fresh: list[VertexHash] = []
        size = 0
        for vertex in lacking:
            if len(sent) >= RESENT_VERTICES_MAX or size >= RESENT_BYTES_MAX:
                break
            if vertex.hash not in sent:
                sent[vertex.hash] = now_ms
                fresh.append(vertex.hash)
                size += vertex.payload_bytes
        self._resent[peer] = sent
        return tuple(fresh)


def _bits(votes: dict[ValidatorIndex, object] | object) -> int:
    assert isinstance(votes, dict)
    return sum(1 << author for author in votes)
