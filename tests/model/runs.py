"""The runs of the TLA+ models: which module, which bounds, what must come out.

A run is one file in docs/spec/tla/runs. Its first lines say what it shows; TLC reads the rest.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MODELS: Final = ROOT / "docs" / "spec" / "tla"
RUNS: Final = MODELS / "runs"
HOLDS: Final = "holds"
DEADLOCK: Final = "deadlock"
FIELDS: Final = ("module", "expect", "effort", "deadlock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One configuration of one module."""

    name: str
    says: str
    module: str
    expect: str  # "holds", "deadlock", or the invariant that must break
    full: bool  # takes minutes: only with full=yes
    finds_deadlocks: bool
    invariants: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file TLC reads."""
        return RUNS / f"{self.name}.cfg"


def all_runs() -> list[Run]:
    """Return every run, by name."""
    return [parse(path) for path in sorted(RUNS.glob("*.cfg"))]


def parse(path: Path) -> Run:
    """Return the run of one file. Raises: ValueError, when a field lacks or says something else."""
    text = path.read_text(encoding="utf-8")
    comments = re.findall(r"^\\\* (.*)$", text, re.MULTILINE)
    fields = dict(comment.split(": ", 1) for comment in comments[1:])
    if tuple(fields) != FIELDS:
        raise ValueError(f"{path.name}: the fields are {', '.join(fields)}; expected {FIELDS}")
    if fields["effort"] not in ("quick", "full"):
        raise ValueError(f"{path.name}: effort is {fields['effort']}; expected quick or full")
    if fields["deadlock"] not in ("allowed", "looked for"):
        raise ValueError(f"{path.name}: deadlock is {fields['deadlock']}")
    stated = re.search(r"^INVARIANTS (.*)$", text, re.MULTILINE)
    invariants = tuple(stated.group(1).split()) if stated is not None else ()
    if fields["expect"] not in (HOLDS, DEADLOCK, *invariants):
        raise ValueError(f"{path.name}: {fields['expect']} is expected and not checked")
    return Run(
        name=path.stem,
        says=comments[0],
        module=fields["module"],
        expect=fields["expect"],
        full=fields["effort"] == "full",
        finds_deadlocks=fields["deadlock"] == "looked for",
        invariants=invariants,
    )
