"""`just chaos join`: a node that never ran joins a long chain, with an empty directory.

All but the last node build a chain as fast as they take transactions. Then the load goes on at its
rate, the last one starts, and has to fetch and verify everything while the chain grows.
"""

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import trio

from bench.load import random_transactions
from bench.processes import cpu_s
from chaos.evidence import Testimony, read_log
from chaos.kill import load_figures
from chaos.stage import LEVEL_SEQUENCES, Run, Stage, open_stage
from chaos.watch import until
from cretonode.cli.cluster import Cluster, NodeProcess
from cretonode.client import AsyncClient, RetryPolicy, Unavailable, Unreachable
from cretonode.node.progress import UNREADY_SEQUENCES

BUILDERS: Final = 4  # requests at a time, to each node
BUILD_PAUSE_S: Final = 0.05  # after a node has taken as much as it may hold
BUILD_S_MAX: Final = 3_600.0
JOIN_S_MAX: Final = 600.0
POLL_S: Final = 0.1
JUDGED_TRANSACTIONS: Final = 300_000  # a shorter chain is fetched while the process starts
RATIO_MIN: Final = 5.0  # of catching up to what the chain grows by: SPEC C9 and the bar we set


@dataclass(frozen=True, slots=True)
class Point:
    """How far the node that joins was."""

    at_s: float
    final: int
    transactions: int


@dataclass(slots=True)
class Joining:
    """What is measured while the node joins."""

    node: NodeProcess
    began_s: float = 0.0
    points: list[Point] = field(default_factory=list)
    head_at_start: int = 0
    transactions_at_start: int = 0
    level_s: float = 0.0
    grown: int = 0  # transactions, from its start until it was level
    peak_rss_mb: float = 0.0
    reports: int = 0  # of its progress, in its status
    cpu_s: dict[str, float] = field(default_factory=dict)  # of each node, meanwhile


async def join(run: Run) -> None:
    """Play the scenario."""
    numbers = run.options.numbers
    files = run.make_network()
    newcomer = files[-1].name
    kinds = run.options.words["servers"].split(",")
    programs = {
        each.name: ("-m", "chaos.bad_server", kind)
        for each, kind in zip(files, kinds, strict=False)
        if kind != "honest"
    }
    built_s = 0.0

    async def build(cluster: Cluster) -> None:
        nonlocal built_s
        built_s = await build_chain(run, cluster)

    async with open_stage(run, files, programs=programs, later=[newcomer], build=build) as stage:
        await trio.sleep(numbers["settle"])
        joining = await bring_in(run, stage, stage.nodes[-1])
        await trio.sleep(numbers["tail"])
        ended_s = trio.current_time()
        last = await stage.settle()
        await _check_order(run, stage, last)
        joining.peak_rss_mb = _peak_rss_mb(joining.node)
        await stage.end()
    liars = {place for place, kind in enumerate(kinds) if kind in ("lies", "cuts")}
    _check_testimony(run, [read_log(node.files) for node in stage.nodes], liars)
    _measure(run, stage, joining, built_s, ended_s)


async def build_chain(run: Run, cluster: Cluster) -> float:
    """Let the running nodes order `transactions`; return how many seconds that took."""
    goal = run.options.whole("transactions")
    size = run.options.whole("building")
    began_s = trio.current_time()
    requests = count(0, size)

    async def submit(node: NodeProcess) -> None:
        async with AsyncClient(node.files.url) as client:
            while next(requests) < goal:
                batch = random_transactions(size, run.options.whole("bytes"))
                while True:
                    try:
                        await client.submit(batch)
                        break
                    except Unavailable:
                        await trio.sleep(BUILD_PAUSE_S)

    async with trio.open_nursery() as nursery:
        for node in cluster.running:
            for _ in range(BUILDERS):
                nursery.start_soon(submit, node)
    async with AsyncClient(cluster.running[0].files.url) as client:
        with trio.fail_after(BUILD_S_MAX):
            while (await client.status()).executed_transactions < goal:  # noqa: ASYNC110
                await trio.sleep(POLL_S)
    seconds = trio.current_time() - began_s
    run.say(f"{goal} transactions are final after {seconds:.0f} s")
    return seconds


def _cpu_s(stage: Stage) -> dict[str, float]:
    return {
        each.files.name: cpu_s(each.process.pid)
        for each in stage.cluster.running
        if each.process is not None
    }


async def bring_in(run: Run, stage: Stage, node: NodeProcess) -> Joining:
    """Start the node that never ran; return when it is level with the others. Raises: Overdue."""
    joining = Joining(node)
    others = stage.cluster.running[0]
    async with AsyncClient(others.files.url) as client:
        before = await client.status()
        joining.head_at_start = before.final
        joining.transactions_at_start = before.executed_transactions
        cpu_before_s = _cpu_s(stage)
        joining.began_s = trio.current_time()
        node.start()
        run.say(f"{node.files.name} starts; the others are at sequence {before.final}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_follow, joining)

            def is_level() -> bool:
                sight = stage.watch.last(node)
                return (
                    sight is not None
                    and sight.final >= joining.head_at_start
                    and stage.watch.head(besides=node) - sight.final <= LEVEL_SEQUENCES
                )

            name = f"{node.files.name}: level with the others"
            await until(is_level, limit_s=JOIN_S_MAX, what=name)
            nursery.cancel_scope.cancel()
        joining.level_s = trio.current_time() - joining.began_s
        joining.cpu_s = {
            name: used_s - cpu_before_s.get(name, 0.0) for name, used_s in _cpu_s(stage).items()
        }
        after = await client.status()
        joining.grown = after.executed_transactions - before.executed_transactions
    stage.load.up.append(node)
    run.say(f"{node.files.name} is level after {joining.level_s:.1f} s")
    return joining


async def _follow(joining: Joining) -> None:
    """Note how far the node is, some times a second."""
    url = joining.node.files.url
    async with AsyncClient(url, retries=RetryPolicy(attempts_max=1)) as client:
        while True:
            try:
                status = await client.status()
            except (Unreachable, Unavailable):
                await trio.sleep(POLL_S)
                continue
            point = Point(trio.current_time(), status.final, status.executed_transactions)
            joining.points.append(point)
            joining.reports += "catching up" in status.reason
            await trio.sleep(POLL_S)


async def _check_order(run: Run, stage: Stage, last: int) -> None:
    """One log root stands for the whole order before it, and for what was skipped."""
    roots: dict[str, str] = {}
    executed: dict[str, int] = {}
    for node in stage.nodes:
        async with AsyncClient(node.files.url) as client:
            page = await client.finalized(last, 1)
            roots[node.files.name] = page.sequences[0].log_root.hex()
            executed[node.files.name] = (await client.status()).executed_transactions
    run.promises.check(
        "every node has the same order",
        f"log root {next(iter(roots.values()))[:16]} at sequence {last} on {len(roots)} nodes"
        if len(set(roots.values())) == 1
        else str(roots),
        kept=len(set(roots.values())) == 1,
    )
    run.promises.check(
        "the newcomer executed what the others did, each transaction once",
        ", ".join(f"{name} {number}" for name, number in executed.items()),
        kept=len(set(executed.values())) == 1,
    )


def _check_testimony(run: Run, testimony: list[Testimony], liars: set[int]) -> None:
    """Servers that lie about ranges are accused of it, and nobody else of anything."""
    if not liars:
        run.promises.check_testimony(testimony, run.accusations)
        return
    accused = {author for each in testimony for author in each.accused}
    run.promises.check(
        "no honest node is accused",
        f"accused are the validators {sorted(accused)}; {sorted(liars)} lie",
        kept=accused <= liars,
    )
    run.promises.check_logs(testimony)


def _measure(run: Run, stage: Stage, joining: Joining, built_s: float, ended_s: float) -> None:
    first = next((p for p in joining.points), None)
    there = next((p for p in joining.points if p.final >= joining.head_at_start), None)
    level_s = joining.level_s
    fetched = joining.transactions_at_start + joining.grown
    from_start = fetched / level_s
    rate = (
        (there.transactions - first.transactions) / (there.at_s - first.at_s)
        if first is not None and there is not None and there.at_s > first.at_s
        else None
    )
    growth = joining.grown / level_s
    offered = run.options.numbers["rate"]
    best = max(rate or 0.0, from_start)
    lag = stage.watch.worst_lag(joining.node, joining.began_s + level_s, ended_s)
    run.promises.check(
        "it catches up, and stays level under load",
        f"level after {level_s:.1f} s; after that at most {lag} sequences behind",
        kept=lag <= 4 * LEVEL_SEQUENCES,
    )
    if run.options.whole("transactions") >= JUDGED_TRANSACTIONS:
        run.promises.check(
            f"it catches up at {RATIO_MIN:.0f} times what is offered or more",
            f"{best:,.0f} transactions/s; {best / offered:.1f} times {offered:,.0f}",
            kept=best >= RATIO_MIN * offered,
        )
    run.promises.check(
        "it says that it is catching up, and how fast",
        f"{joining.reports} of {len(joining.points)} looks at its status",
        kept=joining.reports > 0 or joining.head_at_start <= UNREADY_SEQUENCES,
    )
    bytes_ = run.options.whole("bytes")
    run.figures |= {
        "chain_transactions": joining.transactions_at_start,
        "chain_sequences": joining.head_at_start,
        "built_transactions_per_s": run.options.whole("transactions") / built_s,
        "start_to_first_answer_s": first.at_s - joining.began_s if first else None,
        "start_to_head_of_start_s": there.at_s - joining.began_s if there else None,
        "start_to_level_s": level_s,
        "catch_up_transactions_per_s": rate,
        "catch_up_mb_per_s": rate * bytes_ / 1e6 if rate else None,
        "catch_up_from_start_transactions_per_s": from_start,
        "chain_grew_transactions_per_s": growth,
        "ratio_to_offered": best / offered,
        "ratio_to_growth": best / growth if growth else None,
        "newcomer_peak_rss_mb": joining.peak_rss_mb,
        "cpu_s_until_level": joining.cpu_s,
        "newcomer_cpu_us_per_transaction": joining.cpu_s[joining.node.files.name] / fetched * 1e6,
        "load": load_figures(stage),
    }


def _peak_rss_mb(node: NodeProcess) -> float:
    assert node.process is not None
    lines = Path(f"/proc/{node.process.pid}/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024
