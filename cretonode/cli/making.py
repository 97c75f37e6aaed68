"""Making one node's directory from its configuration: keys if there are none, then the journal."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cretonode.config.genesis import check_address, check_against, read
from cretonode.config.load import load
from cretonode.config.schema import Config
from cretonode.crypto import keystore
from cretonode.errors import ConfigError
from cretonode.identifiers import Incarnation, NodeId, short
from cretonode.storage.datadir import create_data_directory
from cretonode.storage.identity import Identity

NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})


def make_keys(config: Config, passphrase: bytes | None) -> NodeId:
    """Load the node's keys, or make them when there are none; return the node id."""
    directory = Path(config.crypto.key_path)
    if keystore.exists(directory):
        return keystore.load(directory, passphrase).node_id
    return keystore.generate(directory, passphrase).node_id


def make_node(
    config_path: Path | None,
    passphrase: bytes | None = None,
    *,
    lost: bool = False,
    environment: Mapping[str, str] = NO_VARIABLES,
) -> NodeId:
    """Make the data directory of a node that genesis names: `cretonode init`.

    `lost`: it ran before, and what it said is not known, so it begins as an amnesiac.
    `environment`: of which CRETO_ variables count, beside the file.
    Raises: ConfigError, StorageError; then nothing was made but, perhaps, the keys.
    """
    config = load(config_path, environment=environment, flags={})
    node_id = make_keys(config, passphrase)
    genesis = read(Path(config.node.genesis_path))
    check_against(config, genesis)
    me = genesis.index_of(node_id)
    if me is None:
        raise ConfigError(
            f"node {short(node_id)} ({config.crypto.key_path}) is not among the validators of "
            f"{config.node.genesis_path}; send node.pub to whoever writes the genesis document"
        )
    check_address(config, genesis, me)
    identity = Identity(genesis.chain_id, genesis.hash, node_id)
    create_data_directory(Path(config.node.data_dir), identity, Incarnation(0), lost=lost)
    return node_id
