"""Files of a whole network on one machine: keys, genesis, and a node.toml for each validator."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cretonode.cli.making import make_node
from cretonode.config.addresses import Address
from cretonode.config.genesis import Genesis, Validator
from cretonode.config.load import load
from cretonode.config.render import toml_of
from cretonode.core.committee import Parameters
from cretonode.crypto import keystore
from cretonode.crypto.signatures import CryptoMode
from cretonode.errors import ConfigError
from cretonode.identifiers import ChainId

LOOPBACK: Final = "127.0.0.1"
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
    taken when None. Raises: ConfigError, and then nothing is left behind that was not there.
    """
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty; choose a directory of its own for a testnet")
    directory.mkdir(parents=True, exist_ok=True)
    ports = _free_ports(size) if base_port is None else _numbered_ports(size, base_port)
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
    validators = tuple(_make_validator(node) for node in nodes)
    genesis = Genesis(
        chain_id=ChainId(chain_id),
        created_ms=time.time_ns() // 1_000_000,
        crypto_mode=CryptoMode.HYBRID,
        parameters=parameters or Parameters(),
        validators=validators,
    )
    for node in nodes:
        (node.directory / GENESIS_FILE).write_text(genesis.render(), encoding="utf-8")
        node.config_path.write_text(_node_toml(node, profile), encoding="utf-8")
        make_node(node.config_path)
    (directory / GENESIS_FILE).write_text(genesis.render(), encoding="utf-8")
    return nodes


def read_testnet(directory: Path) -> list[NodeFiles]:
    """Return the nodes that `make_testnet` wrote below `directory`. Raises: ConfigError."""
    found = []
    paths = directory.glob(f"node*/{CONFIG_FILE}")
    for path in sorted(paths, key=lambda path: int(path.parent.name[4:])):
        config = load(path, environment={}, flags={})
        found.append(
            NodeFiles(
                name=config.node.id,
                directory=path.parent,
                quic_port=config.network.quic_port,
                http_port=config.api.http_port,
                metrics_port=config.metrics.port,
            )
        )
    if not found:
        raise ConfigError(f"{directory} holds no testnet; `cretonode testnet` makes one")
    return found


def _make_validator(node: NodeFiles) -> Validator:
    node.directory.mkdir(mode=0o700)
    secret = keystore.generate(node.directory / "keys", None)
    return Validator(
        name=node.name,
        public_key=secret.public_key,
        address=Address(LOOPBACK, node.quic_port),
    )


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


def _numbered_ports(size: int, base: int) -> list[tuple[int, int, int]]:
    return [(base + 10 * i + 1, base + 10 * i + 2, base + 10 * i + 3) for i in range(size)]


def _free_ports(size: int) -> list[tuple[int, int, int]]:
    """Return ports that are free now, for UDP and TCP alike."""
    held: list[socket.socket] = []
    try:
        while len(held) < 3 * size:
            tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            tcp.bind((LOOPBACK, 0))
            held.append(tcp)
        ports = [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
    return [(ports[3 * i], ports[3 * i + 1], ports[3 * i + 2]) for i in range(size)]
