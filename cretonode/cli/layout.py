"""Files of a whole network on one machine: keys, genesis, and a node.toml for each validator."""

import re
import shutil
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cretonode.cli.making import make_node
from cretonode.cli.ports import LOOPBACK, free_ports
from cretonode.config.addresses import Address
from cretonode.config.genesis import Genesis, Validator
from cretonode.config.load import load
from cretonode.config.render import toml_of
from cretonode.core.committee import Parameters
from cretonode.crypto import keystore
from cretonode.crypto.providers.interface import ML_DSA_PUBLIC_BYTES
from cretonode.crypto.signatures import ED25519_PUBLIC_BYTES, CryptoMode, PublicKey
from cretonode.errors import ConfigError
from cretonode.identifiers import ChainId

GENESIS_FILE: Final = "genesis.json"
CONFIG_FILE: Final = "node.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFiles:
    """One node of a local network: where its files are and where it listens."""

    name: str
    directory: Path
    quic_port: int
    http_port: int
    metrics_port: int

    @property
    def config_path(self) -> Path:
        """Its node.toml."""
        return self.directory / CONFIG_FILE

    @property
    def operator_socket(self) -> Path:
        """Its local socket."""
        return self.directory / "operator.sock"

    @property
    def url(self) -> str:
        """Its HTTP interface."""
        return f"http://{LOOPBACK}:{self.http_port}"

    @property
    def log_path(self) -> Path:
        """What a process started by `devnet` prints."""
        return self.directory / "node.log"


def make_testnet(
    directory: Path,
    *,
    size: int,
    chain_id: str = "testnet",
    base_port: int | None = None,
    parameters: Parameters | None = None,
    profile: str = "small",
) -> list[NodeFiles]:
    """Write a network of `size` nodes below `directory`, which must be empty or absent.

    `base_port`: node i listens on `base_port + 10 i + 1` and the two ports after it; free ones are
    taken when None. Shape: every path is absolute, so that the files serve from any directory.
    Raises: ConfigError, OSError; then, as on Ctrl-C, nothing is left that was not there before.
    """
    directory = _resolved(directory)
    _check_vacant(directory)
    ports = _ports(size, base_port)
    nodes = [
        NodeFiles(
            name=f"node{i}",
            directory=directory / f"node{i}",
            quic_port=quic,
            http_port=http,
            metrics_port=metrics,
        )
        for i, (quic, http, metrics) in enumerate(ports)
    ]
    genesis = Genesis(
        chain_id=ChainId(chain_id),
        created_ms=time.time_ns() // 1_000_000,
        crypto_mode=CryptoMode.HYBRID,
        parameters=parameters or Parameters(),
        validators=tuple(_validator(node, _stand_in(i)) for i, node in enumerate(nodes)),
    )  # refuses what is wrong while there are no keys yet
    with _removed_on_failure(directory, nodes):
        validators = tuple(_make_validator(node) for node in nodes)
        genesis = replace(genesis, validators=validators)
        for node in nodes:
            (node.directory / GENESIS_FILE).write_text(genesis.render(), encoding="utf-8")
            node.config_path.write_text(_node_toml(node, profile), encoding="utf-8")
            make_node(node.config_path)
        # Last and at once: a directory with this file holds a whole network.
        unfinished = directory / f"{GENESIS_FILE}.new"
        unfinished.write_text(genesis.render(), encoding="utf-8")
        unfinished.rename(directory / GENESIS_FILE)
    return nodes


def read_testnet(directory: Path) -> list[NodeFiles]:
    """Return the nodes that `make_testnet` wrote below `directory`. Raises: ConfigError."""
    directory = _resolved(directory)
    _check_whole(directory)
    found = []
    for place in _node_directories(directory):
        config = load(place / CONFIG_FILE, environment={}, flags={})
        found.append(
            NodeFiles(
                name=config.node.id,
                directory=place,
                quic_port=config.network.quic_port,
                http_port=config.api.http_port,
                metrics_port=config.metrics.port,
            )
        )
    if not found:
        raise ConfigError(f"{directory} holds no testnet; `cretonode testnet` makes one")
    return found


def _resolved(directory: Path) -> Path:
    if directory.is_symlink() and not directory.exists():
        raise ConfigError(f"{directory} is a symbolic link to nothing; choose a directory")
    return directory.resolve()


def _check_vacant(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()):
        _check_whole(directory)
        raise ConfigError(f"{directory} is not empty; choose a directory of its own for a testnet")


def _check_whole(directory: Path) -> None:
    if _node_directories(directory) and not (directory / GENESIS_FILE).exists():
        raise ConfigError(
            f"{directory} holds a half-made network: directories of nodes, but no {GENESIS_FILE}; "
            "remove that directory, or choose another, and make the network again"
        )


def _node_directories(directory: Path) -> list[Path]:
    """Return node0, node1 and so on, by number."""
    found = [path for path in directory.glob("node*") if re.fullmatch(r"node[0-9]{1,4}", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("node")))


@contextmanager
def _removed_on_failure(directory: Path, nodes: Sequence[NodeFiles]) -> Generator[None]:
    """Make `directory`; when the body fails, remove what this call made and nothing else."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for node in nodes:  # the directory was empty, so these are ours
            shutil.rmtree(node.directory, ignore_errors=True)
        for name in (f"{GENESIS_FILE}.new", GENESIS_FILE):
            with suppress(OSError):
                (directory / name).unlink(missing_ok=True)
        for path in missing:
            with suppress(OSError):  # somebody else's file is in it, or it was never made
                path.rmdir()
        raise


def _stand_in(index: int) -> PublicKey:
    """Return a key of nobody: one for each index."""
    number = index.to_bytes(2, "big")
    return PublicKey(
        number.ljust(ED25519_PUBLIC_BYTES, b"\0"), number.ljust(ML_DSA_PUBLIC_BYTES, b"\0")
    )


def _validator(node: NodeFiles, key: PublicKey) -> Validator:
    return Validator(name=node.name, public_key=key, address=Address(LOOPBACK, node.quic_port))


def _make_validator(node: NodeFiles) -> Validator:
    node.directory.mkdir(mode=0o700)
    return _validator(node, keystore.generate(node.directory / "keys", None).public_key)


def _node_toml(node: NodeFiles, profile: str) -> str:
    """Return only what differs from the defaults; `cretonode config show` shows everything."""
    values: dict[str, dict[str, bool | int | str]] = {
        "node": {
            "id": node.name,
            "data_dir": str(node.directory / "data"),
            "genesis_path": str(node.directory / GENESIS_FILE),
            "operator_socket": str(node.operator_socket),
        },
        "network": {
            "listen_addr": f"{LOOPBACK}:{node.quic_port}",
            "quic_port": node.quic_port,
            "mdns_enabled": False,
            "enable_nat_traversal": False,
        },
        "storage": {"path": str(node.directory / "data" / "db"), "profile": profile},
        "crypto": {"key_path": str(node.directory / "keys")},
        "metrics": {"port": node.metrics_port},
        "api": {"http_host": LOOPBACK, "http_port": node.http_port},
        "backup": {"enabled": False},
    }
    sections = []
    for section, keys in values.items():
        lines = [f"{key} = {toml_of(value)}" for key, value in keys.items()]
        sections.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(sections) + "\n"


def _ports(size: int, base: int | None) -> list[tuple[int, int, int]]:
    if base is not None:
        return [(base + 10 * i + 1, base + 10 * i + 2, base + 10 * i + 3) for i in range(size)]
    free = free_ports(3 * size)
    return [(free[3 * i], free[3 * i + 1], free[3 * i + 2]) for i in range(size)]
