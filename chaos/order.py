"""The one order: read from every node, compared hash by hash, held against the acknowledgements."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chaos.load import Acknowledged
from cretonode.cli.cluster import NodeProcess
from cretonode.client import AsyncClient, Finalized
from cretonode.identifiers import Digest, SequenceNumber, TransactionId

PAGE: Final = 50
SHOWN_MAX: Final = 5  # examples of what is wrong


@dataclass(slots=True)
class Order:
    """Grows as it is read: each sequence once, from all nodes.

    `dedup_window`: a transaction may be there again so many sequences later, since a liar can copy
    one at any time. None: nobody submits one again after that, so it may not.
    """

    dedup_window: int | None = None
    roots: list[Digest] = field(default_factory=list)  # of sequence 1, 2, ...
    counts: list[int] = field(default_factory=list)  # executed transactions, the same way
    sequence_of: dict[TransactionId, SequenceNumber] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    _again: dict[TransactionId, SequenceNumber] = field(default_factory=dict)  # the last time

    @property
    def last(self) -> int:
        """The last sequence that was read."""
        return len(self.roots)

    async def read(self, nodes: Sequence[NodeProcess], last: int) -> None:
        """Read on, up to `last`, which must be final at each of `nodes`."""
        clients = [AsyncClient(node.files.url) for node in nodes]
        try:
            while self.last < last and not self.differences:
                first = self.last + 1
                count = min(PAGE, last - self.last)
                pages = [(await client.finalized(first, count)).sequences for client in clients]
                self.add([node.files.name for node in nodes], pages)
        finally:
            for client in clients:
                await client.aclose()

    def transactions_between(self, after: int, last: int) -> int:
        """Return how many transactions sequences `after + 1` to `last` executed."""
        return sum(self.counts[after:last])

    def add(self, names: Sequence[str], pages: Sequence[tuple[Finalized, ...]]) -> None:
        """Compare the next sequences, as each node shows them, and add them."""
        length = min(map(len, pages))
        if not length:
            self.differences.append(f"sequence {self.last + 1} is not final everywhere")
            return
        for position in range(length):
            slot = pages[0][position]
            for name, page in zip(names, pages, strict=True):
                if page[position] != slot:
                    self.differences.append(
                        f"sequence {slot.sequence}: {names[0]} and {name} differ"
                    )
            assert slot.sequence == self.last + 1, (slot.sequence, self.last)
            self.roots.append(slot.log_root)
            self.counts.append(len(slot.transactions))
            for transaction in slot.transactions:
                first = self.sequence_of.get(transaction)
                if first is None:
                    self.sequence_of[transaction] = slot.sequence
                else:
                    self._repeat(transaction, self._again.get(transaction, first), slot.sequence)

    def _repeat(
        self, transaction: TransactionId, before: SequenceNumber, now: SequenceNumber
    ) -> None:
        self._again[transaction] = now
        if self.dedup_window is None or now - before < self.dedup_window:
            self.repeated.append(f"{transaction.hex()[:16]} at {before} and {now}")

    def lacks(self, acknowledged: Sequence[Acknowledged]) -> list[str]:
        """Return where what was read does not bear out what was acknowledged."""
        wrong: list[str] = []
        for batch in acknowledged:
            wrong += [
                f"{id_.hex()[:16]} is missing"
                for id_ in batch.transactions
                if id_ not in self.sequence_of
            ]
            found = self.sequence_of.get(batch.transactions[-1])
            if found is not None and found != batch.sequence:
                wrong.append(
                    f"{batch.transactions[-1].hex()[:16]} is at {found}, not {batch.sequence}"
                )
        return wrong


def shown(wrong: Sequence[str]) -> str:
    """Return some of what is wrong, as a sentence."""
    more = f" and {len(wrong) - SHOWN_MAX} more" if len(wrong) > SHOWN_MAX else ""
    return "; ".join(wrong[:SHOWN_MAX]) + more
