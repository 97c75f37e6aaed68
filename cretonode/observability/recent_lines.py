"""The newest log lines of this process, for whoever watches over the operator socket.

There is one log for each process, so there is one `RECENT`; `logs.configure` feeds it.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

LINES_MAX: Final = 1000
TEXT_CHARACTERS_MAX: Final = 300
EVENT_CHARACTERS_MAX: Final = 64
_FIXED: Final = {"timestamp", "level", "event"}


class Line(NamedTuple):
    """One line. `number` counts up from 1."""

    number: int
    at_ms: int  # Unix time
    level: str
    event: str
    text: str  # the other fields, `name=value` with blanks between
    view: int | None
    sequence: int | None
    peer: int | None


class RecentLines:
    """Bound: LINES_MAX lines of at most TEXT_CHARACTERS_MAX characters. Any thread may add."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque(maxlen=LINES_MAX)
        self._lock = threading.Lock()
        self.number = 0  # of the newest line

    def add(self, event: Mapping[str, object]) -> None:
        """Keep a line, as its fields."""
        words = [f"{name}={value}" for name, value in event.items() if name not in _FIXED]
        with self._lock:
            self.number += 1
            self._lines.append(
                Line(
                    number=self.number,
                    at_ms=time.time_ns() // 1_000_000,
                    level=str(event.get("level", "error")),
                    event=str(event.get("event", ""))[:EVENT_CHARACTERS_MAX],
                    text=" ".join(words)[:TEXT_CHARACTERS_MAX],
                    view=_number(event.get("view")),
                    sequence=_number(event.get("sequence")),
                    peer=_number(event.get("peer")),
                )
            )

    def after(self, number: int, lines_max: int) -> list[Line]:
        """Return the oldest lines kept whose number is above `number`, at most `lines_max`."""
        with self._lock:
            if not self._lines or self._lines[-1].number <= number:
                return []
            skipped = max(0, number + 1 - self._lines[0].number)
            end = min(len(self._lines), skipped + lines_max)
            return [self._lines[place] for place in range(skipped, end)]


RECENT: Final = RecentLines()


def _number(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
