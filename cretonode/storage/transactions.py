"""The index of executed transactions: from an id to the place in the order.

Ids are hashes, and a row for each at a random place of the database would cost more than all else
that finality does. So the newest slots are searched in memory, and as soon as enough of them wait
theirs are written in one sorted run: soon, because all nodes have the same slots, and four that
index seconds of load at the same moment hold finality up. Rows follow in the log what they point
to, so a crash only loses rows that `note` gives back at restart. SPEC P2; docs/storage.md (5).
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cretonode.dag.payload import each_id
from cretonode.identifiers import HASH_BYTES, SequenceNumber, TransactionId
from cretonode.storage.backend import Backend
from cretonode.storage.schema import (
    OFFSETS,
    Family,
    Place,
    StateKey,
    decode_place,
    encode_number,
    encode_vertex_place,
)

RUN_SLOTS_MAX: Final = 32  # sorted together: longer runs are cheaper, but a sort holds the GIL
BATCH_ROWS_MAX: Final = 2_000  # a write holds the GIL, so none is long; so many may wait
UNINDEXED_SLOTS_MAX: Final = 64  # that may wait, few transactions as they have

# The transactions of one vertex: ids, 32 bytes each, and the bitmap of those that were skipped.
VertexIds: TypeAlias = tuple[bytes, int]


@dataclass(slots=True)
class TransactionIndex:
    """Slots that are not indexed yet, and the way to those that are. Usable from threads."""

    backend: Backend
    _recent: dict[SequenceNumber, tuple[VertexIds, ...]] = field(default_factory=dict)
    _bytes: int = 0  # of the ids that wait
    _changing: threading.Lock = field(default_factory=threading.Lock)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def unindexed(self) -> int:
        """How many slots wait."""
        return len(self._recent)

    @property
    def is_due(self) -> bool:
        """True when enough waits to be written in one run."""
        rows = self._bytes // HASH_BYTES
        return rows >= BATCH_ROWS_MAX or len(self._recent) >= UNINDEXED_SLOTS_MAX

    def note(self, sequence: SequenceNumber, vertices: tuple[VertexIds, ...]) -> None:
        """Take the next slot. Costs nothing for each transaction."""
        with self._changing:
            self._recent[sequence] = vertices
            self._bytes += _bytes_of(vertices)

    def find(self, transaction: TransactionId) -> Place | None:
        """Return where a transaction was executed last. May wait for the disk."""
        with self._changing:
            recent = list(self._recent.items())
        for sequence, vertices in reversed(recent):
            for position, (ids, skipped) in enumerate(vertices):
                offset = find_id(ids, transaction, skipped)
                if offset is not None:
                    return Place(sequence, position, offset)
        value = self.backend.get(Family.TRANSACTIONS, transaction)
        return None if value is None else decode_place(transaction, value)

    def executed_since(
        self, transactions: Sequence[TransactionId], since: SequenceNumber
    ) -> set[TransactionId]:
        """Return those executed in a sequence above `since`. Waits for the disk."""
        with self._changing:
            recent = list(self._recent.items())
        wanted = set(transactions)
        found: set[TransactionId] = set()
        for sequence, vertices in recent:
            if sequence > since:
                found |= wanted.intersection(each_id(fresh_ids(vertices)))
        rest = sorted(wanted - found)
        rows = self.backend.multi_get(Family.TRANSACTIONS, rest) if rest else []
        found.update(
            transaction
            for transaction, row in zip(rest, rows, strict=True)
            if row is not None and decode_place(transaction, row).sequence > since
        )
        return found

    def write_rows(self) -> int:
        """Index what waits; return how many transactions that were. Blocks: a worker thread."""
        count = 0
        with self._writing:
            while rows := self._write_run():
                count += rows
        return count

    def _write_run(self) -> int:
        """Write the oldest slots that wait; return how many rows, 0 only when none waits."""
        with self._changing:
            run = sorted(self._recent)[:RUN_SLOTS_MAX]
            slots = [(sequence, self._recent[sequence]) for sequence in run]
        if not run:
            return 0
        rows = [row for sequence, vertices in slots for row in _rows(sequence, vertices)]
        rows.sort()  # neighbours in the database: five times faster than in the order of execution
        last = max(0, len(rows) - 1) // BATCH_ROWS_MAX * BATCH_ROWS_MAX
        for start in range(0, last + 1, BATCH_ROWS_MAX):
            batch = self.backend.batch()
            for row in rows[start : start + BATCH_ROWS_MAX]:
                batch.put(Family.TRANSACTIONS, row[:HASH_BYTES], row[HASH_BYTES:])
            if start == last:
                batch.put(Family.STATE, StateKey.INDEXED.encode(), encode_number(run[-1]))
            self.backend.write(batch)
        with self._changing:
            for sequence in run:
                self._bytes -= _bytes_of(self._recent.pop(sequence))
        return len(rows) or len(run)


def find_id(ids: bytes, transaction: TransactionId, skipped: int = 0) -> int | None:
    """Return which of the concatenated ids is `transaction` and not skipped."""
    at = ids.find(transaction)
    while at >= 0:
        offset, rest = divmod(at, HASH_BYTES)
        if rest == 0 and not skipped >> offset & 1:
            return offset
        at = ids.find(transaction, at + 1)
    return None


def fresh_ids(vertices: tuple[VertexIds, ...]) -> bytes:
    """Return the ids that a slot executed, in order: all but the skipped ones."""
    return b"".join(
        ids
        if not skipped
        else b"".join(
            ids[at : at + HASH_BYTES]
            for offset, at in enumerate(range(0, len(ids), HASH_BYTES))
            if not skipped >> offset & 1
        )
        for ids, skipped in vertices
    )


def _bytes_of(vertices: tuple[VertexIds, ...]) -> int:
    return sum(len(ids) for ids, _ in vertices)


def _rows(sequence: SequenceNumber, vertices: tuple[VertexIds, ...]) -> list[bytes]:
    """Return id and place of each executed transaction, as one string: those sort fastest."""
    rows: list[bytes] = []
    for position, (ids, skipped) in enumerate(vertices):
        place = encode_vertex_place(sequence, position)
        starts = range(0, len(ids), HASH_BYTES)
        if skipped:
            starts_of = [(o, at) for o, at in enumerate(starts) if not skipped >> o & 1]
            rows += [ids[at : at + HASH_BYTES] + place + OFFSETS[o] for o, at in starts_of]
        else:
            rows += [
                ids[at : at + HASH_BYTES] + place + offset
                for at, offset in zip(starts, OFFSETS, strict=False)
            ]
    return rows
