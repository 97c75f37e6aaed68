"""`just chaos equivocation`: a leader shows two anchors for one sequence, again and again anew.

Measures, from the logs, the time from its first contradicting pre-prepare until every honest node
has left its view, and until a sequence that another leader proposed is final. Each time is a fresh
network, in which nobody knows the liar yet.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import trio

from chaos.evidence import read_log
from chaos.kill import load_figures
from chaos.liar_process import open_liar
from chaos.liars import judge
from chaos.order import Order
from chaos.proof import check_banned
from chaos.stage import Run, Stage, open_stage
from chaos.timeline import ENVIRONMENT, first, moments
from chaos.watch import Overdue, until
from cretonode.cli.layout import NodeFiles

LIAR: Final = 0  # leads the first view
BEHAVIOUR: Final = "splits-anchors"
REPLACED_S_MAX: Final = 1.0
GIVE_UP_S: Final = 60.0
ATTEMPTS_MAX: Final = 5  # to have the liar lead the first view until it lies


@dataclass(frozen=True, slots=True)
class Replaced:
    """Times in seconds from the first contradicting pre-prepare."""

    left_s: float  # every honest node has left the view
    final_first_s: float  # another leader's sequence is final at one node
    final_every_s: float  # at every honest node
    longest_s: float  # without finality at an honest node


async def equivocation(run: Run) -> None:
    """Play the scenario."""
    repeat = run.options.whole("repeat")
    found: list[Replaced] = []
    for number in range(1, repeat + 1):
        for attempt in range(1, ATTEMPTS_MAX + 1):
            part = run.part(f"network{number}-{attempt}")
            replaced, stage = await _one(part, run.options.seed + number)
            if replaced is not None:
                break
            run.say(f"{number}/{repeat}  its leader was replaced before it lied: once more")
        if replaced is None:
            raise Overdue(f"validator {LIAR} never leads its first view for long enough")
        found.append(replaced)
        run.promises.adopt(part.promises, f"{number}")
        run.say(
            f"{number}/{repeat}  the view is left after {replaced.left_s:.2f} s; another leader's "
            f"sequence is final after {replaced.final_first_s:.2f} to "
            f"{replaced.final_every_s:.2f} s; longest without finality {replaced.longest_s:.2f} s"
        )
        run.figures["load"] = load_figures(stage)
    every = [each.final_every_s for each in found]
    run.promises.check(
        "an equivocating leader is replaced",
        f"median {median(every):.2f} s, at most {max(every):.2f} s; allowed are "
        f"{REPLACED_S_MAX:.0f} (median)",
        kept=median(every) < REPLACED_S_MAX,
    )
    run.figures |= {
        "replaced": len(found),
        "view_left_s": [each.left_s for each in found],
        "final_first_node_s": [each.final_first_s for each in found],
        "final_every_node_s": every,
        "final_every_node_median_s": median(every),
        "longest_without_finality_s": [each.longest_s for each in found],
    }


async def _one(run: Run, seed: int) -> tuple[Replaced | None, Stage]:
    """Play one network; None: it did not come to the lie, since the machine is slow."""
    files = run.make_network()
    honest = [each for index, each in enumerate(files) if index != LIAR]
    order = Order()
    wait_s = run.chance.uniform(1.0, run.options.numbers["wait"])
    async with (
        open_liar(files[LIAR], BEHAVIOUR, seed=seed, rate=1.0, environment=ENVIRONMENT) as liar,
        open_stage(run, honest, environment=ENVIRONMENT) as stage,
    ):
        await trio.sleep(wait_s)
        if stage.watch.view() > 0:
            return None, stage
        began_s = time.time()
        await liar.begin()
        watched_s = trio.current_time()
        left: list[float] = []

        def is_replaced() -> bool:
            lie = first(files[LIAR], "equivocated", since_s=began_s)
            if lie is None:
                return False
            entered = [first(each, "view_entered", since_s=lie.at_s) for each in honest]
            left[:] = [each.at_s - lie.at_s for each in entered if each is not None]
            return len(left) == len(honest)

        await until(is_replaced, limit_s=GIVE_UP_S, what="another view at every honest node")
        lie = first(files[LIAR], "equivocated", since_s=began_s)
        assert lie is not None
        final = await _final_of_others(honest, lie.at_s)
        longest_s = stage.watch.longest_wait_s(stage.nodes, watched_s, trio.current_time())
        await check_banned(run.promises, honest, LIAR)
        # It counts its lies in its log once in a while, and is banned sooner than that.
        await until(lambda: liar.acts() > 0, limit_s=GIVE_UP_S, what="the liar's own count")
        liar.end()
        await stage.finish(order)
    judge(run.promises, [read_log(each) for each in honest], LIAR, liar)
    return Replaced(max(left), min(final), max(final), longest_s), stage


async def _final_of_others(honest: Sequence[NodeFiles], lie_s: float) -> tuple[float, ...]:
    """Return when each node had, after the lie, a sequence of another leader. Raises: Overdue."""
    times: list[float] = []

    def are_final() -> bool:
        found = (_other_final(files, lie_s) for files in honest)
        times[:] = [at_s - lie_s for at_s in found if at_s is not None]
        return len(times) == len(honest)

    await until(are_final, limit_s=GIVE_UP_S, what="a sequence of another leader everywhere")
    return tuple(times)


def _other_final(files: NodeFiles, since_s: float) -> float | None:
    """Return when the first sequence that the liar did not propose was final at a node."""
    for moment in moments(files, since_s=since_s):
        if moment.event == "finalized" and moment.whole("leader") != LIAR:
            return moment.at_s
    return None
