"""`just chaos leader`: kill -9 of the leader under load, again and again.

Measures the time from the kill until finality resumes: until a transaction that was submitted to
a survivor after the kill is final there.
"""

from statistics import median
from typing import Final

import trio

from chaos.evidence import read_log
from chaos.kill import STALL_S_MAX, load_figures
from chaos.order import Order
from chaos.stage import Kill, Run, Stage, open_stage
from chaos.watch import Overdue

PROBE_S: Final = 60.0


async def leader(run: Run) -> None:
    """Play the scenario."""
    files = run.make_network()
    order = Order()
    slowest: list[float] = []
    fastest: list[float] = []
    numbers = run.options.numbers
    repeat = run.options.whole("repeat")
    async with open_stage(run, files) as stage:
        for number in range(1, repeat + 1):
            await trio.sleep(run.chance.uniform(0.5, numbers["wait"]))
            killed = await stage.kill(stage.watch.leader())
            resumed = await _resumed(stage, killed)
            fastest.append(min(resumed))
            slowest.append(max(resumed))
            await trio.sleep(run.chance.uniform(0.1, numbers["down"]))
            view = stage.watch.view()
            returned = await stage.bring_back(killed.node)
            run.say(
                f"{number}/{repeat}  {killed.node.files.name}, leader of view {killed.view}: "
                f"finality resumes after {fastest[-1]:.2f} to {slowest[-1]:.2f} s, in view {view}; "
                f"it is back and level {returned.level_s:.1f} s after its restart"
            )
        await stage.finish(order)
    _judge(run, stage, slowest)
    run.figures |= {
        "leaders_killed": len(slowest),
        "resumed_first_survivor_s": fastest,
        "resumed_every_survivor_s": slowest,
        "resumed_first_survivor_median_s": median(fastest),
        "resumed_every_survivor_median_s": median(slowest),
        "resumed_every_survivor_max_s": max(slowest),
        "load": load_figures(stage),
    }


async def _resumed(stage: Stage, killed: Kill) -> list[float]:
    """Return the seconds from the kill to finality of a new transaction, of each survivor."""
    resumed: list[float] = []

    async def probe(number: int) -> None:
        resumed.append(await stage.load.send_to(survivors[number], 1) - killed.at_s)

    survivors = [node for node in stage.nodes if node is not killed.node]
    with trio.move_on_after(PROBE_S):
        async with trio.open_nursery() as nursery:
            for number in range(len(survivors)):
                nursery.start_soon(probe, number)
    if len(resumed) < len(survivors):
        raise Overdue(
            f"finality after the kill of {killed.node.files.name}: not in {PROBE_S:.0f} s"
        )
    return resumed


def _judge(run: Run, stage: Stage, slowest: list[float]) -> None:
    run.promises.check(
        "finality resumes",
        f"median {median(slowest):.2f} s, at most {max(slowest):.2f} s; "
        f"allowed are {STALL_S_MAX:.0f}",
        kept=max(slowest) < STALL_S_MAX,
    )
    run.promises.check_testimony([read_log(node.files) for node in stage.nodes], run.accusations)
