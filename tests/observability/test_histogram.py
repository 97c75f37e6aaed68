import sys
import threading
from bisect import bisect_left
from collections.abc import Generator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.observability.histogram import (
    FINALITY_BOUNDS_MS,
    NETWORK_BOUNDS_MS,
    STORAGE_BOUNDS_MS,
    LatencyHistogram,
)

unhurried = settings(deadline=None)  # a busy machine is no bug


@pytest.mark.parametrize(
    ("elapsed_ms", "bucket"),
    [(0.0, 0), (1.0, 0), (1.001, 1), (10.0, 1), (10.001, 2), (float("inf"), 2)],
    ids=["nothing", "the bound itself", "just over", "the last bound", "over all", "never"],
)
def test_a_bound_belongs_to_the_bucket_below_it(elapsed_ms: float, bucket: int) -> None:
    """Prometheus: `le` means less or equal."""
    histogram = LatencyHistogram((1.0, 10.0))
    histogram.observe_ms(elapsed_ms)
    assert [i for i, count in enumerate(histogram.sample().counts) if count] == [bucket]


@unhurried
@given(st.lists(st.floats(0, 2_000)))
def test_every_observation_is_in_exactly_one_bucket_and_in_the_sum(values: list[float]) -> None:
    histogram = LatencyHistogram(STORAGE_BOUNDS_MS)
    for value in values:
        histogram.observe_ms(value)
    sample = histogram.sample()
    plain = [bisect_left(STORAGE_BOUNDS_MS, value) for value in values]
    assert list(sample.counts) == [plain.count(i) for i in range(len(STORAGE_BOUNDS_MS) + 1)]
    assert sample.sum_ms == pytest.approx(sum(values))


def test_a_sample_does_not_change_with_what_comes_later() -> None:
    histogram = LatencyHistogram((1.0,))
    before = histogram.sample()
    histogram.observe_ms(0.5)
    assert before.counts == (0, 0)
    assert histogram.sample().counts == (1, 0)


@pytest.fixture
def hasty_switches() -> Generator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_switches")
def test_observations_of_several_threads_are_not_lost() -> None:
    histogram = LatencyHistogram((1.0,))
    start = threading.Barrier(4)

    def observe() -> None:
        start.wait()
        for _ in range(20_000):
            histogram.observe_ms(0.5)

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert histogram.sample().counts == (80_000, 0)
    assert histogram.sample().sum_ms == 40_000.0


@pytest.mark.parametrize(
    ("bounds_ms", "required_ms"),
    [(FINALITY_BOUNDS_MS, 500.0), (NETWORK_BOUNDS_MS, 50.0), (STORAGE_BOUNDS_MS, 10.0)],
    ids=["P1", "P3", "P4"],
)
def test_a_required_latency_is_a_bound(bounds_ms: tuple[float, ...], required_ms: float) -> None:
    assert required_ms in bounds_ms
