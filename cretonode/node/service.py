"""The node as its HTTP interface and its operator see it. Satisfies `api.ports.NodePort`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import trio

from cretonode import __version__
from cretonode.api.ports import (
    Accepted,
    BanView,
    EvidenceView,
    FinalizedView,
    PeerView,
    ReputationView,
    StatusView,
    TransactionView,
    ValidatorView,
    VertexView,
    ViolationView,
)
from cretonode.config.genesis import Genesis, tolerance
from cretonode.core.committee import Committee
from cretonode.core.replica import Replica
from cretonode.dag.payload import each_id
from cretonode.errors import NotReady
from cretonode.identifiers import (
    NodeId,
    SequenceNumber,
    TransactionId,
    ValidatorIndex,
    VertexHash,
)
from cretonode.network.peers import Peers
from cretonode.node.bans import Bans
from cretonode.node.batcher import Batcher
from cretonode.node.clock import Clock
from cretonode.node.finality import Finality
from cretonode.node.judgement_views import JudgementViews
from cretonode.node.links import Links
from cretonode.node.progress import Progress
from cretonode.node.standstill import standstill
from cretonode.node.steering import outlook
from cretonode.operator.protocol_topics import SILENT_MS
from cretonode.storage.schema import Slot
from cretonode.storage.store import Store

READ_THREADS: Final = 4

Answer = TypeVar("Answer")


@dataclass(slots=True, kw_only=True)
class Service:
    """Reads of the disk run in worker threads; reads of the core are instant."""

    genesis: Genesis
    name: str
    node_id: NodeId
    replica: Replica
    store: Store
    batcher: Batcher
    finality: Finality
    links: Links
    peer_links: Peers
    judgement: Bans
    progress: Progress
    clock: Clock
    limiter: trio.CapacityLimiter

    # --- transactions

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Accepted, ...]:
        """See NodePort."""
        if self.replica.state.amnesiac:
            raise NotReady(f"{amnesia_of(self.genesis, self.replica)}; nothing was accepted")
        lacking = self.quorum_lacking()
        if lacking:
            raise NotReady(f"{lacking}; nothing was accepted")
        return await self.batcher.submit(transactions)

    async def transaction(self, id_: TransactionId, *, wait_ms: int) -> TransactionView | None:
        """See NodePort."""
        if not wait_ms:
            return await self._read(lambda: self._find(id_))
        with trio.move_on_after(wait_ms / 1000):
            if self.batcher.is_pending(id_):
                await self.finality.wait(id_)  # no need to look: taken here, and not final yet
            else:
                await self._look_and_wait(id_)
        found = await self._read(lambda: self._find(id_))
        if found is not None and self.batcher.is_repeated(id_):
            return replace(found, sequence=None, position=None, offset=None)
        return found

    async def _look_and_wait(self, id_: TransactionId) -> None:
        """Return when a transaction is final, perhaps long since."""
        async with trio.open_nursery() as nursery:
            # Wait first, then look: what becomes final in between is not missed.
            nursery.start_soon(self._wait_then_cancel, id_, nursery.cancel_scope)
            await trio.lowlevel.checkpoint()
            found = await self._read(lambda: self._find(id_))
            if found is None or found.sequence is None:
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()

    async def _wait_then_cancel(self, id_: TransactionId, scope: trio.CancelScope) -> None:
        await self.finality.wait(id_)
        scope.cancel()

    def _find(self, id_: TransactionId) -> TransactionView | None:
        found = self.store.get_transaction(id_)
        if found is None:
            return None
        place = found.place
        return TransactionView(
            id=id_,
            transaction=found.data,
            sequence=place.sequence if place else None,
            position=place.position if place else None,
            offset=place.offset if place else None,
            vertex=found.vertex,
        )

    # --- the order

    async def finalized(self, first: SequenceNumber, count: int) -> tuple[FinalizedView, ...]:
        """See NodePort."""
        last = SequenceNumber(min(first + count - 1, self.replica.state.final))
        if last < first:
            return ()
        return await self._read(
            lambda: tuple(self._view_slot(s) for s in self.store.finalized_range(first, last))
        )

    def _view_slot(self, slot: Slot) -> FinalizedView:
        transactions: list[TransactionId] = []
        for vertex, skipped in zip(slot.vertices, slot.skipped, strict=True):
            ids = each_id(self.store.get_checked(vertex).transaction_ids)
            transactions += [id_ for bit, id_ in enumerate(ids) if not skipped >> bit & 1]
        anchor = self.store.get_vertex(slot.anchor)
        assert anchor is not None, "a final anchor is stored"
        return FinalizedView(
            sequence=slot.sequence,
            anchor=slot.anchor,
            vertices=tuple(slot.vertices),
            transactions=tuple(transactions),
            timestamp_ms=anchor.vertex.timestamp_ms,
            log_root=slot.log_root,
        )

    async def vertex(self, vertex: VertexHash) -> VertexView | None:
        """See NodePort."""
        return await self._read(lambda: self._view_vertex(vertex))

    async def tips(self) -> tuple[VertexView, ...]:
        """See NodePort."""
        return await self._read(
            lambda: tuple(v for h in self.store.tips() if (v := self._view_vertex(h)) is not None)
        )

    def _view_vertex(self, hash_: VertexHash) -> VertexView | None:
        stored = self.store.get_vertex(hash_)
        if stored is None:
            return None
        vertex = stored.vertex
        finality = self.store.get_finality(hash_)
        return VertexView(
            hash=vertex.hash,
            author=vertex.author,
            index=vertex.index,
            height=vertex.height,
            anchor_sequence=vertex.sequence,
            parents=vertex.parents,
            timestamp_ms=vertex.timestamp_ms,
            transaction_count=vertex.transaction_count,
            payload_bytes=vertex.payload_bytes,
            signature=stored.signature,
            sequence=finality.vertex.finalized_by if finality else None,
            position=finality.position if finality else None,
        )

    # --- the node

    def status(self) -> StatusView:
        """See NodePort."""
        state = self.replica.state
        committee = state.committee
        reason = self._unready()
        return StatusView(
            chain_id=committee.chain_id,
            name=self.name,
            index=state.me,
            node_id=self.node_id,
            version=__version__,
            view=state.view,
            leader=state.leader,
            view_open=state.base is not None,
            final=state.final,
            stable=state.low,
            in_flight=len(state.chain.links),
            executed_transactions=self.finality.transactions,
            waiting_transactions=len(self.batcher),
            validators=committee.size,
            quorum=committee.quorum,
            faults=committee.faults,
            connected=1 + len(self.links.connected()),
            ready=not reason,
            reason=reason,
            tolerance=tolerance(committee),
            uptime_ms=self.clock.uptime_ms(),
        )

    def quorum_lacking(self) -> str:
        """Return which validators lack and how many are needed; empty with a quorum. SPEC C10."""
        state = self.replica.state
        committee = state.committee
        peers = self.links.connected()
        connected = 1 + len(peers)
        amnesiacs = [peer for peer in peers if state.is_amnesiac(peer)]
        able = connected - len(amnesiacs) - state.amnesiac
        if able >= committee.quorum:
            return ""
        missing = ", ".join(
            self.genesis.names[peer] + (" (banned)" if self.judgement.is_banned(peer) else "")
            for peer, channel in self.links.channels.items()
            if not channel.greeted
        )
        if connected < committee.quorum:
            return (
                f"{connected} of {committee.size} validators are connected, {committee.quorum} are "
                f"needed; missing: {missing}, of whom {committee.quorum - connected} must come back"
            )
        lost = sorted([*amnesiacs, *([state.me] if state.amnesiac else [])])
        return (
            f"{able} of {committee.size} validators can vote, {committee.quorum} are needed; lost "
            f"their vote journals: {', '.join(self.genesis.names[peer] for peer in lost)}"
            + (f"; missing: {missing}" if missing else "")
            + _too_many(committee, len(lost))
        )

    def audible(self) -> list[ValidatorIndex]:
        """Return who is connected and was heard in the last second: who else may vote soon."""
        heard = {
            self.genesis.index_of(status.peer)
            for status in self.peer_links.status()
            if status.silence_ms is not None and status.silence_ms <= SILENT_MS
        }
        return [peer for peer in self.links.connected() if peer in heard]

    def standstill(self) -> str:
        """Return why nothing becomes final though it should; empty while it does."""
        return standstill(self.replica, self.genesis.names, self.clock.now_ms())

    def _unready(self) -> str:
        """Return why clients should ask another node; empty when they may ask this one."""
        state = self.replica.state
        if state.halted:
            return "halted: see the log"
        missed = self._recovery_missed()
        if missed:
            return missed
        if state.amnesiac:
            return amnesia_of(self.genesis, self.replica)
        lacking = self.quorum_lacking()
        if lacking:
            return lacking
        return self.progress.describe() or self.standstill()

    def _recovery_missed(self) -> str:
        """Return who says that the network was recovered without this node; empty: too few."""
        others = self.links.recovered
        if len(others) <= self.replica.state.committee.faults:
            return ""  # f of them may lie
        names = ", ".join(self.genesis.validators[peer].name for peer in sorted(others))
        return (
            f"this node is in incarnation {self.links.incarnation}, and {names} in "
            f"{max(others.values())}: it has missed a recovery. Stop it and run `cretonode recover "
            "apply` with the recovery file of one of them (docs/recover.md)"
        )

    def peers(self) -> tuple[PeerView, ...]:
        """See NodePort."""
        views = []
        for status in self.peer_links.status():
            index = self.genesis.index_of(status.peer)
            assert index is not None, "only validators are peers"
            heard = self.links.heard.get(index)
            host, port = status.address
            views.append(
                PeerView(
                    index=index,
                    name=self.genesis.validators[index].name,
                    node_id=status.peer,
                    address=f"{host}:{port}",
                    connected=self.links.channels[index].greeted,
                    round_trip_ms=status.round_trip_ms,
                    silence_ms=status.silence_ms,
                    backlog_bytes=status.backlog_bytes,
                    view=heard[0] if heard else None,
                    final=heard[1] if heard else None,
                    last_error=status.last_error,
                )
            )
        return tuple(views)

    def validators(self) -> tuple[ValidatorView, ...]:
        """See NodePort."""
        return tuple(
            ValidatorView(
                index=ValidatorIndex(index),
                name=validator.name,
                node_id=validator.public_key.node_id,
                address=str(validator.address),
                public_key=validator.public_key.encode(),
            )
            for index, validator in enumerate(self.genesis.validators)
        )

    # --- what this node makes of the others

    @property
    def judged(self) -> JudgementViews:
        """Bans, evidence and the like as views; what the operator's commands need."""
        return JudgementViews(self.judgement)

    def violations(self) -> tuple[ViolationView, ...]:
        """See NodePort."""
        return self.judged.violations()

    def reputation(self) -> tuple[ReputationView, ...]:
        """See NodePort."""
        return self.judged.reputation()

    def bans(self) -> tuple[BanView, ...]:
        """See NodePort."""
        return self.judged.bans()

    def evidence(self) -> tuple[EvidenceView, ...]:
        """See NodePort."""
        return self.judged.evidence()

    def evidence_bytes(self, id_: bytes) -> bytes | None:
        """See NodePort."""
        return self.judged.evidence_bytes(id_)

    def ban_add(self, validator: str, *, reason: str, lasts_ms: int | None, dry_run: bool) -> str:
        """See `operator.commands.OperatorSource`."""
        index = self.judged.index_of(validator)
        committee = self.replica.state.committee
        left = 1 + len([peer for peer in self.audible() if peer != index])
        effect = self.judgement.add(index, reason=reason, lasts_ms=lasts_ms, dry_run=dry_run)
        return (
            f"{effect}; this leaves {left} of {committee.size} connected here: "
            f"{outlook(left, committee.quorum)}"
        )

    def ban_remove(self, validator: str, *, dry_run: bool) -> str:
        """See `operator.commands.OperatorSource`."""
        return self.judgement.remove(self.judged.index_of(validator), dry_run=dry_run)

    async def _read(self, read: Callable[[], Answer]) -> Answer:
        return await trio.to_thread.run_sync(read, limiter=self.limiter)


def amnesia_of(genesis: Genesis, replica: Replica) -> str:
    """Return what an amnesiac waits for. SPEC C8."""
    state, amnesia = replica.state, replica.amnesia
    others = [peer for peer in state.peers if state.is_amnesiac(peer)]
    too_many = _too_many(state.committee, 1 + len(others))
    if too_many:
        names = ", ".join(genesis.names[peer] for peer in [state.me, *others])
        return f"amnesiac, and so are too many: {names}{too_many}"
    lacking = [genesis.validators[peer].name for peer in amnesia.lacking()]
    if lacking:
        return (
            f"amnesiac: its vote journal was lost; waiting for attestations of {', '.join(lacking)}"
        )
    return f"amnesiac: its vote journal was lost; silent up to view {amnesia.floor()}"


def _too_many(committee: Committee, amnesiacs: int) -> str:
    """Return what helps when so many lost their journals at a time; empty: they find back."""
    spare = committee.size - committee.quorum
    if amnesiacs <= spare:
        return ""
    return (
        f"; at most {spare} can find back at a time. Only a new incarnation of the network helps "
        "(`cretonode recover`)"
    )
