"""Exactly-once execution: which transactions were executed within the last D sequences.

Bound: the transactions of D sequences. Every replica executes the same sequences, so all skip
the same transactions; the bitmaps are part of what a checkpoint digests. SPEC C7.
"""

from collections import deque
from dataclasses import dataclass, field

from cretonode.dag.payload import each_id
from cretonode.identifiers import SequenceNumber, TransactionId


@dataclass(slots=True)
class Dedup:
    """Transaction ids executed in sequences above `latest - window`."""

    window: int
    _executed: set[TransactionId] = field(default_factory=set)
    _by_sequence: deque[tuple[SequenceNumber, list[TransactionId]]] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._executed)

    def __contains__(self, transaction: TransactionId) -> bool:
        return transaction in self._executed

    def begin(self, sequence: SequenceNumber) -> None:
        """Start executing `sequence`; what has left the window is forgotten."""
        while self._by_sequence and self._by_sequence[0][0] <= sequence - self.window:
            self._executed.difference_update(self._by_sequence.popleft()[1])
        self._by_sequence.append((sequence, []))

    def execute(self, transaction_ids: bytes) -> int:
        """Execute one vertex's transactions; return the bitmap of those to skip."""
        skipped = 0
        executed = self._executed
        fresh = self._by_sequence[-1][1]
        for bit, transaction in enumerate(each_id(transaction_ids)):
            if transaction in executed:
                skipped |= 1 << bit
            else:
                executed.add(transaction)
                fresh.append(transaction)
        return skipped


def bitmap_bytes(bitmap: int) -> bytes:
    """Return a skip bitmap as bytes, least significant byte first, none for 0."""
    return bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "little")
