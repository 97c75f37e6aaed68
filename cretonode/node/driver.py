"""The driver: the one task that steps the replica and carries out what it wants.

Take what waits, step through it, make it durable, then send: what comes meanwhile makes the next
turn, so a busy node syncs once for many messages.
"""

from dataclasses import dataclass, field
from typing import Final, Never, Protocol, assert_never

import structlog
import trio

from cretonode.core.effects import (
    Accuse,
    Effect,
    Entered,
    Finalize,
    Halt,
    Late,
    Lookup,
    Persist,
    Reason,
    Refuse,
    Rejoined,
    Say,
    Send,
    Serve,
    Stable,
    Store,
)
from cretonode.core.events import Event, LookedUp, Received, Tick
from cretonode.core.evidence import evidence_of
from cretonode.core.messages import VertexMessage
from cretonode.core.replica import Replica
from cretonode.core.reputation import Violation
from cretonode.core.state import NEVER_MS
from cretonode.dag.graph import FinalVertex
from cretonode.errors import ForkError
from cretonode.identifiers import ValidatorIndex, VertexHash, short
from cretonode.limits import TIMESTAMP_DRIFT_MS_MAX
from cretonode.network.rate import Seldom
from cretonode.node.bans import Bans
from cretonode.node.batcher import Batcher
from cretonode.node.chronicle import Chronicle
from cretonode.node.clock import Clock
from cretonode.node.finality import Finality
from cretonode.node.inbox import Inbox
from cretonode.node.links import Links
from cretonode.node.performer import Performer
from cretonode.node.retaker import Retaker
from cretonode.node.server import SlotServer

CLOCK_LOG_S: Final = 60.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class FinalVertices(Protocol):
    """What the driver asks the database itself. Satisfied by `storage.store.Store`."""

    def lookup(
        self, hashes: tuple[VertexHash, ...]
    ) -> tuple[tuple[FinalVertex, ...], tuple[VertexHash, ...]]:
        """Return those that are final, and the others."""


@dataclass(slots=True)
class Counts:
    """What the metrics show of the driver's work. Since the start."""

    turns: int = 0
    events: int = 0
    views_entered: int = 0
    vertices_proposed: int = 0
    equivocations: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    participation: float = 0.0  # signers of the last commit certificate / n


@dataclass(slots=True, kw_only=True)
class Driver:
    """Owns the replica: nothing else steps it."""

    replica: Replica
    clock: Clock
    inbox: Inbox
    performer: Performer
    links: Links
    database: FinalVertices
    server: SlotServer
    batcher: Batcher
    finality: Finality
    retaker: Retaker
    bans: Bans
    chronicle: Chronicle
    counts: Counts = field(default_factory=Counts)
    _clock_log: Seldom = field(default_factory=lambda: Seldom(interval_s=CLOCK_LOG_S))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> Never:
        """Step until cancelled. Raises: ForkError, StorageError."""
        await self._perform(self.replica.start(self.clock.now_ms()))
        task_status.started()
        while True:
            await self._turn(await self.inbox.next_turn(self._timeout_s()))

    async def _turn(self, events: list[Event]) -> None:
        """Step through `events`, or a tick, and a batch when one is wanted; perform it all."""
        now_ms = self.clock.now_ms()
        effects: list[Effect] = []
        for event in events or [Tick()]:
            self.chronicle.heard(event, now_ms)
            effects += self.replica.step(event, now_ms)
        if self.replica.wants_batch() and self.batcher.is_ready(now_ms):
            batch = self.batcher.take(now_ms)
            if batch is not None:
                effects += self.replica.step(batch, now_ms)
        self.counts.turns += 1
        self.counts.events += len(events)
        await self._perform(effects)

    def _timeout_s(self) -> float:
        """Until the replica's deadline, or until a batch has waited long enough."""
        deadline_ms = self.replica.deadline_ms()
        batch_ms = self.batcher.next_deadline_ms()
        if batch_ms is not None and self.replica.wants_batch():
            deadline_ms = min(deadline_ms, batch_ms)
        if deadline_ms >= NEVER_MS:
            return 3600.0
        # The clock counts whole milliseconds: wake after the deadline, not just before it.
        return (deadline_ms - self.clock.now_ms()) / 1000 + 0.001

    async def _perform(self, effects: list[Effect]) -> None:
        for effect in await self.performer.make_durable(effects):
            self._dispatch(effect)
        self.links.flush()
        self.chronicle.settled(self.clock.now_ms())

    def _dispatch(self, effect: Effect) -> None:
        """Only fills queues; the tasks behind them do the waiting."""
        self.chronicle.done(effect, self.clock.now_ms())
        match effect:
            case Say(statement, to):
                if isinstance(statement, VertexMessage):
                    self.counts.vertices_proposed += 1
                    self.batcher.on_durable(statement, self.clock.now_ms())
                self.inbox.put_own(Received(self.replica.state.me, statement))
                if to is None:
                    self.links.broadcast(statement)
                else:
                    self.links.send(to, statement)
            case Send(peer, message):
                self.links.send(peer, message)
            case Serve():
                self.server.serve(effect)
            case Lookup(hashes):
                self.inbox.put_own(LookedUp(*self.database.lookup(hashes)))
            case Finalize():
                self._on_finalize(effect)
            case Persist() | Store() | Stable():
                pass  # on disk already
            case Entered(view=view, leader=leader, cause=cause):
                self.counts.views_entered += 1
                self.links.discard_votes_below(view)
                self.links.view_entered()
                log.info("view_entered", view=view, leader=leader, cause=cause)
            case Rejoined(view=view):
                log.warning("rejoined", view=view, meaning="the amnesia is over: it votes again")
            case Refuse(peer, reason):
                self._on_refuse(peer, reason)
            case Accuse(first=first, second=second):
                self.counts.equivocations += 1
                evidence = evidence_of(first, second)
                assert evidence is not None, "the core accuses on evidence alone"
                self.bans.accuse(evidence)
            case Late(leader=leader, waited_ms=waited_ms):
                detail = f"a vertex waited for {waited_ms} ms"
                self.bans.note(leader, Violation.TIMEOUT, detail)
            case Halt(cause):
                raise ForkError(cause)
            case _:
                assert_never(effect)

    def _on_refuse(self, peer: ValidatorIndex, reason: Reason) -> None:
        name = reason.name.lower()
        self.counts.refused[name] = self.counts.refused.get(name, 0) + 1
        log.debug("refused", peer=peer, reason=name)
        if reason is Reason.UNTIMELY_ANCHOR:
            self._warn_of_clock(peer)
        if reason is Reason.INVALID_RANGE:
            # Slowness, too, is refused; but the way or this node may be what is slow.
            detail = "an answer about final sequences that its hashes do not bear out"
            self.bans.note(peer, Violation.INVALID_RANGE, detail)

    def _warn_of_clock(self, leader: ValidatorIndex) -> None:
        """Say that a leader's clock differs, now and then."""
        seen = self.replica.ordering.untimely.get(leader)
        if seen is None or not self._clock_log.allows(str(leader), now_s=seen.at_ms / 1000):
            return
        log.warning(
            "clocks_differ",
            peer=leader,
            name=self.bans.names[leader],
            ahead_ms=seen.ahead_ms,
            allowed_ms=TIMESTAMP_DRIFT_MS_MAX,
            meaning="no vote for its anchors; put the wrong clock right and start its node again",
        )

    def _on_finalize(self, effect: Finalize) -> None:
        self.finality.on_finalize(effect, self.clock.now_ms())
        self.batcher.indexed = effect.sequence
        self.retaker.add(effect.retakes)
        if effect.certificate is not None:
            signers = len(effect.certificate.votes)
            self.counts.participation = signers / self.replica.state.committee.size
        log.debug(
            "finalized",
            sequence=effect.sequence,
            anchor=short(effect.anchor.hash),
            leader=effect.anchor.author,
            vertices=len(effect.vertices),
        )
