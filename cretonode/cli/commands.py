"""The `cretonode` command line: every command in one group."""

import sys

import click

from cretonode import __version__
from cretonode.cli import (
    ban_commands,
    client_commands,
    config_commands,
    evidence_commands,
    network_commands,
    node_commands,
    recover_command,
)
from cretonode.cli.base import reported
from cretonode.cli.output import print_json


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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


for _module in (
    node_commands,
    network_commands,
    client_commands,
    config_commands,
    ban_commands,
    evidence_commands,
    recover_command,
):
    for _command in _module.COMMANDS:
        cli.add_command(_command)
