"""Which node to attach to: sockets that are named, that a node.toml names, or in usual places."""

import errno
import socket
import stat
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
A_FILE: Final = "a regular file"
PICKER_KEYS: Final = "123456789abcdefghijklmnoprstuvwxyz"
SOCKETS_MAX: Final = len(PICKER_KEYS)
ONE_NODE: Final = "there is one node only; name several sockets, or a directory of them"
ONE_RECORDED: Final = "a recording is of one node: for another, replay its own recording"
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

    def state(self) -> str:
        """Return whether a node listens there, in words: for the picker."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(0)  # one that has many callers waiting is there, too
            try:
                probe.connect(str(self.socket))
            except OSError as error:
                if isinstance(error, FileNotFoundError | ConnectionRefusedError):
                    return "stopped"
                return "running" if error.errno == errno.EAGAIN else error.strerror or str(error)
        return "running"


def places_of(
    sockets: Sequence[Path],
    config: Path | None,
    genesis: Path | None,
    environment: Mapping[str, str],
) -> list[Place]:
    """Return where to attach: what was named, else what is found, else the default.

    A directory stands for the sockets in it and in the directories below it. Sockets need not
    exist yet, the console waits for them; in a directory a node.toml names the one of its node.
    Raises: BadPlace, also when something that is no socket is where one should be.
    """
    if config is not None and sockets:
        raise BadPlace("--socket and --config each name a node; expected one of them")
    if config is not None:
        place = _from_config(config, genesis)
        _check(place.socket)
        return [place]
    if sockets:
        found = [place for path in sockets for place in _expanded(path)]
    elif environment.get(SOCKET_VARIABLE):
        found = [Path(environment[SOCKET_VARIABLE])]
    else:
        found = [path for place in USUAL for path in _below(Path(place))]
        if DEFAULT_SOCKET.exists() or not found:
            found.insert(0, DEFAULT_SOCKET)
    unique = list(dict.fromkeys(path.absolute() for path in found))[:SOCKETS_MAX]
    for path in unique:
        _check(path)
    return [Place(path, genesis or _genesis_beside(path)) for path in unique]


def choices_of(places: Sequence[Place]) -> list[tuple[str, str, str]]:
    """Return the picker's choices: key, words, the number of the place."""
    return [
        (key, f"{place.name:<16} {place.state():<8} {place.socket}", str(i))
        for i, (key, place) in enumerate(zip(PICKER_KEYS, places, strict=False))
    ]


def _expanded(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = _below(path)
    if not found:
        raise BadPlace(
            f"{path} is a directory without any {SOCKET_NAME} or {CONFIG_NAME}: no node lives there"
        )
    return found


def _below(directory: Path) -> list[Path]:
    """Return the sockets of the nodes in a directory, of stopped ones as their node.toml says."""
    try:
        homes = [directory, *sorted(path for path in directory.iterdir() if path.is_dir())]
    except OSError:
        return []
    return [path for home in homes for path in _of_home(home)]


def _of_home(home: Path) -> list[Path]:
    own, config = home / SOCKET_NAME, home / CONFIG_NAME
    try:
        if own.exists():
            return [own]
        return [_socket_of(_node_section(config)) or own] if config.is_file() else []
    except (OSError, BadPlace):
        return []


def what_is_there(path: Path) -> str:
    """Return what is at a path when it can be no node's socket; empty: a socket, or nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return next((words for is_one, words in _KINDS if is_one(mode)), "")


_KINDS: Final = (
    (stat.S_ISREG, A_FILE),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _check(path: Path) -> None:
    what = what_is_there(path)
    if what:
        raise BadPlace(f"{path} is {what}, no socket of a node")


def _from_config(config: Path, genesis: Path | None) -> Place:
    node = _node_section(config)
    return Place(_socket_of(node) or DEFAULT_SOCKET, genesis or _genesis_of(node))


def _socket_of(node: Mapping[str, object]) -> Path | None:
    path = node.get("operator_socket")
    return Path(path) if isinstance(path, str) else None


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
