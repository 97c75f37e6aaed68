"""Clients' transactions on their way into this node's next vertex.

All or nothing: a submission is taken whole or refused whole, and is answered once every one of
its transactions is on disk in a vertex. SPEC C6, C7.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from cretonode.api.ports import Accepted
from cretonode.core.events import Batch
from cretonode.core.messages import VertexMessage
from cretonode.crypto.hashing import hash_of, tree_root
from cretonode.dag.payload import LENGTH_BYTES, each_id, pack
from cretonode.errors import Backpressure, ClientError, NotReady
from cretonode.identifiers import TransactionId, VertexHash
from cretonode.limits import (
    PAYLOAD_BYTES_MAX,
    PAYLOAD_TRANSACTIONS_MAX,
    TRANSACTION_BYTES_MAX,
)

WAITING_BYTES_MAX: Final = 64 * 1024 * 1024


@dataclass(slots=True)
class Submission:
    """One request's new transactions, and how many of them are not durable yet."""

    undurable: int
    durable: trio.Event = field(default_factory=trio.Event)
    begun: bool = False  # part of it is in a batch
    given_back: str = ""  # why none of it was taken after all


@dataclass(slots=True)
class Batcher:
    """Bound: `pending_max` transactions are taken and not final, and of them WAITING_BYTES_MAX
    bytes wait for a vertex. So whoever is taken waits for so many at most, and past what the
    network orders clients are told at once instead of ever later.
    """

    is_executed: Callable[[TransactionId], bool]
    wake: Callable[[], None]
    pending_max: int
    interval_ms: int
    transactions_max: int
    closed: bool = False
    unfinal: dict[VertexHash, int] = field(default_factory=dict)  # own vertex: when accepted, ms
    _waiting: deque[tuple[TransactionId, bytes, Submission]] = field(default_factory=deque)
    _waiting_bytes: int = 0
    _pending: set[TransactionId] = field(default_factory=set)  # taken here and not final
    _vouched: set[TransactionId] = field(default_factory=set)  # of these: submitted again, known
    _batched: deque[list[Submission]] = field(default_factory=deque)
    _batched_ms: int = 0
    _answered: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def __len__(self) -> int:
        return len(self._pending)

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Accepted, ...]:
        """Return once all are durable. Raises: Backpressure, NotReady, ClientError; then none was
        taken.
        """
        self._check(transactions)
        accepted: list[Accepted] = []
        fresh: dict[TransactionId, bytes] = {}
        for transaction in transactions:
            id_ = TransactionId(hash_of(transaction))
            known = id_ in fresh or id_ in self._pending or self.is_executed(id_)
            if id_ in self._pending:
                self._vouched.add(id_)
                if len(self._vouched) > self.pending_max:
                    self._vouched &= self._pending
            if not known:
                fresh[id_] = transaction
            accepted.append(Accepted(id=id_, known=known))
        if fresh:
            await self._enqueue(fresh)
        return tuple(accepted)

    async def wait_durable(self) -> None:
        """Return when nothing that was taken in waits for the disk."""
        while self._waiting or self._batched:
            await self._answered.park()

    def give_back(self, reason: str) -> None:
        """Refuse every submission that waits whole: nothing can be ordered, and clients may know.

        What is partly in a batch waits on, and so does what another client was told is known here.
        """
        bound = {id(entry[2]) for entry in self._waiting if entry[0] in self._vouched}
        kept = deque(entry for entry in self._waiting if entry[2].begun or id(entry[2]) in bound)
        for entry in self._waiting:
            transaction_id, data, submission = entry[:3]
            if not submission.begun and id(submission) not in bound:
                self._waiting_bytes -= len(data)
                self._pending.discard(transaction_id)
                submission.given_back = reason
                submission.durable.set()
        self._waiting = kept
        self._answered.unpark_all()

    def is_ready(self, now_ms: int) -> bool:
        """True when a batch should go now: company has been waited for, or it is full."""
        if not self._waiting:
            return False
        full = len(self._waiting) >= self.transactions_max
        return full or now_ms >= self._batched_ms + self.interval_ms

    def next_deadline_ms(self) -> int | None:
        """When a batch becomes ready, if any transaction waits."""
        return self._batched_ms + self.interval_ms if self._waiting else None

    def take(self, now_ms: int) -> Batch:
        """Return the oldest transactions that fit one vertex."""
        self._batched_ms = now_ms
        taken: list[bytes] = []
        ids: list[bytes] = []
        submissions: list[Submission] = []
        room = PAYLOAD_BYTES_MAX
        count_max = min(self.transactions_max, PAYLOAD_TRANSACTIONS_MAX)
        while self._waiting and len(taken) < count_max:
            id_, transaction, submission = self._waiting[0]
            room -= len(transaction) + LENGTH_BYTES
            if room < 0:
                break
            self._waiting.popleft()
            self._waiting_bytes -= len(transaction)
            taken.append(transaction)
            ids.append(id_)
            submissions.append(submission)
            submission.begun = True
        self._batched.append(submissions)
        leaves = b"".join(ids)
        return Batch(
            payload=pack(taken), transaction_ids=leaves, root=tree_root(leaves), count=len(taken)
        )

    def on_durable(self, message: VertexMessage, now_ms: int) -> None:
        """Answer the clients whose transactions this own vertex carries."""
        if not message.vertex.transaction_count:
            return
        self.unfinal[message.vertex.hash] = now_ms
        for submission in self._batched.popleft():
            submission.undurable -= 1
            if not submission.undurable:
                submission.durable.set()
        self._answered.unpark_all()

    def on_final(self, vertex: VertexHash, transaction_ids: bytes) -> int | None:
        """Let go of an own vertex; return when it was accepted, None when it is not one."""
        accepted_ms = self.unfinal.pop(vertex, None)
        if accepted_ms is not None:
            self._pending.difference_update(each_id(transaction_ids))
            if self._vouched:
                self._vouched.difference_update(each_id(transaction_ids))
        return accepted_ms

    def _check(self, transactions: Sequence[bytes]) -> None:
        if self.closed:
            raise Backpressure("this node is shutting down; nothing was accepted")
        if len(transactions) > self.pending_max:
            raise ClientError(
                f"{len(transactions)} transactions in one request; at most {self.pending_max} "
                "may wait for finality here (consensus.max_pending_vertices)"
            )
        for position, transaction in enumerate(transactions):
            if not 1 <= len(transaction) <= TRANSACTION_BYTES_MAX:
                raise ClientError(
                    f"transaction {position} has {len(transaction)} bytes; "
                    f"allowed are 1 to {TRANSACTION_BYTES_MAX}"
                )

    async def _enqueue(self, fresh: dict[TransactionId, bytes]) -> None:
        size = sum(map(len, fresh.values()))
        if len(self._pending) + len(fresh) > self.pending_max:
            raise Backpressure(
                f"{len(self._pending)} transactions wait for finality here, at most "
                f"{self.pending_max} may (consensus.max_pending_vertices); nothing was accepted"
            )
        if self._waiting_bytes + size > WAITING_BYTES_MAX:
            raise Backpressure(
                f"{self._waiting_bytes} bytes wait for a vertex here, at most "
                f"{WAITING_BYTES_MAX} may; nothing was accepted"
            )
        submission = Submission(undurable=len(fresh))
        self._waiting.extend((id_, data, submission) for id_, data in fresh.items())
        self._waiting_bytes += size
        self._pending.update(fresh)
        self.wake()
        await submission.durable.wait()
        if submission.given_back:
            raise NotReady(f"{submission.given_back}; nothing was accepted")
