"""The command line: every command is found, and a node imports only what it starts with."""

import subprocess
import sys
from importlib import import_module

import click

from cretonode.cli.commands import MODULES, cli

HEAVY = ("quart", "hypercorn", "httpx", "prometheus_client", "jinja2")
START = """
import sys
from cretonode.cli.commands import cli
assert cli.get_command(None, "start") is not None
print(*sys.modules)
"""


def test_every_command_of_every_module_is_found() -> None:
    context = click.Context(cli)
    for module, names in MODULES.items():
        commands = import_module(f"cretonode.cli.{module}").COMMANDS
        assert tuple(command.name for command in commands) == names
        assert [cli.get_command(context, name) for name in names] == list(commands)
    assert {name for names in MODULES.values() for name in names} < {*cli.list_commands(context)}
    assert cli.get_command(context, "no such command") is None


def test_a_node_listens_before_it_imports_what_serves_people() -> None:
    """Who comes back is waited for by validators first."""
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint(HEAVY)
