"""The node's one clock: Unix milliseconds that never go back."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Clock:
    """The wall clock at start, moved on by one that never goes back: a step of it goes unseen.

    Timers of the core and timestamps of vertices share it. A wall clock that was corrected is
    taken over at the next start. Time in which the machine was suspended counts (CLOCK_BOOTTIME,
    clock_gettime(2)): the others' clocks went on.
    """

    _wall_s: float = field(default_factory=time.time)
    _began_s: float = field(default_factory=lambda: _running_s())

    def now_ms(self) -> int:
        """Return Unix time in whole milliseconds."""
        return int((self._wall_s + _running_s() - self._began_s) * 1000)

    def uptime_ms(self) -> int:
        """Return the time since this clock was made."""
        return int((_running_s() - self._began_s) * 1000)


def _running_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
