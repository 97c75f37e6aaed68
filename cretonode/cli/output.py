"""What commands print: tables for people, JSON for programs, sentences for errors."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


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
    """Print a table, as wide as the terminal allows."""
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console().print(table)


def console() -> Console:
    """Return a console on standard output; colour only where that is a terminal."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def complain(message: str) -> None:
    """Print an error for people."""
    click.echo(f"cretonode: {message}", err=True)
