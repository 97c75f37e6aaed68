"""What must hold between keys of the configuration."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePath
from typing import Final

from cretonode.config.schema import Config
from cretonode.config.wording import shown


@dataclass(frozen=True, slots=True)
class Relation:
    """A rule about `keys`: `problem` says how a configuration breaks it, or None."""

    keys: tuple[str, ...]
    problem: Callable[[Config], str | None]


def problems(config: Config, *, unusable: frozenset[str]) -> Iterator[str]:
    """Yield every relation that `config` breaks, but for those about keys in `unusable`."""
    for relation in RELATIONS:
        if unusable.isdisjoint(relation.keys):
            problem = relation.problem(config)
            if problem is not None:
                yield problem


def _described(config: Config, key: str) -> str:
    origin = config.origins.get(key, "default")
    return f"{key} is {shown(config.value_of(key))} ({origin})"


def _at_most(low: str, high: str) -> Relation:
    def problem(config: Config) -> str | None:
        first, second = config.value_of(low), config.value_of(high)
        assert isinstance(first, int), low
        assert isinstance(second, int), high
        if first <= second:
            return None
        return (
            f"{_described(config, low)} and {_described(config, high)}; "
            "expected the first to be at most the second"
        )

    return Relation((low, high), problem)


def _retention_outlasts_interval(config: Config) -> str | None:
    backup = config.backup
    if not backup.enabled or backup.retention_days * 24 >= backup.interval_hours:
        return None
    return (
        f"{_described(config, 'backup.retention_days')} and "
        f"{_described(config, 'backup.interval_hours')}; expected a backup to be kept until the "
        "next one is made"
    )


# TCP ports only: QUIC may have the number of one of them, since it is on UDP.
_TCP_PORTS: Final = ("network.listen_addr", "metrics.port", "api.http_port")


def _ports_differ(first: str, second: str) -> Relation:
    def port_of(config: Config, key: str) -> int | None:
        match key:
            case "network.listen_addr":
                return config.network.listen_address.port
            case "metrics.port":
                return config.metrics.port if config.metrics.enabled else None
            case _:
                return config.api.http_port if config.api.http_enabled else None

    def problem(config: Config) -> str | None:
        port = port_of(config, first)
        if port is None or port != port_of(config, second):
            return None
        return (
            f"{_described(config, first)} and {_described(config, second)}; "
            "expected two different TCP ports"
        )

    return Relation((first, second), problem)


# Each of these belongs to one writer, who may delete what it does not know.
_DIRECTORIES: Final = ("storage.path", "crypto.key_path", "backup.path")


def _directories_are_apart(first: str, second: str) -> Relation:
    def problem(config: Config) -> str | None:
        paths = _directory_of(config, first), _directory_of(config, second)
        if not (_is_within(*paths) or _is_within(*reversed(paths))):
            return None
        return (
            f"{_described(config, first)} and {_described(config, second)}; "
            "expected two directories, neither inside the other"
        )

    return Relation((first, second), problem)


def _data_is_outside(directory: str) -> Relation:
    def problem(config: Config) -> str | None:
        if not _is_within(config.node.data_dir, _directory_of(config, directory)):
            return None
        return (
            f"{_described(config, 'node.data_dir')} and {_described(config, directory)}; "
            "expected the first to be outside the second"
        )

    return Relation(("node.data_dir", directory), problem)


def _directory_of(config: Config, key: str) -> str | None:
    backup = config.backup
    if key == "backup.path" and not (backup.enabled and backup.storage_type == "local"):
        return None
    path = config.value_of(key)
    assert isinstance(path, str), key
    return path


def _is_within(inner: str | None, outer: str | None) -> bool:
    if inner is None or outer is None:
        return False
    return PurePath(os.path.normpath(inner)).is_relative_to(os.path.normpath(outer))


RELATIONS: Final = (
    _at_most("consensus.finality_timeout_ms", "consensus.view_change_timeout_ms"),
    _at_most("consensus.slot_interval_ms", "consensus.finality_timeout_ms"),
    _at_most("consensus.batch_interval_ms", "consensus.finality_timeout_ms"),
    Relation(("backup.retention_days", "backup.interval_hours"), _retention_outlasts_interval),
    *(_ports_differ(*pair) for pair in combinations(_TCP_PORTS, 2)),
    *(_directories_are_apart(*pair) for pair in combinations(_DIRECTORIES, 2)),
    *(_data_is_outside(directory) for directory in _DIRECTORIES),
)
