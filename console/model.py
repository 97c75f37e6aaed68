"""What the console knows of a node: what the deltas add up to, and short histories of it.

Owns the state behind every screen and nothing that is on one. Sans-IO: deltas come in, from a
socket or from a file, and nobody else changes it.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Final, TypeVar

from console.gaps import SILENCE_MS
from console.series import Rate, Series
from cretonode.operator.protocol import Delta, Hello
from cretonode.operator.protocol_deltas import NOTHING, Changes, changes_untrusted, merged
from cretonode.operator.protocol_topics import (
    SlotSnapshot,
    StorageSnapshot,
    ValidatorSnapshot,
    WatchedStatusSnapshot,
)

SPACE_SAMPLE_MS: Final = 30_000  # between two samples of the free space
UNKNOWN_NAME: Final = "validator {}"

T = TypeVar("T")


@dataclass(slots=True)
class Histories:
    """What sparklines show. Bound: eight series."""

    transactions: Rate = field(default_factory=Rate)  # executed, per second
    vertices: Rate = field(default_factory=Rate)  # executed, per second
    finality_ms: Series = field(default_factory=Series)
    sync_ms: Series = field(default_factory=Series)
    waiting: Series = field(default_factory=Series)  # vertices
    processor: Rate = field(default_factory=Rate)  # milliseconds of a core per second
    free_bytes: Series = field(default_factory=lambda: Series(SPACE_SAMPLE_MS))

    def note(self, at_ms: int, known: Changes) -> None:
        """Add what is known at a time."""
        for status in known.status or ():
            self.transactions.note(at_ms, status.executed_transactions)
            self.vertices.note(at_ms, status.executed_vertices)
            self.processor.note(at_ms, round(status.cpu_seconds * 1000))
            self.waiting.note(at_ms, status.waiting_vertices)
            median, _ = finality_of(status, known.slots or ())
            if median is not None:
                self.finality_ms.note(at_ms, median)
        for storage in known.storage or ():
            self.free_bytes.note(at_ms, storage.free_bytes)
            if storage.sync_last_ms is not None:
                self.sync_ms.note(at_ms, storage.sync_last_ms)


class Model:
    """The node as far as it was told. Bounds: those of the topics and of the histories."""

    def __init__(self) -> None:
        self.hello: Hello | None = None
        self.known: Changes = NOTHING
        self.at_ms = 0  # of the last delta, by the node's clock
        self.peers_at_ms = 0  # of the last one that told of the peers: their ages are of then
        self.deltas = 0
        self.histories = Histories()

    def begin(self, hello: Hello) -> None:
        """Take up with a node; another one than before voids what was known."""
        if self.hello is not None and self.hello.node_id != hello.node_id:
            self.known = NOTHING
            self.histories = Histories()
        self.hello = hello

    def apply(self, delta: Delta) -> None:
        """Take in what changed. Raises: MalformedMessage."""
        changes = changes_untrusted(delta)
        self.known = merged(self.known, changes, fresh=delta.fresh)
        if delta.at_ms - self.at_ms >= SILENCE_MS:
            self.histories = Histories()  # nobody knows how it was meanwhile
        self.at_ms = delta.at_ms
        if changes.peers is not None:
            self.peers_at_ms = delta.at_ms
        self.deltas += 1
        self.histories.note(delta.at_ms, self.known)

    def held(self) -> "Model":
        """Return what is known now, for a picture that stands still."""
        held = Model()
        held.hello, held.known = self.hello, self.known
        held.at_ms, held.deltas = self.at_ms, self.deltas
        held.peers_at_ms = self.peers_at_ms
        held.histories = deepcopy(self.histories)
        return held

    @property
    def status(self) -> WatchedStatusSnapshot | None:
        """Where the node stands; None before the first delta."""
        return _first(self.known.status)

    @property
    def storage(self) -> StorageSnapshot | None:
        """Database, journal and disk; None before the first delta."""
        return _first(self.known.storage)

    @property
    def validators(self) -> tuple[ValidatorSnapshot, ...]:
        """The genesis list."""
        return self.known.validators or ()

    @property
    def current_slot(self) -> SlotSnapshot | None:
        """The lowest sequence that is being voted on."""
        status = self.status
        if status is None:
            return None
        open_ = [s for s in self.known.slots or () if s.sequence > status.final and not s.executed]
        return min(open_, key=lambda slot: slot.sequence, default=None)

    def name_of(self, index: int | None) -> str:
        """Return a validator's name."""
        if index is None:
            return ""
        names = self.validators
        return names[index].name if index < len(names) else UNKNOWN_NAME.format(index)

    def names_of(self, marked: bytes) -> list[str]:
        """Return the names of those whose byte is 1."""
        return [self.name_of(i) for i, byte in enumerate(marked) if byte == 1]


def finality_of(
    status: WatchedStatusSnapshot, slots: Sequence[SlotSnapshot]
) -> tuple[int | None, int | None]:
    """Return median and 99th percentile of the time to finality, in milliseconds.

    Of this node's own vertices; of the known sequences when its clients submit nothing.
    """
    if status.finality_p50_ms is not None:
        return status.finality_p50_ms, status.finality_p99_ms
    times = sorted(slot.finality_ms for slot in slots if slot.finality_ms is not None)
    if not times:
        return None, None
    return times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]


def _first(rows: tuple[T, ...] | None) -> T | None:
    return rows[0] if rows else None
