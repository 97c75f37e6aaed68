"""Twins: two instances with one key, over partitions and leaders, enumerated and sampled.

A case names the validator of four that is played twice, and for each view the part of the network
that hears each other while its sender is in that view. Two instances with one key do all that an
equivocator can do that keeps to the protocol otherwise: propose twice, vote twice, open a view
twice, and forget. Source: Bano et al., "Twins: BFT Systems Made Robust", OPODIS 2021.

There, rounds end by the clock. Here a view that no quorum entered is never left, so a plan would
stand still for good where a split leaves the next view no quorum: when nobody enters a view for
STALLED_MS, everybody goes on to the next split of the plan.
"""

import gc
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from time import process_time
from typing import Final

from cretonode.core.amnesia import Amnesia
from cretonode.core.committee import Parameters
from cretonode.core.effects import Effect, Entered
from cretonode.core.events import StepDown
from cretonode.core.messages import (
    Commit,
    Message,
    NewView,
    Prepare,
    PrePrepare,
    Statement,
    VertexMessage,
    ViewChange,
)
from cretonode.core.state import Timing
from cretonode.crypto.hashing import hash_of
from cretonode.errors import ConfigError
from cretonode.identifiers import TransactionId, ValidatorIndex, View
from tests.simulation.clockwork import START_MS
from tests.simulation.nodes import Node
from tests.simulation.oracles import Oracles, Violation, slot_of
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
    fetch_delay_ms=10,
    fetch_timeout_ms=30,
    suspect_ms=100,
)
STALLED_MS: Final = 400  # so long after somebody entered a view nobody will any more
HEALED_MS_MAX: Final = 20_000

VOTES: Final = (PrePrepare, Prepare, Commit, ViewChange, NewView)

# A split says who is on the first twin's side: bits 0 to 2 the three others, by index, bit 3 the
# second twin. What is not there is on the other side.
TOGETHER: Final = 8
WHOLE: Final = 15
CASE: Final = re.compile(r"([0-3]):((?:[0-9]|1[0-5])(?:,(?:[0-9]|1[0-5]))*)")
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
    """Return the case that is written as `text`. Raises: ConfigError."""
    if not (parts := CASE.fullmatch(text)):
        raise ConfigError(
            f"twins is {text!r}; expected yes, or a case like 2:15,3,0,5: the validator that is "
            f"played twice (0 to {SIZE - 1}), and a split for each view (0 to {WHOLE})"
        )
    return Case(int(parts[1]), tuple(map(int, parts[2].split(","))))


def enumerated(views: int) -> Iterator[Case]:
    """Yield every plan of so many views in which the network is whole or the twins are apart.

    Of two plans that differ by exchanging the twins only one is given: the two instances differ in
    nothing, and which of them stays when the network heals is drawn. No other plans are alike,
    since each validator has its views to lead. Splits that leave the twins together are partitions
    like others, with a liar that all who hear it hear alike: `sampled` draws them as well.
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


@dataclass(frozen=True, slots=True)
class Played:
    """What one case did."""

    violation: str | None
    steps: int
    views: int  # entered, by all instances together
    stalls: int  # how often the plan went on because nobody moved
    contradicts: bool  # the twins said two things where an honest validator says one
    cpu_s: float


def play(case: Case) -> Played:
    """Play a case to its end and report."""
    began = process_time()
    world = TwinsWorld(case)
    violation = None
    collects = gc.isenabled()
    gc.disable()  # a world is one heap that dies as a whole
    try:
        world.play()
    except Violation as error:
        violation = str(error)
    except Exception as error:  # a bug is a violation too: the case must be named
        violation = f"{type(error).__name__}: {error}"
    if collects:
        gc.enable()
    return Played(
        violation=violation,
        steps=world.steps,
        views=world.views_entered,
        stalls=world.stalls,
        contradicts=world.contradicts,
        cpu_s=process_time() - began,
    )


def verdict_of(case: Case) -> str | None:
    """Play a case; return what went wrong, if anything did."""
    return play(case).violation


class Unsuspecting(Amnesia):
    """A liar's: it knows why there are vertices of its own that it did not make."""

    def check_own(self, message: VertexMessage) -> None:
        """Go on, where an honest replica halts."""


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
        self.stalls = 0
        self.contradicts = False
        self._floor = 0  # splits of the plan below it are over for everybody
        self._moved_ms = START_MS
        self._spoken: dict[tuple[object, ...], object] = {}  # by either twin
        others = [i for i in range(SIZE) if i != case.twin]
        self._side = {f"n{i}": 1 << bit for bit, i in enumerate(others)}
        for i in range(SIZE):
            self.add_node(f"n{i}", ValidatorIndex(i), honest=i != case.twin)
        second = self.add_node(f"n{case.twin}b", ValidatorIndex(case.twin), honest=False)
        self._side[second.name] = TOGETHER
        self._leaving = rng.choice((self.nodes[case.twin], second))  # when the network heals
        for link in self.links.values():
            link.delay_ms, link.jitter_ms = 1, 2

    def play(self) -> None:
        """Go through the plan, then let all but one of the twins settle."""
        views = len(self.case.splits)
        for node in self.nodes:
            self.start(node)
            self._busy(node, 0)
        while not self._is_over() and self._floor < views:
            self._moved_ms = self.now_ms
            while self.now_ms < self._moved_ms + STALLED_MS and not self._is_over():
                self.run_until(self._moved_ms + STALLED_MS, self._is_over)
            if not self._is_over():
                self.stalls += 1
                self._floor = 1 + min(self._stage_of(n) for n in self.nodes)
        self._heal()
        last = next(node for node in self.nodes if node.honest)
        self.later(50, self.submit, last, [b"last"])
        if not self.run_until(self.now_ms + HEALED_MS_MAX, self._settled):
            raise Violation(f"not settled {HEALED_MS_MAX} ms after healing")

    def start(self, node: Node) -> None:
        """Start a node; a twin stands what its other self did."""
        super().start(node)
        if not node.honest and node.replica is not None:
            known = node.replica.amnesia
            node.replica.amnesia = Unsuspecting(known.state, known.proposer, known.nonce)

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

    def _heal(self) -> None:
        """Take one of the twins away and connect the rest."""
        self.healing = True
        if self._leaving.replica is not None:
            self.crash(self._leaving)
        self._leaving.retired = True
        for node, other in combinations((n for n in self.nodes if n is not self._leaving), 2):
            self.greet(node, other)

    def _stage_of(self, node: Node) -> int:
        """Return which split of the plan a node is at; who is down or halted holds nobody up."""
        if node.replica is None or node.replica.state.halted:
            return len(self.case.splits)
        return max(self._floor, node.replica.state.view)

    def _is_over(self) -> bool:
        views = len(self.case.splits)
        return all(self._stage_of(node) >= views for node in self.nodes)

    def _split_of(self, node: Node) -> int:
        stage = self._stage_of(node)
        return WHOLE if self.healing or stage >= len(self.case.splits) else self.case.splits[stage]

    def _is_first(self, node: Node, split: int) -> bool:
        """True on the first twin's side."""
        bit = self._side.get(node.name)
        return bit is None or bool(split & bit)

    def _say(self, node: Node, statement: Statement, to: ValidatorIndex | None) -> None:
        if not node.honest and isinstance(statement, VOTES):
            key, value = slot_of(statement)
            self.contradicts |= self._spoken.setdefault(key, value) != value
        super()._say(node, statement, to)

    def _take_note(self, node: Node, effect: Effect) -> None:
        super()._take_note(node, effect)
        if isinstance(effect, Entered) and effect.view < len(self.case.splits):
            self._moved_ms = self.now_ms
            self.later(1, self._busy, node, effect.view)

    def _busy(self, node: Node, view: int) -> None:
        """Give who leads a view, at first everybody, something to order; leaders go after a while.

        The rest times views out without: an open view owes the sequence after its base.
        """
        leads = self.committee.leader_of(View(view)) == node.me
        if self.healing or (view > 0 and not leads):
            return
        self.submit(node, [f"{node.name} in {view}".encode()])
        if leads:
            self.later(VIEW_MS, self._step_down, node, view)

    def _step_down(self, node: Node, view: int) -> None:
        if node.replica is not None and node.replica.state.view == view and not self.healing:
            self.deliver(node, StepDown())

    def _settled(self) -> bool:
        executed = self.oracles.executed.keys()
        if TransactionId(hash_of(b"last")) not in executed or not self.acknowledged <= executed:
            return False
        target = max(self.oracles.order)
        honest = [node.replica for node in self.nodes if node.honest]
        return all(replica is not None and replica.state.final >= target for replica in honest)
