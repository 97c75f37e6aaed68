"""Reading the configuration: defaults, below node.toml, below the environment, below flags.

Every problem is collected, and one ConfigError says them all, one sentence a line.
"""

import codecs
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cretonode.config import relations
from cretonode.config.files import read_regular
from cretonode.config.keys import Key, Value
from cretonode.config.schema import KEYS, PROFILES, SECTIONS, Config
from cretonode.config.wording import cut, shown, suggestion
from cretonode.errors import ConfigError

FILE_BYTES_MAX: Final = 1024 * 1024
PROBLEMS_MAX: Final = 100
ALIASES: Final = {"NODE_ID": "node.id", "BOOTSTRAP_PEERS": "network.bootstrap_peers"}

# Kubernetes puts such variables into every pod for a service whose name begins with "creto-".
_SERVICE_LINK: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT\w*|PORT_[0-9]+_\w+)$")
_FIXED_BY_GENESIS: Final = frozenset({"window", "checkpoint_interval", "dedup_window"})
_VARIABLES: Final[Mapping[str, Key]] = {key.variable: key for key in KEYS.values()}


def load(
    path: Path | None, *, environment: Mapping[str, str], flags: Mapping[str, object]
) -> Config:
    """Return the configuration; `path` None stands for no file.

    Shape: `flags` maps "section.key" to a value of its type or to a text; None is not given.
    Raises: ConfigError, with every problem: where, key, value, and what is allowed.
    """
    reading = _Reading()
    if path is not None:
        _read_file(reading, path)
    _read_environment(reading, environment)
    _read_flags(reading, flags)
    config = _assembled(reading)
    reading.problems += relations.problems(config, unusable=frozenset(reading.unusable))
    if reading.problems:
        raise ConfigError("\n".join(_bounded(reading.problems)))
    return config


@dataclass(slots=True)
class _Reading:
    """What was found so far. A later layer replaces a key's value and origin."""

    values: dict[str, Value] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)  # where each value comes from, by rank
    layer: int = 0
    problems: list[str] = field(default_factory=list)
    unusable: set[str] = field(default_factory=set)  # their true values are not known

    def take(self, key: Key, raw: object, *, origin: str) -> None:
        """Set `key` to `raw`, or say why that cannot be."""
        found = list(key.problems(raw))
        if found:
            self.problems += [f"{origin}: {problem}" for problem in found]
            self.unusable.add(key.path)
            return
        self.values[key.path] = key.value_of(raw)
        self.origins[key.path] = origin
        self.layers[key.path] = self.layer
        self.unusable.discard(key.path)  # a bad value that this one replaces relates to nothing


def _read_file(reading: _Reading, path: Path) -> None:
    try:
        document = _document_untrusted(path)
    except ConfigError as error:
        reading.problems.append(f"{path}: {error}")
        reading.unusable.update(KEYS)
        return
    for section, content in document.items():
        if section not in SECTIONS:
            reading.problems.append(f"{path}: {_unknown_section(section)}")
        elif not isinstance(content, dict):
            reading.problems.append(
                f"{path}: {section} is {shown(content)}; expected a table [{section}]"
            )
        else:
            for name, raw in content.items():
                key = KEYS.get(f"{section}.{name}")
                if key is None:
                    reading.problems.append(f"{path}: {_unknown_key(section, name)}")
                else:
                    reading.take(key, raw, origin=str(path))


def _document_untrusted(path: Path) -> dict[str, object]:
    """Return the tables of a TOML file. Raises: ConfigError, without the path."""
    try:
        data = read_regular(path, FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError("no such file") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError("cannot be read: the path has a zero byte") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"over {FILE_BYTES_MAX} bytes long, so no configuration")
    if data.startswith(codecs.BOM_UTF8):
        raise ConfigError("begins with a byte order mark, as TOML must not; save it without one")
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"not UTF-8 at line {line}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {cut(str(error))}") from None
    except ValueError:  # Python's own limit on the digits of a number
        raise ConfigError("not TOML: a number or date that cannot be") from None
    except RecursionError:
        raise ConfigError("not TOML: nested too deeply") from None


def _read_environment(reading: _Reading, environment: Mapping[str, str]) -> None:
    for variable, path in ALIASES.items():  # the full name of a key is the stronger one
        if variable in environment:
            reading.layer += 1
            _take_text(reading, KEYS[path], environment[variable], origin=variable)
    reading.layer += 1
    for variable in sorted(environment):
        key = _VARIABLES.get(variable)
        if key is not None:
            _take_text(reading, key, environment[variable], origin=variable)
            continue
        section, _, name = variable.removeprefix("CRETO_").lower().partition("_")
        if variable.startswith("CRETO_") and section in SECTIONS:
            reading.problems.append(
                f"{cut(variable)}: {_unknown_variable(variable, section, name)}"
            )


def _take_text(reading: _Reading, key: Key, text: str, *, origin: str) -> None:
    reading.take(key, key.raw_of(text), origin=origin)


def _read_flags(reading: _Reading, flags: Mapping[str, object]) -> None:
    reading.layer += 1
    for path, raw in flags.items():
        if raw is None:
            continue
        key = KEYS.get(path)
        section, _, name = path.partition(".")
        if key is not None:
            reading.take(key, key.raw_of(raw) if isinstance(raw, str) else raw, origin="flag")
        elif section in SECTIONS:
            reading.problems.append(f"flag: {_unknown_key(section, name)}")
        else:
            reading.problems.append(f"flag: {_unknown_section(section)}")


def _assembled(reading: _Reading) -> Config:
    """Return a configuration of what was found and of defaults, its profile applied."""
    profile = str(reading.values.get("storage.profile", "default"))
    profile_layer = reading.layers.get("storage.profile", 0)
    explicit = frozenset(reading.values)
    values, origins = dict(reading.values), dict(reading.origins)
    for path, value in PROFILES[profile].items():
        # The profile speaks in the place where it was chosen; so node.toml, which lists every
        # size, does not silence CRETO_STORAGE_PROFILE=small.
        if reading.layers.get(path, -1) < profile_layer:
            values[path], origins[path] = value, f"storage.profile {profile}"
    return Config.of(values, origins=origins, explicit=explicit)


def _keys_of(section: str) -> Iterator[Key]:
    return (key for key in KEYS.values() if key.section == section)


def _unknown_section(section: str) -> str:
    homes = [key.section for key in KEYS.values() if key.name == section]
    if homes:
        return f'"{section}" stands outside of its section; expected it in [{homes[0]}]'
    known = ", ".join(SECTIONS)
    return f"unknown section [{cut(section)}]; known are {known}{suggestion(section, SECTIONS)}"


def _unknown_key(section: str, name: str) -> str:
    """Never show the value: it may be a secret in the wrong place."""
    known = ", ".join(key.name for key in _keys_of(section))
    hint = _hint(section, name) or f"; known in [{section}] are {known}"
    return f"unknown key {section}.{cut(name)}{hint}"


def _unknown_variable(variable: str, section: str, name: str) -> str:
    if _SERVICE_LINK.search(variable):
        return (
            f"no key of [{section}] is meant; if Kubernetes set it for a service, set "
            "enableServiceLinks: false for the pod"
        )
    hint = suggestion(variable, _VARIABLES) or _hint(section, name)
    return f"no key of [{section}] has this variable{hint}"


def _hint(section: str, name: str) -> str:
    if name in _FIXED_BY_GENESIS:
        return "; genesis fixes it, see docs/genesis.md"
    homes = [key.section for key in KEYS.values() if key.name == name]
    if homes:
        return f"; it belongs into [{homes[0]}]"
    return suggestion(name, [key.name for key in _keys_of(section)])


def _bounded(problems: list[str]) -> list[str]:
    more = len(problems) - PROBLEMS_MAX
    return problems if more <= 0 else [*problems[:PROBLEMS_MAX], f"... and {more} more"]
