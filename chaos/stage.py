"""The stage: a running cluster, a load on it and somebody who watches; kills and returns."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from chaos.evidence import ENVIRONMENT, accusing_metrics
from chaos.load import Load
from chaos.options import Options
from chaos.order import Order
from chaos.promises import Promises
from chaos.said import Said
from chaos.watch import Watch, until
from cretonode.cli.cluster import Cluster, NodeProcess, open_cluster
from cretonode.cli.layout import NodeFiles, make_testnet
from cretonode.core.committee import Parameters

LEVEL_SEQUENCES: Final = 8  # closer than this, a node asks for no ranges any more
RETURN_S: Final = 180.0  # from the start of a killed node to level
LEVEL_S: Final = 60.0  # for all nodes, after the load
LAST_BATCH_S: Final = 0.1  # before a kill: from not yet accepted to about final
FIRST_S: Final = 30.0  # from ready nodes to a first acknowledgement
LOAD_S_MAX: Final = 24 * 3_600.0


@dataclass(slots=True)
class Run:
    """What a scenario gets, and where it leaves what it found."""

    options: Options
    place: Path
    say: Callable[[str], None]
    promises: Promises = field(default_factory=Promises)
    figures: dict[str, object] = field(default_factory=dict)
    accusations: list[str] = field(default_factory=list)  # by metrics, of nodes then killed
    said: dict[str, Said] = field(default_factory=dict)  # of each node

    def __post_init__(self) -> None:
        self.chance = random.Random(self.options.seed)

    chance: random.Random = field(init=False)

    def part(self, name: str) -> "Run":
        """Return a run of its own, in a directory of its own, for one part of a scenario."""
        return Run(self.options, self.place / name, self.say)

    def make_network(self) -> list[NodeFiles]:
        """Write the files of a fresh network."""
        return make_testnet(
            self.place,
            size=self.options.whole("n"),
            chain_id="chaos",
            parameters=Parameters(dedup_window=self.options.whole("dedup")),
            profile=self.options.words["profile"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A node at the moment it was killed."""

    node: NodeProcess
    at_s: float
    final: int  # that it was last seen with
    led: bool
    view: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """How a killed node came back. Times are from the start of its process."""

    began_s: float
    level_at_s: float
    head: int  # the highest final sequence of the others when it was started
    first: int  # its own when it first answered
    answered_s: float
    ready_s: float
    reached_s: float  # it had what the others had when it was started
    level_s: float  # it had what they had then, but for LEVEL_SEQUENCES


@dataclass(slots=True)
class Stage:
    """One life of the cluster."""

    run: Run
    cluster: Cluster
    load: Load
    watch: Watch
    _watching: trio.CancelScope
    _nursery: trio.Nursery

    @property
    def nodes(self) -> list[NodeProcess]:
        """All nodes, down ones too."""
        return self.cluster.nodes

    async def kill(self, node: NodeProcess) -> Kill:
        """Kill -9, with a batch on its way into it; before that ask what only its memory holds."""
        self.run.accusations += await accusing_metrics([node])
        self._nursery.start_soon(self.load.send_batch_to, node)
        await trio.sleep(self.run.chance.uniform(0.0, LAST_BATCH_S))
        sight = self.watch.last(node)
        killed = Kill(
            node=node,
            at_s=trio.current_time(),
            final=sight.final if sight is not None else 0,
            led=self.watch.leader() is node,
            view=self.watch.view(),
        )
        node.kill()
        self.watch.forget(node)
        self.load.up.remove(node)
        return killed

    async def stop(self, nodes: Sequence[NodeProcess]) -> None:
        """Stop `nodes` in good order, all at once."""
        self.run.accusations += await accusing_metrics(nodes)
        for node in nodes:
            self.load.up.remove(node)
            node.ask_to_stop()
        for node in nodes:
            await node.wait_stopped()
            self.watch.forget(node)

    async def restart(self, node: NodeProcess) -> None:
        """Start a node that was killed or stopped."""
        await self.hear([node])  # its last words before the crash, and below its first after it
        node.start()

    async def bring_back(self, node: NodeProcess) -> Return:
        """Start a killed node, unless it was; return when it is level with the others.

        Raises: Overdue.
        """
        head = self.watch.head()
        began_s = trio.current_time()
        if node.process is None:
            await self.restart(node)
        name = f"{node.files.name} after its restart"
        at_s: dict[str, float] = {}
        first = 0

        def is_level() -> bool:
            nonlocal first
            sight = self.watch.last(node)
            if sight is None:
                return False
            if "answered" not in at_s:
                first = sight.final
            at_s.setdefault("answered", sight.at_s)
            if sight.ready and "ready" not in at_s:
                at_s["ready"] = sight.at_s
                if node not in self.load.up:
                    self.load.up.append(node)
            if sight.final >= head:
                at_s.setdefault("reached", sight.at_s)
            if self.watch.head(besides=node) - sight.final <= LEVEL_SEQUENCES:
                at_s.setdefault("level", sight.at_s)
            return len(at_s) == 4

        await until(is_level, limit_s=RETURN_S, what=f"{name}: level with the others")
        await self.hear([node])
        return Return(
            began_s=began_s,
            level_at_s=at_s["level"],
            head=head,
            first=first,
            answered_s=at_s["answered"] - began_s,
            ready_s=at_s["ready"] - began_s,
            reached_s=at_s["reached"] - began_s,
            level_s=at_s["level"] - began_s,
        )

    async def settle(self) -> int:
        """End the load; return the sequence at which every node is, with nothing under way."""
        self.load.stop()
        what = "an end of every batch after the load"
        await until(lambda: not self.load.under_way, limit_s=LEVEL_S, what=what)
        since_s = trio.current_time()
        finals: set[int] = set()

        def is_still() -> bool:
            nonlocal since_s, finals
            sights = [self.watch.last(node) for node in self.cluster.running]
            now = {sight.final if sight is not None else -1 for sight in sights}
            if now != finals or len(now) != 1:
                finals, since_s = now, trio.current_time()
            return trio.current_time() - since_s > 1.0

        await until(is_still, limit_s=LEVEL_S, what="all nodes at one sequence after the load")
        return finals.pop()

    async def hear(self, nodes: Sequence[NodeProcess]) -> None:
        """Read what `nodes` have in their vote journals now."""
        for node in nodes:
            said = self.run.said.setdefault(node.files.name, Said(node.files.name))
            await trio.to_thread.run_sync(said.read, node.files)

    def end_watch(self) -> None:
        """Nodes may end from now on."""
        self._watching.cancel()

    async def finish(self, order: Order) -> None:
        """Check what holds after every scenario: the order, the load, the metrics, the end."""
        await self.hear(self.nodes)  # a journal may rotate while the last sequences settle
        last = await self.settle()
        await order.read(self.nodes, last)
        self.run.promises.check_order(order, len(self.nodes))
        self.run.promises.check_load(self.load, order)
        await self.end()

    async def end(self) -> None:
        """Stop all nodes; check what they said and how they ended."""
        promises = self.run.promises
        self.run.accusations += await accusing_metrics(self.nodes)
        self.end_watch()
        codes = await self.cluster.stop()
        await self.hear(self.nodes)
        promises.check_said(list(self.run.said.values()))
        promises.check(
            "every node exits with 0 in the end",
            ", ".join(f"{name} {code}" for name, code in codes.items()),
            kept=not any(codes.values()),
        )


@asynccontextmanager
async def open_stage(
    run: Run,
    files: Sequence[NodeFiles],
    *,
    environment: Mapping[str, str] = ENVIRONMENT,
    programs: Mapping[str, Sequence[str]] | None = None,
    later: Sequence[str] = (),
    build: Callable[[Cluster], Awaitable[None]] | None = None,
) -> AsyncGenerator[Stage]:
    """Start nodes, load and watch; end them all on the way out.

    `programs`, `later`: see `open_cluster`. `build` comes before the load.
    """
    options = run.options
    async with open_cluster(
        files, environment=environment, programs=programs, later=later
    ) as cluster:
        if build is not None:
            await build(cluster)
        async with _open_on(run, cluster, options) as stage:
            yield stage


@asynccontextmanager
async def _open_on(run: Run, cluster: Cluster, options: Options) -> AsyncGenerator[Stage]:
    async with (
        Load(
            cluster.nodes,
            rate_per_s=options.numbers["rate"],
            batch=options.whole("batch"),
            transaction_bytes=options.whole("bytes"),
        ) as load,
        trio.open_nursery() as nursery,
    ):
        load.up = list(cluster.running)
        watch = Watch(cluster)
        watching = trio.CancelScope()
        stage = Stage(run, cluster, load, watch, watching, nursery)

        async def watch_until_cancelled() -> None:
            with watching:
                await watch.run()

        nursery.start_soon(watch_until_cancelled, name="watch")
        nursery.start_soon(load.run, LOAD_S_MAX, name="load")
        # Before the first fault everything works; else what follows would measure something else.
        await until(
            lambda: bool(load.acknowledged), limit_s=FIRST_S, what="a first transaction final"
        )
        yield stage
        nursery.cancel_scope.cancel()
