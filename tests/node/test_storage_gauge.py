"""Sizes and times of what the node keeps, and a disk that does not answer."""

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import cast

import pytest
import trio
import trio.testing

from cretonode.node.performer import Performer
from cretonode.node.storage_gauge import (
    ANSWER_MS,
    SAMPLE_MS,
    StorageGauge,
    percentile,
)
from cretonode.storage.backend import DatabaseMetrics, DatabaseOptions
from cretonode.storage.rocksdb import RocksBackend


class Backend(RocksBackend):
    """A real database that can be made to hang."""

    hangs: Event | None = None
    asked = 0

    def metrics(self) -> DatabaseMetrics:
        self.asked += 1
        if self.hangs is not None:
            self.hangs.wait()
        return super().metrics()


@dataclass
class Parts:
    """What the gauge asks of a performer."""

    backend: Backend
    used_bytes: int = 5
    syncs: int = 3
    syncs_ms: deque[float] = field(default_factory=lambda: deque([1.0, 3.0, 2.0]))

    @property
    def store(self) -> "Parts":
        return self

    @property
    def journal(self) -> "Parts":
        return self


@contextmanager
def gauge_in(path: Path) -> Generator[tuple[StorageGauge, Backend]]:
    backend = Backend(path / "db", DatabaseOptions(cache_size_mb=12, write_buffer_mb=2))
    performer = cast("Performer", Parts(backend))
    yield StorageGauge(performer=performer, data_dir=path, past=None), backend
    backend.close()


async def test_a_sample_says_what_disk_and_database_say(tmp_path: Path) -> None:
    with gauge_in(tmp_path) as (gauge, _):
        sample = await gauge.sample()
        assert sample is not None
        assert sample.number == 1
        assert 0 < sample.storage.free_bytes <= sample.storage.total_bytes
        assert (sample.storage.syncs, sample.storage.sync_last_ms) == (3, 2.0)
        assert sample.storage.sync_p99_ms == 3.0
        assert "finalized" in {each.family for each in sample.families}
        assert await gauge.sample() is sample
        assert gauge.silent_ms == 0


async def test_a_disk_that_hangs_is_asked_once_and_keeps_nobody_waiting(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    with gauge_in(tmp_path) as (gauge, backend):
        first = await gauge.sample()
        backend.hangs = Event()
        mock_clock.rate = 1000  # a hanging thread keeps an autojumping clock still
        try:
            for _ in range(4):
                await trio.sleep(SAMPLE_MS / 1000)
                assert await gauge.sample() is first
            assert gauge.silent_ms >= 3 * (SAMPLE_MS + ANSWER_MS)
            assert backend.asked == 2
        finally:
            backend.hangs.set()
            backend.hangs = None
        mock_clock.rate = 1
        while gauge.silent_ms:
            mock_clock.jump(SAMPLE_MS / 1000)
            await gauge.sample()
        again = await gauge.sample()
        assert again is not None
        assert again is not first


@pytest.mark.parametrize(
    ("samples", "percent", "expected"),
    [([], 50, None), ([7], 99, 7), ([3, 1, 2, 4], 50, 2), (list(range(1, 101)), 99, 99)],
)
def test_a_percentile_is_the_least_that_so_many_do_not_exceed(
    samples: list[int], percent: int, expected: int | None
) -> None:
    assert percentile(samples, percent) == expected
