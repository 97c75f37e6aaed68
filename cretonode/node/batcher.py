"""Clients' transactions on their way into this node's next vertex.

All or nothing: a submission is taken whole or refused whole, and is answered once every one of
its transactions is on disk in a vertex. Whether one was executed elsewhere is asked when it comes
and again when it goes into a vertex. SPEC C6, C7.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import trio

from cretonode.api.ports import Accepted
from cretonode.core.dedup import Dedup
from cretonode.core.events import Batch
from cretonode.core.messages import VertexMessage
from cretonode.crypto.hashing import hash_of, tree_root
from cretonode.dag.payload import LENGTH_BYTES, each_id, pack
from cretonode.errors import Backpressure, ClientError, NotReady
from cretonode.identifiers import SequenceNumber, TransactionId, VertexHash
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
    begun: bool = False  # part of it is in a batch, or was promised long ago: not to be given back
    given_back: str = ""  # why none of it was taken after all


# The last: up to which sequence it is known that the transaction was not executed since it came.
Entry: TypeAlias = tuple[TransactionId, bytes, Submission, SequenceNumber]


def were_executed(
    entries: Sequence[Entry],
    executed_since: Callable[[Sequence[TransactionId], SequenceNumber], Container[TransactionId]],
) -> list[bool]:
    """Return of each entry whether its transaction was executed since. May wait for the disk."""
    by_since: defaultdict[SequenceNumber, list[TransactionId]] = defaultdict(list)
    for id_, _, _, since in entries:
        by_since[since].append(id_)
    found = {since: executed_since(ids, since) for since, ids in by_since.items()}
    return [id_ in found[since] for id_, _, _, since in entries]


@dataclass(slots=True)
class Batcher:
    """Bound: `pending_max` transactions are taken and not final, and of them WAITING_BYTES_MAX
    bytes wait for a vertex. So whoever is taken waits for so many at most, and past what the
    network orders clients are told at once instead of ever later. What own vertices carried that
    came too late is taken again beyond that: at most AUTHOR_UNFINAL_MAX vertices' worth.
    """

    executed: Dedup
    wake: Callable[[], None]
    pending_max: int
    interval_ms: int
    transactions_max: int
    closed: bool = False
    indexed: SequenceNumber = SequenceNumber(0)  # the index knows all that was executed up to here
    unfinal: dict[VertexHash, int] = field(default_factory=dict)  # own vertex: when accepted, ms
    _waiting: deque[Entry] = field(default_factory=deque)
    _outdated: list[Entry] = field(default_factory=list)  # waited for longer than dedup reaches
    _waiting_bytes: int = 0
    _pending: set[TransactionId] = field(default_factory=set)  # taken here and not final
    _vouched: set[TransactionId] = field(default_factory=set)  # of these: submitted again, known
    _batched: deque[list[Submission]] = field(default_factory=deque)
    _batched_ms: int = 0
    _has_outdated: trio.Event = field(default_factory=trio.Event)
    _answered: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def __post_init__(self) -> None:
        self.indexed = self.executed.latest

    def __len__(self) -> int:
        return len(self._pending)

    def is_pending(self, id_: TransactionId) -> bool:
        """True when a transaction was taken here and the vertex that carries it is not final."""
        return id_ in self._pending

    def is_repeated(self, id_: TransactionId) -> bool:
        """True when a pending transaction will be executed, perhaps not for the first time.

        Then what the disk says of it is from before the dedup window.
        """
        return id_ in self._pending and id_ not in self.executed

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Accepted, ...]:
        """Return once all are durable. Raises: Backpressure, NotReady, ClientError; then none was
        taken.
        """
        accepted, submission = self.offer(transactions)
        if submission is not None:
            await submission.durable.wait()
            if submission.given_back:
                raise NotReady(f"{submission.given_back}; nothing was accepted")
        return accepted

    def offer(
        self, transactions: Sequence[bytes]
    ) -> tuple[tuple[Accepted, ...], Submission | None]:
        """Take transactions in; None: all are known. Raises: Backpressure, ClientError."""
        self._check(transactions)
        accepted: list[Accepted] = []
        fresh: dict[TransactionId, bytes] = {}
        for transaction in transactions:
            id_ = TransactionId(hash_of(transaction))
            known = id_ in fresh or id_ in self._pending or id_ in self.executed
            if id_ in self._pending:
                self._vouched.add(id_)
                if len(self._vouched) > self.pending_max:
                    self._vouched &= self._pending
            if not known:
                fresh[id_] = transaction
            accepted.append(Accepted(id=id_, known=known))
        return tuple(accepted), self._enqueue(fresh) if fresh else None

    def retake(
        self, transactions: Sequence[bytes], ids: Sequence[TransactionId], since: SequenceNumber
    ) -> Submission:
        """Take again what an own vertex carried that came too late; the index is asked first."""
        submission = Submission(undurable=len(transactions), begun=True)
        self._outdated += [
            (id_, data, submission, since) for id_, data in zip(ids, transactions, strict=True)
        ]
        self._waiting_bytes += sum(map(len, transactions))
        self._pending.update(ids)
        self._has_outdated.set()
        return submission

    async def wait_outdated(self) -> None:
        """Return when something waits for `take_outdated`."""
        await self._has_outdated.wait()

    def take_outdated(self) -> tuple[list[Entry], SequenceNumber]:
        """Return what only the index of transactions can judge; and what `judged` must be told."""
        self._has_outdated = trio.Event()
        entries, self._outdated = self._outdated, []
        return entries, self.indexed

    def judged(
        self, entries: Sequence[Entry], executed: Sequence[bool], until: SequenceNumber
    ) -> None:
        """Put back what was not executed up to `until`; the rest has been dealt with elsewhere."""
        for entry, is_executed in zip(entries, executed, strict=True):
            if is_executed:
                self._let_go(entry)
            else:
                self._waiting.append((*entry[:3], until))
        self.wake()

    async def wait_durable(self) -> None:
        """Return when nothing that was taken in waits for the disk."""
        while self._waiting or self._outdated or self._batched:
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

    def take(self, now_ms: int) -> Batch | None:
        """Return the oldest transactions that fit one vertex. None: there are none after all.

        Not those that were executed while they waited.
        """
        self._batched_ms = now_ms
        taken: list[bytes] = []
        ids: list[bytes] = []
        submissions: list[Submission] = []
        room = PAYLOAD_BYTES_MAX
        count_max = min(self.transactions_max, PAYLOAD_TRANSACTIONS_MAX)
        executed, latest, forgotten = self.executed, self.executed.latest, self.executed.forgotten
        while self._waiting and len(taken) < count_max:
            id_, transaction, submission, since = self._waiting[0]
            if since < forgotten:
                submission.begun = True  # the answer of the index may come when it is too late
                self._outdated.append(self._waiting.popleft())
                self._has_outdated.set()
                continue
            if since < latest and id_ in executed:
                self._let_go(self._waiting.popleft())
                continue
            room -= len(transaction) + LENGTH_BYTES
            if room < 0:
                break
            self._waiting.popleft()
            self._waiting_bytes -= len(transaction)
            taken.append(transaction)
            ids.append(id_)
            submissions.append(submission)
            submission.begun = True
        if not taken:
            return None
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
            _answer(submission)
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

    def _let_go(self, entry: Entry) -> None:
        """Answer for a transaction that was executed elsewhere while it waited here."""
        id_, transaction, submission, _ = entry
        self._waiting_bytes -= len(transaction)
        self._pending.discard(id_)
        _answer(submission)
        self._answered.unpark_all()

    def _enqueue(self, fresh: dict[TransactionId, bytes]) -> Submission:
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
        since = self.executed.latest
        self._waiting.extend((id_, data, submission, since) for id_, data in fresh.items())
        self._waiting_bytes += size
        self._pending.update(fresh)
        self.wake()
        return submission


def _answer(submission: Submission) -> None:
    submission.undurable -= 1
    if not submission.undurable:
        submission.durable.set()
