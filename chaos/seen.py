"""`just chaos seen`: how soon an operator sees it in the console: one node gone, then a quorum.

The real `creto-console` in a terminal, attached to node 0, which stays up, under load.
"""

from collections.abc import Callable
from statistics import median
from typing import Final

import trio

from bench.terminal import Drawing, in_terminal
from chaos.evidence import read_log
from chaos.kill import load_figures
from chaos.order import Order
from chaos.stage import Run, Stage, open_stage
from chaos.watch import Overdue
from cretonode.cli.cluster import NodeProcess
from cretonode.core.committee import quorum_of

SEEN_S_MAX: Final = 2.0  # from the kill until the screen names it
GIVE_UP_S: Final = 60.0
COLUMNS, LINES = 120, 40


async def _until(drawing: Drawing, condition: Callable[[str], bool], what: str) -> float:
    """Return when the first line is as wanted, by trio's clock. Raises: Overdue."""
    with trio.move_on_after(GIVE_UP_S):
        while not condition(drawing.lines[0].strip()):
            await drawing.wait_changed()
        return trio.current_time()
    raise Overdue(f"{what}: not in {GIVE_UP_S:.0f} s; the console says: {drawing.lines[0].strip()}")


async def seen(run: Run) -> None:
    """Play the scenario."""
    files = run.make_network()
    order = Order()
    one_s: list[float] = []
    many_s: list[float] = []
    async with open_stage(run, files) as stage:
        socket = files[0].operator_socket
        with in_terminal("--socket", socket, columns=COLUMNS, lines=LINES) as (_, terminal):
            async with trio.open_nursery() as nursery:
                drawing = Drawing(terminal, columns=COLUMNS, lines=LINES)
                nursery.start_soon(drawing.read_forever)
                for number in range(1, run.options.whole("repeat") + 1):
                    found = await _one(run, stage, drawing)
                    one_s.append(found[0])
                    many_s.append(found[-1])
                    run.say(
                        f"{number}/{run.options.whole('repeat')}  named after {found[0]:.2f} s, "
                        f"STALLED and named {found[-1]:.2f} s after the last of {len(found)}"
                    )
                nursery.cancel_scope.cancel()
        await stage.finish(order)
    for name, found in (("one that is gone", one_s), ("a quorum that is gone", many_s)):
        run.promises.check(
            f"the console names {name}",
            f"median {median(found):.2f} s, at most {max(found):.2f} s; "
            f"allowed are {SEEN_S_MAX:.0f}",
            kept=max(found) < SEEN_S_MAX,
        )
    run.promises.check_testimony([read_log(node.files) for node in stage.nodes], run.accusations)
    run.figures |= {
        "degraded_and_named_s": one_s,
        "degraded_and_named_median_s": median(one_s),
        "stalled_and_named_s": many_s,
        "stalled_and_named_median_s": median(many_s),
        "load": load_figures(stage),
    }


async def _one(run: Run, stage: Stage, drawing: Drawing) -> list[float]:
    """Kill nodes until a quorum lacks, bring them back; return how long each went unseen."""
    await _until(drawing, lambda verdict: verdict.startswith("LIVE"), "LIVE")
    await trio.sleep(run.chance.uniform(0.5, run.options.numbers["wait"]))
    size = len(stage.nodes)
    spare = size - quorum_of(size)
    gone: list[NodeProcess] = []
    found: list[float] = []
    for node in run.chance.sample(stage.nodes[1:], spare + 1):
        gone.append(node)
        names = [each.files.name for each in gone]
        standing = "STALLED" if len(gone) > spare else "DEGRADED"

        def is_seen(verdict: str, standing: str = standing, names: list[str] = names) -> bool:
            return verdict.startswith(standing) and all(name in verdict for name in names)

        killed = await stage.kill(node)
        what = f"{standing} that names {', '.join(names)}"
        found.append(await _until(drawing, is_seen, what) - killed.at_s)
    for node in gone:
        await stage.bring_back(node)
    return found
