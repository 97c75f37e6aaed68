"""Check the models: `python -m tests.model jar=FILE`, with only=NAME, full=yes or json=FILE."""

import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tests.model.runs import Run, all_runs
from tests.model.tlc import Seen, check, java

OPTIONS = {"jar", "only", "full", "json", "jobs", "workers", "timeout"}
HINTS = "only=NAME full=yes json=FILE jobs=2 workers=1 timeout=SECONDS"


def main(arguments: list[str]) -> int:
    """Return 0 when every run came out as expected, 1 when one did not, 2 when none could start."""
    options = dict(argument.partition("=")[::2] for argument in arguments)
    unknown = options.keys() - OPTIONS
    if unknown:
        return refuse(f"unknown: {', '.join(sorted(unknown))}; allowed: {HINTS}")
    full = options.get("full") == "yes"
    chosen = [run for run in all_runs() if full or not run.full]
    if "only" in options:
        chosen = [run for run in all_runs() if run.name == options["only"]]
        if not chosen:
            names = ", ".join(run.name for run in all_runs())
            return refuse(f"no run is called {options['only']!r}; there are: {names}")
    if java() is None:
        return refuse("there is no `java`: the models are checked by TLC, which needs one (11 on)")
    jar = Path(options.get("jar", "")).resolve()
    if not jar.is_file():
        return refuse(f"{jar} is not there; `just model` fetches it, or name it with jar=FILE")
    timeout_s = int(options.get("timeout", "3600" if any(run.full for run in chosen) else "600"))
    workers = int(options.get("workers", "1"))

    def play(run: Run) -> Seen:
        return check(run, jar, timeout_s=timeout_s, workers=workers)

    print(line("model", "configuration", "expected", "seen", "states", "depth", "seconds"))
    with ThreadPoolExecutor(int(options.get("jobs", "2"))) as pool:
        results = list(tell(zip(chosen, pool.map(play, chosen), strict=True)))
    surprises = [run.name for run, seen in results if seen.outcome != run.expect]
    if "json" in options:
        write(Path(options["json"]), results)
    if len(results) == 1:
        print(results[0][1].output)
    print(f"{len(results)} runs, {len(surprises)} surprises {' '.join(surprises)}".rstrip())
    return bool(surprises)


def refuse(why: str) -> int:
    """Say why nothing was checked."""
    print(f"model: {why}", file=sys.stderr)
    return 2


def tell(results: Iterable[tuple[Run, Seen]]) -> Iterable[tuple[Run, Seen]]:
    """Print each result when it is there."""
    for run, seen in results:
        figures = (str(seen.states), str(seen.depth), f"{seen.seconds:.1f}")
        mark = "" if seen.outcome == run.expect else "  <-- surprise"
        print(line(run.module, run.name, run.expect, seen.outcome, *figures) + mark, flush=True)
        yield run, seen


def line(*cells: str) -> str:
    """Return one line of the table."""
    model, name, expected, outcome, states, depth, seconds = cells
    figures = f"{states:>8} {depth:>5} {seconds:>8}"
    return f"{model:<14} {name:<24} {expected:<18} {outcome:<18} {figures}"


def write(path: Path, results: list[tuple[Run, Seen]]) -> None:
    """Leave the results for a program."""
    rows = []
    for run, seen in results:
        row: dict[str, object] = {
            "model": run.module,
            "configuration": run.name,
            "expected": run.expect,
        }
        row |= asdict(seen)
        row["as_expected"] = seen.outcome == run.expect
        del row["output"]
        rows.append(row)
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
