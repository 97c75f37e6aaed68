"""What operators may do to a running node, each with its effect in words before it is done.

Source: docs/operator-socket.md, section 5.
"""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from cretonode.core.events import Event, StepDown
from cretonode.core.replica import Replica
from cretonode.errors import ClientError
from cretonode.identifiers import ValidatorIndex, View
from cretonode.observability.logs import LEVELS, configure

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def stop_this_process() -> None:
    """Ask this process to stop, the way anybody else does."""
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(slots=True, kw_only=True)
class Steering:
    """The levers. Reading what would happen changes nothing."""

    replica: Replica
    audible: Callable[[], Sequence[ValidatorIndex]]  # who is connected and was heard just now
    put_own: Callable[[Event], None]  # into the replica's inbox
    names: Sequence[str]
    log_level: str
    log_format: str
    end: Callable[[], None] = stop_this_process
    stopping: bool = False

    def set_log_level(self, level: str, *, dry_run: bool) -> str:
        """Log from `level` on; return the effect in words. Raises: ClientError."""
        if level not in LEVELS:
            raise ClientError(f"there is no level {level!r}; known are {', '.join(LEVELS)}")
        if dry_run:
            return f"lines from level {level} on would be logged; now it is {self.log_level}"
        before, self.log_level = self.log_level, level
        configure(level, self.log_format)
        log.warning("log_level", level=level, before=before)
        return (
            f"lines from level {level} on are logged, until the node is started again; it was "
            f"{before}"
        )

    def step_down(self, *, dry_run: bool) -> str:
        """Give the lead up; return the effect in words. Raises: ClientError."""
        state = self.replica.state
        if state.committee.size == 1:
            raise ClientError("this network has one validator: nobody else can lead")
        if not state.leads:
            raise ClientError(
                f"this node does not lead: {self.names[state.leader]} leads view {state.view}"
            )
        follower = state.committee.leader_of(View(state.view + 1))
        effect = (
            f"{self.names[state.me]} gives view {state.view} up; {self.names[follower]} follows"
        )
        if follower not in self.audible():
            effect += ", which is not connected: the one after it leads once the others see that"
        if not dry_run:
            log.warning("step_down_asked", view=state.view)
            self.put_own(StepDown())
        return f"{effect}; nothing was done" if dry_run else effect

    def stop_effect(self, *, dry_run: bool) -> str:
        """Return what stopping this node means for the others. Raises: ClientError."""
        if self.stopping:
            raise ClientError("it is stopping already")
        committee = self.replica.state.committee
        left = len(self.audible())
        effect = (
            f"{self.names[self.replica.state.me]} stops; this leaves {left} of {committee.size} "
            f"connected, as far as it sees: {outlook(left, committee.quorum)}"
        )
        if not dry_run:
            log.warning("stop_asked")
        return f"{effect}; nothing was done" if dry_run else effect

    def stop(self) -> None:
        """Stop in good order. Again means nothing: a second signal would cut the first short."""
        if not self.stopping:
            self.stopping = True
            self.end()


def outlook(left: int, quorum: int) -> str:
    """Return what becomes of finality with `left` validators."""
    if left < quorum:
        return f"finality will stop, {quorum} are needed"
    if left == quorum:
        return "finality goes on while none of these fails"
    return f"finality goes on, {left - quorum} of these may fail"
