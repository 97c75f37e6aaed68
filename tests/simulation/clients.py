"""What a node's clients submitted, on its way into its vertices: the node's own batcher.

The index of transactions answers at once here, and clients never hear back.
"""

from collections.abc import Iterable

from cretonode.core.dedup import Dedup
from cretonode.core.effects import Finalize, Retake
from cretonode.core.events import Batch
from cretonode.core.messages import VertexMessage
from cretonode.dag.payload import each_id, unpack
from cretonode.node.batcher import Batcher, Submission, were_executed
from tests.simulation.disk import Disk

AT_ONCE = 100  # transactions in a batch
PENDING_MAX = 1_000_000


class Clients:
    """Of one life of one node."""

    def __init__(self, dedup: Dedup, disk: Disk) -> None:
        """Take up what was left to be taken again."""
        self._disk = disk
        self._retaking: list[tuple[Retake, Submission]] = []
        self._batcher = Batcher(
            executed=dedup,
            wake=lambda: None,
            pending_max=PENDING_MAX,
            interval_ms=0,
            transactions_max=AT_ONCE,
        )
        self._retake(disk.tables.retakes.values())

    def submit(self, transactions: list[bytes]) -> None:
        """Take in what a client hands over."""
        self._batcher.offer(transactions)

    def wait(self, now_ms: int) -> bool:
        """Whether a batch could be taken."""
        return self._batcher.is_ready(now_ms)

    def take(self, now_ms: int) -> Batch | None:
        """Return the next batch; what only the index can judge waits for another turn."""
        batch = self._batcher.take(now_ms)
        self._judge()
        return batch

    def on_durable(self, message: VertexMessage, now_ms: int) -> None:
        """An own vertex is on disk."""
        self._batcher.on_durable(message, now_ms)
        for retake, submission in list(self._retaking):
            if not submission.undurable:
                self._disk.delete_retake(retake.vertex)
                self._retaking.remove((retake, submission))

    def on_finalize(self, effect: Finalize) -> None:
        """A sequence is final, and in the database."""
        self._batcher.indexed = effect.sequence
        for vertex, ids in zip(effect.vertices, effect.transaction_ids, strict=True):
            self._batcher.on_final(vertex.hash, ids)
        self._retake(effect.retakes)

    def _retake(self, retakes: Iterable[Retake]) -> None:
        for retake in retakes:
            message = self._disk.tables.vertices[retake.vertex]
            submission = self._batcher.retake(
                list(unpack(message.payload, message.vertex.transaction_count)),
                list(each_id(message.transaction_ids)),
                retake.since,
            )
            self._retaking.append((retake, submission))
        self._judge()

    def _judge(self) -> None:
        entries, until = self._batcher.take_outdated()
        executed = were_executed(entries, self._disk.executed_since)
        self._batcher.judged(entries, executed, until)
