"""The pace of this view's leader: how long its sequences keep others waiting.

Judged over the newest sequences that this replica voted on. A replica that is fetched along, or
whose network is slow, judges nobody. Pure: no clock.
Source: DESIGN section 2, What moves the view (b).
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from cretonode.identifiers import SequenceNumber

SEQUENCES_JUDGED: Final = 50  # each leader gets so many before it is judged
DOUBLINGS_MAX: Final = 4  # one that follows leaders who were no faster gets up to 16 times as many


def _samples() -> deque[int]:
    return deque(maxlen=SEQUENCES_JUDGED)


@dataclass(slots=True)
class Pace:
    """Bound: SEQUENCES_JUDGED samples of each kind, and of each sequence in the window a moment."""

    slow: bool = False  # this view's leader
    _accepted_ms: dict[SequenceNumber, int] = field(default_factory=dict)
    _waits_ms: deque[int] = field(default_factory=_samples)
    _votes_ms: deque[int] = field(default_factory=_samples)
    _judged: int = 0  # sequences of this view
    _slow_leaders: int = 0  # in a row

    def begin_view(self) -> None:
        """Give the next leader its own sequences; more of them when the last was slow as well."""
        if self.slow:
            self._slow_leaders = min(self._slow_leaders + 1, DOUBLINGS_MAX)
        self.slow = False
        self._judged = 0
        self._accepted_ms.clear()
        self._waits_ms.clear()
        self._votes_ms.clear()

    def on_accepted(self, sequence: SequenceNumber, now_ms: int) -> None:
        """Note when the anchor of `sequence` was voted for."""
        self._accepted_ms[sequence] = now_ms

    def on_final(
        self, sequence: SequenceNumber, waited_ms: int | None, now_ms: int, *, limit_ms: int
    ) -> None:
        """Judge by one more sequence. `waited_ms`: how long it kept somebody waiting, if anybody.

        What the leader cannot help is the time that the votes take: where that alone uses up half
        of `limit_ms`, the network is slow and not the leader.
        """
        accepted_ms = self._accepted_ms.pop(sequence, None)
        if accepted_ms is None or waited_ms is None:
            return
        self._judged += 1
        self._waits_ms.append(waited_ms)
        self._votes_ms.append(now_ms - accepted_ms)
        if self._judged < SEQUENCES_JUDGED:
            return
        slow = _median(self._waits_ms) > limit_ms and _median(self._votes_ms) <= limit_ms // 2
        if not slow:
            self._slow_leaders = 0
        self.slow = slow and self._judged >= SEQUENCES_JUDGED << self._slow_leaders


def _median(samples: deque[int]) -> int:
    return sorted(samples)[len(samples) // 2]
