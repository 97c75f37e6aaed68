"""What goes wrong in a world: each seed draws its own mix of faults, and how often they come.

Swarm testing (Groce et al., ISSTA 2012): a run without crashes may show what crashes hide, so every
seed leaves out about half of the kinds. Faults come in storms with calm in between, and the leader
is deposed now and then in any case, so that every seed has view changes.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cretonode.core.amnesia import can_rejoin
from cretonode.core.events import StepDown
from cretonode.identifiers import ValidatorIndex
from tests.simulation.amnesia import is_amnesiac, lose_journal
from tests.simulation.clockwork import START_MS
from tests.simulation.nodes import Fuse, Node
from tests.simulation.world import World

DOWN_MS: Final = (1, 50, 500, 3_000)
CUT_MS: Final = (200, 1_000, 4_000)


@dataclass(slots=True)
class Faults:
    """The faults of one seed, from `begin` to `end`."""

    world: World
    rng: random.Random
    crashes_max: int  # honest nodes down at once
    amnesiacs_max: int  # honest nodes at once that do not know what they said
    deposes: bool  # there is a view change to be had
    wished: tuple[str, ...] | None = None  # kinds of faults that shall come; None: drawn
    drifts: bool = True  # clocks may
    mean_ms: int = 0  # between faults, in a storm
    weights: dict[str, int] = field(default_factory=dict)
    over: bool = False
    spared_until_ms: int = START_MS  # nothing new goes wrong before
    _calm_until_ms: int = START_MS
    _storm_until_ms: int = START_MS

    def begin(self) -> None:
        """Draw the mix and let it happen."""
        rng, world = self.rng, self.world
        drawn = [kind for kind in KINDS if rng.random() < 0.5]
        chosen = drawn if self.wished is None else self.wished
        self.weights = {kind: rng.choice((1, 3, 10)) for kind in chosen}
        self.mean_ms = rng.choice((150, 500, 1_500, 4_000))
        if rng.random() < 0.3 and self.drifts:
            self._drift()
        if self.weights:
            self._later(self.mean_ms, self._storm)
        if self.deposes:
            self._later(rng.choice((500, 2_000)), self._depose)
        if any(not node.honest and node.behaviour is None for node in world.nodes):
            self._later(200, self._split_twins)
        if any(node.behaviour is not None and node.behaviour.forgets for node in world.nodes):
            self._later(500, self._restart_forgetful)

    def end(self) -> None:
        """Let nothing new go wrong."""
        self.over = True

    def _later(self, mean_ms: float, fault: Callable[[], None]) -> None:
        self.world.later(1 + int(self.rng.expovariate(1 / mean_ms)), self._happen, fault)

    def _happen(self, fault: Callable[[], None]) -> None:
        if not self.over:
            fault()

    def _storm(self) -> None:
        """Let one fault happen; after a storm of them, be calm for a while."""
        rng, now_ms = self.rng, self.world.now_ms
        if now_ms < self.spared_until_ms:
            self._later(self.mean_ms, self._storm)
            return
        if now_ms >= self._storm_until_ms:
            calm_ms = rng.choice((500, 2_000, 5_000))
            self._storm_until_ms = now_ms + calm_ms + rng.choice((1_000, 3_000, 8_000))
            self._calm_until_ms = now_ms + calm_ms
        if now_ms >= self._calm_until_ms:
            kind = rng.choices(list(self.weights), list(self.weights.values()))[0]
            KINDS[kind](self)
        self._later(self.mean_ms, self._storm)

    # --- the leader

    def _depose(self) -> None:
        """Take the leader that most honest nodes follow out of the way, in one way or another."""
        rng, world = self.rng, self.world
        if world.now_ms < self.spared_until_ms:
            self._later(1_000, self._depose)
            return
        views = sorted(n.replica.state.view for n in world.nodes if n.honest and n.replica)
        if views:
            leader = world.committee.leader_of(views[len(views) // 2])
            timeout_ms = world.timing.view_change_timeout_ms
            way = rng.choice((self._step_down, self._mute, self._deafen_leader, self._kill_leader))
            way(leader, rng.choice((1, 2, 3)) * timeout_ms)
        # More nodes take more steps in the same time, and need no more of them for a view change.
        self._later(rng.choice((1_000, 3_000, 10_000)) * 4 / max(4, len(world.nodes)), self._depose)

    def _played_by(self, validator: ValidatorIndex) -> list[Node]:
        return [n for n in self.world.nodes if n.me == validator and n.replica is not None]

    def _step_down(self, leader: ValidatorIndex, _: int) -> None:
        """Its operator wants another leader: the view ends with much in flight."""
        for node in self._played_by(leader):
            self.world.deliver(node, StepDown())

    def _mute(self, leader: ValidatorIndex, for_ms: int) -> None:
        """Nobody hears it; it hears everybody."""
        for node in self._played_by(leader):
            for a, b in self.world.links:
                if a == node.name:
                    self.world.set_link(a, b, up=False)
        self.world.later(for_ms, self._join)

    def _deafen_leader(self, leader: ValidatorIndex, for_ms: int) -> None:
        """It hears nobody; what it says arrives."""
        for node in self._played_by(leader):
            for a, b in self.world.links:
                if b == node.name:
                    self.world.set_link(a, b, up=False)
        self.world.later(for_ms, self._join)

    def _kill_leader(self, leader: ValidatorIndex, for_ms: int) -> None:
        """Kill it, or let it stand still when nobody more may be down."""
        for node in self._played_by(leader):
            if node.honest and self._may_crash():
                self.world.crash(node)
                self.world.later(for_ms, self.world.restart, node)
            else:
                self.world.pause(node, for_ms)

    # --- nodes

    def _may_crash(self) -> bool:
        down = sum(node.replica is None or node.fuse is not None for node in self.world.nodes)
        return down < max(1, self.crashes_max)

    def _victims(self) -> list[Node]:
        """Return the honest nodes that run, when the plan allows one more to be down."""
        if not self._may_crash():
            return []
        return [node for node in self.world.nodes if node.replica is not None and node.honest]

    def _crash(self) -> None:
        """Kill a node between two turns."""
        victims = self._victims()
        if victims:
            node = self.rng.choice(victims)
            self.world.crash(node)
            self.world.later(self.rng.choice(DOWN_MS), self.world.restart, node)

    def _light_fuse(self) -> None:
        """Kill a node inside a turn: between any two of its effects, or of its sends."""
        victims = self._victims()
        if victims:
            fuse = Fuse(left=self.rng.randrange(24), down_ms=self.rng.choice(DOWN_MS))
            self.rng.choice(victims).fuse = fuse

    def _power_cut(self) -> None:
        """Everybody loses power at once."""
        for node in self.world.nodes:
            if node.replica is not None:
                self.world.crash(node)
                self.world.later(self.rng.randint(10, 2_000), self.world.restart, node)

    def _fill_disk(self) -> None:
        """Leave a node room for a few records."""
        victims = self._victims()
        if victims:
            self.rng.choice(victims).disk.room = self.rng.randrange(8)

    def _lose_journal(self) -> None:
        """Kill a node and damage its journal, and perhaps its database: it has to find back."""
        victims = [node for node in self._victims() if not is_amnesiac(node)]
        lost = sum(is_amnesiac(node) for node in self.world.nodes if node.honest)
        if victims and lost < self.amnesiacs_max and can_rejoin(self.world.committee):
            node = self.rng.choice(victims)
            gone = self.rng.random() < 0.3
            lose_journal(self.world, node, self.rng.randbytes(32), database=gone)
            self.world.later(self.rng.choice(DOWN_MS), self.world.restart, node)

    def _restart_forgetful(self) -> None:
        """Let malicious nodes lose their journals."""
        for node in self.world.nodes:
            if node.behaviour is not None and node.behaviour.forgets and node.replica is not None:
                self.world.crash(node)
                self.world.later(self.rng.choice((1, 50, 500)), self.world.restart, node)
        self._later(self.rng.choice((500, 2_000)), self._restart_forgetful)

    def _pause(self) -> None:
        """One node stands still for a while, as in a long garbage collection."""
        node = self.rng.choice(self.world.nodes)
        self.world.pause(node, self.rng.choice((50, 400, 2_000)))

    def _drift(self) -> None:
        """Clocks differ, and go at different speeds."""
        for node in self.world.nodes:
            node.ahead_ms = self.rng.choice((0, 3, 200, 5_000))
            node.drift = self.rng.choice((0.0, 0.0, 0.001, 0.05, -0.05))

    # --- links

    def _split(self) -> None:
        """Two groups cannot hear each other."""
        names = [node.name for node in self.world.nodes]
        self.rng.shuffle(names)
        cut = self.rng.randint(0, len(names))
        self.world.split([set(names[:cut]), set(names[cut:])])
        self.world.later(self.rng.choice(CUT_MS), self._join)

    def _deafen(self) -> None:
        """Some links work in one direction only."""
        keys = sorted(self.world.links)
        for key in self.rng.sample(keys, self.rng.randint(0, len(keys) // 2)):
            self.world.set_link(*key, up=False)
        self.world.later(self.rng.choice(CUT_MS), self._join)

    def _cut_off(self) -> None:
        """One node hears nobody for long: it has ranges to fetch afterwards."""
        name = self.rng.choice(self.world.nodes).name
        rest = {node.name for node in self.world.nodes} - {name}
        self.world.split([{name}, rest])
        self.world.later(self.rng.choice((3_000, 8_000)), self._join)

    def _worsen(self) -> None:
        """Every link gets another delay, loss and rate of repetition."""
        for key in sorted(self.world.links):
            link = self.world.links[key]
            link.delay_ms = self.rng.choice((1, 2, 10, 40, 150))
            link.loss = self.rng.choice((0.0, 0.0, 0.01, 0.1, 0.3))
            link.duplicate = self.rng.choice((0.0, 0.0, 0.05))

    def _lose_commits(self) -> None:
        """For a while commits reach hardly anybody: much is prepared and little is final.

        Some see it final at the end, alone: the schedule that hidden locks are made of.
        """
        links = self.world.links
        for key in sorted(links):
            links[key].commits = self.rng.random() < 0.15
        self.world.later(self.rng.choice((100, 500, 2_000, 20_000)), self._find_commits)
        if self.rng.random() < 0.5:
            self.world.later(self.rng.choice((90, 400)), self._happen, self._split)

    def _find_commits(self) -> None:
        for link in self.world.links.values():
            link.commits = True

    def _split_twins(self) -> None:
        """Let each twin talk to its own part of the others, parts and losses drawn anew."""
        loss = self.rng.choice((0.0, 0.3, 0.6))
        for node in self.world.nodes:
            if node.honest or node.behaviour is not None:
                continue
            for other in self.world.nodes:
                if other.me != node.me:
                    up = self.rng.random() < 0.6
                    self.world.links[(node.name, other.name)].loss = loss
                    self.world.set_link(node.name, other.name, up=up)
                    self.world.set_link(other.name, node.name, up=up)
        self._later(self.rng.choice((200, 700, 2_000)), self._split_twins)

    def _join(self) -> None:
        if self.over:
            return  # healed already, and twins are out for good
        for key in self.world.links:
            self.world.set_link(*key, up=True)


KINDS: Final[dict[str, Callable[[Faults], None]]] = {
    "crash": Faults._crash,
    "crash at a boundary": Faults._light_fuse,
    "power cut": Faults._power_cut,
    "partition": Faults._split,
    "one-way cuts": Faults._deafen,
    "long absence": Faults._cut_off,
    "pause": Faults._pause,
    "commits lost": Faults._lose_commits,
    "bad links": Faults._worsen,
    "disk full": Faults._fill_disk,
    "lost journal": Faults._lose_journal,
}
