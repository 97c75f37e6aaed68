"""The entry point of `creto-console`: attach to a node, or replay a recording."""

import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

import click
from click.core import ParameterSource

from console.app import SOFTWARE, ConsoleApp
from console.history import NoHistory, fetch
from console.look import DEFAULT_THEME, NO_COLOUR, PALETTES
from console.options import Options
from console.sockets import A_FILE, BadPlace, places_of, what_is_there
from console.units import size

EXIT_CONFIG: Final = 2
PATH: Final = click.Path(path_type=Path)
THEME: Final = click.option(
    "--theme",
    type=click.Choice(list(PALETTES)),
    help=f"Colours; {DEFAULT_THEME} without it, {NO_COLOUR} when NO_COLOR is set.",
)
GLYPHS: Final = click.option(
    "--ascii", "ascii_only", is_flag=True, help="Signs of ASCII only; so without a UTF-8 terminal."
)
OUTPUT: Final = click.option(
    "--output", "directory", type=PATH, default=Path(), help="Where exported files go."
)


@click.group(invoke_without_command=True)
@click.option(
    "--socket",
    "sockets",
    type=PATH,
    multiple=True,
    help="A node's local socket, or a directory of nodes; several for a choice.",
)
@click.option("--config", type=PATH, help="A node.toml: its socket and its genesis document.")
@click.option("--genesis", type=PATH, help="The genesis document that evidence is checked against.")
@click.option(
    "--write",
    is_flag=True,
    help="Allow what changes the node; each asks first and says its effect.",
)
@click.option("--record", type=PATH, help="Write what the node tells into a new file.")
@THEME
@GLYPHS
@OUTPUT
@click.pass_context
def command(
    context: click.Context,
    sockets: Sequence[Path],
    config: Path | None,
    genesis: Path | None,
    record: Path | None,
    theme: str | None,
    directory: Path,
    *,
    write: bool,
    ascii_only: bool,
) -> None:
    """Watch a node on this machine over its local socket; wait for it while it is not there.

    Read-only without --write. Inside, `?` shows the keys.
    """
    if context.invoked_subcommand is not None:
        _refuse_misplaced(context, context.invoked_subcommand)
        return
    try:
        places = places_of(sockets, config, genesis, os.environ)
    except BadPlace as problem:
        raise click.UsageError(str(problem)) from None
    if record is not None and record.exists():
        raise click.UsageError(f"{record} exists: name a new file to record into")
    if record is not None and not record.parent.is_dir():
        raise click.UsageError(f"{record}: there is no directory {record.parent}")
    run(
        Options(
            places=places,
            record=record,
            write=write,
            theme=_theme(theme),
            ascii_only=ascii_only or _is_plain_terminal(),
            directory=directory,
        )
    )


@command.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@THEME
@GLYPHS
@OUTPUT
def replay(file: Path, theme: str | None, directory: Path, *, ascii_only: bool) -> None:
    """Look through a recording: play, step, jump to view changes, bans, stalls, gaps."""
    what = what_is_there(file)
    if what not in ("", A_FILE):
        raise click.UsageError(f"{file} is {what}, no recording")
    run(
        Options(
            recording=file,
            theme=_theme(theme),
            ascii_only=ascii_only or _is_plain_terminal(),
            directory=directory,
        )
    )


@command.command()
@click.option("--socket", "sockets", type=PATH, multiple=True, help="The node's local socket.")
@click.option("--config", type=PATH, help="A node.toml that names it.")
@click.option("--hours", type=click.FloatRange(0.001, 87_600), help="Only so many, of the last.")
@click.argument("file", type=PATH)
def history(sockets: Sequence[Path], config: Path | None, hours: float | None, file: Path) -> None:
    """Write the history that a node keeps of itself into FILE, for `replay`."""
    if hours is not None and math.isnan(hours):
        raise click.UsageError("--hours nan: expected a number from 0.001 to 87600")
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        places = places_of(sockets, config, None, os.environ)
        if len(places) != 1:
            raise BadPlace(f"{len(places)} nodes are here: name one with --socket")
        from_ms = None if hours is None else int((time.time() - hours * 3_600) * 1_000)
        written = asyncio.run(fetch(places[0].socket, file, from_ms, SOFTWARE))
    except BadPlace as problem:
        raise click.UsageError(str(problem)) from None
    except NoHistory as problem:
        raise click.ClickException(str(problem)) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    click.echo(f"wrote {file}, {size(written)}; look through it with: creto-console replay {file}")


def run(options: Options) -> None:
    """Run the application in this terminal until the operator leaves."""
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stdout)):
        click.echo("creto-console needs a terminal; `cretonode status` does without one.", err=True)
        raise SystemExit(EXIT_CONFIG)
    app = ConsoleApp(options)
    app.run()
    if app.return_code:
        raise SystemExit(app.return_code)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # None: closed by whoever started us


def _theme(named: str | None) -> str:
    return named or (NO_COLOUR if os.environ.get("NO_COLOR") else DEFAULT_THEME)


def _refuse_misplaced(context: click.Context, subcommand: str) -> None:
    """Options before a subcommand would be ignored. Raises: UsageError."""
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    command = (
        context.command.commands[subcommand] if isinstance(context.command, click.Group) else None
    )
    taken = {
        option for parameter in (command.params if command else ()) for option in parameter.opts
    }
    foreign = [option for option in given if option not in taken]
    if foreign:
        raise click.UsageError(f"{', '.join(foreign)} means nothing to {subcommand!r}")
    if given:
        raise click.UsageError(f"put {', '.join(given)} after {subcommand!r}, not before it")


def _is_plain_terminal(environment: Mapping[str, str] = os.environ) -> bool:
    """True when the locale is not UTF-8. Python's own preference does not say: in the locale C it
    turns to UTF-8 by itself, and sets LC_CTYPE. Source: PEP 538, PEP 540.
    """
    if environment.get("PYTHONUTF8") == "1":
        return False
    values = {name: environment.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")}
    if values["LC_CTYPE"] == "C.UTF-8" and values["LANG"] in ("", "C", "POSIX"):
        values["LC_CTYPE"] = ""  # set by Python
    locale = next((value for value in values.values() if value), "")
    return "utf" not in locale.lower()


def main() -> None:
    """Run the command line."""
    command(prog_name="creto-console")


if __name__ == "__main__":
    main()
