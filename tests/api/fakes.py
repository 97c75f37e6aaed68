"""A node in memory, for tests of the HTTP interface and of its client."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import trio

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
from cretonode.crypto.hashing import hash_of
from cretonode.errors import Backpressure
from cretonode.identifiers import (
    AuthorIndex,
    ChainId,
    Height,
    NodeId,
    SequenceNumber,
    TransactionId,
    ValidatorIndex,
    VertexHash,
    View,
)

START_MS = 1_750_000_000_000
GENESIS = VertexHash(bytes(32))
EVIDENCE_ID = hash_of(b"evidence")


@dataclass
class MemoryNode:
    """Satisfies NodePort. One vertex for each submission; `finalize` orders what waits.

    With `instant`, a submission is final as soon as it is accepted; with `eager`, as soon as
    somebody waits. A submission passes `door` first, so a test can hold it there. `failure`, when
    set, is raised instead of an answer.
    """

    instant: bool = False
    eager: bool = False
    waiting_max: int = 10_000
    door: trio.Event = field(default_factory=trio.Event)
    failure: Exception | None = None
    ready: bool = True
    reason: str = ""
    transactions: dict[TransactionId, TransactionView] = field(default_factory=dict)
    vertices: list[VertexView] = field(default_factory=list)
    sequences: list[FinalizedView] = field(default_factory=list)
    entered: trio.Event = field(default_factory=trio.Event)  # a call waits inside
    _waiting: list[tuple[VertexHash, list[TransactionId]]] = field(default_factory=list)
    _changed: trio.Condition = field(default_factory=trio.Condition)

    def __post_init__(self) -> None:
        self.door.set()

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Accepted, ...]:
        """See NodePort."""
        self.entered.set()
        await self.door.wait()
        if self.failure is not None:
            raise self.failure
        if sum(len(ids) for _, ids in self._waiting) + len(transactions) > self.waiting_max:
            raise Backpressure(f"more than {self.waiting_max} transactions wait; try again later")
        accepted: list[Accepted] = []
        fresh: list[TransactionId] = []
        vertex = VertexHash(hash_of(b"vertex %d" % len(self.vertices)))
        for transaction in transactions:
            id_ = TransactionId(hash_of(transaction))
            accepted.append(Accepted(id=id_, known=id_ in self.transactions))
            if id_ not in self.transactions:
                fresh.append(id_)
                self.transactions[id_] = TransactionView(
                    id=id_,
                    transaction=transaction,
                    sequence=None,
                    position=None,
                    offset=len(fresh) - 1,
                    vertex=vertex,
                )
        if fresh:
            self._waiting.append((vertex, fresh))
            self.vertices.append(self._make_vertex(vertex, sum(map(len, transactions)), len(fresh)))
        if self.instant:
            await self.finalize()
        return tuple(accepted)

    async def finalize(self) -> None:
        """Order every waiting vertex, one sequence for each."""
        for vertex, ids in self._waiting:
            sequence = SequenceNumber(len(self.sequences) + 1)
            for id_ in ids:
                self.transactions[id_] = replace(
                    self.transactions[id_], sequence=sequence, position=0
                )
            index = next(i for i, view in enumerate(self.vertices) if view.hash == vertex)
            self.vertices[index] = replace(self.vertices[index], sequence=sequence, position=0)
            self.sequences.append(
                FinalizedView(
                    sequence=sequence,
                    anchor=vertex,
                    vertices=(vertex,),
                    transactions=tuple(ids),
                    timestamp_ms=START_MS + sequence,
                    log_root=hash_of(b"log %d" % sequence),
                )
            )
        self._waiting.clear()
        async with self._changed:
            self._changed.notify_all()

    async def transaction(self, id_: TransactionId, *, wait_ms: int) -> TransactionView | None:
        """See NodePort."""
        if self.failure is not None:
            raise self.failure
        if wait_ms and self.eager:
            await self.finalize()
        with trio.move_on_after(wait_ms / 1000):
            async with self._changed:
                while wait_ms and not self._is_final(id_):
                    self.entered.set()
                    await self._changed.wait()
        return self.transactions.get(id_)

    def _is_final(self, id_: TransactionId) -> bool:
        view = self.transactions.get(id_)
        return view is not None and view.sequence is not None

    async def finalized(self, first: SequenceNumber, count: int) -> tuple[FinalizedView, ...]:
        """See NodePort."""
        return tuple(self.sequences[first - 1 : first - 1 + count])

    async def vertex(self, vertex: VertexHash) -> VertexView | None:
        """See NodePort."""
        return next((view for view in self.vertices if view.hash == vertex), None)

    async def tips(self) -> tuple[VertexView, ...]:
        """See NodePort."""
        return tuple(self.vertices[-1:])

    def status(self) -> StatusView:
        """See NodePort."""
        if self.failure is not None:
            raise self.failure
        return StatusView(
            chain_id=ChainId("docs-1"),
            name="node-0",
            index=ValidatorIndex(0),
            node_id=NodeId(hash_of(b"node 0")),
            version="0.1.0",
            view=View(0),
            leader=ValidatorIndex(0),
            view_open=True,
            final=SequenceNumber(len(self.sequences)),
            stable=SequenceNumber(0),
            in_flight=len(self._waiting),
            executed_transactions=sum(len(s.transactions) for s in self.sequences),
            waiting_transactions=sum(len(ids) for _, ids in self._waiting),
            validators=4,
            quorum=3,
            faults=1,
            connected=4,
            ready=self.ready,
            reason=self.reason,
            tolerance="survives 1 crash and 1 malicious validator",
            uptime_ms=5_000,
        )

    def peers(self) -> tuple[PeerView, ...]:
        """See NodePort."""
        return tuple(
            PeerView(
                index=ValidatorIndex(index),
                name=f"node-{index}",
                node_id=NodeId(hash_of(b"node %d" % index)),
                address=f"127.0.0.1:{9001 + index}",
                connected=index != 3,
                round_trip_ms=0.5 if index != 3 else None,
                silence_ms=12.5 if index != 3 else None,
                backlog_bytes=0,
                view=View(0) if index != 3 else None,
                final=SequenceNumber(0) if index != 3 else None,
                last_error="" if index != 3 else "no answer within 3000 ms",
            )
            for index in (1, 2, 3)
        )

    def validators(self) -> tuple[ValidatorView, ...]:
        """See NodePort."""
        return tuple(
            ValidatorView(
                index=ValidatorIndex(index),
                name=f"node-{index}",
                node_id=NodeId(hash_of(b"node %d" % index)),
                address=f"127.0.0.1:{9001 + index}",
                public_key=b"key of node %d" % index,  # a true one has 2624 bytes
            )
            for index in range(4)
        )

    def violations(self) -> tuple[ViolationView, ...]:
        """See NodePort."""
        return (
            ViolationView(
                at_ms=START_MS,
                validator=ValidatorIndex(3),
                name="node-3",
                type="equivocation",
                detail="two vertices with index 7",
            ),
        )

    def reputation(self) -> tuple[ReputationView, ...]:
        """See NodePort."""
        return tuple(
            ReputationView(
                validator=ValidatorIndex(index),
                name=f"node-{index}",
                node_id=NodeId(hash_of(b"node %d" % index)),
                score=0.0 if index == 3 else 1.0,
                banned=index == 3,
                violations=int(index == 3),
                evidence=int(index == 3),
            )
            for index in (1, 2, 3)
        )

    def bans(self) -> tuple[BanView, ...]:
        """See NodePort."""
        return (
            BanView(
                validator=ValidatorIndex(3),
                name="node-3",
                node_id=NodeId(hash_of(b"node 3")),
                since_ms=START_MS,
                until_ms=START_MS + 3_600_000,
                by="detector",
                reason="equivocation: two vertices with index 7",
                in_force=True,
            ),
        )

    def evidence(self) -> tuple[EvidenceView, ...]:
        """See NodePort."""
        return (
            EvidenceView(
                id=EVIDENCE_ID,
                author=ValidatorIndex(3),
                name="node-3",
                contradiction="two vertices with index 7",
                first="vertex: index 7, height 12, hash 0a1b2c3d",
                second="vertex: index 7, height 12, hash 4e5f6071",
            ),
        )

    def evidence_bytes(self, id_: bytes) -> bytes | None:
        """See NodePort."""
        return b"evidence" if id_ == EVIDENCE_ID else None

    def _make_vertex(self, hash_: VertexHash, size: int, count: int) -> VertexView:
        index = len(self.vertices) + 1
        return VertexView(
            hash=hash_,
            author=ValidatorIndex(0),
            index=AuthorIndex(index),
            height=Height(index),
            anchor_sequence=SequenceNumber(0),
            parents=(self.vertices[-1].hash if self.vertices else GENESIS,),
            timestamp_ms=START_MS,
            transaction_count=count,
            payload_bytes=size + 4 * count,
            signature=b"signature %d" % index,  # a true one has 4691 bytes
            sequence=None,
            position=None,
        )
