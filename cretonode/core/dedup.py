"""Exactly-once execution: which transactions were executed lately, which vertices are too late.

Every replica executes the same sequences, so all skip the same transactions; the bitmaps are part
of what a checkpoint digests. SPEC C7; docs/spec/consensus.md, section 5.
"""

from collections import deque
from dataclasses import dataclass, field

from cretonode.core.committee import Parameters
from cretonode.dag.payload import each_id
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, TransactionId
from cretonode.limits import DEDUP_TRANSACTIONS_MAX


@dataclass(slots=True)
class Dedup:
    """Transaction ids executed in sequences above `latest - window`.

    Bound: DEDUP_TRANSACTIONS_MAX and what one anchor orders. Past it the oldest sequences are
    forgotten early, by every replica the same ones.
    """

    window: int
    transactions_max: int = DEDUP_TRANSACTIONS_MAX
    latest: SequenceNumber = SequenceNumber(0)  # the sequence executed last
    forgotten: SequenceNumber = SequenceNumber(0)  # nothing is known of it and of those below
    _executed: set[TransactionId] = field(default_factory=set)
    _by_sequence: deque[tuple[SequenceNumber, list[TransactionId]]] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._executed)

    def __contains__(self, transaction: TransactionId) -> bool:
        return transaction in self._executed

    def reaches(self, since: SequenceNumber) -> bool:
        """True when all that was executed above `since` is known here."""
        return self.forgotten <= since

    def begin(self, sequence: SequenceNumber) -> None:
        """Start executing `sequence`; what has left the window is forgotten."""
        self.latest = sequence
        self.forgotten = SequenceNumber(max(self.forgotten, sequence - self.window))
        while self._by_sequence and (
            self._by_sequence[0][0] <= self.forgotten or len(self) > self.transactions_max
        ):
            oldest, transactions = self._by_sequence.popleft()
            self._executed.difference_update(transactions)
            self.forgotten = max(self.forgotten, oldest)
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


def reference_of(vertex: Vertex, named: SequenceNumber, parameters: Parameters) -> SequenceNumber:
    """Return the sequence up to which its author had executed all when it took the transactions.

    `named` is the sequence of the last parent: a plain vertex names the anchor that was final when
    its batch was taken. An anchor carries no batch older than `batch_age_max`. A vertex is too late
    when `Dedup` does not reach back so far: nobody could tell what was executed in between.
    """
    if vertex.is_anchor:
        return SequenceNumber(max(0, vertex.sequence - parameters.batch_age_max))
    return named


def all_skipped(count: int) -> int:
    """Return the bitmap of a vertex with `count` transactions that executes none."""
    return (1 << count) - 1


def bitmap_bytes(bitmap: int) -> bytes:
    """Return a skip bitmap as bytes, least significant byte first, none for 0."""
    return bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "little")
