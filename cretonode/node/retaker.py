"""Transactions that waited longer than dedup reaches: asking the index, and taking them again.

An own vertex that was ordered too late executed nothing. What it carried was promised to clients,
so it goes into a new vertex, unless it was executed elsewhere in between. A row of the database
remembers that until the new vertex is on disk. SPEC C7, C8.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Never, Protocol

import structlog
import trio

from cretonode.core.effects import Retake
from cretonode.core.messages import VertexMessage
from cretonode.dag.payload import each_id, unpack
from cretonode.identifiers import SequenceNumber, TransactionId, VertexHash, short
from cretonode.node.batcher import Batcher, were_executed

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class TransactionStore(Protocol):
    """What retaking needs of the database. Satisfied by `storage.store.Store`. Blocks."""

    def retakes(self) -> Sequence[Retake]:
        """Return what is not taken again yet."""

    def get_checked(self, vertex: VertexHash) -> VertexMessage:
        """Return a stored vertex with payload and transaction ids."""

    def executed_since(
        self, transactions: Sequence[TransactionId], since: SequenceNumber
    ) -> set[TransactionId]:
        """Return those executed in a sequence above `since`."""

    def delete_retake(self, vertex: VertexHash) -> None:
        """Forget a row."""


@dataclass(slots=True)
class Retaker:
    """Bound: the own vertices that are not final, AUTHOR_UNFINAL_MAX, or were not at the start."""

    batcher: Batcher
    store: TransactionStore
    limiter: trio.CapacityLimiter
    _retakes: deque[Retake] = field(default_factory=deque)
    _under_way: set[VertexHash] = field(default_factory=set)
    _something: trio.Event = field(default_factory=trio.Event)

    def add(self, retakes: Iterable[Retake]) -> None:
        """Take up what these vertices carried. Their rows are in the database."""
        for retake in retakes:
            if retake.vertex not in self._under_way:
                self._under_way.add(retake.vertex)
                self._retakes.append(retake)
                self._something.set()

    async def run(self) -> Never:
        """Own the tasks. Begins with what was left to do before the start."""
        self.add(await trio.to_thread.run_sync(self.store.retakes, limiter=self.limiter))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._judge_forever, name="judge outdated")
            while True:
                await self._something.wait()
                self._something = trio.Event()
                while self._retakes:
                    nursery.start_soon(self._retake, self._retakes.popleft(), name="retake")

    async def _retake(self, retake: Retake) -> None:
        message = await trio.to_thread.run_sync(
            self.store.get_checked, retake.vertex, limiter=self.limiter
        )
        count = message.vertex.transaction_count
        log.info("retaking", vertex=short(retake.vertex), transactions=count, since=retake.since)
        submission = self.batcher.retake(
            list(unpack(message.payload, count)),
            list(each_id(message.transaction_ids)),
            retake.since,
        )
        await submission.durable.wait()
        self.store.delete_retake(retake.vertex)
        self._under_way.discard(retake.vertex)

    async def _judge_forever(self) -> Never:
        while True:
            await self.batcher.wait_outdated()
            entries, until = self.batcher.take_outdated()
            executed = await trio.to_thread.run_sync(
                were_executed, entries, self.store.executed_since, limiter=self.limiter
            )
            self.batcher.judged(entries, executed, until)
