"""Sizes and times of what the node keeps, sampled when somebody looks and not oftener than useful.

The database has to be asked in a worker thread: its statistics are a long text.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import trio

from cretonode.node.history import History
from cretonode.node.performer import Performer
from cretonode.operator.protocol_topics import FamilySnapshot, StorageSnapshot

Number = TypeVar("Number", int, float)
SAMPLE_MS: Final = 2_000  # between samples


class Sample(NamedTuple):
    """What the disk and the database said."""

    number: int
    storage: StorageSnapshot
    families: tuple[FamilySnapshot, ...]


@dataclass(slots=True, kw_only=True)
class StorageGauge:
    """Shared by all who watch."""

    performer: Performer
    data_dir: Path
    past: History | None
    limiter: trio.CapacityLimiter
    _sample: Sample | None = None
    _at_s: float = 0.0
    _asking: trio.Lock = field(default_factory=trio.Lock)

    async def sample(self) -> Sample:
        """Return a sample that is not older than SAMPLE_MS."""
        async with self._asking:
            now_s = trio.current_time()
            if self._sample is None or now_s - self._at_s >= SAMPLE_MS / 1000:
                number = 1 + (self._sample.number if self._sample else 0)
                self._sample = await trio.to_thread.run_sync(
                    self._ask, number, limiter=self.limiter
                )
                self._at_s = now_s
            return self._sample

    def _ask(self, number: int) -> Sample:
        performer = self.performer
        backend = performer.store.backend
        database = backend.metrics()
        disk = shutil.disk_usage(self.data_dir)
        syncs_ms = list(performer.syncs_ms)
        return Sample(
            number,
            StorageSnapshot(
                disk_bytes=database.disk_bytes,
                journal_bytes=performer.journal.used_bytes,
                history_bytes=self.past.disk_bytes if self.past is not None else 0,
                free_bytes=disk.free,
                total_bytes=disk.total,
                cache_bytes=database.cache_bytes,
                cache_hits=database.cache_hits,
                cache_misses=database.cache_misses,
                write_buffer_bytes=database.write_buffer_bytes,
                syncs=performer.syncs,
                sync_last_ms=syncs_ms[-1] if syncs_ms else None,
                sync_p99_ms=percentile(syncs_ms, 99),
                compactions_running=database.compactions_running,
                compaction_pending_bytes=database.compaction_pending_bytes,
                compaction_ms=database.compaction_micros // 1000,
                write_stall_ms=database.write_stall_micros // 1000,
            ),
            tuple(
                FamilySnapshot(family=str(family), disk_bytes=size)
                for family, size in backend.sizes().items()
            ),
        )


def percentile(samples: Sequence[Number], percent: int) -> Number | None:
    """Return the least sample that `percent` of all do not exceed; None without samples."""
    if not samples:
        return None
    rank = -(-percent * len(samples) // 100)  # rounded up
    return sorted(samples)[max(0, rank - 1)]
