"""`just chaos liar`: one validator lies, the others keep every promise.

Four real processes, the liar among them, under load. The promises are checked on the honest ones;
how long nothing became final is reported.
"""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Never

import trio

from chaos.evidence import ENVIRONMENT, Testimony, read_log
from chaos.kill import load_figures
from chaos.liar_process import Liar, open_liar
from chaos.order import Order
from chaos.promises import Promises
from chaos.stage import Run, Stage, open_stage
from cretonode.cli.cluster import NodeProcess
from tests.simulation.byzantine import BEHAVIOURS

STALL_TIMEOUTS: Final = 3  # a silent leader costs one, a view-change that another one spoils a few
STALL_S_MIN: Final = 10.0
PAUSE_S: Final = 0.6  # longer than a leader may be silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Lied:
    """What became of one behaviour."""

    acts: int
    deaths: int
    longest_s: float  # without finality at an honest node while it lied
    sequences: int  # final meanwhile
    accused: int  # times that an honest node accused the liar


async def liar(run: Run) -> None:
    """Play the scenario."""
    wanted = run.options.words["behaviour"]
    every = sorted(name.replace(" ", "-") for name in BEHAVIOURS)
    names = every if wanted == "all" else [wanted]
    for number, name in enumerate(names, start=1):
        part = run if len(names) == 1 else run.part(name)
        lied, stage = await _play(part, name)
        run.say(
            f"{number}/{len(names)}  {name}: {lied.acts} lies; longest without finality "
            f"{lied.longest_s:.2f} s, {lied.sequences} sequences meanwhile; "
            f"accused {lied.accused} times"
        )
        if part is run:
            run.figures |= {"acts": lied.acts, "deaths_of_the_liar": lied.deaths}
            run.figures |= {"longest_without_finality_s": lied.longest_s}
            run.figures |= {"sequences_meanwhile": lied.sequences, "accused": lied.accused}
            run.figures["load"] = load_figures(stage)
            return
        run.promises.adopt(part.promises, name)
        run.figures[f"{name}: longest without finality"] = lied.longest_s
        run.figures[f"{name}: acts, deaths, accused"] = [lied.acts, lied.deaths, lied.accused]


async def _play(run: Run, behaviour: str) -> tuple[Lied, Stage]:
    numbers, words = run.options.numbers, run.options.words
    files = run.make_network()
    place = run.options.whole("node")
    honest = [each for index, each in enumerate(files) if index != place]
    environment = ENVIRONMENT | {
        "CRETO_CONSENSUS_VIEW_CHANGE_TIMEOUT_MS": str(run.options.whole("timeout"))
    }
    order = Order(run.options.whole("dedup"))
    async with (
        open_liar(
            files[place],
            behaviour,
            seed=run.options.seed,
            rate=float(words["often"]) if words["often"] else None,
            environment=environment,
        ) as liar,
        open_stage(run, honest, environment=environment) as stage,
    ):
        await trio.sleep(numbers["warm"])
        began_s, first = trio.current_time(), stage.watch.head()
        await liar.begin()
        with trio.move_on_after(numbers["seconds"]):
            nodes = list(stage.nodes)
            nodes.insert(place, liar.node)
            await _disturb(nodes, stage, numbers["pause"])
        ended_s, last = trio.current_time(), stage.watch.head()
        liar.end()
        await stage.finish(order)
    testimony = [read_log(each) for each in honest]
    lied = Lied(
        acts=liar.acts(),
        deaths=liar.deaths,
        longest_s=stage.watch.longest_wait_s(stage.nodes, began_s, ended_s),
        sequences=last - first,
        accused=sum(each.accused[place] for each in testimony),
    )
    judge(run.promises, testimony, place, liar)
    allowed_s = max(STALL_S_MIN, STALL_TIMEOUTS * run.options.whole("timeout") / 1000)
    run.promises.check(
        "the rest go on",
        f"longest without finality at an honest node: {lied.longest_s:.2f} s; "
        f"allowed are {allowed_s:.0f}",
        kept=lied.longest_s < allowed_s and lied.sequences > 0,
    )
    return lied, stage


async def _disturb(nodes: Sequence[NodeProcess], stage: Stage, every_s: float) -> Never:
    """Stop the world of whoever leads, again and again; never of two at once.

    To the others it falls silent and the view changes: what some lie about, and how the liar comes
    to lead and to follow. A pause is no fault: the network may do the same.
    """
    while every_s:
        await trio.sleep(every_s)
        process = nodes[stage.watch.leader_index()].process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGSTOP)
            try:
                await trio.sleep(PAUSE_S)
            finally:
                process.send_signal(signal.SIGCONT)
    await trio.sleep_forever()


def judge(promises: Promises, testimony: list[Testimony], place: int, liar: Liar) -> None:
    """It did lie, nobody honest is accused, and the logs show no bug."""
    acts = liar.acts()
    promises.check("the liar lied", f"{acts} times", kept=acts > 0)
    framed = [
        f"{each.name} accuses validator {author}"
        for each in testimony
        for author in each.accused
        if author != place
    ]
    promises.check(
        "no honest node is accused",
        "; ".join(framed) or f"the liar is, {sum(each.accused[place] for each in testimony)} times",
        kept=not framed,
    )
    promises.check_logs(testimony)
