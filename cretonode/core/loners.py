"""Validators alone in the next view, and when the leader goes there to fetch them back.

Who has left a view never votes in it again. While a quorum works on without it, nothing moves the
view to where it is, and the network is one fault poorer. Pure: no clock.
Source: docs/decisions/0008-fetched-back-by-the-leader.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cretonode.core.messages import ViewChange
from cretonode.core.pauses import Pauses
from cretonode.core.state import NEVER_MS, State
from cretonode.identifiers import ValidatorIndex, View

PAUSE_TIMEOUTS: Final = 2  # after the first time, in view-change timeouts
PAUSE_TIMEOUTS_MAX: Final = 32


@dataclass(slots=True)
class Loners:
    """Who is heard to be in the view after this one. Bound: one entry of each validator."""

    state: State
    pauses: Pauses
    _ahead: dict[ValidatorIndex, tuple[View, int]] = field(default_factory=dict)  # where, since

    def begin_view(self, view_changes: Iterable[ViewChange]) -> None:
        """See who is ahead of the view that was just entered."""
        self._ahead.clear()
        for message in view_changes:
            self.on_view_change(message)

    def on_view_change(self, message: ViewChange) -> None:
        """Note who left for the next view; one that goes on from there is still noted as ahead."""
        author, state = message.author, self.state
        if author in self._ahead:
            self._ahead[author] = (message.view, self._ahead[author][1])
        elif message.view == state.view + 1:
            self._ahead[author] = (message.view, state.now_ms)

    def joined(self, *, given_up: bool) -> list[ValidatorIndex]:
        """The view moves to where loners are: return who is not fetched again for a while.

        These are all who were ahead, when the leader has given the view up; else who were so long
        ahead that it may have been for their sake.
        """
        state = self.state
        latest_ms = state.now_ms if given_up else state.now_ms - state.timing.suspect_ms
        found = sorted(
            validator
            for validator, (_, since_ms) in self._ahead.items()
            if since_ms <= latest_ms and validator != state.leader
        )
        for validator in found:
            self.pauses.count(validator, state.now_ms)
        return found

    def deadline_ms(self) -> int:
        """When the leader of an open view gives it up for a loner's sake."""
        state = self.state
        if not self._ahead or not state.leads or state.committee.size == 1:
            return NEVER_MS
        # Somebody is always first to leave: only who is still alone after a while needs help.
        patience_ms = 2 * state.timing.suspect_ms
        return min(
            (
                max(since_ms + patience_ms, self.pauses.until_ms(validator))
                for validator, (view, since_ms) in self._ahead.items()
                if view == state.view + 1
                and validator in state.connected
                and validator not in state.equivocators
            ),
            default=NEVER_MS,
        )
