"""Histories behind sparklines: a bounded run of numbers, one for each step of time. Pure."""

from collections import deque
from collections.abc import Sequence
from typing import Final

STEP_MS: Final = 1_000
STEPS_MAX: Final = 240  # four minutes, more than the widest sparkline shows
BARS: Final = "▁▂▃▄▅▆▇█"
BARS_ASCII: Final = "_.:-=+*#"


class Series:
    """One number for each step; a later number of a step replaces an earlier one.

    Bound: STEPS_MAX numbers.
    """

    def __init__(self, step_ms: int = STEP_MS) -> None:
        self.step_ms = step_ms
        self._step: int | None = None
        self._values: deque[float] = deque(maxlen=STEPS_MAX)

    def __len__(self) -> int:
        return len(self._values)

    def note(self, at_ms: int, value: float) -> None:
        """Add the value at a time; steps between, about which nothing was said, repeat the last.

        A time before the last one starts anew: a recording was wound back.
        """
        step = at_ms // self.step_ms
        if self._step is None or step < self._step:
            self._values.clear()
            self._values.append(value)
        elif step == self._step:
            self._values[-1] = value
        else:
            missed = min(step - self._step - 1, STEPS_MAX)
            self._values.extend([self._values[-1]] * missed)
            self._values.append(value)
        self._step = step

    def last(self, count: int) -> tuple[float, ...]:
        """Return the newest `count` values, oldest first."""
        return tuple(self._values)[-count:] if count > 0 else ()


class Rate:
    """A counter's growth per second, step by step. Bound: that of its Series."""

    def __init__(self) -> None:
        self.series = Series()
        self._before: tuple[int, int] | None = None

    def note(self, at_ms: int, total: int) -> None:
        """Add the counter's value at a time. A smaller one starts anew: the node was restarted."""
        if self._before is not None and (at_ms < self._before[0] or total < self._before[1]):
            self._before = None
        if self._before is None:
            self._before = (at_ms, total)
            return
        elapsed_ms = at_ms - self._before[0]
        if elapsed_ms >= STEP_MS:
            self.series.note(at_ms, (total - self._before[1]) * 1000 / elapsed_ms)
            self._before = (at_ms, total)

    @property
    def now(self) -> float | None:
        """Per second, over the last step; None at first."""
        last = self.series.last(1)
        return last[0] if last else None


def sparkline(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """Return a line of `width` bars, the newest on the right; the highest value is the full bar."""
    bars = BARS_ASCII if ascii_only else BARS
    shown = list(values)[-width:] if width > 0 else []
    top = max(shown, default=0.0)
    line = "".join(bars[_bar(value, top, len(bars))] for value in shown)
    return line.rjust(width)


def _bar(value: float, top: float, bars: int) -> int:
    if top <= 0 or value <= 0:
        return 0
    return min(bars - 1, max(1, round(value / top * (bars - 1))))
