"""A seed becomes a scenario: a committee, a load, a fault mix; then healing and the last oracle."""

import random
from dataclasses import dataclass
from time import process_time

from cretonode.core.committee import Committee, Parameters, faults_of, quorum_of
from cretonode.core.state import Timing
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import ChainId, Incarnation, TransactionId, ValidatorIndex, VertexHash
from tests.simulation.oracles import Oracles, Violation
from tests.simulation.world import START_MS, Node, World

HEALED_MS_MAX = 60_000  # within this everything must be final everywhere once links work


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one seed did."""

    seed: int
    violation: str | None
    steps: int
    simulated_ms: int
    sequences: int
    transactions: int
    views: int
    cpu_s: float
    trace_hash: str
    trace: tuple[str, ...]


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


class Scenario:
    """One seed's world and its plan."""

    def __init__(self, seed: int, *, steps_min: int = 0) -> None:
        self.seed = seed
        rng = random.Random(seed)
        self.rng = rng
        self.size = rng.choice((1, 2, 3, 4, 4, 4, 4, 7))
        self.duration_ms = rng.choice((5_000, 10_000, 20_000)) + steps_min
        timing = Timing(
            view_change_timeout_ms=rng.choice((500, 1_000, 3_000)),
            slot_interval_ms=rng.choice((5, 20, 60)),
        )
        committee = committee_of(self.size)
        oracles = Oracles(committee.parameters.dedup_window)
        self.world = World(committee, timing, random.Random(seed ^ 0x5EED), oracles)
        self.world.trace = []
        faults = faults_of(self.size)
        self.twins = faults if rng.random() < 0.5 else 0
        self.crashes_max = self.size - quorum_of(self.size) - self.twins
        self.submitted = 0

    def run(self) -> None:
        """Play the plan, heal, and check that everything settles."""
        self._populate()
        self._plan_load()
        self._plan_faults()
        world = self.world
        world.run_until(START_MS + self.duration_ms)
        self._heal()
        settled = world.run_until(world.now_ms + HEALED_MS_MAX, self._settled)
        if not settled:
            raise Violation(f"not settled {HEALED_MS_MAX} ms after healing: {self._standing()}")

    def _populate(self) -> None:
        first_leaders = self.rng.random() < 0.5
        twins = (
            range(self.twins) if first_leaders else self.rng.sample(range(self.size), self.twins)
        )
        for i in range(self.size):
            twin = i in twins
            self.world.add_node(f"n{i}", ValidatorIndex(i), honest=not twin)
            if twin:
                self.world.add_node(f"n{i}b", ValidatorIndex(i), honest=False)
        for link in self.world.links.values():
            link.delay_ms = self.rng.choice((1, 2, 10, 40))
            link.jitter_ms = self.rng.choice((0, 2, 20))
            link.loss = self.rng.choice((0.0, 0.0, 0.01, 0.1))
            link.duplicate = self.rng.choice((0.0, 0.0, 0.05))
        for node in self.world.nodes:
            self.world.start(node)

    # --- load

    def _plan_load(self) -> None:
        rate_ms = self.rng.choice((20, 50, 200, 1_000))
        for at in range(0, self.duration_ms, rate_ms):
            self.world.later(at + self.rng.randint(0, rate_ms), self._submit)

    def _submit(self) -> None:
        count = self.rng.choice((1, 1, 5, 30))
        transactions = [b"tx%d" % (self.submitted + i) for i in range(count)]
        self.submitted += count
        copies = 2 if self.rng.random() < 0.2 else 1
        for node in self.rng.sample(self.world.nodes, min(copies, len(self.world.nodes))):
            self.world.submit(node, transactions)
        if self.submitted > 20 and self.rng.random() < 0.1:
            again = [b"tx%d" % self.rng.randrange(self.submitted)]
            self.world.submit(self.rng.choice(self.world.nodes), again)

    # --- faults

    def _plan_faults(self) -> None:
        rng = self.rng
        for _ in range(rng.choice((0, 1, 2, 6))):
            self.world.later(rng.randrange(self.duration_ms), self._crash_one)
        if rng.random() < 0.15:
            self.world.later(rng.randrange(self.duration_ms), self._power_cut)
        for _ in range(rng.choice((0, 0, 1, 3))):
            self.world.later(rng.randrange(self.duration_ms), self._split)
        if self.twins:
            interval_ms = rng.choice((200, 700, 2_000))
            for at in range(interval_ms, self.duration_ms, interval_ms):
                self.world.later(at, self._split_twins)

    def _crash_one(self) -> None:
        """Crash a node when the plan allows one more to be down; restart it later."""
        down = sum(node.replica is None for node in self.world.nodes)
        up = [node for node in self.world.nodes if node.replica is not None and node.honest]
        if down < max(1, self.crashes_max) and up:
            node = self.rng.choice(up)
            self.world.crash(node)
            self.world.later(self.rng.choice((1, 50, 500, 3_000)), lambda: self._restart(node))

    def _power_cut(self) -> None:
        """Everybody loses power at once."""
        for node in self.world.nodes:
            if node.replica is not None:
                self.world.crash(node)
                self.world.later(self.rng.randint(10, 2_000), lambda n=node: self._restart(n))

    def _restart(self, node: Node) -> None:
        if node.replica is None:
            self.world.start(node)

    def _split(self) -> None:
        names = [node.name for node in self.world.nodes]
        self.rng.shuffle(names)
        cut = self.rng.randint(0, len(names))
        self.world.split([set(names[:cut]), set(names[cut:])])
        self.world.later(self.rng.choice((200, 1_000, 4_000)), self._join)

    def _split_twins(self) -> None:
        """Let each twin talk to its own part of the others, parts and losses drawn anew."""
        loss = self.rng.choice((0.0, 0.3, 0.6))
        for node in self.world.nodes:
            if node.honest:
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

    # --- the end

    def _heal(self) -> None:
        """Links work, everybody honest runs, and the malicious say nothing more."""
        world = self.world
        world.note("healing")
        for node in [n for n in world.nodes if not n.honest]:
            if node.replica is not None:
                world.crash(node)
            for other in world.nodes:
                if other is not node:
                    world.set_link(node.name, other.name, up=False)
        for node in world.nodes:
            if node.honest and node.replica is None:
                world.start(node)
        for (a, b), link in world.links.items():
            link.loss = link.duplicate = 0.0
            if world.node(a).honest and world.node(b).honest:
                world.set_link(a, b, up=True)
        # One more transaction: finality must go on, not only come to rest.
        last = next(node for node in world.nodes if node.honest)
        world.later(1_000, lambda: world.submit(last, [b"last"]))
        self.last = TransactionId(hash_of(b"last"))

    def _settled(self) -> bool:
        """Every acknowledged transaction is executed and all honest nodes stand alike."""
        oracles = self.world.oracles
        honest = [node for node in self.world.nodes if node.honest]
        if any(node.replica is None for node in honest):
            return False  # somebody planned to restart is still down
        finals = {n.replica.state.final for n in honest if n.replica is not None}
        return (
            self.last in oracles.executed
            and len(finals) == 1
            and self.world.acknowledged <= oracles.executed.keys()
        )

    def _standing(self) -> str:
        lacking = len(self.world.acknowledged - self.world.oracles.executed.keys())
        where = [
            f"{n.name}: view {n.replica.state.view} open {n.replica.state.base is not None} "
            f"final {n.replica.state.final}"
            for n in self.world.nodes
            if n.replica is not None
        ]
        return f"{lacking} acknowledged transactions lack; {'; '.join(where)}"


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "?"


def play(seed: int, scenario: Scenario | None = None) -> Outcome:
    """Run one seed to its end and report."""
    began = process_time()
    scenario = scenario or Scenario(seed)
    world = scenario.world
    violation = None
    try:
        scenario.run()
    except Violation as error:
        violation = str(error)
    except Exception as error:  # a bug is a violation too: the seed must be named
        violation = f"{type(error).__name__}: {error} at {_place(error)}"
    trace = tuple(world.trace or ())
    return Outcome(
        seed=seed,
        violation=violation,
        steps=world.steps,
        simulated_ms=world.now_ms - START_MS,
        sequences=len(world.oracles.order),
        transactions=len(world.oracles.executed),
        views=world.views_entered,
        cpu_s=process_time() - began,
        trace_hash=hash_of("\n".join(trace).encode()).hex()[:16],
        trace=trace,
    )
