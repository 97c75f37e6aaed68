"""Nodes that lose or damage their journals, as the storage of a node finds and answers it.

Of what is left of a journal that was flipped, cut, put back or deleted nothing is believed: the
node starts with a new one that says only that it is amnesiac.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from cretonode.core.events import PeerSilent, Received, StepDown
from cretonode.core.messages import Suspect, VertexMessage
from cretonode.core.records import AmnesiaBegun, AmnesiaEnded
from cretonode.dag.payload import each_id
from cretonode.identifiers import TransactionId, ValidatorIndex
from tests.simulation.marks import mark
from tests.simulation.nodes import Node
from tests.simulation.world import World

SALT = 0xA3E5  # own draws


def lose_journal(world: World, node: Node, nonce: bytes, *, database: bool = False) -> None:
    """Crash a node and take its journal away, perhaps with its database."""
    if node.replica is not None:
        world.crash(node)
    mark("journal lost")
    world.note(f"{node.name} loses its journal{' and its database' if database else ''}")
    disk = node.disk
    if database:
        forget_acknowledged(world, node, disk.tables.vertices.values())
        disk.lose_database()
    disk.lose_journal(nonce)


def forget_acknowledged(world: World, node: Node, lost: Iterable[VertexMessage]) -> None:
    """What only this disk held was acknowledged by this node, and is gone with it."""
    for message in lost:
        if message.author == node.me and message.vertex.hash not in node.disk.tables.final:
            world.acknowledged.difference_update(
                TransactionId(id_) for id_ in each_id(message.transaction_ids)
            )


def is_amnesiac(node: Node) -> bool:
    """True when the node's journal says so, whether it runs or not."""
    for record in reversed(node.disk.journal):
        if isinstance(record, AmnesiaBegun | AmnesiaEnded):
            return isinstance(record, AmnesiaBegun)
    return False


@dataclass(slots=True)
class EarlyReturn:
    """Sets a trap for an amnesiac that believes too few, again and again.

    One honest node is cut off while views pass. Another leaves its view, which nobody hears, and
    loses its journal; then only the one that was cut off and the liar can answer it. Only f + 1
    attest, both low. What is prepared after healing in the view it has left looks late enough.
    """

    world: World
    rng: random.Random
    liar: ValidatorIndex
    is_over: Callable[[], bool]

    def plan(self) -> None:
        """Set it every five seconds, until it is over."""
        self.world.later(300, self._begin)

    def _begin(self) -> None:
        if self.is_over():
            return
        self.world.later(5_000, self._begin)
        honest = [node for node in self.world.nodes if node.honest and node.replica is not None]
        if len(honest) < 3 or any(is_amnesiac(node) for node in honest):
            return
        away = self.rng.choice(honest)
        self._cut(away)
        for at_ms in range(100, 1_800, 150):
            self.world.later(at_ms, self._step_down)
        self.world.later(1_800, lambda: self._spring(away, 40))

    def _step_down(self) -> None:
        if self.is_over():
            return
        for node in self.world.nodes:
            if node.replica is not None and node.replica.state.leads:
                self.world.deliver(node, StepDown())

    def _spring(self, away: Node, tries: int) -> None:
        """Let one node leave its view alone, forget it, and ask."""
        if self.is_over():
            return
        victim = self._victim(away)
        if victim is None or victim.replica is None:
            self.world.later(50, partial(self._spring, away, tries - 1) if tries else self._heal)
            return
        self._cut(victim)
        state = victim.replica.state
        suspect = Suspect(view=state.view, author=self.liar)
        self.world.deliver(victim, Received(self.liar, self.world.sign_as(self.liar, suspect)))
        self.world.deliver(victim, PeerSilent(state.leader))
        nonce = self.rng.randbytes(32)
        self.world.later(20, lambda: self._lose(victim, away, nonce))

    def _lose(self, victim: Node, away: Node, nonce: bytes) -> None:
        if self.is_over() or victim.replica is None or victim.replica.state.amnesiac:
            self._heal()
            return
        lose_journal(self.world, victim, nonce)
        liar = next(node for node in self.world.nodes if node.me == self.liar)
        for other in (away, liar):
            self.world.set_link(victim.name, other.name, up=True)
            self.world.set_link(other.name, victim.name, up=True)
        self.world.start(victim)
        self.world.later(800, self._heal)

    def _victim(self, away: Node) -> Node | None:
        """Return a backup whose view is open, and out of reach of the one that is away."""
        for node in self.world.nodes:
            replica = node.replica
            if replica is None or not node.honest or node is away or away.replica is None:
                continue
            state = replica.state
            late = state.view >= away.replica.state.view + 2
            if late and state.base is not None and state.leader not in (node.me, away.me):
                return node
        return None

    def _cut(self, node: Node) -> None:
        for other in self.world.nodes:
            if other is not node:
                self.world.set_link(node.name, other.name, up=False)
                self.world.set_link(other.name, node.name, up=False)

    def _heal(self) -> None:
        if self.is_over():
            return
        for key in self.world.links:
            self.world.set_link(*key, up=True)
