"""A configuration as the text of a node.toml, every key with what it means."""

import textwrap
from collections.abc import Iterator
from typing import Final

from cretonode.config.keys import Key, Value
from cretonode.config.schema import KEYS, SECTIONS, Config

_COLUMNS: Final = 96
_HEADER: Final = """\
# The configuration of one cretonode validator. Every key is here; one that is left out has the
# default that docs/config.md lists. The environment (CRETO_SECTION_KEY, for example
# CRETO_NODE_LOG_LEVEL) is stronger than this file, and flags are stronger than both.
"""


def render_node_toml(config: Config | None = None) -> str:
    """Return the text of a node.toml that loads as `config`, or as the defaults."""
    chosen = config or Config()
    return "\n".join([_HEADER, *(_section(chosen, section) for section in SECTIONS)])


def toml_of(value: Value) -> str:
    """Return `value` as TOML writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return f'"{"".join(map(_escaped, value))}"'
        case tuple():
            return f"[{', '.join(map(toml_of, value))}]"


def summary_of(section: str) -> str:
    """Return the sentences that introduce a section."""
    return " ".join((SECTIONS[section].__doc__ or "").split())


def _section(config: Config, section: str) -> str:
    keys = (key for key in KEYS.values() if key.section == section)
    lines = [*_comment(summary_of(section)), f"[{section}]"]
    for key in keys:
        lines += ["", *_key_comment(key), f"{key.name} = {toml_of(config.value_of(key.path))}"]
    return "\n".join(lines) + "\n"


def _key_comment(key: Key) -> Iterator[str]:
    yield from _comment(key.about.doc)
    yield from _comment(f"Allowed: {key.allowed}.")
    if key.about.effect is not None:
        yield from _comment(f"No effect yet: {key.about.effect}.")


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _COLUMNS, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
