"""Run a scenario: `python -m chaos kill gap=60`. Exit code 0: every promise was kept."""

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import trio
from rich.console import Console

from bench.arguments import HELP
from chaos import report
from chaos.equivocation import equivocation
from chaos.flood import flood
from chaos.interrupt import interrupt
from chaos.join import join
from chaos.kill import kill
from chaos.leader import leader
from chaos.liars import liar
from chaos.options import Options, parse, usage
from chaos.outage import outage
from chaos.rounds import rounds
from chaos.seen import seen
from chaos.stage import Run
from chaos.watch import Overdue
from cretonode.cli.base import EXIT_CONFIG, EXIT_FAILED, leaves_of
from cretonode.cli.output import complain
from cretonode.errors import ConfigError, CretoError

SCENARIOS: Final[Mapping[str, Callable[[Run], Awaitable[None]]]] = {
    "kill": kill,
    "interrupt": interrupt,
    "join": join,
    "rounds": rounds,
    "leader": leader,
    "liar": liar,
    "equivocation": equivocation,
    "flood": flood,
    "outage": outage,
    "seen": seen,
}
PLAIN_WIDTH: Final = 120
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_INTERRUPTED: Final = 130
OVERHEAD_S: Final = 900.0  # on top of what a scenario sleeps: a bound, not a plan
PARTS_MAX: Final = 32  # behaviours, each with a network of its own
PART_S: Final = 120.0
ROUND_S: Final = 120.0  # of a kill and a return
BUILT_PER_S_MIN: Final = 1_000  # transactions, while a chain is built


def main(arguments: list[str]) -> int:
    """Play a scenario, print what it found, and keep its directory when that is bad."""
    if any(argument in HELP for argument in arguments):
        print(usage())
        return 0
    try:
        options = parse(arguments)
    except ConfigError as error:
        complain(str(error))
        return EXIT_CONFIG
    console = Console(highlight=False, stderr=options.as_json)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    place = Path(tempfile.mkdtemp(prefix="creto-chaos-", dir=options.words["dir"] or None))
    run = Run(options, place, say=console.print)
    console.print(f"[bold]{options.again}[/]")
    found = report.started(run)
    failure, interrupted = _play(run)
    found = report.document(run, failure, found)
    if options.as_json:
        print(json.dumps(found, indent=2))
    else:
        report.show(console, run)
    if options.words["json"]:
        report.write(Path(options.words["json"]), found)
    if found["kept"] or interrupted:
        shutil.rmtree(place)
        return EXIT_INTERRUPTED if interrupted else 0
    complain(failure or "a promise was not kept")
    console.print(f"everything is kept in {place}\nonce more: {options.again}")
    return EXIT_FAILED


def _play(run: Run) -> tuple[str | None, bool]:
    """Return what went wrong, if anything, and whether somebody interrupted."""
    try:
        return None, trio.run(_until_interrupted, run)
    except BaseExceptionGroup as group:
        errors = leaves_of(group)
        if not all(isinstance(error, CretoError) for error in errors):
            complain(f"a bug of this program or of a library; everything is kept in {run.place}")
            raise
        return "; ".join(str(error) for error in errors), False
    except CretoError as error:
        return str(error), False


async def _until_interrupted(run: Run) -> bool:
    """Play within the time allowed; return whether a signal ended it. Nodes end either way."""
    limit_s = _limit_s(run.options)
    interrupted = False
    playing = trio.CancelScope()

    async def watch_signals(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal interrupted
        with trio.open_signal_receiver(*SIGNALS) as received:
            task_status.started()
            async for _ in received:  # also while the nodes are stopping: nothing cuts that short
                interrupted = True
                playing.cancel()

    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals)
        with playing:
            with trio.move_on_after(limit_s) as limit:
                await SCENARIOS[run.options.scenario](run)
            if limit.cancelled_caught:
                raise Overdue(f"not done within {limit_s:.0f} s")
        nursery.cancel_scope.cancel()
    return interrupted


def _limit_s(options: Options) -> float:
    numbers = options.numbers
    turns = numbers.get("rounds", numbers.get("repeat", 0))
    each_s = ROUND_S + numbers.get("wait", 0) + numbers.get("down", 0)
    once = sum(numbers.get(key, 0) for key in ("warm", "gap", "tail")) + 2 * numbers.get(
        "seconds", 0
    )
    once += numbers.get("settle", 0) + numbers.get("transactions", 0) / BUILT_PER_S_MIN
    if options.words.get("behaviour") == "all":
        once = PARTS_MAX * (once + PART_S)
    return OVERHEAD_S + once + turns * each_s


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
