"""The load: batches at a rate, to whichever nodes are up, and what was acknowledged as final.

Behaves as a careful application does: what a node left without an answer goes to another node.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import trio

from bench.load import Timings, random_transactions, start_on_schedule
from cretonode.cli.cluster import NodeProcess
from cretonode.client import AsyncClient, BadAnswer, Failed, RetryPolicy, Unavailable, Unreachable
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import SequenceNumber, TransactionId

WAIT_MS: Final = 20_000  # of one request for finality
ATTEMPTS_MAX: Final = 10  # of one batch
REFUSED_PAUSE_S: Final = 0.2
NOBODY_PAUSE_S: Final = 0.1
CLOSE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A batch of which a node said that it is final.

    The node was asked for the last transaction: the vertices of one author are final in the order
    in which it made them, so the others are final, too.
    """

    transactions: tuple[TransactionId, ...]
    sequence: SequenceNumber  # of the last one, as acknowledged


class Load:
    """Open loop. Bound: what `rate` offers while one batch makes ATTEMPTS_MAX attempts."""

    def __init__(
        self, nodes: Sequence[NodeProcess], *, rate_per_s: float, batch: int, transaction_bytes: int
    ) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.timings = Timings()
        self.moved = 0  # attempts that ended without an answer
        self.unfinished: list[str] = []  # accepted, and never seen final
        self.up = list(nodes)
        self.under_way = 0  # batches that wait for an answer
        self._clients = {
            node.files.name: AsyncClient(node.files.url, retries=RetryPolicy(attempts_max=1))
            for node in nodes
        }
        self._per_s = rate_per_s / batch
        self._batch = batch
        self._bytes = transaction_bytes
        self._offering = trio.CancelScope()
        self._abandoned = False

    async def __aenter__(self) -> "Load":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with trio.move_on_after(CLOSE_S, shield=True):
            for client in self._clients.values():
                await client.aclose()

    async def run(self, seconds_max: float) -> None:
        """Offer until `stop`, at most for `seconds_max`; return when every batch has its end."""
        async with trio.open_nursery() as nursery:
            with self._offering:
                await start_on_schedule(
                    nursery,
                    self._send,
                    per_s=self._per_s,
                    count=round(self._per_s * seconds_max),
                    timings=self.timings,
                )

    def stop(self) -> None:
        """Offer nothing more."""
        self._offering.cancel()

    def abandon(self) -> None:
        """Go on, but ask nobody twice: the nodes are stopping, which is no fault of theirs."""
        self._abandoned = True

    async def send_to(self, node: NodeProcess, transactions: int) -> float:
        """Submit to `node` first; return the time at which the last one was final somewhere."""
        self.under_way += 1
        try:
            await self._deliver(random_transactions(transactions, self._bytes), [node])
        finally:
            self.under_way -= 1
        return trio.current_time()

    async def send_batch_to(self, node: NodeProcess) -> None:
        """Submit one batch more, to `node` first."""
        await self.send_to(node, self._batch)

    async def _send(self, number: int) -> None:
        shift = number % len(self.up) if self.up else 0
        self.under_way += 1
        try:
            transactions = random_transactions(self._batch, self._bytes)
            await self._deliver(transactions, self.up[shift:] + self.up[:shift])
        finally:
            self.under_way -= 1

    async def _deliver(self, transactions: list[bytes], nodes: list[NodeProcess]) -> None:
        """Submit to the first of `nodes`, and after that to whatever is up."""
        ids = tuple(TransactionId(hash_of(transaction)) for transaction in transactions)
        accepted_s: float | None = None
        began_s = trio.current_time()
        for attempt in range(ATTEMPTS_MAX):
            if attempt and self._abandoned:
                return
            candidates = nodes if attempt == 0 else self.up
            if not candidates:
                await trio.sleep(NOBODY_PAUSE_S)
                continue
            client = self._clients[candidates[attempt % len(candidates)].files.name]
            try:
                await client.submit(transactions)
                accepted_s = accepted_s or trio.current_time()
                found = await client.transaction(ids[-1], wait_ms=WAIT_MS)
            except Unavailable:
                if accepted_s is None:
                    self.timings.refused += 1
                    return
                await trio.sleep(REFUSED_PAUSE_S)
                continue
            except (Unreachable, Failed, BadAnswer):
                self.moved += 1
                continue
            if found is not None and found.sequence is not None:
                self.acknowledged.append(Acknowledged(ids, found.sequence))
                self.timings.accepted_s.append(accepted_s - began_s)
                self.timings.final_s.append(trio.current_time() - accepted_s)
                self.timings.transactions += len(ids)
                return
        if accepted_s is not None and not self._abandoned:
            self.unfinished.append(ids[-1].hex())
        elif not self._abandoned:
            self.timings.failed.append("no node took it")
