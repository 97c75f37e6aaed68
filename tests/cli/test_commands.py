"""The command line: every command is found, and a node imports only what it starts with."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

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


@pytest.mark.parametrize("command", [("status",), ("bans", "list"), ("evidence", "list")])
def test_a_socket_and_a_configuration_are_two_nodes(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Neither is passed over: it may be the one that was meant."""
    both = ["--config", str(tmp_path / "node.toml"), "--socket", str(tmp_path / "x.sock")]
    result = CliRunner().invoke(cli, [*command, *both])
    assert result.exit_code == 2
    assert "--socket and --config each name a node; expected one of them" in result.output
