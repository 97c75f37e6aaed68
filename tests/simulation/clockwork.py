"""Virtual time: one queue of what is to come, in the order of time and then of planning."""

import heapq
from collections.abc import Callable
from typing import Final

START_MS: Final = 1_700_000_000_000  # Unix time at which every world begins
CHECK_MS: Final = 50  # how often a run asks whether it is done


class Clockwork:
    """Owns the time of a world."""

    def __init__(self) -> None:
        """Begin at START_MS with nothing planned."""
        self.now_ms = START_MS
        self._queue: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._planned = 0

    def later(self, delay_ms: int, action: Callable[..., None], *arguments: object) -> None:
        """Do `action(*arguments)` in `delay_ms`."""
        self._planned += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._planned, action, arguments))

    def run_until(self, until_ms: int, done: Callable[[], bool] = lambda: False) -> bool:
        """Move time to `until_ms`, or stop early when `done`. Returns whether it is done."""
        queue, pop = self._queue, heapq.heappop
        check_ms = self.now_ms + CHECK_MS
        while queue and queue[0][0] <= until_ms:
            if self.now_ms >= check_ms:
                check_ms = self.now_ms + CHECK_MS
                if done():
                    return True
            self.now_ms, _, action, arguments = pop(queue)
            action(*arguments)
        self.now_ms = until_ms
        return done()
