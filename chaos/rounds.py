"""`just chaos rounds`: kill -9 of random nodes at random moments, one at a time, under load.

Every transaction acknowledged as final is present once, in the same order, on every node.
"""

from statistics import median

import trio

from chaos.evidence import read_log
from chaos.interrupt import min_final
from chaos.kill import STALL_S_MAX, load_figures
from chaos.order import Order
from chaos.stage import Run, Stage, open_stage


async def rounds(run: Run) -> None:
    """Play the scenario."""
    files = run.make_network()
    growing, whole = Order(), Order()
    stalls: list[float] = []
    returns: list[float] = []
    checked = 0
    async with open_stage(run, files) as stage:
        for number in range(1, run.options.whole("rounds") + 1):
            stall_s, level_s = await _round(run, stage, number)
            stalls.append(stall_s)
            returns.append(level_s)
            await growing.read(stage.nodes, min_final(stage))
            read = [
                batch
                for batch in stage.load.acknowledged[checked:]
                if batch.sequence <= growing.last
            ]
            checked = len(stage.load.acknowledged)  # what was not read yet is checked in the end
            if growing.differences or growing.repeated or growing.lacks(read):
                run.say("the orders are wrong: no more rounds, they would only bury it")
                break
        await stage.finish(whole)
    run.promises.check(
        "what a node once showed never changes",
        f"{growing.last} sequences, read after each round and again in the end",
        kept=whole.roots[: growing.last] == growing.roots,
    )
    _judge(run, stage, stalls)
    run.figures |= {
        "rounds": len(stalls),
        "longest_without_finality_median_s": median(stalls),
        "longest_without_finality_s": max(stalls),
        "restart_to_level_median_s": median(returns),
        "restart_to_level_max_s": max(returns),
        "load": load_figures(stage),
    }


async def _round(run: Run, stage: Stage, number: int) -> tuple[float, float]:
    """Kill one, bring it back; return the longest stall of the others, and the way back."""
    numbers, chance = run.options.numbers, run.chance
    # All choices of a round are made first, so that a seed makes them whatever the clock does.
    victim = stage.nodes[chance.randrange(len(stage.nodes))]
    wait_s = chance.uniform(0.2, numbers["wait"])
    down_s = chance.uniform(0.05, numbers["down"])
    await trio.sleep(wait_s)
    killed = await stage.kill(victim)
    await trio.sleep(down_s)
    returned = await stage.bring_back(victim)
    survivors = [node for node in stage.nodes if node is not victim]
    stall_s = stage.watch.longest_wait_s(survivors, killed.at_s, returned.level_at_s)
    run.say(
        f"{number}/{run.options.whole('rounds')}  after {wait_s:.2f} s kill -9 "
        f"{victim.files.name}{', the leader' if killed.led else ''}, at sequence {killed.final}; "
        f"down {down_s:.2f} s, longest without finality {stall_s:.2f} s; "
        f"level {returned.level_s:.1f} s after its restart"
    )
    return stall_s, returned.level_s


def _judge(run: Run, stage: Stage, stalls: list[float]) -> None:
    run.promises.check(
        "the rest go on",
        f"longest without finality at a survivor: {max(stalls):.2f} s; "
        f"allowed are {STALL_S_MAX:.0f}",
        kept=max(stalls) < STALL_S_MAX,
    )
    run.promises.check_testimony([read_log(node.files) for node in stage.nodes], run.accusations)
