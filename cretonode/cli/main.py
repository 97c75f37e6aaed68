"""`cretonode`: the node and its tools. Errors are sentences; code 2 is for the operator to mend."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec

import click

from cretonode import __version__
from cretonode.cli.output import complain, print_json
from cretonode.errors import ConfigError, CretoError

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
P = ParamSpec("P")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Run, make and ask nodes of a post-quantum permissioned BFT network."""


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(*, as_json: bool) -> None:
    """Print the version."""
    if as_json:
        print_json({"version": __version__, "python": sys.version.split()[0]})
    else:
        click.echo(f"cretonode {__version__} (Python {sys.version.split()[0]})")


def leaves_of(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return the single errors of a group, nested ones too."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves_of(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def reported(run: Callable[P, None]) -> Callable[P, None]:
    """Turn our own errors into a sentence and an exit code; let bugs show their traceback."""

    @wraps(run)
    def wrapper(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            run(*arguments, **options)
        except CretoError as error:
            _exit_for([error])
        except BaseExceptionGroup as group:
            errors = leaves_of(group)
            if not all(isinstance(error, CretoError) for error in errors):
                raise
            _exit_for(errors)

    return wrapper


def _exit_for(errors: list[BaseException]) -> None:
    for line in dict.fromkeys(str(error) for error in errors):
        complain(line)
    mendable = all(isinstance(error, ConfigError) for error in errors)
    raise SystemExit(EXIT_CONFIG if mendable else EXIT_FAILED)


def main() -> None:
    """The entry point. Commands register themselves when their modules are imported."""
    from cretonode.cli import client_commands, network_commands, node_commands

    for module in (node_commands, network_commands, client_commands):
        for command in module.COMMANDS:
            cli.add_command(command)
    cli.main(prog_name="cretonode")


if __name__ == "__main__":
    main()
