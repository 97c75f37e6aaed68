"""The replica: events in, effects out, the same code in node, simulator and model tests.

Each event changes what one part knows; then every part does what has become possible, in a fixed
order. Nothing here reads a clock, draws a random number or touches a disk.
"""

from typing import assert_never

from cretonode.core.amnesia import Amnesia, can_rejoin
from cretonode.core.attester import Attester
from cretonode.core.catch_up import CatchUp
from cretonode.core.checkpoint import Checkpoints
from cretonode.core.committee import Committee
from cretonode.core.dedup import Dedup
from cretonode.core.detector import Detector
from cretonode.core.effects import Effect, Persist, Say, Serve, Stable
from cretonode.core.events import (
    Batch,
    Event,
    LookedUp,
    PeerConnected,
    PeerSilent,
    Received,
    StepDown,
    Tick,
)
from cretonode.core.execution import Execution
from cretonode.core.intake import Intake
from cretonode.core.merkle_log import MerkleLog
from cretonode.core.messages import (
    Attestation,
    Certificate,
    Checkpoint,
    CheckpointCertificate,
    Commit,
    CommitCertificate,
    Evidence,
    FetchSlots,
    FetchVertices,
    Message,
    NewView,
    Prepare,
    PrepareCertificate,
    PrePrepare,
    Rejoin,
    SlotHeaders,
    Status,
    Suspect,
    VertexMessage,
    ViewChange,
)
from cretonode.core.ordering import Ordering
from cretonode.core.proposer import Proposer
from cretonode.core.records import OwnVertex, Promises
from cretonode.core.recovery import index_before
from cretonode.core.retransmission import Retransmission
from cretonode.core.state import NEVER_MS, Restored, State, Timing
from cretonode.core.suppliers import Suppliers
from cretonode.core.views import Views
from cretonode.dag.chain import Chain
from cretonode.dag.graph import FinalVertex, Graph, genesis_vertex
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, ValidatorIndex
from cretonode.limits import FETCH_HASHES_MAX, FETCH_SLOTS_MAX


class Replica:
    """One validator's consensus. Feed it with `step`; wake it at `deadline_ms`."""

    def __init__(
        self, committee: Committee, me: ValidatorIndex, timing: Timing, restored: Restored
    ) -> None:
        """Take up what journal and database gave back."""
        amnesia = restored.promises.amnesia
        assert amnesia is None or can_rejoin(committee), "nobody could bring this replica back"
        graph = Graph(genesis_vertex(committee.genesis))
        for vertex in (*restored.recent, restored.final):
            if not graph.knows(vertex.hash):
                graph.remember_final(vertex)
        promises = restored.promises
        stable = _newest(promises.stable, restored.checkpoint)
        dedup = Dedup(committee.parameters.dedup_window)
        for sequence, transaction_ids in restored.executed:
            dedup.begin(sequence)
            dedup.execute(transaction_ids)
        origin = committee.origin
        low = stable.sequence if stable is not None else SequenceNumber(0)
        if restored.final.sequence >= origin.sequence:
            low = max(low, origin.sequence)  # nothing is voted there any more
        self.state = State(
            committee=committee,
            me=me,
            timing=timing,
            graph=graph,
            chain=Chain(graph, restored.final),
            dedup=dedup,
            log=MerkleLog(restored.log.size, restored.log.peaks),
            view=promises.view,
            base=promises.base if promises.view > 0 else origin,
            high=promises.high,
            low=low,
            certified_view=promises.view,
            amnesiac=amnesia is not None,
        )
        self.intake = Intake(self.state)
        self.checkpoints = Checkpoints(self.state, dict(promises.checkpoints), stable)
        self.execution = Execution(self.state, self.intake, self.checkpoints, restored.certificate)
        self.ordering = Ordering(self.state, self.intake, self.execution)
        self.views = Views(self.state, self.intake, self.ordering)
        own_index = max(promises.own_index, index_before(committee.incarnations[me]))
        self.proposer = Proposer(self.state, self.ordering, own_index)
        self.retransmission = Retransmission(
            self.state,
            self.intake,
            self.ordering,
            self.execution,
            self.checkpoints,
            self.views,
        )
        self.detector = Detector(self.state, self.intake, self.execution, self.views)
        self.detector.restore(restored.evidence)
        self.amnesia = Amnesia(self.state, self.proposer, amnesia)
        self.attester = Attester(self.state, self.views, self.retransmission)
        self.catch_up = CatchUp(
            self.state,
            self.intake,
            self.execution,
            self.checkpoints,
            Suppliers(self.state, self.retransmission.finals),
        )
        # An anchor is the highest vertex that its sequence finalized.
        for vertex in sorted((*restored.recent, restored.final), key=lambda vertex: vertex.height):
            self.execution.anchors[vertex.finalized_by] = vertex.hash
        self._advances = (
            self.views.advance,
            self.amnesia.advance,
            self.execution.advance,
            self.ordering.advance,
            self.execution.advance,
            self.proposer.advance,
            self.catch_up.advance,
            self.intake.advance,
            self.retransmission.advance,
            self.detector.advance,
        )
        self._restored: Restored | None = restored  # until it starts

    def start(self, now_ms: int) -> list[Effect]:
        """Say again what was said before the restart, and what a peer may have missed."""
        state = self.state
        state.now_ms = state.progress_ms = now_ms
        self.views.entered_ms = self.views.started_ms = now_ms
        assert self._restored is not None, "a replica starts once"
        restored, self._restored = self._restored, None
        promises = restored.promises
        for message in restored.pending:
            self.intake.on_vertex(state.me, message)
        newest = state.graph.newest_final.get(state.me)
        own = [m.vertex for m in restored.pending if m.author == state.me]
        if own:
            self._take_up(max(own, key=lambda vertex: vertex.index))
        elif newest is not None:
            self._take_up(newest)
        if state.final > state.low and state.final not in promises.checkpoints:
            self.checkpoints.executed(state.final)  # the crash came before it was stated
        if not state.amnesiac:
            self.views.resume(promises.view_change, promises.new_view)
            self._resume_votes(promises)
            for sequence, digest in sorted(promises.checkpoints.items()):
                if sequence > state.low:
                    state.emit(Say(Checkpoint(sequence=sequence, digest=digest, author=state.me)))
        return self._settle()

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """Return what must be done about `event`, in order. `now_ms` is Unix time, never back."""
        state = self.state
        if state.halted:
            return []
        assert now_ms >= state.now_ms, (now_ms, state.now_ms)
        state.now_ms = now_ms
        match event:
            case Received(sender, message):
                self.detector.observe(sender, message)
                self._on_message(sender, message)
            case Batch():
                self.proposer.on_batch(event)
            case LookedUp():
                self.intake.on_looked_up(event)
                self.catch_up.on_looked_up(event)
            case PeerConnected(peer):
                state.connected.add(peer)
                self.views.on_heard(peer)
                self.amnesia.on_connected()
                self.detector.on_connected(peer)
                self.retransmission.on_connected(peer)
            case PeerSilent(peer):
                state.connected.discard(peer)
                self.views.on_silent(peer)
            case StepDown():
                if state.leads and state.committee.size > 1:
                    self.views.step_down()
            case Tick():
                pass
            case _:
                assert_never(event)
        return self._settle()

    def deadline_ms(self) -> int:
        """Return when to step with a Tick, if nothing happens before."""
        if self.state.halted:
            return NEVER_MS
        return min(
            self.intake.next_deadline_ms(),
            self.views.next_deadline_ms(),
            self.proposer.next_deadline_ms(),
            self.amnesia.next_deadline_ms(),
            self.catch_up.next_deadline_ms(),
            self.retransmission.next_deadline_ms(),
        )

    def wants_batch(self) -> bool:
        """True when a Batch may be offered."""
        return self.proposer.wants_batch()

    def _on_message(self, sender: ValidatorIndex, message: Message) -> None:
        match message:
            case VertexMessage():
                self._on_vertex(sender, message)
            case PrePrepare() | Prepare() | Commit():
                self.state.amnesiacs.pop(message.author, None)
                self.ordering.on_vote(sender, message)
            case PrepareCertificate() | CommitCertificate() | CheckpointCertificate():
                self._on_certificate(message)
            case ViewChange():
                self.views.on_view_change(message)
            case NewView():
                self.views.on_new_view(message)
            case Suspect():
                self.views.on_suspect(message)
            case Checkpoint():
                self.checkpoints.on_checkpoint(message)
            case Rejoin() | Attestation():
                self._on_amnesia(sender, message)
            case Evidence():
                self.detector.on_evidence(message)
            case Status() | FetchVertices() | FetchSlots() | SlotHeaders():
                self._on_exchange(sender, message)
            case _:
                assert_never(message)

    def _on_vertex(self, sender: ValidatorIndex, message: VertexMessage) -> None:
        if sender != self.state.me:
            self.amnesia.check_own(message)
        if not self.catch_up.on_vertex(sender, message):
            self.intake.on_vertex(sender, message)
        if message.author == self.state.me and sender == self.state.me:
            self.proposer.on_own_vertex(message.vertex)

    def _on_certificate(self, certificate: Certificate) -> None:
        match certificate:
            case PrepareCertificate():
                self.ordering.on_prepare_certificate(certificate)
            case CommitCertificate():
                self.execution.learn(certificate)
            case CheckpointCertificate():
                self.checkpoints.on_certificate(certificate)

    def _on_amnesia(self, sender: ValidatorIndex, message: Rejoin | Attestation) -> None:
        if isinstance(message, Rejoin):
            self.attester.on_rejoin(sender, message)
        elif message.author == self.state.me:
            self.attester.on_own_attestation(message)
        else:
            self.amnesia.on_attestation(message)

    def _on_exchange(
        self, sender: ValidatorIndex, message: Status | FetchVertices | FetchSlots | SlotHeaders
    ) -> None:
        """What peers ask of each other and answer; nobody signs it."""
        match message:
            case Status():
                self.retransmission.on_status(sender, message)
            case FetchVertices(hashes=hashes):
                self.intake.serve(sender, hashes[:FETCH_HASHES_MAX])
            case FetchSlots(first=first, count=count):
                self.state.emit(Serve(sender, first=first, count=min(count, FETCH_SLOTS_MAX)))
            case SlotHeaders():
                self.catch_up.on_headers(sender, message)
            case _:
                assert_never(message)

    def _settle(self) -> list[Effect]:
        """Let every part do what has become possible; return the effects of this step."""
        state = self.state
        before = state.final
        for advance in self._advances:
            if not state.halted:
                advance()
        effects = self.detector.judge(state.effects) if state.effects else []
        state.effects = []
        self.views.settled(progressed=state.final > before)
        if effects:
            if state.amnesiac:
                assert all(isinstance(e.statement, Rejoin) for e in effects if isinstance(e, Say))
            interval = state.committee.parameters.checkpoint_interval
            if state.final // interval > before // interval or any(
                isinstance(effect, Stable) for effect in effects
            ):
                self._forget()
        return effects

    def _forget(self) -> None:
        """Let go of what lies too far behind."""
        self.execution.forget(self.state.remembered_from)
        self.intake.forget()

    def _take_up(self, newest: Vertex | FinalVertex) -> None:
        """Go on after the newest own vertex on disk; the journal may have lost that it was made.

        Then nobody heard of it, but its index is taken from now on.
        """
        self.proposer.newest = newest.hash
        if newest.index > self.proposer.index:
            self.proposer.index = newest.index
            self.state.emit(Persist(OwnVertex(newest.index, newest.hash)))

    def _resume_votes(self, promises: Promises) -> None:
        """Take up the promises of the current view and vote the same again."""
        state = self.state
        for sequence, anchor in sorted(promises.accepted.items()):
            if sequence <= state.final:
                continue
            if state.leader == state.me and anchor not in state.graph.admitted:
                # The crash came before this proposal was on disk as a whole: it is lost, and
                # another must not take its place in this view.
                self.views.step_down()
                return
            self.ordering.accepted[sequence] = anchor  # voted for again once it is on the chain
        high = promises.high
        if high is not None and high.view == state.view:
            self.ordering.resume_high(high)


def _newest(
    promised: CheckpointCertificate | None, kept: CheckpointCertificate | None
) -> CheckpointCertificate | None:
    """Return the higher stable checkpoint of journal and database.

    A journal begun anew knows of none, and what was executed before the start is not stated again:
    without the database's the window would stay shut until the next checkpoint, or for good when
    the others lost theirs, too.
    """
    if promised is None or (kept is not None and kept.sequence > promised.sequence):
        return kept
    return promised
