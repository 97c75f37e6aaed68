"""What goes wrong in a world: crashes, power cuts, partitions, pauses, lost commits.

Each seed draws which kinds happen at all, and how often (swarm testing: a run without crashes may
show what crashes hide).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.simulation.nodes import Node
from tests.simulation.world import World


@dataclass(slots=True)
class Faults:
    """Plans the faults of one seed, until `duration_ms`."""

    world: World
    rng: random.Random
    duration_ms: int
    crashes_max: int  # honest nodes down at once

    def plan(self) -> None:
        """Draw the mix and schedule it."""
        rng = self.rng
        self._schedule(rng.choice((0, 1, 2, 6)), self._crash_one)
        self._schedule(rng.random() < 0.15, self._power_cut)
        self._schedule(rng.choice((0, 0, 1, 3)), self._split)
        self._schedule(rng.choice((0, 0, 1, 4)), self._deafen)
        self._schedule(rng.choice((0, 0, 2, 8)), self._pause)
        self._schedule(rng.choice((0, 0, 2, 6)), self._lose_commits)
        if rng.random() < 0.3:
            self._drift()
        if any(not node.honest and node.behaviour is None for node in self.world.nodes):
            self._every(rng.choice((200, 700, 2_000)), self._split_twins)
        if any(node.behaviour is not None and node.behaviour.forgets for node in self.world.nodes):
            self._every(rng.choice((500, 2_000)), self._restart_forgetful)

    def _schedule(self, count: int, fault: Callable[[], None]) -> None:
        for _ in range(count):
            self.world.later(self.rng.randrange(self.duration_ms), fault)

    def _every(self, interval_ms: int, fault: Callable[[], None]) -> None:
        for at in range(interval_ms, self.duration_ms, interval_ms):
            self.world.later(at, fault)

    # --- nodes

    def _crash_one(self) -> None:
        """Crash a node when the plan allows one more to be down; restart it later."""
        down = sum(node.replica is None for node in self.world.nodes)
        up = [node for node in self.world.nodes if node.replica is not None and node.honest]
        if down < max(1, self.crashes_max) and up:
            node = self.rng.choice(up)
            self.world.crash(node)
            self.world.later(self.rng.choice((1, 50, 500, 3_000)), partial(self._restart, node))

    def _power_cut(self) -> None:
        """Everybody loses power at once."""
        for node in self.world.nodes:
            if node.replica is not None:
                self.world.crash(node)
                self.world.later(self.rng.randint(10, 2_000), partial(self._restart, node))

    def _restart_forgetful(self) -> None:
        """Let malicious nodes lose their journals."""
        for node in self.world.nodes:
            if node.behaviour is not None and node.behaviour.forgets and node.replica is not None:
                self.world.crash(node)
                self.world.later(self.rng.choice((1, 50, 500)), partial(self._restart, node))

    def _restart(self, node: Node) -> None:
        if node.replica is None:
            self.world.start(node)

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
        self.world.later(self.rng.choice((200, 1_000, 4_000)), self._join)

    def _deafen(self) -> None:
        """Some links work in one direction only."""
        keys = sorted(self.world.links)
        for key in self.rng.sample(keys, self.rng.randint(0, len(keys) // 2)):
            self.world.set_link(*key, up=False)
        self.world.later(self.rng.choice((200, 1_000, 4_000)), self._join)

    def _lose_commits(self) -> None:
        """For a while commits reach hardly anybody: much is prepared and little is final.

        Some see it final at the end, alone: the schedule that hidden locks are made of.
        """
        links = self.world.links
        for key in sorted(links):
            links[key].commits = self.rng.random() < 0.15
        self.world.later(self.rng.choice((100, 500, 2_000)), self._find_commits)
        if self.rng.random() < 0.5:
            self.world.later(self.rng.choice((90, 400)), self._split)

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

    def _join(self) -> None:
        for key in self.world.links:
            self.world.set_link(*key, up=True)
