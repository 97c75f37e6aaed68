"""The pace of this view's leader: how long its sequences keep others waiting.

Judged over the newest sequences that this replica voted on. A replica that is fetched along, or
whose network is slow, judges nobody. When every leader is slow, the best of them is what can be
expected for a while. Pure: no clock.
Source: DESIGN section 2, What moves the view (b); docs/decisions/0018.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cretonode.core.committee import Committee
from cretonode.identifiers import SequenceNumber, ValidatorIndex, View

SEQUENCES_JUDGED: Final = 50  # each leader gets so many before it is judged
SEQUENCES_GOOD: Final = 4 * SEQUENCES_JUDGED  # so many within the limit end a row of slow leaders
REST_MS: Final = 60_000  # for which the limit stays raised, doubled each time in a row
REST_MS_MAX: Final = 16 * REST_MS  # and a row of slow leaders is forgotten after as long

Waits: TypeAlias = tuple[int | None, int | None]  # medians of own vertices' waits and of others'


def _samples() -> deque[int]:
    return deque(maxlen=SEQUENCES_JUDGED)


@dataclass(slots=True)
class Series:
    """How long some kind of vertices waited, in the sequences of this view that had any."""

    waits_ms: deque[int] = field(default_factory=_samples)

    def median_ms(self) -> int | None:
        """Return the median of the newest sequences; None while there are too few."""
        return _median(self.waits_ms) if len(self.waits_ms) == SEQUENCES_JUDGED else None


@dataclass(slots=True)
class Pace:
    """Bound: SEQUENCES_JUDGED samples of each kind, of each sequence in the window a moment, and of
    each validator its waits.
    """

    committee: Committee
    me: ValidatorIndex
    view: View
    slow: bool = False  # this view's leader
    _accepted_ms: dict[SequenceNumber, int] = field(default_factory=dict)
    _own: Series = field(default_factory=Series)
    _others: Series = field(default_factory=Series)
    _votes_ms: deque[int] = field(default_factory=_samples)
    _good: int = 0  # sequences in a row for which this leader kept the limit
    # The row of slow leaders: when every other one has had its turn, the limit rises.
    _row: dict[ValidatorIndex, Waits] = field(default_factory=dict)
    _row_began: View = View(0)
    _row_until_ms: int = 0
    # The raised limit of each kind, until when, and how often in a row it was raised.
    _raised_ms: tuple[int, int] = (0, 0)
    _raised_until_ms: int = 0
    _raises: int = 0

    def begin_view(self, view: View, now_ms: int) -> None:
        """Give the next leader its own sequences."""
        if self.slow:
            if not self._row:
                self._row_began = self.view
            self._row[self._leader] = self._waits()
            self._row_until_ms = now_ms + REST_MS_MAX
        self.view = view
        self.slow = False
        self._good = 0
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
        of `limit_ms`, the network is slow, and nothing is known of the leader.
        """
        accepted_ms = self._accepted_ms.pop(sequence, None)
        if accepted_ms is None or self._leader == self.me:
            return
        self._votes_ms.append(now_ms - accepted_ms)
        for series, waited_ms in ((self._own, own_ms), (self._others, others_ms)):
            if waited_ms is not None:
                series.waits_ms.append(waited_ms)
        is_timely = _median(self._votes_ms) <= limit_ms // 2
        self.slow = is_timely and self._is_slow(now_ms, limit_ms)

    def _is_slow(self, now_ms: int, limit_ms: int) -> bool:
        if now_ms >= self._raised_until_ms:
            self._raised_ms = (0, 0)
        if now_ms >= self._row_until_ms:
            self._row.clear()
        if not self._exceeds(limit_ms, (0, 0)):
            self._note_good()
            return False
        self._good = 0
        if self._exceeds(limit_ms, self._raised_ms) and self._had_all_their_turn():
            self._raise(now_ms)
        return self._exceeds(limit_ms, self._raised_ms)

    def _exceeds(self, limit_ms: int, raised_ms: tuple[int, int]) -> bool:
        """True when most sequences kept somebody waiting longer than both limits."""
        return any(
            median_ms is not None and median_ms > max(limit_ms, most_ms)
            for median_ms, most_ms in zip(self._waits(), raised_ms, strict=True)
        )

    def _note_good(self) -> None:
        """A leader that keeps the limit for long shows that it can be kept."""
        judged = [series for series in (self._own, self._others) if series.waits_ms]
        if not judged or any(series.median_ms() is None for series in judged):
            return  # some may still turn out to wait for too long
        self._good += 1
        if self._good >= SEQUENCES_GOOD:
            self._row.clear()
            self._raised_ms = (0, 0)
            self._raises = 0

    def _had_all_their_turn(self) -> bool:
        """True when the row of slow leaders is a whole round, and some honest one is among them."""
        turns = self.view - self._row_began if self._row else 0
        slow = self._row.keys() | {self._leader}
        return turns >= self.committee.size - 1 and len(slow) > self.committee.faults

    def _raise(self, now_ms: int) -> None:
        """Expect no more, for a while, than half as much again as the best of the round did."""
        self._row[self._leader] = self._waits()
        best = (
            min((wait for wait in waits if wait is not None), default=0)
            for waits in zip(*self._row.values(), strict=True)
        )
        own_ms, others_ms = (max(0, wait * 3 // 2) for wait in best)
        self._raised_ms = (own_ms, others_ms)
        self._raised_until_ms = now_ms + min(REST_MS << self._raises, REST_MS_MAX)
        self._raises = min(self._raises + 1, REST_MS_MAX // REST_MS)
        self._row.clear()

    @property
    def _leader(self) -> ValidatorIndex:
        return self.committee.leader_of(self.view)

    def _waits(self) -> Waits:
        return self._own.median_ms(), self._others.median_ms()


def _median(samples: deque[int]) -> int:
    return sorted(samples)[len(samples) // 2]
