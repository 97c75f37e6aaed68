"""`just chaos outage`: so many nodes stop that a quorum lacks; then one comes back.

Those that remain say at once what lacks, finalize nothing and tell clients so; finality is back as
soon as one node is.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import trio

from bench.load import random_transactions
from chaos.evidence import read_log
from chaos.kill import load_figures
from chaos.order import Order, shown
from chaos.stage import Run, Stage, open_stage
from chaos.timeline import ENVIRONMENT, first, moments
from chaos.watch import until
from cretonode.cli.cluster import NodeProcess
from cretonode.client import AsyncClient, RetryPolicy, Timeouts, Unavailable, Unreachable
from cretonode.core.committee import quorum_of
from cretonode.operator.client import connect

SAID_S_MAX: Final = 5.0
BACK_S_MAX: Final = 2.0  # from the moment at which the returned node listens
SETTLE_S: Final = 1.0  # for what was under way when the nodes stopped
GIVE_UP_S: Final = 60.0
ANSWER_S_MAX: Final = 2.0
TIMEOUTS: Final = Timeouts(connect_ms=500, answer_ms=10_000)


@dataclass(slots=True)
class Outage:
    """One of them. Times in seconds."""

    down: list[str]
    said_s: list[float] = field(default_factory=list)  # from the stop, of each that remained
    reasons: list[str] = field(default_factory=list)
    unsaid: list[str] = field(default_factory=list)  # what a reason leaves out
    finalized: int = 0  # sequences without a quorum
    refused: list[str] = field(default_factory=list)  # what a client was told
    slowest_answer_s: float = 0.0
    listening_s: float = 0.0  # from the start of the process that came back
    back_s: float = 0.0  # from its start until finality, at the first node that had it
    back_listening_s: float = 0.0  # the same from when it listened
    everywhere_listening_s: float = 0.0  # until finality at all three


async def outage(run: Run) -> None:
    """Play the scenario."""
    numbers = run.options.numbers
    files = run.make_network()
    order = Order()
    outages: list[Outage] = []
    repeat = run.options.whole("repeat")
    async with open_stage(run, files, environment=ENVIRONMENT) as stage:
        for number in range(1, repeat + 1):
            await trio.sleep(numbers["warm"])
            outages.append(await _one(run, stage))
            found = outages[-1]
            run.say(
                f"{number}/{repeat}  {', '.join(found.down)} stop: said after "
                f"{max(found.said_s):.2f} s; {found.down[0]} comes back: listens after "
                f"{found.listening_s:.2f} s, finality {found.back_listening_s:.2f} s after that"
            )
        await stage.finish(order)
    _judge(run, stage, outages)
    run.figures |= {
        "outages": len(outages),
        "said_after_s": [max(each.said_s) for each in outages],
        "restart_to_listening_s": [each.listening_s for each in outages],
        "restart_to_finality_s": [each.back_s for each in outages],
        "listening_to_finality_s": [each.back_listening_s for each in outages],
        "listening_to_finality_median_s": median(each.back_listening_s for each in outages),
        "listening_to_finality_everywhere_s": [each.everywhere_listening_s for each in outages],
        "said": outages[-1].reasons[0],
        "clients_are_told": outages[-1].refused[0] if outages[-1].refused else None,
        "load": load_figures(stage),
    }


async def _one(run: Run, stage: Stage) -> Outage:
    """Stop all but q - 1 nodes, look at the rest, and bring the stopped ones back."""
    size = len(stage.nodes)
    down = run.chance.sample(stage.nodes, size - quorum_of(size) + 1)
    rest = [node for node in stage.nodes if node not in down]
    found = Outage([node.files.name for node in down])
    if run.options.words["how"] == "kill":
        for node in down:
            await stage.kill(node)
    else:
        await stage.stop(down)
    stopped_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        for node in rest:
            nursery.start_soon(_hear_why, node, found, stopped_s)
    await trio.sleep_until(stopped_s + SETTLE_S)
    before = {node.files.name: stage.watch.final(node) for node in rest}
    await trio.sleep_until(stopped_s + run.options.numbers["gap"])
    for node in rest:
        await _ask_as_client(node, found)
    after = {node.files.name: stage.watch.final(node) for node in rest}
    found.finalized = max(after[name] - before[name] for name in before)
    await _bring_one_back(stage, down[0], rest, found)
    for node in down:
        await stage.bring_back(node)
    return found


async def _hear_why(node: NodeProcess, found: Outage, stopped_s: float) -> None:
    """Wait until `/readyz` says what lacks; see that `status` says the same. Raises: Overdue."""
    reason = ""

    async def look() -> None:
        nonlocal reason
        async with AsyncClient(
            node.files.url, retries=RetryPolicy(attempts_max=1), timeouts=TIMEOUTS
        ) as client:
            while not reason:
                readiness = await client.ready()
                if not readiness.ready:
                    reason = readiness.reason
                await trio.sleep(0.02)

    with trio.move_on_after(GIVE_UP_S):
        await look()
    found.said_s.append(trio.current_time() - stopped_s)
    found.reasons.append(reason)
    status = await trio.to_thread.run_sync(_status_reason, node)
    for text in (reason, status):
        if not all(name in text for name in found.down) or "needed" not in text:
            found.unsaid.append(f"{node.files.name}: {text!r}")


def _status_reason(node: NodeProcess) -> str:
    with connect(node.files.operator_socket) as client:
        return client.status().reason


async def _ask_as_client(node: NodeProcess, found: Outage) -> None:
    """Submit something: the answer comes soon, and is a refusal that says why."""
    began_s = trio.current_time()
    async with AsyncClient(
        node.files.url, retries=RetryPolicy(attempts_max=1), timeouts=TIMEOUTS
    ) as client:
        try:
            await client.submit(random_transactions(1, 100))
        except Unavailable as error:
            found.refused.append(error.detail)
        except Unreachable as error:
            found.unsaid.append(f"{node.files.name} to a client: {error}")
        else:
            found.unsaid.append(f"{node.files.name} takes transactions that nobody can order")
    found.slowest_answer_s = max(found.slowest_answer_s, trio.current_time() - began_s)


async def _bring_one_back(
    stage: Stage, node: NodeProcess, rest: Sequence[NodeProcess], found: Outage
) -> None:
    """Start it, and read in the logs when finality was back. Raises: Overdue."""
    heads = {each.files.name: stage.watch.final(each) for each in rest}
    began_s = time.time()
    await stage.restart(node)

    times: dict[str, float] = {}

    def is_back() -> bool:
        for each in rest:
            name = each.files.name
            for moment in moments(each.files, since_s=began_s):
                if moment.event == "finalized" and moment.whole("sequence") > heads[name]:
                    times.setdefault(name, moment.at_s)
                    break
        return len(times) == len(rest)

    await until(is_back, limit_s=GIVE_UP_S, what="finality after one node came back")
    listening = first(node.files, "endpoint_opened", since_s=began_s)
    assert listening is not None, "it took part, so it listens"
    found.listening_s = listening.at_s - began_s
    found.back_s = min(times.values()) - began_s
    found.back_listening_s = min(times.values()) - listening.at_s
    found.everywhere_listening_s = max(times.values()) - listening.at_s


def _judge(run: Run, stage: Stage, outages: Sequence[Outage]) -> None:
    promises = run.promises
    slowest_s = max(max(each.said_s) for each in outages)
    unsaid = [each for found in outages for each in found.unsaid]
    promises.check(
        "readyz and status say which validators lack and how many are needed",
        shown(unsaid) or f"after {slowest_s:.2f} s at most; allowed are {SAID_S_MAX:.0f}",
        kept=not unsaid and slowest_s <= SAID_S_MAX,
    )
    promises.check(
        "nothing is finalized meanwhile",
        f"{sum(each.finalized for each in outages)} sequences",
        kept=not any(each.finalized for each in outages),
    )
    answer_s = max(each.slowest_answer_s for each in outages)
    promises.check(
        "clients get a clear answer",
        f"{sum(len(each.refused) for each in outages)} refusals with the reason, the slowest "
        f"after {answer_s:.2f} s",
        kept=answer_s <= ANSWER_S_MAX and all(each.refused for each in outages),
    )
    back = [each.back_listening_s for each in outages]
    promises.check(
        "one comes back, and finality with it",
        f"{median(back):.2f} s after it listens (median), at most {max(back):.2f}; "
        f"allowed are {BACK_S_MAX:.0f}",
        kept=max(back) <= BACK_S_MAX,
    )
    promises.check_testimony([read_log(node.files) for node in stage.nodes], run.accusations)
