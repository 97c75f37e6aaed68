"""Token buckets, and logging that a stranger cannot flood. No clock: callers bring the time."""

from collections import OrderedDict
from typing import Final

KINDS_MAX: Final = 64


class TokenBucket:
    """`rate_per_s` tokens a second, at most `burst` saved. Starts full."""

    __slots__ = ("_burst", "_rate_per_s", "_time_s", "_tokens")

    def __init__(self, *, rate_per_s: float, burst: int, now_s: float) -> None:
        assert rate_per_s > 0, rate_per_s
        assert burst >= 1, burst
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._time_s = now_s

    def take(self, *, now_s: float) -> bool:
        """Take a token if there is one, and return whether there was."""
        self._refill(now_s)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def reserve_s(self, *, now_s: float) -> float:
        """Take a token, on credit if need be, and return the seconds until it is there."""
        self._refill(now_s)
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._rate_per_s)

    def is_full(self, *, now_s: float) -> bool:
        """Whether forgetting this bucket and making a new one would change nothing."""
        self._refill(now_s)
        return self._tokens >= self._burst

    def _refill(self, now_s: float) -> None:
        elapsed_s = max(0.0, now_s - self._time_s)
        self._tokens = min(self._burst, self._tokens + elapsed_s * self._rate_per_s)
        self._time_s = now_s


class Seldom:
    """Says yes to a kind of event the first time, then once in `interval_s`.

    Remembers the KINDS_MAX kinds asked for last.
    """

    __slots__ = ("_interval_s", "_last_s")

    def __init__(self, *, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last_s: OrderedDict[str, float] = OrderedDict()

    def allows(self, kind: str, *, now_s: float) -> bool:
        """Return whether it is time for another line about `kind`."""
        last_s = self._last_s.get(kind)
        if last_s is not None and now_s - last_s < self._interval_s:
            return False
        self._last_s[kind] = now_s
        self._last_s.move_to_end(kind)
        if len(self._last_s) > KINDS_MAX:
            self._last_s.popitem(last=False)
        return True
