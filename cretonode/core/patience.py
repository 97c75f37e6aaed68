"""How long a view may take: the timeout, its back-off, and the time that is not the leader's fault.

A replica that is behind, or connected to less than a quorum, cannot tell whether the leader is at
fault; were it to leave the view, it would leave alone. Pure: no clock.
Source: DESIGN section 2, View change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cretonode.core.state import NEVER_MS, State

BACKOFF_DOUBLINGS_MAX: Final = 4  # the timeout grows to at most 16 times its base


@dataclass(slots=True)
class Patience:
    """Since when, and for how long, this replica waits for its leader."""

    state: State
    failed_views: int = 0  # in a row without progress
    _shortened_ms: int = 0  # when progress last shortened the timeout: that moment is no failure
    _connected_ms: int = NEVER_MS  # since when a quorum is connected, this replica included
    _behind_ms: int = NEVER_MS  # since when a certificate above the own final sequence waits
    _excused_ms: int = 0  # no wait counts from before: the time spent behind is taken off

    @property
    def is_stopped(self) -> bool:
        """True while no wait counts, since this replica was behind when last seen."""
        return self._behind_ms != NEVER_MS

    def timeout_ms(self) -> int:
        """Return the configured timeout, doubled for each view in a row that failed."""
        return self.state.timing.view_change_timeout_ms << self.failed_views

    def deadline_ms(self, since_ms: int | None, timeout_ms: int) -> int:
        """Return when a wait that began at `since_ms` has been too long; None: nothing waits."""
        if since_ms is None or self.is_stopped:
            return NEVER_MS
        began_ms = max(since_ms, self._shortened_ms, self._connected_ms, self._excused_ms)
        return min(began_ms + timeout_ms, NEVER_MS)

    def note_connected(self) -> None:
        """A full timeout starts when a quorum is connected again; earlier failures are void."""
        state = self.state
        others = len(state.connected) - (state.me in state.connected)
        if others + 1 < state.committee.quorum:
            self._connected_ms = NEVER_MS
        elif self._connected_ms == NEVER_MS:
            self._connected_ms = state.now_ms
            self.failed_views = 0

    def note_behind(self, waiting_since_ms: Callable[[], int | None], *, behind: bool) -> None:
        """Stop the wait that began at `waiting_since_ms()` while behind; go on with the rest after.

        It does not begin anew: a leader that keeps each replica behind for a moment in turn could
        otherwise censor for ever.
        """
        now_ms = self.state.now_ms
        if behind:
            self._behind_ms = min(self._behind_ms, now_ms)
        elif self._behind_ms != NEVER_MS:
            since_ms = waiting_since_ms()
            if since_ms is not None:
                began_ms = max(since_ms, self._excused_ms)
                self._excused_ms = began_ms + now_ms - max(began_ms, self._behind_ms)
            self._behind_ms = NEVER_MS

    def failed(self) -> None:
        """A view timed out: the next one gets twice as long, up to a cap."""
        self.failed_views = min(self.failed_views + 1, BACKOFF_DOUBLINGS_MAX)

    def progressed(self) -> None:
        """A sequence was finalized: waiting longer has paid off."""
        if self.failed_views:
            self.failed_views -= 1
            self._shortened_ms = self.state.now_ms
