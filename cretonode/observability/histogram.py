"""Latency histograms: how often something took how long.

One addition for each observation, whatever the number of buckets: the scrape does the rest.
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

# Each contains the bound that its requirement names (SPEC P1, P3, P4), so that a dashboard can
# show the share of observations within it exactly.
FINALITY_BOUNDS_MS: Final = (
    25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1_000.0,
    1_500.0, 2_000.0, 5_000.0, 10_000.0, 30_000.0,
)  # fmt: skip
NETWORK_BOUNDS_MS: Final = (
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 150.0, 250.0, 500.0, 1_000.0,
)  # fmt: skip
STORAGE_BOUNDS_MS: Final = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1_000.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramSample:
    """A histogram at one moment."""

    bounds_ms: tuple[float, ...]
    counts: tuple[int, ...]  # of each bucket alone, not cumulative; the last has no upper bound
    sum_ms: float


class LatencyHistogram:
    """Fixed buckets; a bound belongs to the bucket below it.

    Any thread may observe and any may read, without a lock: CPython under its GIL changes threads
    only at calls and jumps, and none stands between the load and the store of `+= 1`.
    """

    __slots__ = ("_bounds_ms", "_counts", "_sum_ms")

    def __init__(self, bounds_ms: tuple[float, ...]) -> None:
        assert bounds_ms, "a histogram needs a bound"
        assert all(0 < bound < float("inf") for bound in bounds_ms), bounds_ms
        assert list(bounds_ms) == sorted(set(bounds_ms)), bounds_ms
        self._bounds_ms = bounds_ms
        self._counts = [0] * (len(bounds_ms) + 1)
        self._sum_ms = 0.0

    def observe_ms(self, elapsed_ms: float) -> None:
        """Count one observation."""
        bucket = bisect_left(self._bounds_ms, elapsed_ms)
        self._counts[bucket] += 1
        self._sum_ms += elapsed_ms

    def sample(self) -> HistogramSample:
        """Return the counts until now. The sum may be one observation behind or ahead of them."""
        return HistogramSample(
            bounds_ms=self._bounds_ms, counts=tuple(self._counts), sum_ms=self._sum_ms
        )
