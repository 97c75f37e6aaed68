"""Gaps: times about which a recording says nothing, and what can be told of them. Pure.

Source: docs/operator-socket.md, section 8.
"""

from enum import Enum
from typing import Final, NamedTuple

from console.units import moment

SILENCE_MS: Final = 15_000  # a node's own history has a delta each 10 s, a console's each second
LOST_MS: Final = 5_000  # before a fresh delta: whoever recorded had lost the node


class Cause(Enum):
    """Why nothing was said."""

    STOPPED = "stopped"  # it said that it stopped
    DIED = "died"  # it did not, and was started again
    UNRECORDED = "unrecorded"  # it may have run


class Gap(NamedTuple):
    """A time about which nothing was recorded."""

    at: int  # the delta before it
    cause: Cause
    from_ms: int
    to_ms: int | None  # of the next delta; None: there is none
    started_ms: int | None = None  # when the node was started again, if that is known

    @property
    def begin_ms(self) -> int:
        """The first moment of it: what was said last was so when it was said, but for an end."""
        return self.from_ms if self.cause is Cause.STOPPED else self.from_ms + 1

    def words(self) -> str:
        """Return what can be told of it."""
        if self.to_ms is None:
            return f"stopped at {moment(self.from_ms)} UTC, and the recording ends"
        until_ms = self.to_ms if self.started_ms is None else self.started_ms
        times = f"from {moment(self.from_ms)} to {moment(until_ms, near_ms=self.from_ms)} UTC"
        match self.cause:
            case Cause.STOPPED:
                return f"not running {times}: it was stopped"
            case Cause.DIED:
                return f"not running {times}: no stop was noted"
            case Cause.UNRECORDED:
                return f"nothing was recorded {times}"


def gap_between(
    at: int, from_ms: int, to_ms: int, *, ended: bool, fresh: bool, uptime_ms: int | None
) -> Gap | None:
    """Return the gap between delta `at` and the next one; None: there is none.

    `ended` is of delta `at`; `fresh` and `uptime_ms` are of the next. A node that was started
    after `from_ms` did not run just before that.
    """
    started_ms = None if uptime_ms is None else to_ms - uptime_ms
    if started_ms is not None and not (fresh and from_ms < started_ms <= to_ms):
        started_ms = None
    if ended or started_ms is not None:
        cause = Cause.STOPPED if ended else Cause.DIED
        return Gap(at, cause, from_ms, to_ms, started_ms)
    if to_ms - from_ms >= (LOST_MS if fresh else SILENCE_MS):
        return Gap(at, Cause.UNRECORDED, from_ms, to_ms)
    return None
