"""How commands find the local socket of a node on this machine."""

import os
from pathlib import Path
from typing import Final

import click

from cretonode.config.load import load
from cretonode.errors import ConfigError
from cretonode.operator.client import OperatorClient, connect

SOCKET_OPTION: Final = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    help="The local socket; without it the one that the configuration names.",
)


def attached(config_path: Path | None, socket_path: Path | None) -> OperatorClient:
    """Return a client of the node on this machine. Raises: ConfigError, NetworkError."""
    if socket_path is not None and config_path is not None:
        raise ConfigError("--socket and --config each name a node; expected one of them")
    if socket_path is None:
        config = load(config_path, environment=os.environ, flags={})
        socket_path = Path(config.node.operator_socket)
    return connect(socket_path)
