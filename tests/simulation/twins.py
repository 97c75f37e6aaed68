"""Twins: two instances with one key, over partitions and leaders, enumerated and sampled.

A case names the validator of four that is played twice, and for each view the part of the network
that hears each other while its sender is in that view. Two instances with one key do all that an
equivocator can do that keeps to the protocol otherwise: propose twice, vote twice, open a view
twice, and forget. Source: Bano et al., "Twins: BFT Systems Made Robust", OPODIS 2021.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from cretonode.core.committee import Parameters
from cretonode.core.effects import Effect, Entered
from cretonode.core.events import StepDown
from cretonode.core.messages import Message
from cretonode.core.state import Timing
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import TransactionId, ValidatorIndex
from tests.simulation.clockwork import START_MS
from tests.simulation.nodes import Node
from tests.simulation.oracles import Oracles, Violation
from tests.simulation.scenario import committee_of
from tests.simulation.world import World

SIZE: Final = 4
VIEW_MS: Final = 25  # a leader leads so long, then its operator wants another
TIMING: Final = Timing(
    finality_timeout_ms=60,
    view_change_timeout_ms=120,
    slot_interval_ms=10,
    status_interval_ms=50,
    heartbeat_ms=200,
    fetch_delay_ms=5,
    fetch_timeout_ms=30,
    suspect_ms=100,
)
PLANNED_MS_MAX: Final = 2_000  # for each view of the plan
HEALED_MS_MAX: Final = 20_000

# A split says who is on the first twin's side: bits 0 to 2 the three others, by index, bit 3 the
# second twin. What is not there is on the other side.
TOGETHER: Final = 8
WHOLE: Final = 15
APART: Final = tuple(range(8))
QUORATE: Final = (*APART, 8, 11, 13, 14, WHOLE)  # a quorum hears each other on one side


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One scenario."""

    twin: int  # the validator that is played twice
    splits: tuple[int, ...]  # of each view from 0 on; behind the last the network is whole

    def __str__(self) -> str:
        """Return what `parse` takes."""
        return f"{self.twin}:{','.join(map(str, self.splits))}"


def parse(text: str) -> Case:
    """Return the case that is written as `text`."""
    twin, splits = text.split(":")
    return Case(int(twin), tuple(map(int, splits.split(","))))


def enumerated(views: int) -> Iterator[Case]:
    """Yield every plan of so many views in which the network is whole or the twins are apart.

    Of two plans that differ by exchanging the twins only one is given. Splits that leave the twins
    together are partitions like others, with a liar that all who hear it hear alike.
    """
    for splits in product((WHOLE, *APART), repeat=views):
        mirrored = tuple(split if split == WHOLE else 7 - split for split in splits)
        if splits <= mirrored:
            for twin in range(SIZE):
                yield Case(twin, splits)


def sampled(views: int, count: int, seed: int) -> Iterator[Case]:
    """Yield `count` plans of so many views, drawn from all splits that leave somebody a quorum."""
    rng = random.Random(seed)
    for _ in range(count):
        yield Case(rng.randrange(SIZE), tuple(rng.choice(QUORATE) for _ in range(views)))


def verdict_of(case: Case) -> str | None:
    """Play a case; return what went wrong, if anything did."""
    world = TwinsWorld(case)
    try:
        world.play()
    except Violation as error:
        return str(error)
    return None


class TwinsWorld(World):
    """A world whose links depend on the view that the sender is in."""

    def __init__(self, case: Case) -> None:
        """Make five instances of four validators."""
        parameters = Parameters(window=8, checkpoint_interval=4, dedup_window=64)
        committee = committee_of(SIZE, parameters)
        rng = random.Random(str(case))
        super().__init__(committee, TIMING, rng, Oracles(parameters.dedup_window))
        self.case = case
        self.healing = False
        others = [i for i in range(SIZE) if i != case.twin]
        self._side = {f"n{i}": 1 << bit for bit, i in enumerate(others)}
        for i in range(SIZE):
            self.add_node(f"n{i}", ValidatorIndex(i), honest=i != case.twin)
        self.second = self.add_node(f"n{case.twin}b", ValidatorIndex(case.twin), honest=False)
        self._side[self.second.name] = TOGETHER
        for link in self.links.values():
            link.delay_ms, link.jitter_ms = 1, 2

    def play(self) -> None:
        """Go through the plan, then let all but the second twin settle."""
        views = len(self.case.splits)
        for node in self.nodes:
            self.start(node)
            self._busy(node, 0)
        self.run_until(START_MS + views * PLANNED_MS_MAX, lambda: self._all_reached(views))
        self.healing = True
        self.crash(self.second)
        for node in self.nodes:
            if node is not self.second:
                for other in self.nodes:
                    if other is not self.second and other is not node:
                        self.greet(node, other)
        last = next(node for node in self.nodes if node.honest)
        self.later(50, self.submit, last, [b"last"])
        if not self.run_until(self.now_ms + HEALED_MS_MAX, self._settled):
            raise Violation(f"not settled {HEALED_MS_MAX} ms after healing")

    def post(self, node: Node, peer: ValidatorIndex, message: Message) -> None:
        """Send to those on the sender's side of the split of its view."""
        split = self._split_of(node)
        here = self._is_first(node, split)
        routes = node.routes
        kept = [(t, link) for t, link in routes[peer] if self._is_first(t, split) == here]
        if len(kept) == len(routes[peer]):
            super().post(node, peer, message)
            return
        whole, routes[peer] = routes[peer], kept
        super().post(node, peer, message)
        routes[peer] = whole

    def _split_of(self, node: Node) -> int:
        splits = self.case.splits
        if self.healing or node.replica is None or node.replica.state.view >= len(splits):
            return WHOLE
        return splits[node.replica.state.view]

    def _is_first(self, node: Node, split: int) -> bool:
        """True on the first twin's side."""
        bit = self._side.get(node.name)
        return bit is None or bool(split & bit)

    def _take_note(self, node: Node, effect: Effect) -> None:
        super()._take_note(node, effect)
        if isinstance(effect, Entered) and not self.healing:
            self.later(1, self._busy, node, effect.view)

    def _busy(self, node: Node, view: int) -> None:
        """Give a node something to order in a view; its leader steps down after a while."""
        self.submit(node, [f"{node.name} in {view}".encode()])
        if self.committee.leader_of(view) == node.me:
            self.later(VIEW_MS, self._step_down, node, view)

    def _step_down(self, node: Node, view: int) -> None:
        if node.replica is not None and node.replica.state.view == view and not self.healing:
            self.deliver(node, StepDown())

    def _all_reached(self, views: int) -> bool:
        return all(n.replica is None or n.replica.state.view >= views for n in self.nodes)

    def _settled(self) -> bool:
        executed = self.oracles.executed.keys()
        if TransactionId(hash_of(b"last")) not in executed or not self.acknowledged <= executed:
            return False
        target = max(self.oracles.order)
        honest = [node.replica for node in self.nodes if node.honest]
        return all(replica is not None and replica.state.final >= target for replica in honest)
