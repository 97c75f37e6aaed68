"""`just chaos flood`: one validator floods, the others' memory stays flat and finality goes on.

What a process holds is read once a second. It grows for a while in any case, as caches and write
buffers fill: what counts is the growth after the warm-up, which is flooded, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Final, Never

import trio

from chaos.evidence import ENVIRONMENT, read_log
from chaos.floods import FLOODS
from chaos.kill import load_figures
from chaos.liar_process import FRAMES, open_liar
from chaos.liars import STALL_S_MIN, judge
from chaos.order import Order
from chaos.stage import Run, Stage, open_stage
from cretonode.cli.cluster import NodeProcess

GROWTH_MIB_MAX: Final = 64.0
SAMPLE_S: Final = 1.0
ACTS_PER_S_MIN: Final = 0.1  # a message with 1 MiB to each takes its time
FIRST_SAMPLES: Final = 5  # whose mean is where the growth is counted from


@dataclass(slots=True)
class Memory:
    """Resident memory of some processes, in MiB, one list of samples each."""

    nodes: Sequence[NodeProcess]
    samples: list[list[float]] = field(default_factory=list)

    async def watch(self) -> Never:
        """Read it until cancelled."""
        self.samples = [[] for _ in self.nodes]
        while True:
            for node, samples in zip(self.nodes, self.samples, strict=True):
                if node.process is not None:
                    samples.append(resident_mib(node.process.pid))
            await trio.sleep(SAMPLE_S)

    def growth(self) -> list[float]:
        """Return by how much each grew, at most, over its first samples."""
        return [max(each) - mean(each[:FIRST_SAMPLES]) for each in self.samples]

    def slope(self) -> list[float]:
        """Return the growth from the first samples to the last, a minute."""
        return [
            (mean(each[-FIRST_SAMPLES:]) - mean(each[:FIRST_SAMPLES])) / (SAMPLE_S * len(each) / 60)
            for each in self.samples
        ]


def resident_mib(pid: int) -> float:
    """Return VmRSS of a process. Source: proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def flood(run: Run) -> None:
    """Play the scenario."""
    wanted = run.options.words["behaviour"]
    every = [*(name.replace(" ", "-") for name in FLOODS), FRAMES]
    names = every if wanted == "all" else [wanted]
    for number, name in enumerate(names, start=1):
        part = run.part(name)
        memory, stage, longest_s, acts = await _play(part, name)
        run.say(
            f"{number}/{len(names)}  {name}: {acts} messages; grown "
            f"{', '.join(f'{each:.0f}' for each in memory.growth())} MiB, to "
            f"{', '.join(f'{each[-1]:.0f}' for each in memory.samples)} MiB; longest without "
            f"finality {longest_s:.2f} s"
        )
        run.promises.adopt(part.promises, name)
        run.figures |= {
            f"{name}: messages": acts,
            f"{name}: resident at first, MiB": [mean(e[:FIRST_SAMPLES]) for e in memory.samples],
            f"{name}: growth at most, MiB": memory.growth(),
            f"{name}: slope, MiB a minute": memory.slope(),
            f"{name}: longest without finality, s": longest_s,
            f"{name}: load": load_figures(stage),
        }


async def _play(run: Run, name: str) -> tuple[Memory, Stage, float, int]:
    numbers = run.options.numbers
    files = run.make_network()
    place = run.options.whole("node")
    honest = [each for index, each in enumerate(files) if index != place]
    order = Order(run.options.whole("dedup"))
    async with (
        open_liar(
            files[place], name, seed=run.options.seed, rate=1.0, environment=ENVIRONMENT
        ) as liar,
        open_stage(run, honest, environment=ENVIRONMENT) as stage,
    ):
        await liar.begin()
        await trio.sleep(numbers["warm"])
        memory, before = Memory(stage.nodes), liar.acts()
        began_s = trio.current_time()
        with trio.move_on_after(numbers["seconds"]):
            await memory.watch()
        ended_s = trio.current_time()
        longest_s = stage.watch.longest_wait_s(stage.nodes, began_s, ended_s)
        during = liar.acts() - before
        liar.end()
        await stage.finish(order)
    growth = memory.growth()
    run.promises.check(
        "memory of the honest nodes stays flat",
        f"grown by {', '.join(f'{each:.0f}' for each in growth)} MiB; allowed are "
        f"{GROWTH_MIB_MAX:.0f}",
        kept=max(growth) <= GROWTH_MIB_MAX,
    )
    run.promises.check(
        "finality goes on",
        f"longest without at an honest node: {longest_s:.2f} s",
        kept=longest_s < STALL_S_MIN,
    )
    if name != "none":
        run.promises.check(
            "the flood went on while memory counted",
            f"{during} messages in {ended_s - began_s:.0f} s, {liar.deaths} deaths of the liar",
            kept=during > 0 and during >= ACTS_PER_S_MIN * (ended_s - began_s),
        )
        judge(run.promises, [read_log(each) for each in honest], place, liar)
    return memory, stage, longest_s, liar.acts()
