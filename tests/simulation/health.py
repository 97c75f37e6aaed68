"""What a healed network owes: finality at its own pace, and checkpoints that become stable.

That everything is final in the end is not enough. A view change orders one sequence even where the
window is shut, so that a network may seem alive that needs a timeout for every sequence.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cretonode.core.committee import quorum_of
from cretonode.core.events import StepDown
from cretonode.core.pace import SEQUENCES_JUDGED
from cretonode.core.state import State
from cretonode.identifiers import SequenceNumber, View
from cretonode.limits import STEP_DOWN_MS_MAX
from tests.simulation.amnesia import lose_journal
from tests.simulation.marks import mark
from tests.simulation.nodes import Node
from tests.simulation.oracles import Violation
from tests.simulation.world import World

SALT: Final = 0x4EA1  # own draws
# Until all are in one open view: who is alone in a later one is fetched back after 32 timeouts at
# the latest, 96 s; twice, and some view changes.
CALM_MS_MAX: Final = 300_000
# From a lost journal until the node votes again: two leaders leave for it, each after the longest
# pause at the latest, since it may have lost others in the storm.
BACK_MS_MAX: Final = 2 * STEP_DOWN_MS_MAX + CALM_MS_MAX
LOST_MS: Final = 50  # a node is down so long when its journal is lost
DELAY_MS: Final = 2  # of a link at the most: far below every timeout
SEQUENCE_MS_MAX: Final = 200  # beside the slot interval: twice what messages and syncs take
FIRST_MAX: Final = 10  # sequences of a view before its load: the one after its base, what is left
STABLE_MS_MAX: Final = 5_000  # after the load, until all know the newest checkpoint to be stable


@dataclass(slots=True)
class Health:
    """Looks at a world of honest nodes only, in which everything is final and nothing fails."""

    world: World
    rng: random.Random
    _submitted: int = 0
    _loads: bool = False
    _down: set[str] = field(default_factory=set)

    def check(self, *, in_turn: bool) -> None:
        """Let the network show that it is well. Raises: Violation.

        With `in_turn`, every node loses its journal before, one after the other; nobody asks for
        anything meanwhile, so that few sequences and mostly no checkpoint come in between.
        """
        for link in self.world.links.values():
            link.delay_ms, link.jitter_ms = self.rng.randint(1, DELAY_MS), 0
        if in_turn:
            self._lose_in_turn()
        self._change_leader()
        self._keep_pace()
        self._return()

    # --- journals lost in turn

    def _lose_in_turn(self) -> None:
        for node in self.world.nodes:
            lose_journal(self.world, node, self.rng.randbytes(32))
            self.world.later(LOST_MS, self.world.restart, node)
            self._await(BACK_MS_MAX, self._is_calm, f"{node.name} is not back after its loss")
        mark("journals lost in turn")

    # --- pace

    def _change_leader(self) -> None:
        """Begin a view that knows nothing of the faults before, under a leader that runs."""
        self._await(CALM_MS_MAX, self._is_calm, "no calm")
        view = self._states()[0].view
        self.world.deliver(self._leader(), StepDown())
        self._await(
            CALM_MS_MAX, lambda: self._is_calm() and self._states()[0].view > view, "no new view"
        )

    def _keep_pace(self) -> None:
        """Order two checkpoint intervals of sequences under load, with one quorum or more up.

        The view must stay, and a sequence may take SEQUENCE_MS_MAX longer than the slot interval,
        on the average. An honest schedule never breaks this. A vertex is final five messages of
        DELAY_MS, as many syncs of 4 ms at the most and one slot interval after it was made, 90 ms:
        far below the shortest timeouts of the scenario (150 ms for finality, 300 ms for a view).
        Who leads is up and connected, so that nobody suspects it for silence; for its pace it is
        judged after SEQUENCES_JUDGED sequences of a view, and this view has fewer. The window holds
        two intervals at least, so that it stays open when each checkpoint becomes stable within the
        next interval; who is down is no more than a quorum can spare.
        """
        world, committee = self.world, self.world.committee
        interval = committee.parameters.checkpoint_interval
        count = 2 * interval
        assert count < SEQUENCES_JUDGED - FIRST_MAX
        spare = len(world.nodes) - quorum_of(committee.size)
        others = [node for node in world.nodes if node is not self._leader()]
        for node in self.rng.sample(others, self.rng.randint(0, spare)):
            self._down.add(node.name)
            world.crash(node)
        view, first = self._states()[0].view, self._final()
        world.note(f"load in view {view}; down: {' '.join(sorted(self._down)) or 'nobody'}")
        self._loads = True
        self._load()
        most_ms = count * (world.timing.slot_interval_ms + SEQUENCE_MS_MAX)
        self._await(most_ms, lambda: self._got_to(view, first, count), "finality is slow")
        self._loads = False
        self._await(STABLE_MS_MAX, self._is_stable, "the newest checkpoint is not stable")
        mark(f"kept its pace with {'a quorum' if len(self._down) == spare else 'more'}")

    def _got_to(self, view: View, first: SequenceNumber, count: int) -> bool:
        done = self._final() - first
        if any(state.view != view for state in self._states()):
            raise Violation(f"{done} sequences, and view {view} was left: {self._standing()}")
        return done >= count

    def _load(self) -> None:
        """Give some node something to order, about as often as a slot comes."""
        if self._loads:
            self._submitted += 1
            self.world.submit(self.rng.choice(self._up()), [b"healthy %d" % self._submitted])
            most_ms = self.world.timing.slot_interval_ms
            self.world.later(self.rng.randint(1, most_ms), self._load)

    def _is_stable(self) -> bool:
        """The newest checkpoint that all executed is stable at every node.

        Each has executed it now, states it, and tells by its status that it lacks the certificate:
        a status comes with each heartbeat, of which there are four in STABLE_MS_MAX.
        """
        interval = self.world.committee.parameters.checkpoint_interval
        newest = self._final() // interval * interval
        return all(state.low >= newest for state in self._states())

    def _return(self) -> None:
        """Who was down finds the others."""
        for node in self.world.nodes:
            self.world.restart(node)
        self._down.clear()
        self._await(CALM_MS_MAX, lambda: self._is_calm() and self._is_stable(), "not all are back")

    # --- helpers

    def _await(self, most_ms: int, done: Callable[[], bool], lack: str) -> None:
        world = self.world
        if not world.run_until(world.now_ms + most_ms, done):
            raise Violation(f"healed, but {lack} in {most_ms} ms: {self._standing()}")

    def _is_calm(self) -> bool:
        """All that should run does, in one open view, and all that was acknowledged is final."""
        states = self._states()
        if len(states) + len(self._down) < len(self.world.nodes):
            return False
        if any(state.amnesiac or state.base is None for state in states):
            return False
        return (
            len({state.view for state in states}) == 1
            and len({state.final for state in states}) == 1
            and self.world.acknowledged <= self.world.oracles.executed.keys()
        )

    def _up(self) -> list[Node]:
        return [node for node in self.world.nodes if node.replica is not None]

    def _states(self) -> list[State]:
        return [node.replica.state for node in self.world.nodes if node.replica is not None]

    def _final(self) -> SequenceNumber:
        return min(state.final for state in self._states())

    def _leader(self) -> Node:
        leader = self._states()[0].leader
        return next(node for node in self.world.nodes if node.me == leader)

    def _standing(self) -> str:
        return "; ".join(
            f"{node.name}: view {s.view} open {s.base is not None} final {s.final} low {s.low}"
            f"{' amnesiac' * s.amnesiac}"
            for node, s in zip(self._up(), self._states(), strict=True)
        )
