"""When a call is tried again, and after how long. Pure: chance is an argument.

Every call may be repeated: reads change nothing, and a transaction is known by its hash, so a
node that already took it says so.
"""

from dataclasses import dataclass

from cretonode.client.errors import Unavailable, Unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Full jitter: a delay is anywhere from 0 to a ceiling that doubles with each attempt."""

    attempts_max: int = 4
    delay_ms_first: int = 100
    delay_ms_max: int = 5_000

    def __post_init__(self) -> None:
        assert self.attempts_max >= 1, self.attempts_max
        assert 0 < self.delay_ms_first <= self.delay_ms_max, self.delay_ms_first

    def delay_s(
        self, error: Unavailable | Unreachable, *, attempt: int, chance: float
    ) -> float | None:
        """Return how long to wait after `attempt` (from 1) failed so; None: give up.

        Never less than the node asks for. `chance` is from 0 to 1.
        """
        if attempt >= self.attempts_max:
            return None
        least_s = error.retry_after_s or 0.0 if isinstance(error, Unavailable) else 0.0
        if least_s * 1000 > self.delay_ms_max:
            return None
        ceiling_ms = min(self.delay_ms_first << (attempt - 1), self.delay_ms_max)
        return least_s + chance * ceiling_ms / 1000
