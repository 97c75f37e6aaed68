"""What a run found: a table for people, JSON for programs."""

import json
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.circumstances import circumstances
from chaos.stage import Run

LEFT_OUT: Final = ("seed", "json", "dir")  # of the options: no part of what was measured


def document(run: Run, failure: str | None, circumstance: dict[str, object]) -> dict[str, object]:
    """Return everything as one JSON document."""
    return {
        "scenario": run.options.scenario,
        **circumstance,
        "seed": run.options.seed,
        "options": {
            **run.options.numbers,
            **{key: word for key, word in run.options.words.items() if key not in LEFT_OUT},
        },
        "kept": run.promises.kept and failure is None,
        "failure": failure,
        "promises": [
            {"name": each.name, "kept": each.kept, "found": each.found}
            for each in run.promises.checked
        ],
        "figures": run.figures,
    }


def started(run: Run) -> dict[str, object]:
    """Return the circumstances, as they are before the run."""
    return circumstances(run.options.again)


def show(console: Console, run: Run) -> None:
    """Print the tables for people."""
    if not run.promises.checked:
        return
    table = Table("promise", "kept", "found", title=run.options.again, title_justify="left")
    for promise in run.promises.checked:
        kept = "[green]yes[/]" if promise.kept else "[bold red]NO[/]"
        table.add_row(promise.name, kept, promise.found)
    console.print(table)
    figures = Table("figure", "", show_header=False)
    for name, value in run.figures.items():
        for row_name, row_value in _rows(name, value):
            figures.add_row(row_name, row_value)
    if run.figures:
        console.print(figures)


def write(path: Path, found: dict[str, object]) -> None:
    """Write the JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _rows(name: str, value: object) -> list[tuple[str, str]]:
    match value:
        case dict():
            return [(f"{name}: {key}", _plain(inner)) for key, inner in value.items()]
        case list() if all(isinstance(each, dict) for each in value):
            return [(f"{name}: {each.get('name')}", _fields(each)) for each in value]
        case _:
            return [(name, _plain(value))]


def _fields(value: dict[str, object]) -> str:
    return ", ".join(
        f"{key} {_plain(inner)}"
        for key, inner in value.items()
        if key != "name" and inner is not None
    )


def _plain(value: object) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:,.2f}" if value < 1_000 else f"{value:,.0f}"
        case list():
            return ", ".join(_plain(each) for each in value)
        case _:
            return str(value)
