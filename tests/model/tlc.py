"""One run of TLC, the model checker, and what its output means.

TLC says how it ended by its exit status and in words; both must agree, so that a model that does
not parse, a full disk or a time-out is never taken for a killed fault.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from tests.model.runs import DEADLOCK, HOLDS, MODELS, Run

ENDED_WELL: Final = 0
ENDED_IN_DEADLOCK: Final = 11
ENDED_IN_VIOLATION: Final = 12
HEAP: Final = "-Xmx2g"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came out of one run."""

    outcome: str  # comparable with Run.expect; else why there is none
    states: int  # distinct ones
    depth: int
    seconds: float
    output: str


def java() -> str | None:
    """Return where Java is, when it is."""
    return shutil.which("java")


def check(run: Run, jar: Path, *, timeout_s: int, workers: int) -> Seen:
    """Let TLC search the states of `run` to the end, or up to the first violation."""
    executable = java()
    assert executable is not None, "ask java() first"
    with TemporaryDirectory(prefix="cretonode-model-") as scratch:
        command = [executable, "-XX:+UseParallelGC", HEAP, "-cp", str(jar), "tlc2.TLC"]
        command += ["-workers", str(workers), "-metadir", scratch, "-config", str(run.path)]
        if not run.finds_deadlocks:
            command.append("-deadlock")
        began = perf_counter()
        try:
            done = subprocess.run(
                [*command, f"{run.module}.tla"],
                cwd=MODELS,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Seen(
                outcome=f"not done in {timeout_s} s",
                states=0,
                depth=0,
                seconds=perf_counter() - began,
                output="",
            )
        seconds = perf_counter() - began
    return Seen(
        outcome=outcome_of(done.returncode, done.stdout),
        states=_last_number(r"([\d,]+) distinct states found, ", done.stdout),
        depth=_last_number(r"depth of the complete state graph search is (\d+)", done.stdout),
        seconds=seconds,
        output=done.stdout + done.stderr,
    )


def outcome_of(status: int, output: str) -> str:
    """Return "holds", "deadlock" or the broken invariant; anything else is an error."""
    broken = re.search(r"Error: Invariant (\w+) is violated", output)
    if status == ENDED_IN_VIOLATION and broken is not None:
        return broken.group(1)
    if status == ENDED_IN_DEADLOCK and "Error: Deadlock reached" in output:
        return DEADLOCK
    if status == ENDED_WELL and "No error has been found" in output:
        return HOLDS
    return f"error {status}"


def _last_number(pattern: str, output: str) -> int:
    found = re.findall(pattern, output)
    return int(found[-1].replace(",", "")) if found else 0
