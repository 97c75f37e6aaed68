"""`just chaos interrupt`: SIGINT to all nodes during load, once, and in a second life twice.

Every node exits 0 within 5 s, nothing finalized is lost, no task or thread is left. A second
signal ends a node at once.
"""

import os
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import trio

from chaos.evidence import read_log
from chaos.kill import load_figures
from chaos.order import Order, shown
from chaos.stage import Run, Stage, open_stage
from chaos.watch import until
from cretonode.cli.cluster import NodeProcess

STOP_S_MAX: Final = 5.0  # SPEC L2
CUT_S_MAX: Final = 2.5  # from the second signal: what is on its way to the disk gets there
GIVE_UP_S: Final = 30.0
LEVEL_S: Final = 60.0


@dataclass(slots=True)
class Stop:
    """How one node ended."""

    name: str
    code: int | None = None  # None: it did not
    seconds: float = 0.0  # from the first signal
    second_after_s: float | None = None  # None: no second signal, or it had ended before
    seconds_from_second: float | None = None
    left_behind: bool = False  # a process of its group was there after it


async def interrupt(run: Run) -> None:
    """Play the scenario."""
    seconds = run.options.numbers["seconds"]
    files = run.make_network()
    before = Order()
    async with open_stage(run, files) as first:
        await trio.sleep(seconds)
        await before.read(first.nodes, min_final(first))
        once = await stop_all(first, [None for _ in first.nodes])
    run.say(f"SIGINT to {len(once)} nodes: {told(once)}")
    _judge_once(run, once)
    async with open_stage(run, files) as second:
        await _check_kept(run, first, second, before, "after the restart")
        await trio.sleep(seconds)
        delays = [run.chance.uniform(0.0, 1.2 * stop.seconds) for stop in once]
        twice = await stop_all(second, delays)
    run.say(f"SIGINT twice: {told(twice)}")
    _judge_twice(run, twice)
    async with open_stage(run, files) as third:
        await _check_kept(run, second, third, before, "after the second restart")
        await trio.sleep(1.0)
        await third.finish(Order())
    _judge_logs(run, third)
    run.figures |= {
        "stops": [asdict(stop) for stop in once],
        "stops_of_two_signals": [asdict(stop) for stop in twice],
        "load": load_figures(first),
    }


async def stop_all(stage: Stage, second_after_s: Sequence[float | None]) -> list[Stop]:
    """Send SIGINT to every node during load, to some a second time; return how each ended."""
    stage.end_watch()
    stage.load.abandon()
    stops = [Stop(node.files.name) for node in stage.nodes]
    began_s = trio.current_time()
    for node in stage.nodes:
        node.ask_to_stop(signal.SIGINT)
    with trio.move_on_after(GIVE_UP_S):
        async with trio.open_nursery() as nursery:
            for node, stop, delay_s in zip(stage.nodes, stops, second_after_s, strict=True):
                nursery.start_soon(_await_end, node, stop, began_s, delay_s)
    stage.load.stop()
    await until(lambda: not stage.load.under_way, limit_s=LEVEL_S, what="answers to the load")
    await stage.hear(stage.nodes)
    return stops


async def _await_end(node: NodeProcess, stop: Stop, began_s: float, delay_s: float | None) -> None:
    assert node.process is not None
    pid = node.process.pid
    second_s: float | None = None

    async def signal_again() -> None:
        nonlocal second_s
        await trio.sleep_until(began_s + (delay_s or 0.0))
        if node.process is not None and node.process.poll() is None:
            second_s = trio.current_time()
            node.ask_to_stop(signal.SIGINT)

    async with trio.open_nursery() as nursery:
        if delay_s is not None:
            nursery.start_soon(signal_again)
        stop.code = await node.wait_stopped()
        nursery.cancel_scope.cancel()
    stop.seconds = trio.current_time() - began_s
    if second_s is not None:
        stop.second_after_s = second_s - began_s
        stop.seconds_from_second = trio.current_time() - second_s
    try:
        os.killpg(pid, 0)  # asks only: each node leads a process group of its own
        stop.left_behind = True
    except ProcessLookupError:
        stop.left_behind = False


def min_final(stage: Stage) -> int:
    """Return the sequence that is final at every node."""
    sights = [stage.watch.last(node) for node in stage.nodes]
    return min(sight.final if sight is not None else 0 for sight in sights)


def told(stops: Sequence[Stop]) -> str:
    """Return exit codes and times as a sentence."""
    return ", ".join(
        f"{stop.name} {stop.code} after {stop.seconds:.2f} s"
        + (
            f" ({stop.seconds_from_second:.2f} s after the second)"
            if stop.seconds_from_second is not None
            else ""
        )
        for stop in stops
    )


def _judge_once(run: Run, stops: Sequence[Stop]) -> None:
    run.promises.check(
        "SIGINT under load: every node exits with 0",
        ", ".join(f"{stop.name} {stop.code}" for stop in stops),
        kept=all(stop.code == 0 for stop in stops),
    )
    run.promises.check(
        f"within {STOP_S_MAX:.0f} s",
        ", ".join(f"{stop.seconds:.2f} s" for stop in stops),
        kept=all(stop.seconds <= STOP_S_MAX for stop in stops),
    )
    run.promises.check(
        "no process of theirs is left",
        "process groups are empty",
        kept=not any(stop.left_behind for stop in stops),
    )


def _judge_twice(run: Run, stops: Sequence[Stop]) -> None:
    again = [stop for stop in stops if stop.seconds_from_second is not None]
    run.promises.check(
        "a second SIGINT ends a node at once, with 0",
        ", ".join(
            f"{stop.name} {stop.code}, {stop.seconds_from_second or 0:.2f} s after the second, "
            f"which came after {stop.second_after_s or 0:.2f} s"
            for stop in again
        )
        or "none had to be signalled twice",
        kept=all(stop.code == 0 for stop in stops)
        and all((stop.seconds_from_second or 0.0) <= CUT_S_MAX for stop in again),
    )


async def _check_kept(run: Run, past: Stage, now: Stage, before: Order, when: str) -> None:
    """All that `past` acknowledged, and the order that was read before, is on every node."""
    acknowledged = past.load.acknowledged
    highest = max([before.last, *(batch.sequence for batch in acknowledged)])
    await until(
        lambda: min_final(now) >= highest,
        limit_s=LEVEL_S,
        what=f"sequence {highest}, which was acknowledged, on every node {when}",
    )
    order = Order()
    await order.read(now.nodes, highest)
    wrong = order.differences + order.repeated + order.lacks(acknowledged)
    if order.roots[: before.last] != before.roots:
        wrong.append("the order is not the one that was read before")
    count = sum(len(batch.transactions) for batch in acknowledged)
    run.promises.check(
        f"nothing final is lost, {when}",
        shown(wrong)
        or f"{count} acknowledged transactions, once, in the same order, on {len(now.nodes)} nodes",
        kept=not wrong and count > 0,
    )


def _judge_logs(run: Run, stage: Stage) -> None:
    testimony = [read_log(node.files) for node in stage.nodes]
    left = [
        f"{each.name}: {', '.join(threads)}"
        for each in testimony
        for threads in each.ended
        if threads
    ]
    ends = [len(each.ended) for each in testimony]
    run.promises.check(
        "no task and no thread is left",
        shown(left) or f"each of {sum(ends)} ends was logged with no thread at work",
        kept=not left and all(count == 3 for count in ends),
    )
    run.promises.check_testimony(testimony, run.accusations)
