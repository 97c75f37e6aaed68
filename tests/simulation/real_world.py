"""Whole worlds over the node's own storage: honest nodes write real journals and real databases.

Beside the faults of other worlds come those of disks: any choice of unsynced sectors lost, a full
disk, power cuts inside a rotation, flipped bits, journals and databases taken away or put back old.
Then storage and the rule of amnesia decide what a node may do. Source: docs/spec/durability.md.
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cretonode.core.amnesia import can_rejoin
from cretonode.core.committee import faults_of, quorum_of
from cretonode.core.effects import Effect, Lookup, Serve
from cretonode.core.events import LookedUp
from cretonode.core.messages import Message
from cretonode.errors import CorruptionError
from cretonode.identifiers import ValidatorIndex
from tests.simulation.amnesia import forget_acknowledged, is_amnesiac
from tests.simulation.disk import DiskFull
from tests.simulation.faults import DOWN_MS, Faults
from tests.simulation.nodes import Node
from tests.simulation.oracles import Violation
from tests.simulation.real_disk import RealDisk
from tests.simulation.scenario import Outcome, Scenario, Wish, play
from tests.simulation.world import World
from tests.storage.disks import PowerCut, no_space

SALT: Final = 0xD15C  # own draws
STEPS_MIN: Final = 8_000
OTHER_FAULTS: Final = ("crash at a boundary", "partition", "long absence", "pause", "commits lost")
IN_MEMORY: Final = Path("/dev/shm")  # syncs are simulated: no disk need turn


class RealWorld(World):
    """A world whose honest nodes have real disks, each in a directory below `path`."""

    path: Path

    def add_node(self, name: str, me: ValidatorIndex, *, honest: bool = True) -> Node:
        """Add a node that is down."""
        node = super().add_node(name, me, honest=honest)
        if honest:
            node.disk = RealDisk(self.committee, me, self.path / name, self.rng.getrandbits(32))
        return node

    def start(self, node: Node) -> None:
        """Start a node; a database that is damaged is taken away, as its operator would."""
        with self._stopping(node):
            try:
                super().start(node)
            except CorruptionError as error:
                disk = node.disk
                assert isinstance(disk, RealDisk)
                if not disk.damaged or node.replica is not None:
                    raise Violation(f"{node.name} cannot start: {error}") from error
                self.note(f"{node.name} begins a new database: {error}")
                self.lose_database(node)
                super().start(node)
        if isinstance(node.disk, RealDisk):
            forget_acknowledged(self, node, node.disk.lost)

    def lose_database(self, node: Node) -> None:
        """Take away the database of a node that is down."""
        forget_acknowledged(self, node, node.disk.tables.vertices.values())
        node.disk.lose_database()

    def _turn(self, node: Node) -> None:
        with self._stopping(node):
            super()._turn(node)

    def _synced(self, node: Node, life: int, effects: list[Effect]) -> None:
        with self._stopping(node):
            super()._synced(node, life, effects)

    @contextmanager
    def _stopping(self, node: Node) -> Generator[None]:
        """Stop a node whose disk fails; it comes back later."""
        try:
            yield
        except DiskFull:
            self._stop_full(node)
        except PowerCut:
            self.note(f"{node.name} loses power while it writes")
            self.crash(node)
            self.later(100, self.restart, node)

    def _do(self, node: Node, effect: Effect) -> None:
        if isinstance(effect, Lookup) and isinstance(node.disk, RealDisk):
            node.inbox.append(LookedUp(*node.disk.store.lookup(effect.hashes)))
        else:
            super()._do(node, effect)

    def _stored(self, node: Node, effect: Serve) -> Sequence[Message]:
        if not isinstance(node.disk, RealDisk):
            return super()._stored(node, effect)
        store = node.disk.store
        # Ids do not travel: who receives a vertex hashes its transactions, as `get_checked` does.
        known = store.serve_vertices(effect.vertices)
        found: list[Message] = [store.get_checked(message.vertex.hash) for message in known]
        if effect.count:
            found.append(node.disk.headers(effect.first, effect.count))
        return found


@dataclass(slots=True)
class DiskFaults:
    """What happens to the disks of one seed, from `begin` until the scenario's faults are over.

    A node whose journal or database is gone counts among the f until it is back where all were.
    """

    world: RealWorld
    faults: Faults
    rng: random.Random
    _hurt: dict[str, int] = field(default_factory=dict)  # until its final sequence is past this
    _copies: dict[str, tuple[int, dict[str, bytes]]] = field(default_factory=dict)

    def begin(self) -> None:
        """Let the first one come."""
        self.world.later(self._pause_ms(), self._happen)

    def _pause_ms(self) -> int:
        return 1 + int(self.rng.expovariate(1 / 700))

    def _happen(self) -> None:
        if self.faults.over:
            return
        victims = [node for node in self.faults._victims() if isinstance(node.disk, RealDisk)]
        if victims:
            self._hit(self.rng.choice(victims))
        self._copy(victims)
        self.world.later(self._pause_ms(), self._happen)

    def _copy(self, nodes: list[Node]) -> None:
        """Keep copies of journals, to be put back when they are old."""
        for node in nodes:
            disk, is_due = node.disk, node.name not in self._copies or self.rng.random() < 0.2
            if isinstance(disk, RealDisk) and node.replica is not None and is_due:
                self._copies[node.name] = disk.copy_journal()

    def _hit(self, node: Node) -> None:
        disk = node.disk
        assert isinstance(disk, RealDisk)
        kind = self.rng.choice(("full", "power", "damage", "damage"))
        if kind == "full":
            disk.arm(no_space(), after=self.rng.randrange(12))
        elif kind == "power":
            disk.arm(PowerCut(), after=self.rng.randrange(12))
        elif self._may_damage(node):
            self._damage(node, disk)

    def _may_damage(self, node: Node) -> bool:
        for other in self.world.nodes:
            replica, until = other.replica, self._hurt.get(other.name)
            is_back = replica is not None and not replica.state.amnesiac
            if is_back and until is not None and replica.state.final > until:
                del self._hurt[other.name]
        hurt = self._hurt.keys() | {n.name for n in self.world.nodes if n.honest and is_amnesiac(n)}
        able = can_rejoin(self.world.committee)
        return able and node.name not in hurt and len(hurt) < self.faults.amnesiacs_max

    def _damage(self, node: Node, disk: RealDisk) -> None:
        """Crash a node, damage what is left, and start it later."""
        world, rng = self.world, self.rng
        parameters = world.committee.parameters
        # Past this, all that it had voted for is decided, and held by a quorum without it.
        self._hurt[node.name] = max(world.oracles.order, default=0) + parameters.window
        world.crash(node)
        kind = rng.choice(DAMAGES)
        if kind == "old journal":
            copy = self._copies.get(node.name)
            done = copy is not None and disk.put_back(copy)
            if not done:
                disk.flip_journal(rng)
        elif kind == "flipped journal":
            disk.flip_journal(rng)
        elif kind == "flipped database":
            disk.flip_database(rng)
        if kind in ("no database", "nothing left"):
            world.lose_database(node)
        if kind in ("no journal", "nothing left"):
            disk.lose_journal(rng.randbytes(32))
        world.note(f"{node.name}: {kind}")
        world.later(rng.choice(DOWN_MS), world.restart, node)


DAMAGES: Final = (
    "flipped journal",
    "flipped journal",
    "flipped database",
    "no journal",
    "old journal",
    "old journal",
    "no database",
    "nothing left",
)


class RealScenario(Scenario):
    """A seed's world over real disks, and its plan."""

    def __init__(self, seed: int, steps: int = STEPS_MIN) -> None:
        """Draw what other seeds draw, and other faults."""
        rng = random.Random(seed ^ SALT)
        drawn = tuple(kind for kind in OTHER_FAULTS if rng.random() < 0.5)
        super().__init__(seed, Wish(steps=steps, faults=("crash", "power cut", *drawn)))
        if rng.random() < 0.7:  # as many disks may be damaged as validators could lie
            self.twins, self.liars = 0, ()
            self.faults.crashes_max = self.size - quorum_of(self.size)
            self.faults.amnesiacs_max = faults_of(self.size)
        plain = self.world
        self.world = self.real = RealWorld(plain.committee, plain.timing, plain.rng, plain.oracles)
        self.faults.world = self.world
        self.damage = DiskFaults(self.real, self.faults, rng)

    def run(self) -> None:
        """Play in a directory that is there for so long; then read every database through."""
        beside = IN_MEMORY if IN_MEMORY.is_dir() else None
        self.real.path = Path(tempfile.mkdtemp(prefix="cretonode-", dir=beside))
        self.damage.begin()
        try:
            super().run()
            for disk in self.disks():
                for problem in disk.problems():
                    raise Violation(f"{disk.directory.path.name}: {problem}")
        finally:
            for disk in self.disks():
                disk.close()
            shutil.rmtree(self.real.path, ignore_errors=True)

    def disks(self) -> list[RealDisk]:
        """Return the real ones."""
        return [node.disk for node in self.world.nodes if isinstance(node.disk, RealDisk)]

    def acted(self) -> Counter[str]:
        """Return how often each fault of a disk did something."""
        return sum((disk.acted for disk in self.disks()), Counter[str]())

    def _heal(self) -> None:
        for disk in self.disks():
            disk.disarm()
        super()._heal()


def play_real(
    seed: int, steps: int = STEPS_MIN, *, traced: bool = False
) -> tuple[Outcome, Counter[str]]:
    """Play one seed over real disks; return what it did, and which faults of disks acted."""
    scenario = RealScenario(seed, steps)
    outcome = play(seed, scenario, traced=traced)
    return outcome, scenario.acted()
