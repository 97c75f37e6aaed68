"""Nodes and the links between them: what the world moves, and what faults change."""

import math
from dataclasses import dataclass, field

from cretonode.core.events import Event
from cretonode.core.replica import Replica
from cretonode.core.state import NEVER_MS
from cretonode.identifiers import TransactionId, ValidatorIndex
from tests.simulation.byzantine.behaviour import Behaviour
from tests.simulation.clients import Clients
from tests.simulation.clockwork import START_MS
from tests.simulation.disk import Disk


@dataclass(slots=True)
class Link:
    """How one directed link behaves now."""

    delay_ms: int = 2
    jitter_ms: int = 3
    loss: float = 0.0
    duplicate: float = 0.0
    up: bool = True
    commits: bool = True  # False: what would make anything final is lost


@dataclass(slots=True)
class Fuse:
    """Burns down by one at every effect boundary; then the node is killed, and started later."""

    left: int
    down_ms: int


@dataclass(slots=True, eq=False)
class Node:
    """One replica with its disk. A validator may be played by two (twins)."""

    name: str
    me: ValidatorIndex
    disk: Disk
    honest: bool = True
    replica: Replica | None = None
    inbox: list[Event] = field(default_factory=list)
    clients: Clients | None = None  # while it runs
    routes: dict[ValidatorIndex, list[tuple["Node", Link]]] = field(default_factory=dict)
    acknowledged: set[TransactionId] = field(default_factory=set)  # said by it in a vertex
    busy: bool = False
    life: int = 0  # how often it was started; what an earlier life scheduled is void
    waking_ms: int = NEVER_MS
    behaviour: Behaviour | None = None  # of a malicious node: what becomes of its core's effects
    lying_ms: int = NEVER_MS  # when the behaviour wants to speak next
    fuse: Fuse | None = None
    took_ms: int | None = None  # when its core took the batch that is in no vertex yet
    retired: bool = False  # it stays down
    paused_until_ms: int = 0
    ahead_ms: int = 0  # its clock against the world's, at the start
    drift: float = 0.0  # how much faster its clock runs

    @property
    def has_true_clock(self) -> bool:
        """True when its clock shows the world's time."""
        return not self.ahead_ms and not self.drift

    def clock(self, now_ms: int) -> int:
        """Return what the node's own clock shows."""
        return now_ms + self.ahead_ms + int((now_ms - START_MS) * self.drift)

    def delay_until(self, own_ms: int, now_ms: int) -> int:
        """Return how long it takes until the node's own clock shows `own_ms`."""
        return max(1, math.ceil((own_ms - self.clock(now_ms)) / (1 + self.drift)))
