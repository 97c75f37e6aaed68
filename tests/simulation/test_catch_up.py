"""A whole network with somebody who is far behind, and servers that fail it. SPEC C9.

Seven validators, two of them bad: the one asked first lies, the next one stalls or trickles.
"""

import random
from collections import Counter

import pytest

from cretonode.core.committee import Parameters
from cretonode.core.effects import Effect, Reason, Refuse, Send
from cretonode.core.messages import FetchSlots, FetchVertices
from cretonode.core.state import Timing
from cretonode.identifiers import SequenceNumber, ValidatorIndex
from tests.simulation.byzantine import BEHAVIOURS
from tests.simulation.byzantine.behaviour import S, Setting
from tests.simulation.nodes import START_MS, Node
from tests.simulation.oracles import Oracles
from tests.simulation.scenario import committee_of
from tests.simulation.world import World

SIZE = 7
PARAMETERS = Parameters(window=16, checkpoint_interval=8, dedup_window=512)
LEVEL_MS_MAX = 30_000


class Watched(World):
    """A world that notes what the newcomer asks and refuses."""

    def __init__(self, seed: int, oracles: Oracles) -> None:
        """Begin without nodes."""
        timing = Timing(slot_interval_ms=5, view_change_timeout_ms=1_000)
        super().__init__(committee_of(SIZE, PARAMETERS), timing, random.Random(seed), oracles)
        self.newcomer = ""
        self.asked: Counter[tuple[int, str]] = Counter()
        self.firsts: list[SequenceNumber] = []
        self.refused: Counter[tuple[int, Reason]] = Counter()

    def _do(self, node: Node, effect: Effect) -> None:
        if node.name == self.newcomer:
            match effect:
                case Send(peer, FetchSlots() as request):
                    self.asked[(peer, "range")] += 1
                    self.firsts.append(request.first)
                case Send(peer, FetchVertices()):
                    self.asked[(peer, "vertices")] += 1
                case Refuse(peer, reason):
                    self.refused[(peer, reason)] += 1
                case _:
                    pass
        World._do(self, node, effect)


class Chain:
    """All but the last validator make a chain; then the last one starts, empty."""

    def __init__(self, seed: int, liars: dict[int, str], *, sequences: int = 80) -> None:
        oracles = Oracles(PARAMETERS.dedup_window)
        self.world = Watched(seed, oracles)
        self.submitted = 0
        self.liars = liars
        for i in range(SIZE):
            node = self.world.add_node(f"n{i}", ValidatorIndex(i), honest=i not in liars)
            if i in liars:
                node.behaviour = self._behaviour(liars[i], ValidatorIndex(i), seed)
        self.newcomer = self.world.nodes[-1]
        self.world.newcomer = self.newcomer.name
        for node in self.world.nodes[:-1]:
            self.world.start(node)
        self._load()
        grown = self.world.run_until(
            START_MS + 120_000, lambda: max(oracles.order, default=0) >= sequences
        )
        assert grown, "the chain does not grow"

    @property
    def head(self) -> int:
        return max(self.world.oracles.order)

    @property
    def final(self) -> int:
        replica = self.newcomer.replica
        return replica.state.final if replica is not None else 0

    def join(self, *, until: int | None = None) -> None:
        """Start the newcomer; return when it has what the others had, or `until`."""
        goal = until or self.head
        self.world.start(self.newcomer)
        level = self.world.run_until(self.world.now_ms + LEVEL_MS_MAX, lambda: self.final >= goal)
        assert level, f"at {self.final} of {goal}: {self.world.asked} {self.world.refused}"

    def _load(self) -> None:
        self.submitted += 1
        node = self.world.nodes[self.submitted % (SIZE - 1)]
        self.world.submit(node, [b"tx%d" % self.submitted])
        self.world.later(15, self._load)

    def _behaviour(self, name: str, me: ValidatorIndex, seed: int):  # type: ignore[no-untyped-def]
        world = self.world

        def sign(statement: S) -> S:
            return world.sign_as(me, statement)

        behaviour = BEHAVIOURS[name](
            Setting(
                committee=world.committee,
                me=me,
                sign=sign,
                rng=random.Random(seed + me),
                timeout_ms=world.timing.view_change_timeout_ms,
            )
        )
        behaviour.rate = 1.0
        return behaviour


@pytest.mark.parametrize("seed", range(1))
@pytest.mark.parametrize(
    "liars",
    [
        {0: "lies in ranges", 1: "stalls"},
        {0: "stalls", 1: "trickles"},
        {0: "lies about height", 1: "lies in ranges"},
    ],
    ids=["lies and stalls", "stalls and trickles", "two liars"],
)
def test_an_empty_node_joins_although_who_it_asks_first_fails_it(
    seed: int, liars: dict[int, str]
) -> None:
    """SPEC C9: without trusting any single peer, while the chain grows."""
    chain = Chain(seed, liars)
    goal = chain.head
    chain.join()
    honest = [p for p in range(SIZE - 1) if p not in liars]
    assert sum(chain.world.asked[(p, "vertices")] > 0 for p in honest) > 1, "several at once"
    assert all(peer in liars for peer, reason in chain.world.refused if reason in LIES)
    assert chain.head >= goal
    node = chain.newcomer.replica
    assert node is not None
    assert node.state.low > 0, "checkpoints became stable on the way"


LIES = (Reason.INVALID_RANGE, Reason.TOO_SLOW)


def test_every_way_to_fail_is_met() -> None:
    """The branches above ran: a lie was seen through, a stall and a trickle were given up."""
    met: Counter[tuple[str, Reason]] = Counter()
    for liars in ({0: "lies in ranges", 1: "stalls"}, {1: "trickles", 2: "stalls"}):
        chain = Chain(0, liars)
        chain.join()
        for (peer, reason), count in chain.world.refused.items():
            if peer in liars:
                met[(liars[peer], reason)] += count
    assert met[("lies in ranges", Reason.INVALID_RANGE)]
    assert met[("stalls", Reason.TOO_SLOW)]
    assert met[("trickles", Reason.TOO_SLOW)]


@pytest.mark.parametrize("seed", range(1))
def test_an_interrupted_newcomer_goes_on_where_it_was(seed: int) -> None:
    """SPEC C8, C9: what is final on its disk is not asked for again."""
    chain = Chain(seed, {0: "lies in ranges", 1: "stalls"}, sequences=100)
    chain.join(until=30)
    chain.world.crash(chain.newcomer)
    kept = max(chain.newcomer.disk.tables.sequences, default=0)
    assert kept, "something was on the disk"
    chain.world.firsts.clear()
    chain.join()
    assert min(chain.world.firsts) > kept


@pytest.mark.parametrize("seed", range(1))
def test_who_is_behind_moves_no_view_and_proposes_nothing(seed: int) -> None:
    """It is behind, not the leader."""
    chain = Chain(seed, {0: "lies in ranges", 1: "stalls"})
    view = max(n.replica.state.view for n in chain.world.nodes[:-1] if n.replica is not None)
    chain.join()
    own = [v for v in chain.newcomer.disk.tables.vertices.values() if v.author == SIZE - 1]
    assert not own
    after = max(n.replica.state.view for n in chain.world.nodes[:-1] if n.replica is not None)
    assert after == view, "nobody followed it"
