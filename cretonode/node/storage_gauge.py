"""Sizes and times of what the node keeps, sampled when somebody looks and not oftener than useful.

The database has to be asked in a worker thread: its statistics are a long text.
"""

import math
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
ANSWER_MS: Final = 250  # for the disk to answer before what is known is told without it


class Sample(NamedTuple):
    """What the disk and the database said."""

    number: int
    storage: StorageSnapshot
    families: tuple[FamilySnapshot, ...]


@dataclass(slots=True, kw_only=True)
class StorageGauge:
    """Shared by all who watch. A disk that does not answer keeps nobody from being told the rest:
    one question waits for it in a thread, and no second one is asked.
    """

    performer: Performer
    data_dir: Path
    past: History | None
    _sample: Sample | None = None
    _asked_s: float = -math.inf
    _owing_s: float | None = None  # since when the disk has owed an answer
    _limiter: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))

    @property
    def silent_ms(self) -> int:
        """For how long the disk has owed an answer; 0 while it owes none."""
        if self._owing_s is None:
            return 0
        return int((trio.current_time() - self._owing_s) * 1000)

    async def sample(self) -> Sample | None:
        """Return a sample, taken anew every SAMPLE_MS. None: the disk has not answered once."""
        now_s = trio.current_time()
        if now_s - self._asked_s >= SAMPLE_MS / 1000:
            self._asked_s = now_s
            self._owing_s = now_s if self._owing_s is None else self._owing_s
            number = 1 + (self._sample.number if self._sample else 0)
            with trio.move_on_after(ANSWER_MS / 1000):
                self._sample = await trio.to_thread.run_sync(
                    self._ask, number, limiter=self._limiter, abandon_on_cancel=True
                )
                self._owing_s = None
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
