"""Watching where every node stands, some times a second, while nodes come and go."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Never

import trio

from cretonode.cli.cluster import Cluster, NodeProcess
from cretonode.client import AsyncClient, RetryPolicy, Timeouts, Unavailable, Unreachable
from cretonode.errors import CretoError

POLL_S: Final = 0.1
CHECK_S: Final = 0.02
TIMEOUTS: Final = Timeouts(connect_ms=500, answer_ms=2_000)


class Overdue(CretoError):
    """What was promised did not happen in its time."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A node as it was seen."""

    at_s: float
    final: int
    view: int
    leader: int
    ready: bool


class Watch:
    """Bound: one `Sight` for each change of a node's final sequence."""

    def __init__(self, cluster: Cluster) -> None:
        self.nodes = cluster.nodes
        self.late_s = 0.0  # how far the watch itself fell behind, at worst
        self.history: list[list[Sight]] = [[] for _ in self.nodes]
        self._last: list[Sight | None] = [None for _ in self.nodes]

    async def run(self) -> None:
        """Watch until cancelled. Raises: NodeStopped, when one ended that nobody ended."""
        async with trio.open_nursery() as nursery:
            for index, node in enumerate(self.nodes):
                nursery.start_soon(self._watch, index, node, name=f"watch {node.files.name}")

    def last(self, node: NodeProcess) -> Sight | None:
        """Return how `node` was last seen since it was started; None: not yet, or it is down."""
        return self._last[self.nodes.index(node)] if node.process is not None else None

    def final(self, node: NodeProcess) -> int:
        """Return the final sequence that `node` was last seen with; 0: not yet."""
        sight = self.last(node)
        return sight.final if sight is not None else 0

    def forget(self, node: NodeProcess) -> None:
        """Take what was seen of `node` for the past: it was just killed or started."""
        self._last[self.nodes.index(node)] = None

    def head(self, besides: NodeProcess | None = None) -> int:
        """Return the highest final sequence seen at any node that is up."""
        sights = [self.last(node) for node in self.nodes if node is not besides]
        return max((sight.final for sight in sights if sight is not None), default=0)

    def leader(self) -> NodeProcess:
        """Return the leader of the highest view seen. Only when all validators are watched."""
        return self.nodes[self.leader_index()]

    def leader_index(self) -> int:
        """Return which validator leads the highest view seen."""
        sights = [sight for node in self.nodes if (sight := self.last(node)) is not None]
        return max(sights, key=lambda sight: sight.view).leader

    def view(self) -> int:
        """Return the highest view seen at any node that is up."""
        sights = [self.last(node) for node in self.nodes]
        return max((sight.view for sight in sights if sight is not None), default=0)

    def longest_wait_s(self, nodes: Sequence[NodeProcess], from_s: float, to_s: float) -> float:
        """Return the longest time in which one of `nodes` finalized nothing."""
        longest = 0.0
        for node in nodes:
            times = [sight.at_s for sight in self.history[self.nodes.index(node)]]
            inside = [from_s, *(at_s for at_s in times if from_s < at_s < to_s), to_s]
            gaps = [after - before for before, after in pairwise(inside)]
            longest = max([longest, *gaps])
        return longest

    def worst_lag(self, node: NodeProcess, from_s: float, to_s: float) -> int:
        """Return by how many sequences `node` was behind the first of the others, at worst."""
        own = self.history[self.nodes.index(node)]
        times = [sight.at_s for sight in own]
        worst = 0
        for other in self.history:
            for sight in other:
                position = bisect_right(times, sight.at_s)
                if from_s <= sight.at_s <= to_s and position:
                    worst = max(worst, sight.final - own[position - 1].final)
        return worst

    async def _watch(self, index: int, node: NodeProcess) -> Never:
        async with AsyncClient(
            node.files.url, retries=RetryPolicy(attempts_max=1), timeouts=TIMEOUTS
        ) as client:
            while True:
                due_s = trio.current_time() + POLL_S
                await trio.sleep_until(due_s)
                self.late_s = max(self.late_s, trio.current_time() - due_s)
                await self._look(index, node, client)

    async def _look(self, index: int, node: NodeProcess, client: AsyncClient) -> None:
        node.check_runs()
        process = node.process
        if process is None:
            return
        try:
            status = await client.status()
        except (Unreachable, Unavailable):
            return
        if node.process is not process:
            return  # it was killed after it had answered
        sight = Sight(
            trio.current_time(), status.final, status.view, status.leader, ready=status.ready
        )
        self._last[index] = sight
        history = self.history[index]
        if not history or history[-1].final != sight.final:
            history.append(sight)


async def until(condition: Callable[[], bool], *, limit_s: float, what: str) -> None:
    """Return when `condition` holds. Raises: Overdue, after `limit_s`."""
    with trio.move_on_after(limit_s):
        while not condition():  # noqa: ASYNC110  nothing in this process tells us
            await trio.sleep(CHECK_S)
        return
    raise Overdue(f"{what}: not within {limit_s:.0f} s")
