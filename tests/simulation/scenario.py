"""A seed becomes a scenario: a committee, a load, a fault mix; then healing and the last oracle."""

import gc
import random
from dataclasses import dataclass
from time import process_time
from typing import Final

from cretonode.core.committee import Committee, Parameters, faults_of, quorum_of
from cretonode.core.state import Timing
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import (
    ChainId,
    Incarnation,
    SequenceNumber,
    TransactionId,
    ValidatorIndex,
    VertexHash,
)
from tests.simulation import health, marks
from tests.simulation.amnesia import SALT, EarlyReturn
from tests.simulation.byzantine import EVERY
from tests.simulation.byzantine.behaviour import Behaviour, S, Setting
from tests.simulation.clockwork import START_MS
from tests.simulation.faults import Faults
from tests.simulation.health import Health
from tests.simulation.nodes import Node
from tests.simulation.oracles import Oracles, Violation
from tests.simulation.schemes import SecondBase, SlowTurns
from tests.simulation.world import World

STEPS_MIN = 20_000
VIEW_CHANGES_MIN = 2
STORM_MS_MAX = 3_600_000  # an hour of virtual time is enough for anything
HEALED_MS_MAX = 60_000  # within this everything must be final everywhere once links work
IN_TURN_EACH, IN_TURN = 8, 3  # of so many seeds, this one loses all its journals in turn
LOSING = (3, 4, 7)  # validators of such a seed
# Each way back takes two views, so two sequences: those of 3 or 4 fit between two checkpoints. A
# seed is mostly longer than two windows, beyond which votes for checkpoints are not kept.
SPARSE: Final = Parameters(checkpoint_interval=16, window=32, dedup_window=32)
SIZES = (3, 4, 4, 4, 4, 4, 7, 7, 7, 10)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one seed did."""

    seed: int
    violation: str | None
    is_finding: bool  # an oracle said so; else the run itself broke
    steps: int
    simulated_ms: int
    sequences: int
    transactions: int
    view_changes: int  # views after the first that were opened at an honest node
    cpu_s: float
    trace_hash: str
    trace: tuple[str, ...]
    acts: dict[str, int]  # of each behaviour in this seed
    marks: dict[str, int]  # branches that honest replicas ran into


def committee_of(size: int, parameters: Parameters | None = None) -> Committee:
    """Return a committee for tests."""
    return Committee(
        chain_id=ChainId("simulation"),
        size=size,
        genesis=VertexHash(hash_of(b"genesis")),
        validator_set=hash_of(b"validators"),
        parameters=parameters or Parameters(window=16, checkpoint_interval=8, dedup_window=512),
        incarnations=(Incarnation(0),) * size,
    )


def draw_parameters(rng: random.Random) -> Parameters:
    """Return what genesis fixes; small windows are hit often."""
    interval = rng.choice((2, 4, 8))
    window = interval * rng.choice((2, 2, 3))
    dedup = rng.choice((window, 2 * window, 512))
    return Parameters(window=window, checkpoint_interval=interval, dedup_window=dedup)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a test wants of every seed; what is None is drawn."""

    steps: int = STEPS_MIN  # of all cores together, before healing
    view_changes: int = VIEW_CHANGES_MIN  # likewise; committees of one or two have none
    size: int | None = None
    liars: tuple[str, ...] | None = None  # names of behaviours, one for each malicious validator
    faults: tuple[str, ...] | None = None  # kinds of faults
    in_turn: bool | None = None  # every node loses its journal in the end; then all are honest


class Scenario:
    """One seed's world and its plan."""

    def __init__(self, seed: int, wish: Wish | None = None) -> None:
        self.seed = seed
        self.wish = wish = wish or Wish()
        rng = random.Random(seed)
        self.rng = rng
        self.size = wish.size or rng.choice(SIZES)
        self.slow = rng.random() < 0.1  # a round trip takes about as long as the timeout
        timing = Timing(
            finality_timeout_ms=150 if seed % 4 == 0 else 500,  # leaders count as slow sooner
            view_change_timeout_ms=300 if self.slow else rng.choice((500, 1_000, 3_000)),
            slot_interval_ms=rng.choice((5, 20, 60)),
        )
        parameters = draw_parameters(rng)
        unwished = wish.liars is None and self.size in LOSING and seed % IN_TURN_EACH == IN_TURN
        self.in_turn = unwished if wish.in_turn is None else wish.in_turn
        committee = committee_of(self.size, SPARSE if self.in_turn else parameters)
        oracles = Oracles(committee.parameters.dedup_window)
        self.world = World(committee, timing, random.Random(seed ^ 0x5EED), oracles)
        mode = rng.choice(("honest", "twins", "liars", "liars", "liars"))
        if self.in_turn:
            mode = "honest"
        faults = faults_of(self.size)
        self.twins = faults if mode == "twins" and wish.liars is None else 0
        # By turns, so that a run of some length meets every one.
        names = sorted(EVERY)
        drawn = tuple(names[(seed + 5 * i) % len(names)] for i in range(faults))
        unwished = drawn if mode == "liars" else ()
        self.liars = unwished if wish.liars is None else wish.liars
        malicious = self.twins + len(self.liars)
        self.faults = Faults(
            self.world,
            rng,
            crashes_max=self.size - quorum_of(self.size) - malicious,
            amnesiacs_max=max(0, faults - malicious),
            deposes=self.size > 1,
            wished=wish.faults,
            drifts=not self.in_turn,
        )
        self.submitted = 0
        self.submits = True

    def run(self) -> None:
        """Play until enough has happened, heal, and check that everything settles."""
        self._populate()
        world = self.world
        self.load_ms = self.rng.choice((20, 50, 200))
        world.later(0, self._load)
        self.faults.begin()
        self._scheme()
        world.run_until(START_MS + STORM_MS_MAX, self._has_seen_enough)
        self._heal()
        settled = world.run_until(world.now_ms + HEALED_MS_MAX, self._settled)
        if not settled:
            raise Violation(f"not settled {HEALED_MS_MAX} ms after healing: {self._standing()}")
        if self.size > 2 and all(node.honest and node.has_true_clock for node in world.nodes):
            own = random.Random(self.seed ^ health.SALT)
            Health(world, own).check(in_turn=self.in_turn)

    def _scheme(self) -> None:
        """Let happen what some liars wait for."""
        lost = random.Random(self.seed ^ SALT)
        names = {name for name, _ in self.behaving}
        for name, node in self.behaving:
            # An amnesiac beside liars that do worse would be one fault too many.
            if name == "attests low" and names == {name}:
                EarlyReturn(self.world, lost, node.me, lambda: self.faults.over).plan()
            elif name == "base to one" and self.size == SecondBase.SIZE:
                SecondBase(self.world, lost, node, lambda: self.faults.over).plan()
            elif name == "leads slowly":
                SlowTurns(self.world, self.faults, node).plan()

    def _has_seen_enough(self) -> bool:
        changes = self.wish.view_changes if self.size > 2 else 0
        return self.world.steps >= self.wish.steps and self.view_changes >= changes

    @property
    def view_changes(self) -> int:
        """How many views after the first were opened at an honest node."""
        return len(self.world.oracles.opened)

    def acts(self) -> dict[str, int]:
        """Return how often each behaviour of this seed did what no honest validator does."""
        found: dict[str, int] = {}
        for name, node in self.behaving:
            assert node.behaviour is not None
            found[name] = found.get(name, 0) + node.behaviour.acts
        return found

    def _populate(self) -> None:
        malicious = self.twins + len(self.liars)
        first_leaders = self.rng.random() < 0.5
        chosen = (
            list(range(malicious))
            if first_leaders
            else self.rng.sample(range(self.size), malicious)
        )
        self.world.oracles.malicious = {ValidatorIndex(i) for i in chosen}
        self.behaving: list[tuple[str, Node]] = []
        for i in range(self.size):
            node = self.world.add_node(f"n{i}", ValidatorIndex(i), honest=i not in chosen)
            if i in chosen and self.twins:
                self.world.add_node(f"n{i}b", ValidatorIndex(i), honest=False)
            elif i in chosen:
                name = self.liars[chosen.index(i)]
                node.behaviour = self._behaviour(name, ValidatorIndex(i))
                self.behaving.append((name, node))
        for link in self.world.links.values():
            link.delay_ms = self.rng.choice((100, 120, 150) if self.slow else (1, 2, 10, 40))
            link.jitter_ms = self.rng.choice((0, 2, 20))
            link.loss = self.rng.choice((0.0, 0.0, 0.01, 0.1))
            link.duplicate = self.rng.choice((0.0, 0.0, 0.05))
        for node in self.world.nodes:
            self.world.start(node)

    def _behaviour(self, name: str, me: ValidatorIndex) -> Behaviour:
        world = self.world

        def sign(statement: S) -> S:
            return world.sign_as(me, statement)

        setting = Setting(
            committee=world.committee,
            me=me,
            sign=sign,
            rng=random.Random(self.rng.getrandbits(32)),
            timeout_ms=world.timing.view_change_timeout_ms,
        )
        return EVERY[name](setting)

    # --- load

    def _load(self) -> None:
        if self.submits:
            self._submit()
            self.world.later(self.rng.randint(1, 2 * self.load_ms), self._load)

    def _submit(self) -> None:
        count = self.rng.choice((1, 1, 3, 12))
        transactions = [b"tx%d" % (self.submitted + i) for i in range(count)]
        self.submitted += count
        copies = 2 if self.rng.random() < 0.2 else 1
        for node in self.rng.sample(self.world.nodes, min(copies, len(self.world.nodes))):
            self.world.submit(node, transactions)
        if self.submitted > 20 and self.rng.random() < 0.1:
            again = [b"tx%d" % self.rng.randrange(self.submitted)]
            self.world.submit(self.rng.choice(self.world.nodes), again)

    # --- the end

    def _heal(self) -> None:
        """Links work and everybody runs. Twins say nothing more, liars go on."""
        world = self.world
        world.note("healing")
        self.faults.end()
        self.submits = False
        twins = [node for node in world.nodes if not node.honest and node.behaviour is None]
        for node in twins:
            if node.replica is not None:
                world.crash(node)
            node.retired = True
            for other in world.nodes:
                if other is not node:
                    world.set_link(node.name, other.name, up=False)
        for node in world.nodes:
            node.paused_until_ms = min(node.paused_until_ms, world.now_ms)
            node.disk.room = None
            node.fuse = None
            world.restart(node)
        for (a, b), link in world.links.items():
            link.loss = link.duplicate = 0.0
            link.commits = True
            if world.node(a) not in twins and world.node(b) not in twins:
                world.set_link(a, b, up=True)
        # One more transaction: finality must go on, not only come to rest.
        last = next(node for node in world.nodes if node.honest)
        world.later(1_000, lambda: world.submit(last, [b"last"]))
        self.last = TransactionId(hash_of(b"last"))
        self.target: SequenceNumber | None = None

    def _settled(self) -> bool:
        """Every acknowledged transaction is executed, and all honest nodes got as far."""
        oracles = self.world.oracles
        honest = [node for node in self.world.nodes if node.honest]
        if any(node.replica is None for node in honest):
            return False  # somebody planned to restart is still down
        if any(n.replica.state.amnesiac for n in honest if n.replica is not None):
            return False
        if self.target is None:
            executed = oracles.executed.keys()
            if self.last not in executed or not self.world.acknowledged <= executed:
                return False
            self.target = max(oracles.order)
        finals = (n.replica.state.final for n in honest if n.replica is not None)
        return min(finals) >= self.target

    def _standing(self) -> str:
        lacking = len(self.world.acknowledged - self.world.oracles.executed.keys())
        where = [
            f"{n.name}: view {n.replica.state.view} open {n.replica.state.base is not None} "
            f"final {n.replica.state.final}{' amnesiac' * n.replica.state.amnesiac}"
            for n in self.world.nodes
            if n.replica is not None
        ]
        return f"{lacking} acknowledged transactions lack; {'; '.join(where)}"


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "?"


def play(seed: int, scenario: Scenario | None = None, *, traced: bool = False) -> Outcome:
    """Run one seed to its end and report."""
    marks.listen()
    marks.take()
    began = process_time()
    scenario = scenario or Scenario(seed)
    world = scenario.world
    world.trace = [] if traced else None
    violation, is_finding = None, False
    collects = gc.isenabled()
    gc.disable()  # a world is one heap that dies as a whole
    try:
        scenario.run()
    except Violation as error:
        violation, is_finding = str(error), True
    except Exception as error:  # a bug is a violation too: the seed must be named
        violation = f"{type(error).__name__}: {error} at {_place(error)}"
    if collects:
        gc.enable()
    return Outcome(
        seed=seed,
        violation=violation,
        is_finding=is_finding,
        steps=world.steps,
        simulated_ms=world.now_ms - START_MS,
        sequences=len(world.oracles.order),
        transactions=len(world.oracles.executed),
        view_changes=scenario.view_changes,
        cpu_s=process_time() - began,
        trace_hash=f"{world.fingerprint:016x}",
        trace=tuple(world.trace or ()),
        acts=scenario.acts(),
        marks=marks.take(),
    )
