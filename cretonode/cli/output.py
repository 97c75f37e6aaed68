"""What commands print: tables for people, JSON for programs, sentences for errors."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


ID_CHARACTERS: Final = 64
LINE_CHARACTERS_MAX: Final = 4096


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, sort_keys=True))


def plain(record: "DataclassInstance") -> dict[str, object]:
    """Return a record's fields with bytes as hexadecimal text."""
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in asdict(record).items()
    }


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, as wide as the terminal allows; but an id stays whole, to be copied."""
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        show_header=any(columns),
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    cells = [[str(cell) for cell in row] for row in rows]
    widest = 0
    for number, column in enumerate(columns):
        unbroken = max((len(w) for row in cells for w in row[number].split()), default=0)
        table.add_column(column, overflow="fold", min_width=min(unbroken, ID_CHARACTERS))
        widest += 2 + max(len(column), min(unbroken, ID_CHARACTERS))
    for row in cells:
        table.add_row(*row)
    out = console()
    # Where that is no terminal, whatever reads it wants a row on a line of its own.
    out.width = max(out.width, widest) if out.is_terminal else LINE_CHARACTERS_MAX
    out.print(table)


def console() -> Console:
    """Return a console on standard output; colour only where that is a terminal."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def complain(message: str) -> None:
    """Print an error for people."""
    click.echo(f"cretonode: {message}", err=True)
