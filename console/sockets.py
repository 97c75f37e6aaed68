"""Which node to attach to: sockets that are named, that a node.toml names, or in usual places."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_SOCKET: Final = Path("/data/operator.sock")
SOCKET_VARIABLE: Final = "CRETO_NODE_OPERATOR_SOCKET"
SOCKET_NAME: Final = "operator.sock"
CONFIG_NAME: Final = "node.toml"
GENESIS_NAME: Final = "genesis.json"
SOCKETS_MAX: Final = 35  # the picker has a key for each
USUAL: Final = ("/run/cretonode", "/var/lib/cretonode")


class BadPlace(Exception):
    """What the operator named cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node's socket, and the genesis document to check evidence against, when one is known."""

    socket: Path
    genesis: Path | None = None

    @property
    def name(self) -> str:
        """For the picker: the directory, which is the node's name in a network made by us."""
        return self.socket.parent.name or str(self.socket)


def places_of(
    sockets: Sequence[Path],
    config: Path | None,
    genesis: Path | None,
    environment: Mapping[str, str],
) -> list[Place]:
    """Return where to attach: what was named, else what is found, else the default.

    A directory stands for the sockets in it and in the directories below it. Sockets need not
    exist yet, the console waits for them. Raises: BadPlace.
    """
    if config is not None:
        return [_from_config(config, genesis)]
    if sockets:
        found = [place for path in sockets for place in _expanded(path)]
    elif environment.get(SOCKET_VARIABLE):
        found = [Path(environment[SOCKET_VARIABLE])]
    else:
        found = [path for place in USUAL for path in _below(Path(place))]
        if DEFAULT_SOCKET.exists() or not found:
            found.insert(0, DEFAULT_SOCKET)
    unique = list(dict.fromkeys(path.absolute() for path in found))[:SOCKETS_MAX]
    return [Place(path, genesis or _genesis_beside(path)) for path in unique]


def _expanded(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = _below(path)
    if not found:
        raise BadPlace(f"{path} is a directory without any {SOCKET_NAME}: is a node running there?")
    return found


def _below(directory: Path) -> list[Path]:
    try:
        return [*directory.glob(SOCKET_NAME), *sorted(directory.glob(f"*/{SOCKET_NAME}"))]
    except OSError:
        return []


def _from_config(config: Path, genesis: Path | None) -> Place:
    node = _node_section(config)
    socket = node.get("operator_socket")
    path = Path(socket) if isinstance(socket, str) else DEFAULT_SOCKET
    return Place(path, genesis or _genesis_of(node))


def _node_section(config: Path) -> dict[str, object]:
    try:
        with config.open("rb") as file:
            node = tomllib.load(file).get("node", {})
    except OSError as error:
        raise BadPlace(f"{config}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadPlace(f"{config} is no TOML: {error}") from None
    return node if isinstance(node, dict) else {}


def _genesis_of(node: Mapping[str, object]) -> Path | None:
    path = node.get("genesis_path")
    return Path(path) if isinstance(path, str) else None


def _genesis_beside(socket: Path) -> Path | None:
    """Return the genesis document that the node.toml beside the socket names, or one near it."""
    config = socket.with_name(CONFIG_NAME)
    if config.is_file():
        try:
            return _genesis_of(_node_section(config))
        except BadPlace:
            return None
    near = (socket.with_name(GENESIS_NAME), socket.parent.parent / GENESIS_NAME)
    return next((path for path in near if path.is_file()), None)
