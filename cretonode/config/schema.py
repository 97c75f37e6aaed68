"""The whole configuration: `Config` of all sections, and the table of its keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final, NamedTuple, TypeAlias, TypeVar

from cretonode.config.keys import About, Key, Value
from cretonode.config.local_sections import (
    ApiSection,
    BackupSection,
    MetricsSection,
    NodeSection,
    StorageSection,
)
from cretonode.config.peer_sections import ConsensusSection, CryptoSection, NetworkSection

__all__ = [
    "KEYS",
    "PROFILES",
    "SECTIONS",
    "ApiSection",
    "BackupSection",
    "Config",
    "ConsensusSection",
    "CryptoSection",
    "MetricsSection",
    "NetworkSection",
    "NodeSection",
    "Setting",
    "StorageSection",
]

Section: TypeAlias = (
    NodeSection
    | ConsensusSection
    | NetworkSection
    | StorageSection
    | CryptoSection
    | MetricsSection
    | ApiSection
    | BackupSection
)


AnySection = TypeVar("AnySection", bound=Section)


class Setting(NamedTuple):
    """One line of `cretonode config show`."""

    key: str
    value: Value
    origin: str  # a file, a variable, "flag", a profile or "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the operator decided, checked. No key holds a secret: keys name files that do."""

    node: NodeSection = field(default_factory=NodeSection)
    consensus: ConsensusSection = field(default_factory=ConsensusSection)
    network: NetworkSection = field(default_factory=NetworkSection)
    storage: StorageSection = field(default_factory=StorageSection)
    crypto: CryptoSection = field(default_factory=CryptoSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    api: ApiSection = field(default_factory=ApiSection)
    backup: BackupSection = field(default_factory=BackupSection)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)  # without defaults
    explicit: frozenset[str] = frozenset()  # the keys that somebody set, each "section.key"

    @staticmethod
    def of(
        values: Mapping[str, Value], *, origins: Mapping[str, str], explicit: frozenset[str]
    ) -> "Config":
        """Return the configuration of checked `values` by "section.key", defaults for the rest."""
        return Config(
            node=_section(NodeSection, values),
            consensus=_section(ConsensusSection, values),
            network=_section(NetworkSection, values),
            storage=_section(StorageSection, values),
            crypto=_section(CryptoSection, values),
            metrics=_section(MetricsSection, values),
            api=_section(ApiSection, values),
            backup=_section(BackupSection, values),
            origins=origins,
            explicit=explicit,
        )

    def value_of(self, key: str) -> Value:
        """Return the value of `key`, "section.key", which must exist."""
        known = KEYS[key]
        value: Value = getattr(getattr(self, known.section), known.name)
        return value

    def show(self) -> tuple[Setting, ...]:
        """Return every key with its value and where that came from, in the order of the file."""
        return tuple(
            Setting(key, self.value_of(key), self.origins.get(key, "default")) for key in KEYS
        )

    def without_effect(self) -> list[str]:
        """Return the keys that ask for something which is not built yet.

        Each one's `KEYS[key].about.effect` says what. What is switched off asks for nothing.
        """
        return [
            path
            for path, key in KEYS.items()
            if key.about.effect is not None
            and self.value_of(path) not in (False, ())
            and (not key.about.needs or self.value_of(key.about.needs) is True)
        ]


SECTIONS: Final[Mapping[str, type[Section]]] = {
    "node": NodeSection,
    "consensus": ConsensusSection,
    "network": NetworkSection,
    "storage": StorageSection,
    "crypto": CryptoSection,
    "metrics": MetricsSection,
    "api": ApiSection,
    "backup": BackupSection,
}


def _section(kind: Callable[..., AnySection], values: Mapping[str, Value]) -> AnySection:
    name = next(name for name, known in SECTIONS.items() if known is kind)
    given = {
        k.name: values[k.path] for k in KEYS.values() if k.section == name and k.path in values
    }
    return kind(**given)


def _keys() -> dict[str, Key]:
    found = {}
    for section, kind in SECTIONS.items():
        for each in fields(kind):
            known, default = each.metadata["about"], each.default
            assert isinstance(known, About), (section, each.name)
            assert isinstance(default, bool | int | float | str | tuple), (section, each.name)
            key = Key(section=section, name=each.name, default=default, about=known)
            assert not list(key.problems(key.default)), key
            found[key.path] = key
    return found


KEYS: Final[Mapping[str, Key]] = _keys()

# What a profile puts in place of defaults.
PROFILES: Final[Mapping[str, Mapping[str, Value]]] = {
    "default": {},
    "small": {
        "storage.cache_size_mb": 32,
        "storage.write_buffer_mb": 8,
        "storage.max_open_files": 256,
        "storage.file_size_mb": 16,
        "storage.background_threads": 2,
    },
}
assert all(not list(KEYS[k].problems(v)) for p in PROFILES.values() for k, v in p.items())
assert set(PROFILES) == set(KEYS["storage.profile"].about.choices)
assert all(not key.about.needs or key.about.needs in KEYS for key in KEYS.values())
