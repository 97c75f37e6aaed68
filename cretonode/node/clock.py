"""The node's one clock: Unix milliseconds that never go back."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Clock:
    """The wall clock at start, moved on by the monotonic one: a step of the former goes unseen.

    Timers of the core and timestamps of vertices share it. A wall clock that was corrected is
    taken over at the next start.
    """

    _wall_s: float = field(default_factory=time.time)
    _began_s: float = field(default_factory=time.monotonic)

    def now_ms(self) -> int:
        """Return Unix time in whole milliseconds."""
        return int((self._wall_s + time.monotonic() - self._began_s) * 1000)

    def uptime_ms(self) -> int:
        """Return the time since this clock was made."""
        return int((time.monotonic() - self._began_s) * 1000)
