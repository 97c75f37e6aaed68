"""`just chaos kill`: kill -9 of one node during load, a gap, and its return.

The rest go on; the killed one restarts, recovers its state from disk, never contradicts a vote,
and catches up.
"""

from typing import Final

import trio

from chaos.evidence import read_log
from chaos.order import Order
from chaos.stage import LEVEL_SEQUENCES, Kill, Return, Run, Stage, open_stage
from cretonode.cli.cluster import NodeProcess

STALL_S_MAX: Final = 10.0  # without finality at a survivor


async def kill(run: Run) -> None:
    """Play the scenario."""
    numbers = run.options.numbers
    files = run.make_network()
    order = Order()
    async with open_stage(run, files) as stage:
        await trio.sleep(numbers["warm"])
        victim = choose(run, stage)
        survivors = [node for node in stage.nodes if node is not victim]
        killed = await stage.kill(victim)
        role = "the leader" if killed.led else "a backup"
        run.say(f"kill -9 {victim.files.name}, {role}, at sequence {killed.final}")
        await trio.sleep(numbers["gap"])
        run.say(f"restart {victim.files.name}; the others are at {stage.watch.head()}")
        returned = await stage.bring_back(victim)
        run.say(f"{victim.files.name} is level after {returned.level_s:.1f} s")
        await trio.sleep(numbers["tail"])
        ended_s = trio.current_time()
        await stage.finish(order)
    _judge(run, stage, survivors, killed, returned, ended_s)
    _measure(run, stage, order, survivors, killed, returned, ended_s)


def choose(run: Run, stage: Stage) -> NodeProcess:
    """Return the node that `node=` names, or one by chance."""
    node = run.options.words["node"]
    chosen = stage.nodes[run.chance.randrange(len(stage.nodes))]
    if node == "leader":
        return stage.watch.leader()
    return chosen if node == "random" else stage.nodes[int(node)]


def _judge(
    run: Run,
    stage: Stage,
    survivors: list[NodeProcess],
    killed: Kill,
    returned: Return,
    ended_s: float,
) -> None:
    longest_s = stage.watch.longest_wait_s(survivors, killed.at_s, ended_s)
    run.promises.check(
        "the rest go on",
        f"longest without finality at a survivor: {longest_s:.2f} s; allowed are {STALL_S_MAX:.0f}",
        kept=longest_s < STALL_S_MAX,
    )
    testimony = [read_log(node.files) for node in stage.nodes]
    victim = testimony[stage.nodes.index(killed.node)]
    from_disk = victim.started_at[-1]
    run.promises.check(
        "the killed one recovers its state from disk",
        f"sequence {from_disk} from disk; it was last seen at {killed.final}",
        kept=from_disk >= killed.final > 0,
    )
    run.promises.check_testimony(testimony, run.accusations)
    lag = stage.watch.worst_lag(killed.node, returned.level_at_s, ended_s)
    run.promises.check(
        "it catches up, and stays level under load",
        f"the head of its start after {returned.reached_s:.1f} s; after it was level "
        f"({returned.level_s:.1f} s) at most {lag} sequences behind",
        kept=lag <= 4 * LEVEL_SEQUENCES,
    )


def _measure(
    run: Run,
    stage: Stage,
    order: Order,
    survivors: list[NodeProcess],
    killed: Kill,
    returned: Return,
    ended_s: float,
) -> None:
    watch = stage.watch
    gap = order.transactions_between(killed.final, returned.head)
    fetched = order.transactions_between(returned.first, returned.head)
    seconds = returned.reached_s - returned.answered_s
    # It may be there at the first sight: then the way there took less than anybody can say here.
    rate = fetched / seconds if fetched and seconds > 0 else None
    down_s = returned.began_s - killed.at_s
    run.figures |= {
        "killed": f"{killed.node.files.name}, {'the leader' if killed.led else 'a backup'}",
        "down_s": down_s,
        "gap_sequences": returned.head - killed.final,
        "gap_transactions": gap,
        "gap_transactions_per_s": gap / down_s,
        "longest_without_finality_while_down_s": watch.longest_wait_s(
            survivors, killed.at_s, returned.began_s
        ),
        "longest_without_finality_while_it_returns_s": watch.longest_wait_s(
            survivors, returned.began_s, returned.level_at_s
        ),
        "longest_without_finality_after_s": watch.longest_wait_s(
            survivors, returned.level_at_s, ended_s
        ),
        "restart_to_answering_s": returned.answered_s,
        "restart_to_ready_s": returned.ready_s,
        "restart_to_head_of_restart_s": returned.reached_s,
        "restart_to_level_s": returned.level_s,
        "catch_up_transactions_per_s": rate,
        "catch_up_mb_per_s": rate * run.options.whole("bytes") / 1e6 if rate else None,
        "catch_up_from_start_transactions_per_s": gap / returned.reached_s,
        "load": load_figures(stage),
    }


def load_figures(stage: Stage) -> dict[str, object]:
    """Return what the load did, and how far this program fell behind its own schedule."""
    load = stage.load
    final_ms = sorted(1000 * value for value in load.timings.final_s)
    return {
        "transactions_acknowledged": sum(len(batch.transactions) for batch in load.acknowledged),
        "finality_p50_ms": final_ms[len(final_ms) // 2] if final_ms else None,
        "finality_max_ms": final_ms[-1] if final_ms else None,
        "batches_refused": load.timings.refused,
        "asked_another_node": load.moved,
        "generator_late_ms": load.timings.late_s * 1000,
        "watch_late_ms": stage.watch.late_s * 1000,
    }
