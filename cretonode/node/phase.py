"""What the node waits for now, and for whom. Pure. Source: docs/operator-socket.md, section 6."""

from collections.abc import Iterable
from typing import NamedTuple

from cretonode.core.replica import Replica
from cretonode.core.slots import Slot
from cretonode.identifiers import ValidatorIndex
from cretonode.operator.protocol_topics import Phase


class Waiting(NamedTuple):
    """A phase, whom it waits for, and how many of these would do (0: for something else)."""

    phase: Phase
    awaits: frozenset[ValidatorIndex] = frozenset()
    lacking: int = 0

    def marks(self, size: int) -> bytes:
        """Return one byte for each validator: 1 where it is waited for."""
        return bytes(index in self.awaits for index in range(size))


def waiting_of(replica: Replica) -> Waiting:
    """Return what the replica waits for."""
    state = replica.state
    if state.halted:
        return Waiting(Phase.HALTED)
    if state.amnesiac:
        return Waiting(Phase.AMNESIAC, frozenset(replica.amnesia.lacking()))
    if state.behind:
        return Waiting(Phase.CATCHING_UP)
    if state.base is None:
        return _in_view_change(replica)
    if replica.execution.waiting:
        return Waiting(Phase.EXECUTE)
    slot = replica.ordering.slots.get(min(replica.ordering.slots, default=state.final))
    if slot is not None:
        return _in_slot(replica, slot)
    owed = state.view > 0 and state.progress_ms < replica.views.entered_ms
    if owed or replica.intake.oldest_ms() is not None:
        return Waiting(Phase.PRE_PREPARE, frozenset({state.leader}), 1)
    return Waiting(Phase.IDLE)


def _in_view_change(replica: Replica) -> Waiting:
    state = replica.state
    here = {a for a, m in replica.views.view_changes.items() if m.view >= state.view}
    lacking = state.committee.quorum - len(here)
    if lacking > 0:
        return Waiting(Phase.VIEW_CHANGE, _others(replica, here), lacking)
    return Waiting(Phase.NEW_VIEW, frozenset({state.leader}), 1)


def _in_slot(replica: Replica, slot: Slot) -> Waiting:
    state = replica.state
    if slot.prepared is None and slot.committed is None:
        if slot.pre_prepare is None:
            return Waiting(Phase.PRE_PREPARE, frozenset({state.leader}), 1)
        anchor = slot.pre_prepare.anchor
        prepared = {a for a, vote in slot.prepares.items() if vote.anchor == anchor}
        prepared.add(slot.pre_prepare.author)
        lacking = max(0, state.committee.quorum - len(prepared))
        return Waiting(Phase.PREPARE, _others(replica, prepared), lacking)
    if slot.committed is None:
        certified = slot.certified()
        committed = {a for a, vote in slot.commits.items() if vote.anchor == certified}
        lacking = max(0, state.committee.quorum - len(committed))
        return Waiting(Phase.COMMIT, _others(replica, committed), lacking)
    return Waiting(Phase.EXECUTE)


def _others(replica: Replica, done: Iterable[ValidatorIndex]) -> frozenset[ValidatorIndex]:
    everybody = {ValidatorIndex(i) for i in range(replica.state.committee.size)}
    return frozenset(everybody - set(done))
