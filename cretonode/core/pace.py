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
class Series:
    """How long some kind of vertices waited, in the sequences of this view that had any."""

    judged: int = 0
    waits_ms: deque[int] = field(default_factory=_samples)

    def add(self, waited_ms: int) -> None:
        """Note one more sequence."""
        self.judged += 1
        self.waits_ms.append(waited_ms)

    def is_over(self, limit_ms: int) -> bool:
        """True when there are enough sequences and most of them kept somebody too long."""
        return self.judged >= SEQUENCES_JUDGED and _median(self.waits_ms) > limit_ms


@dataclass(slots=True)
class Pace:
    """Bound: SEQUENCES_JUDGED samples of each kind, and of each sequence in the window a moment."""

    slow: bool = False  # this view's leader
    _accepted_ms: dict[SequenceNumber, int] = field(default_factory=dict)
    _own: Series = field(default_factory=Series)
    _others: Series = field(default_factory=Series)
    _votes_ms: deque[int] = field(default_factory=_samples)
    _slow_leaders: int = 0  # in a row

    def begin_view(self) -> None:
        """Give the next leader its own sequences; more of them when the last was slow as well."""
        if self.slow:
            self._slow_leaders = min(self._slow_leaders + 1, DOUBLINGS_MAX)
        self.slow = False
        self._accepted_ms.clear()
        self._votes_ms.clear()
        self._own, self._others = Series(), Series()

    def on_accepted(self, sequence: SequenceNumber, now_ms: int) -> None:
        """Note when the anchor of `sequence` was voted for."""
        self._accepted_ms[sequence] = now_ms

    def on_final(
        self,
        sequence: SequenceNumber,
        now_ms: int,
        *,
        own_ms: int | None,
        others_ms: int | None,
        limit_ms: int,
    ) -> None:
        """Judge by one more sequence: how long it kept this replica waiting, and others, if any.

        What the leader cannot help is the time that the votes take: where that alone uses up half
        of `limit_ms`, the network is slow and not the leader.
        """
        accepted_ms = self._accepted_ms.pop(sequence, None)
        if accepted_ms is None:
            return
        self._votes_ms.append(now_ms - accepted_ms)
        kinds = ((self._own, own_ms), (self._others, others_ms))
        for series, waited_ms in kinds:
            if waited_ms is not None:
                series.add(waited_ms)
        over = [s for s, _ in kinds if s.is_over(limit_ms)]
        if _median(self._votes_ms) > limit_ms // 2:
            over = []
        if not over and any(series.judged >= SEQUENCES_JUDGED for series, _ in kinds):
            self._slow_leaders = 0
        self.slow = any(s.judged >= SEQUENCES_JUDGED << self._slow_leaders for s in over)


def _median(samples: deque[int]) -> int:
    return sorted(samples)[len(samples) // 2]
