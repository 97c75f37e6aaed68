"""One peer's conduct on its own connection: what no honest node sends, counted.

Only what the peer alone can have done counts: it made the bytes, and QUIC brought them unchanged.
Whatever this node asked for may come again, as often as it was asked; so answers to a Status,
replayed early data and what a reconnect repeats are never violations.
Source: docs/detection.md, section 2.
"""

from collections.abc import Sequence
from typing import Final

import trio
from blake3 import blake3

from cretonode.core.messages import (
    FetchSlots,
    FetchVertices,
    Message,
    NewView,
    Status,
    Suspect,
    ViewChange,
)
from cretonode.core.reputation import Violation
from cretonode.identifiers import ValidatorIndex
from cretonode.limits import FETCH_SLOTS_MAX
from cretonode.network.rate import TokenBucket
from cretonode.wire.messages import NUMBERS

REMEMBERED_MAX: Final = 2048  # messages, in each of two generations
REPEATS_AT_FIRST: Final = 1024  # a new connection repeats what was under way on the old one
REPEATS_MAX: Final = 65_536  # saved up
REPEATS_FOR_STATUS: Final = 160  # one answer: 64 messages and 64 vertices, and some to spare
REPEATS_FOR_SLOTS: Final = 64 * FETCH_SLOTS_MAX
REPEATS_A_VIOLATION: Final = 256  # so many too many
# An honest node sends 90 frames a second after a burst of 150.
FRAMES_PER_S: Final = 92.0
FRAMES_BURST: Final = 250
FRAMES_A_VIOLATION: Final = 50
# An honest node says one view-change for each view, and one suspicion a second.
VIEW_CHANGES_PER_S: Final = 2.0
VIEW_CHANGES_BURST: Final = 32
VIEW_CHANGES_FOR_VIEW: Final = 4
VIEW_CHANGES_A_VIOLATION: Final = 16
ASKING: Final = {NUMBERS[kind] for kind in (Status, FetchVertices, FetchSlots)}
MOVING: Final = {NUMBERS[kind] for kind in (ViewChange, NewView, Suspect)}
assert max(NUMBERS.values()) < 24, "a type number is one byte"


class Conduct:
    """Bound: REMEMBERED_MAX digests in each of two generations."""

    def __init__(self, peer: ValidatorIndex) -> None:
        self.peer = peer
        self.reset()

    def reset(self) -> None:
        """A new connection: the peer may say again whatever was under way."""
        now_s = trio.current_time()
        self._recent: set[bytes] = set()
        self._older: set[bytes] = set()
        self._repeats_left = REPEATS_AT_FIRST
        self._frames = TokenBucket(rate_per_s=FRAMES_PER_S, burst=FRAMES_BURST, now_s=now_s)
        self._frames_over = 0
        self._view_changes = TokenBucket(
            rate_per_s=VIEW_CHANGES_PER_S, burst=VIEW_CHANGES_BURST, now_s=now_s
        )
        self._view_changes_allowed = 0
        self._view_changes_over = 0

    def asked(self, message: Message) -> None:
        """Note what this node sent to the peer, when that asks for an answer."""
        allowed = 0
        match message:
            case Status():
                allowed = REPEATS_FOR_STATUS
            case FetchVertices(hashes=hashes):
                allowed = len(hashes)
            case FetchSlots():
                allowed = REPEATS_FOR_SLOTS
            case _:
                pass
        self._repeats_left = min(REPEATS_MAX, self._repeats_left + allowed)

    def view_entered(self) -> None:
        """Note that this node moved: so may the peer."""
        self._view_changes_allowed = min(
            VIEW_CHANGES_BURST, self._view_changes_allowed + VIEW_CHANGES_FOR_VIEW
        )

    def heard(
        self, encoded: Sequence[bytes], messages: Sequence[Message]
    ) -> list[tuple[Violation, str]]:
        """Count a frame: the messages in it, and those among them that were believed."""
        found: list[tuple[Violation, str]] = []
        if not self._frames.take(now_s=trio.current_time()):
            self._frames_over += 1
            if self._frames_over % FRAMES_A_VIOLATION == 0:
                found.append((Violation.FLOOD, f"{self._frames_over} frames over the rate"))
        repeated = 0
        moving = iter([m for m in messages if isinstance(m, ViewChange | NewView | Suspect)])
        for data in encoded:
            number = data[1]  # behind the head of the array; see wire.messages
            again = number not in ASKING and self._is_repeated(data)
            repeated += again
            if number in MOVING and next(moving).author == self.peer and not again:
                found += self._count_view_change()
        return found + self._count_repeats(repeated)

    def _count_repeats(self, repeated: int) -> list[tuple[Violation, str]]:
        found: list[tuple[Violation, str]] = []
        self._repeats_left -= repeated
        while self._repeats_left <= -REPEATS_A_VIOLATION:
            self._repeats_left += REPEATS_A_VIOLATION
            detail = f"{REPEATS_A_VIOLATION} messages again that nobody asked for"
            found.append((Violation.REPLAY, detail))
        return found

    def _count_view_change(self) -> list[tuple[Violation, str]]:
        if self._view_changes_allowed > 0:
            self._view_changes_allowed -= 1
            return []
        if self._view_changes.take(now_s=trio.current_time()):
            return []
        self._view_changes_over += 1
        if self._view_changes_over % VIEW_CHANGES_A_VIOLATION:
            return []
        over = f"{self._view_changes_over} view-changes more than there were views"
        return [(Violation.VIEW_CHANGE_SPAM, over)]

    def _is_repeated(self, encoded: bytes) -> bool:
        key = blake3(encoded).digest(length=16)
        if key in self._recent or key in self._older:
            return True
        if len(self._recent) >= REMEMBERED_MAX:
            self._recent, self._older = set(), self._recent
        self._recent.add(key)
        return False
