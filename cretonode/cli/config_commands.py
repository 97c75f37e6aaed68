"""Commands about the configuration: config show, config check."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from cretonode.cli.base import reported
from cretonode.cli.node_commands import CONFIG_OPTION, SET_OPTION, flags_of
from cretonode.cli.output import print_json, print_table
from cretonode.config.load import load
from cretonode.config.render import toml_of
from cretonode.config.schema import Config


@click.group()
def config() -> None:
    """Look at a node's configuration."""


@config.command()
@CONFIG_OPTION
@SET_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def show(config_path: Path | None, settings: Sequence[str], *, as_json: bool) -> None:
    """Show every key with its value and where that comes from."""
    shown = _load(config_path, settings).show()
    if as_json:
        print_json({each.key: {"value": each.value, "origin": each.origin} for each in shown})
        return
    print_table("", ["key", "value", "from"], [[s.key, toml_of(s.value), s.origin] for s in shown])


@config.command()
@CONFIG_OPTION
@SET_OPTION
@reported
def check(config_path: Path | None, settings: Sequence[str]) -> None:
    """Check the file, the variables and the flags; say which keys have no effect yet."""
    for key in _load(config_path, settings).without_effect():
        click.echo(f"{key} has no effect yet")
    click.echo("the configuration is valid")


def _load(config_path: Path | None, settings: Sequence[str]) -> Config:
    return load(config_path, environment=os.environ, flags=flags_of(settings))


COMMANDS: Final = (config,)
