"""Coverage marks: which branches of view change, recovery and catch-up honest replicas ran into.

A run of many seeds must fire every one of `EXPECTED`, or it has not tested what it seems to test.
The core knows nothing of this: marks come from its effects (`mark`, called by the world) and from
a few of its methods, which `listen` wraps once in each process. Rare methods only, so that it costs
nothing.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final

from cretonode.core import execution, ordering
from cretonode.core.bodies import Bodies
from cretonode.core.catch_up import Asked, CatchUp
from cretonode.core.checkpoint import Checkpoints
from cretonode.core.effects import Reason
from cretonode.core.events import LookedUp
from cretonode.core.execution import Execution, path_from_final
from cretonode.core.intake import Intake, Want
from cretonode.core.messages import (
    CheckpointCertificate,
    CommitCertificate,
    NewView,
    PrepareCertificate,
    Status,
    Suspect,
    ViewChange,
)
from cretonode.core.ordering import Ordering
from cretonode.core.patience import BACKOFF_DOUBLINGS_MAX, Patience
from cretonode.core.proposer import Proposer
from cretonode.core.ranges import CertifiedRange
from cretonode.core.records import Promises
from cretonode.core.replica import Replica
from cretonode.core.retransmission import Retransmission
from cretonode.core.slots import Slot
from cretonode.core.state import NEVER_MS, State
from cretonode.core.views import Views
from cretonode.dag.graph import FinalVertex
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, ValidatorIndex, View

EXPECTED: Final = (
    # leaving a view
    "view entered: joined",
    "view entered: suspect",
    "view entered: leader left",
    "view entered: equivocation",
    "view entered: timeout",
    "view entered: stepped down",
    "view entered: fetched back",
    "view entered: certificate",
    "view entered: new-view",
    "timed out: open view",
    "timed out: unopened view",
    "back-off: at its cap",
    "back-off: shortened",
    "suspected: silent leader",
    "suspected: slow leader",
    "wait excused: behind",
    # opening one
    "new-view: past",
    "new-view: again",
    "new-view: second base",
    "new-view: fits the restored base",
    "base adopted",
    "base adopted: genesis",
    "base adopted: below the own certificate",
    "base adopted: its certificate was news",
    "base adopted: accepted anchors cut",
    "base: chain moved to it",
    "base: off the final chain",
    "base + 1 proposed",
    "proposed past low + W",
    "leader's batch in a plain vertex",
    "early votes counted",
    "certificate stands in for the pre-prepare",
    "accepted anchor overruled",
    "leader's word shown to who heard another",
    # recovery
    "restart: new-view said again",
    "restart: view-change said again",
    "restart: entered in silence",
    "restart: vote resumed",
    "restart: proposal lost",
    "restart: commit resumed",
    "restart: checkpoint not stated",
    "restart: own vertex only in the database",
    "killed before the journal",
    "killed before the sync",
    "killed between effects",
    "killed between two sends",
    "torn tail dropped",
    "disk full",
    "journal lost",
    "journal lost: rejoined",
    "journals lost in turn",
    "restart: window of the database",
    # a healed network
    "kept its pace with a quorum",
    "kept its pace with more",
    # retransmission and catch-up
    "new-view answered",
    "view-change answered",
    "prepare certificate taken",
    "commit certificate of another view",
    "checkpoint certificate taken",
    "vertex asked for",
    "certified vertex asked for",
    "lookup: final",
    "lookup: absent",
    "range asked for",
    "range taken",
    "range given up",
    "vertices of a range asked for",
    "vertices of a range given up",
    "vertex let go while behind",
    # evidence and bounds
    "accused: two of VertexMessage",
    "accused: two of PrePrepare",
    "accused: two of Prepare",
    "accused: two of Commit",
    "accused: two of ViewChange",
    "accused: two of NewView",
    "refused: INVALID_ANCHOR",
    "refused: NOT_THE_LEADER",
    "refused: OUTSIDE_WATERMARKS",
    "refused: TOO_MANY_ORPHANS",
)


@dataclass(slots=True)
class Listener:
    """What fired since the last `take`, while an honest node took its turn."""

    hears: bool = True
    fired: Counter[str] = field(default_factory=Counter)
    wraps: bool = False


LISTENER: Final = Listener()


def mark(name: str) -> None:
    """Note that the branch called `name` was run."""
    if LISTENER.hears:
        LISTENER.fired[name] += 1


def take() -> dict[str, int]:
    """Return what fired since the last call, and begin anew."""
    found = dict(LISTENER.fired)
    LISTENER.fired.clear()
    LISTENER.hears = True
    return found


def missing(fired: Counter[str]) -> list[str]:
    """Return the expected marks that did not fire."""
    return [name for name in EXPECTED if not fired[name]]


def listen() -> None:
    """Wrap what tells about branches that no effect shows. Once in a process."""
    if LISTENER.wraps:
        return
    LISTENER.wraps = True
    _listen_to_views()
    _listen_to_ordering()
    _listen_to_recovery()
    _listen_to_catch_up()


def _watch(owner: Any, name: str, look: Callable[..., Callable[[Any], None] | None]) -> None:
    """Call `look` with the same arguments whenever `owner.name` is called, before it is.

    What `look` returns is called with the result, after it.
    """
    original = getattr(owner, name)

    @wraps(original)
    def looked_at(*arguments: Any, **named: Any) -> Any:
        then = look(*arguments, **named)
        result = original(*arguments, **named)
        if then is not None:
            then(result)
        return result

    setattr(owner, name, looked_at)


# --- view changes


def _listen_to_views() -> None:
    _watch(Views, "_enter", _on_enter)
    _watch(Views, "on_suspect", _on_suspect)
    _watch(Patience, "progressed", _on_progressed)
    _watch(Patience, "note_behind", _on_note_behind)
    _watch(Views, "on_new_view", _on_new_view)
    _watch(Views, "resume", _on_resume)


def _on_enter(self: Views, view: View, cause: str) -> None:
    if cause == "timeout":
        mark(f"timed out: {'open' if self.state.base is not None else 'unopened'} view")
        if self.patience.failed_views == BACKOFF_DOUBLINGS_MAX:
            mark("back-off: at its cap")


def _on_suspect(self: Views, message: Suspect) -> None:
    if message.author == self.state.me:
        mark(f"suspected: {'slow' if self.state.pace.slow else 'silent'} leader")


def _on_progressed(self: Patience) -> None:
    if self.failed_views:
        mark("back-off: shortened")


def _on_note_behind(self: Patience, since_ms: int | None, *, behind: bool) -> None:
    if not behind and since_ms is not None and self._behind_ms != NEVER_MS:
        mark("wait excused: behind")


def _on_new_view(self: Views, message: NewView) -> None:
    state = self.state
    if message.view < state.view:
        mark("new-view: past")
    elif message.view == state.view and self.new_view is not None:
        same = self.new_view.base == message.base
        mark("new-view: again" if same else "new-view: second base")
    elif message.view == state.view and state.base is not None:
        same = state.base == message.base
        mark(f"new-view: {'fits' if same else 'is not'} the restored base")
    else:
        _on_base(state, message)


def _on_base(state: State, message: NewView) -> None:
    mark("base adopted")
    if message.certificate is None:
        mark("base adopted: genesis")
    if state.high is not None and state.high.position.rank > message.base.rank:
        mark("base adopted: below the own certificate")
    elif state.high is None or state.high.position != message.base:
        mark("base adopted: its certificate was news")
    if state.chain.top.sequence > max(message.base.sequence, state.final):
        mark("base adopted: accepted anchors cut")


def _on_resume(self: Views, said: ViewChange | None, opened: NewView | None) -> None:
    if opened is not None:
        mark("restart: new-view said again")
    elif said is not None and self.state.base is None:
        mark("restart: view-change said again")
    elif self._entered_in_silence():
        mark("restart: entered in silence")


# --- ordering


def _listen_to_ordering() -> None:
    _watch(Ordering, "begin_view", _on_begin_view)
    _watch(Ordering, "_vote", _on_vote)
    _watch(Ordering, "on_prepare_certificate", _on_prepare_certificate)
    _watch(Ordering, "_show_proposal", _on_show_proposal)
    _watch(Proposer, "_propose", _on_propose)
    _watch(Proposer, "_say", _on_own_vertex)
    _watch(ordering, "path_from_final", _on_base_path)
    for module in (ordering, execution):
        _watch(module, "follow", _on_follow)


def _on_begin_view(self: Ordering) -> None:
    if any(vote.view == self.state.view for votes in self._future.values() for vote in votes):
        mark("early votes counted")


def _on_vote(self: Ordering, anchor: Vertex) -> None:
    slot = self.slots.get(anchor.sequence)
    if slot is not None and slot.pre_prepare is None and slot.certified() is not None:
        mark("certificate stands in for the pre-prepare")


def _on_prepare_certificate(self: Ordering, certificate: PrepareCertificate) -> None:
    if certificate.view == self.state.view and certificate.sequence > self.state.final:
        mark("prepare certificate taken")


def _on_show_proposal(self: Ordering, slot: Slot) -> None:
    proposal = slot.pre_prepare
    others = slot.prepares.keys() - slot.shown - {self.state.me}
    if proposal is not None and any(slot.prepares[a].anchor != proposal.anchor for a in others):
        mark("leader's word shown to who heard another")


def _on_propose(self: Proposer) -> None:
    state = self.state
    sequence = state.chain.top.sequence + 1
    if state.base is not None and state.view > 0 and sequence == state.base.sequence + 1:
        mark("base + 1 proposed")
    if sequence > state.low + state.committee.parameters.window:
        mark("proposed past low + W")


def _on_own_vertex(self: Proposer, vertex: Vertex) -> None:
    if not vertex.sequence and self.state.leads and not self._is_aged():
        mark("leader's batch in a plain vertex")


def _on_base_path(state: State, anchor: Vertex) -> None:
    found = path_from_final(state, anchor) is not None
    mark("base: chain moved to it" if found else "base: off the final chain")


def _on_follow(state: State, path: list[Vertex]) -> None:
    if any(state.chain.at(anchor.sequence) not in (None, anchor.hash) for anchor in path):
        mark("accepted anchor overruled")


# --- recovery


def _listen_to_recovery() -> None:
    _watch(Replica, "start", _on_start)
    _watch(Replica, "_take_up", _on_take_up)
    _watch(Replica, "_resume_votes", _on_resume_votes)


def _on_start(self: Replica, now_ms: int) -> None:
    state = self.state
    assert self._restored is not None
    promised, stable = self._restored.promises.checkpoints, self._restored.promises.stable
    if state.low > (stable.sequence if stable is not None else 0):
        mark("restart: window of the database")
    interval = state.committee.parameters.checkpoint_interval
    if state.final > state.low and state.final not in promised and not state.final % interval:
        mark("restart: checkpoint not stated")


def _on_take_up(self: Replica, newest: Vertex | FinalVertex) -> None:
    if newest.index > self.proposer.index:
        mark("restart: own vertex only in the database")


def _on_resume_votes(self: Replica, promises: Promises) -> None:
    state = self.state
    for sequence, anchor in promises.accepted.items():
        if sequence > state.final:
            lost = state.leader == state.me and anchor not in state.graph.admitted
            mark("restart: proposal lost" if lost else "restart: vote resumed")
    high = promises.high
    if high is not None and high.view == state.view and high.sequence > state.final:
        mark("restart: commit resumed")


# --- retransmission and catch-up


def _listen_to_catch_up() -> None:
    _watch(Execution, "learn", _on_learn)
    _watch(Checkpoints, "on_certificate", _on_checkpoint)
    _watch(Intake, "_peer_for", _on_peer_for)
    _watch(Intake, "on_looked_up", _on_looked_up)
    _watch(Retransmission, "_view_answer", _on_view_answer)
    _watch(CatchUp, "_take", _on_range)
    _watch(CatchUp, "_fail", _on_failed_range)
    _watch(CatchUp, "_begin_again", _on_begin_again)
    _watch(Bodies, "_ask", _on_bodies)
    _watch(CatchUp, "_ask", _on_ask)
    _watch(Bodies, "_review", _on_review)
    _watch(Intake, "_is_for_later", _on_for_later)


def _on_ask(self: CatchUp, first: SequenceNumber) -> Callable[[None], None]:
    def asked(_: None) -> None:
        if self._asked is not None:
            mark("range asked for")

    return asked


def _on_review(self: Bodies) -> Callable[[None], None] | None:
    failures = self.failures

    def reviewed(_: None) -> None:
        if self.failures > failures:
            mark("vertices of a range given up")

    return reviewed if self._requests else None


def _on_for_later(
    self: Intake, sender: ValidatorIndex, vertex: Vertex
) -> Callable[[bool], None] | None:
    def judged(later: bool) -> None:
        if later:
            mark("vertex let go while behind")

    return judged if self.state.behind else None


def _on_range(self: CatchUp, asked: Asked, found: CertifiedRange) -> None:
    mark("range taken")


def _on_failed_range(self: CatchUp, reason: Reason | None) -> None:
    mark("range given up" if reason is not None else "range: nothing to give")


def _on_begin_again(self: CatchUp) -> None:
    mark("range begun again")


def _on_bodies(self: Bodies, peer: ValidatorIndex) -> None:
    mark("vertices of a range asked for")


def _on_learn(self: Execution, certificate: CommitCertificate) -> None:
    if certificate.sequence > self.state.final and certificate.view != self.state.view:
        mark("commit certificate of another view")


def _on_checkpoint(self: Checkpoints, certificate: CheckpointCertificate) -> None:
    if certificate.sequence > self.state.low and certificate.sequence in self.own:
        mark("checkpoint certificate taken")


def _on_peer_for(self: Intake, want: Want) -> None:
    mark("certified vertex asked for" if want.certain else "vertex asked for")


def _on_looked_up(self: Intake, event: LookedUp) -> None:
    if event.final:
        mark("lookup: final")
    if event.absent:
        mark("lookup: absent")


def _on_view_answer(self: Retransmission, status: Status) -> None:
    state = self.state
    if status.view > state.view or (status.view == state.view and status.has_base):
        return
    if self.views.new_view is not None:
        mark("new-view answered")
    elif self.views.own_view_change() is not None:
        mark("view-change answered")
