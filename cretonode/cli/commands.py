"""The `cretonode` command line: every command in one group."""

import sys
from importlib import import_module
from typing import Final

import click

from cretonode import __version__
from cretonode.cli.base import reported
from cretonode.cli.output import print_json

# Which module below `cretonode.cli` has which commands, in its COMMANDS.
MODULES: Final = {
    "node_commands": ("init", "start", "status"),
    "network_commands": ("testnet", "devnet", "demo"),
    "client_commands": ("submit", "get"),
    "config_commands": ("config",),
    "ban_commands": ("bans",),
    "evidence_commands": ("evidence",),
    "recover_command": ("recover",),
}
MODULE_OF: Final = {name: module for module, names in MODULES.items() for name in names}


class Commands(click.Group):
    """Imports a command's module when the command is named: a node that starts needs no other."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(context), *MODULE_OF})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return a command; None when there is none of that name."""
        module = MODULE_OF.get(name)
        if module is None:
            return super().get_command(context, name)
        commands: tuple[click.Command, ...] = import_module(f"cretonode.cli.{module}").COMMANDS
        return next(command for command in commands if command.name == name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Run, make and ask nodes of a post-quantum permissioned BFT network."""


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def version(*, as_json: bool) -> None:
    """Print the version."""
    if as_json:
        print_json({"version": __version__, "python": sys.version.split()[0]})
    else:
        click.echo(f"cretonode {__version__} (Python {sys.version.split()[0]})")
