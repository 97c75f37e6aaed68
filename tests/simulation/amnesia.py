"""Nodes that lose or damage their journals, as the storage of a node finds and answers it.

Of what is left of a journal that was flipped, cut, put back or deleted nothing is believed: the
node starts with a new one that says only that it is amnesiac.
"""

import random
from dataclasses import dataclass
from functools import partial

from cretonode.core.amnesia import can_rejoin
from cretonode.core.records import AmnesiaBegun
from cretonode.dag.payload import each_id
from cretonode.identifiers import TransactionId
from tests.simulation.disk import Tables
from tests.simulation.nodes import Node
from tests.simulation.world import World

SALT = 0xA3E5  # own draws: the other faults of a seed stay as they were


def lose_journal(world: World, node: Node, nonce: bytes, *, database: bool = False) -> None:
    """Crash a node and take its journal away, perhaps with its database."""
    if node.replica is not None:
        world.crash(node)
    world.note(f"{node.name} loses its journal{' and its database' if database else ''}")
    disk = node.disk
    if database:
        # What only this disk held was acknowledged by this node, and is gone with it.
        for vertex, message in disk.tables.vertices.items():
            if message.author == node.me and vertex not in disk.tables.final:
                world.acknowledged.difference_update(
                    TransactionId(id_) for id_ in each_id(message.transaction_ids)
                )
        disk.operations, disk.tables = [], Tables()
    disk.journal = [AmnesiaBegun(nonce)]
    disk.sync()


@dataclass(slots=True)
class Amnesias:
    """Plans the lost journals of one seed. At most f validators lie or do not remember at once."""

    world: World
    rng: random.Random
    duration_ms: int
    crashes_max: int

    def plan(self) -> None:
        """Draw how often, and when."""
        if not can_rejoin(self.world.committee):
            return
        for _ in range(self.rng.choice((0, 0, 1, 3))):
            self.world.later(self.rng.randrange(self.duration_ms), self._lose_one)

    def _lose_one(self) -> None:
        world = self.world
        faulty = {node.me for node in world.nodes if not node.honest or self.is_amnesiac(node)}
        down = [node for node in world.nodes if node.replica is None and node.me not in faulty]
        up = [node for node in world.nodes if node.replica is not None and node.me not in faulty]
        silent = len(down) + sum(self.is_amnesiac(node) for node in world.nodes)
        if not up or silent >= self.crashes_max or len(faulty) >= world.committee.faults:
            return
        node = self.rng.choice(up)
        lose_journal(world, node, self.rng.randbytes(32), database=self.rng.random() < 0.3)
        world.later(self.rng.choice((1, 50, 500, 2_000)), partial(self._restart, node))

    def _restart(self, node: Node) -> None:
        if node.replica is None:
            self.world.start(node)

    @staticmethod
    def is_amnesiac(node: Node) -> bool:
        """True when the node's journal says so, whether it runs or not."""
        return node.disk.restore().promises.amnesia is not None
