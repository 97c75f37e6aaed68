"""The view changes of this node: when, why, who voted, how long. Nothing is decided on it.

Source: docs/operator-socket.md, section 6.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cretonode.core.effects import Entered
from cretonode.core.replica import Replica
from cretonode.identifiers import ValidatorIndex, View
from cretonode.operator.protocol_deltas import VIEW_CHANGES_MAX
from cretonode.operator.protocol_topics import ViewChangeSnapshot


@dataclass(slots=True)
class Leaf:
    """One view change. Bound: one byte of each validator."""

    number: int
    change: int  # the number of its last change
    at_ms: int
    from_view: View
    to_view: View
    cause: str
    reason: str
    voters: bytearray
    duration_ms: int | None = None
    ended: bool = False


@dataclass(slots=True)
class ViewBook:
    """Bound: VIEW_CHANGES_MAX view changes, the newest."""

    replica: Replica
    names: Sequence[str]
    number: int = 0  # of changes
    view: View = field(init=False)  # that this node was in last
    leaves: deque[Leaf] = field(default_factory=lambda: deque(maxlen=VIEW_CHANGES_MAX))
    _count: int = 0

    def __post_init__(self) -> None:
        self.view = self.replica.state.view

    def on_entered(self, effect: Entered, now_ms: int) -> None:
        """Note that this node left its view for another."""
        if self.leaves and not self.leaves[-1].ended:
            self.leaves[-1].ended = True  # left before it opened
            self._touch(self.leaves[-1])
        self._count += 1
        leaf = Leaf(
            number=self._count,
            change=0,
            at_ms=now_ms,
            from_view=self.view,
            to_view=effect.view,
            cause=effect.cause,
            reason=self._reason(effect),
            voters=bytearray(self.replica.state.committee.size),
        )
        self.view = effect.view
        self.leaves.append(leaf)
        self._touch(leaf)

    def settle(self, now_ms: int) -> None:
        """Note when the view that was entered last is open."""
        if not self.leaves or self.leaves[-1].ended:
            return
        leaf, state = self.leaves[-1], self.replica.state
        if state.view == leaf.to_view and state.base is not None:
            leaf.duration_ms = now_ms - leaf.at_ms
            leaf.ended = True
            self._touch(leaf)

    def changed(self, number: int) -> Iterator[ViewChangeSnapshot]:
        """Yield the view changes that changed after `number`, the oldest first."""
        self._note_voters()
        if self.number == number:
            return
        leader_of = self.replica.state.committee.leader_of
        for leaf in self.leaves:
            if leaf.change > number:
                yield ViewChangeSnapshot(
                    number=leaf.number,
                    at_ms=leaf.at_ms,
                    from_view=leaf.from_view,
                    from_leader=leader_of(leaf.from_view),
                    to_view=leaf.to_view,
                    to_leader=leader_of(leaf.to_view),
                    cause=leaf.cause,
                    reason=leaf.reason,
                    voters=bytes(leaf.voters),
                    duration_ms=leaf.duration_ms,
                    ended=leaf.ended,
                )

    def _note_voters(self) -> None:
        """Take over who has said a view-change for the newest view, as far as it is known here."""
        if not self.leaves:
            return
        leaf, views = self.leaves[-1], self.replica.views
        voted = {author for author, m in views.view_changes.items() if m.view >= leaf.to_view}
        if views.new_view is not None and views.new_view.view == leaf.to_view:
            voted |= {vote.author for vote in views.new_view.timeouts}
        fresh = [author for author in voted if not leaf.voters[author]]
        for author in fresh:
            leaf.voters[author] = 1
        if fresh:
            self._touch(leaf)

    def _reason(self, effect: Entered) -> str:
        """Return why the view was left, in words. Called right after the step that left it."""
        state, views = self.replica.state, self.replica.views
        leader = self.names[state.committee.leader_of(self.view)]
        ahead = [
            a for a, m in views.view_changes.items() if m.view >= effect.view and a != state.me
        ]
        match effect.cause:
            case "suspect":
                doubters = {*views.suspected(self.view), *ahead}
                return f"{leader} was suspected by {self._named(doubters) or 'this node'}"
            case "leader left":
                return f"{leader} gave view {self.view} up"
            case "equivocation":
                return f"{leader} signed two statements that contradict each other"
            case "timeout":
                patience_ms = state.timing.view_change_timeout_ms
                opened = not self.leaves or self.leaves[-1].duration_ms is not None
                owed = "make what is known final" if opened else f"open view {self.view}"
                return (
                    f"{leader} did not {owed} within view_change_timeout_ms ({patience_ms} ms, "
                    "longer after failures)"
                )
            case "fetched back":
                return f"to fetch back {self._named(ahead) or 'one'} that had left alone"
            case "joined":
                return f"{self._named(ahead)} had left for it"
            case "new-view":
                return f"{self.names[effect.leader]} opened it"
            case "certificate":
                return "a quorum was at work in it already"
            case "stepped down":
                return f"{leader} was asked to give the lead up"
            case _:
                return effect.cause

    def _named(self, validators: "Sequence[ValidatorIndex] | set[ValidatorIndex]") -> str:
        return ", ".join(self.names[validator] for validator in sorted(validators))

    def _touch(self, leaf: Leaf) -> None:
        self.number += 1
        leaf.change = self.number
