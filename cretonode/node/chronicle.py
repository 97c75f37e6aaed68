"""What the node has seen lately, for whoever looks at it: sequences, view changes, vertices.

The driver tells it; nothing else writes, and nothing is decided on it. Source: SPEC C1, M3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cretonode.core.effects import Accuse, Effect, Entered, Finalize
from cretonode.core.events import Event, Received
from cretonode.core.messages import (
    Commit,
    CommitCertificate,
    Prepare,
    PrepareCertificate,
    PrePrepare,
    Vote,
)
from cretonode.core.replica import Replica
from cretonode.node.clock import Clock
from cretonode.node.slot_book import SlotBook
from cretonode.node.vertex_book import VertexBook
from cretonode.node.view_book import ViewBook
from cretonode.operator.protocol_topics import Mark


@dataclass(slots=True, kw_only=True)
class Chronicle:
    """Bound: those of its books."""

    replica: Replica
    names: Sequence[str]  # of the validators
    clock: Clock
    slots: SlotBook = field(init=False)
    views: ViewBook = field(init=False)
    vertices: VertexBook = field(init=False)

    def __post_init__(self) -> None:
        state = self.replica.state
        self.slots = SlotBook(state.committee, state.final)
        self.views = ViewBook(self.replica, self.names)
        self.vertices = VertexBook(state.graph)

    def heard(self, event: Event, now_ms: int) -> None:
        """Note an event before the replica steps through it."""
        if not isinstance(event, Received):
            return
        match event.message:
            case PrePrepare() | Prepare() | Commit() as vote:
                self.slots.on_vote(vote, now_ms, view=self.replica.state.view)
            case PrepareCertificate() | CommitCertificate() as certificate:
                self.slots.on_certificate(certificate, now_ms, view=self.replica.state.view)
            case _:
                pass

    def heard_unbelieved(self, vote: Vote, surplus: bool) -> None:  # noqa: FBT001  as it is kept
        """Note a vote that its author sent and the replica does not see: a surplus one, which was
        not verified, or one whose signature is wrong.
        """
        if surplus:
            view = self.replica.state.view
            self.slots.on_vote(vote, self.clock.now_ms(), view=view)
        else:
            self.slots.on_refuted(vote, mark=Mark.INVALID)

    def done(self, effect: Effect, now_ms: int) -> None:
        """Note an effect that was carried out."""
        match effect:
            case Finalize():
                self.slots.on_finalize(effect, now_ms, view=self.replica.state.view)
                self.vertices.on_finalize(effect)
            case Entered(view=view):
                self.views.on_entered(effect, now_ms)
                self.slots.on_entered(self.replica.ordering.slots.values(), now_ms, view=view)
            case Accuse(second=second):
                if isinstance(second, PrePrepare | Prepare | Commit):
                    self.slots.on_refuted(second, mark=Mark.EQUIVOCATING)
            case _:
                pass

    def settled(self, now_ms: int) -> None:
        """Note what a turn has led to."""
        self.views.settle(now_ms)
