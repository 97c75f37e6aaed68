"""Filters of tables: a regular expression, or `!` and what must not match.

Pure. Words beyond the obvious: a filter of several words apart by ` & ` needs all of them.
RE2 matches in time linear in the line, whatever the expression, and its memory is bounded: no
expression stops the console. It knows neither back references nor looks ahead or behind.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

import re2  # type: ignore[import-untyped]

FILTER_CHARACTERS_MAX: Final = 200
PARTS_MAX: Final = 8
# Of an expression and its automaton, in bytes. A larger one is slow: a filter goes through a
# thousand lines at each key. `.{80}` and eighteen names apart by `|` fit.
PATTERN_BYTES_MAX: Final = 16 * 1024
LINES_REMEMBERED: Final = 4_096  # of what was matched, by part and line: most come again and again
AND: Final = " & "
NOT: Final = "!"


class BadFilter(ValueError):
    """What the operator typed is no filter; the text says why."""


class Expression(Protocol):
    """What a filter needs of a compiled expression."""

    def search(self, text: bytes) -> object | None:
        """Return the first match, None when there is none."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Part:
    """One expression of a filter."""

    expression: Expression
    inverse: bool

    def keeps(self, line: str) -> bool:
        """Return whether `line` may be shown."""
        return _is_found(self.expression, line) != self.inverse


@lru_cache(maxsize=LINES_REMEMBERED)
def _is_found(expression: Expression, line: str) -> bool:
    return expression.search(line.encode("utf-8", "replace")) is not None


@dataclass(frozen=True, slots=True)
class Filter:
    """What a line must match, all parts of it. Without parts it matches every line."""

    text: str = ""
    parts: tuple[Part, ...] = ()

    def matches(self, line: str) -> bool:
        """Return whether to show `line`."""
        return all(part.keeps(line) for part in self.parts)


EVERYTHING: Final = Filter()


def parse_filter(text: str) -> Filter:
    """Return the filter that `text` says: `node[12] & !ready`. Case does not matter.

    Raises: BadFilter.
    """
    text = text.strip()
    if not text:
        return EVERYTHING
    if len(text) > FILTER_CHARACTERS_MAX:
        raise BadFilter(f"a filter has at most {FILTER_CHARACTERS_MAX} characters")
    words = text.split(AND)
    if len(words) > PARTS_MAX:
        raise BadFilter(f"a filter has at most {PARTS_MAX} parts")
    return Filter(text, tuple(_part_of(word.strip()) for word in words))


def _part_of(word: str) -> Part:
    inverse = word.startswith(NOT)
    expression = word[len(NOT) :].strip() if inverse else word
    if not expression:
        raise BadFilter(f"nothing after {word!r}" if word else "a part of the filter is empty")
    return Part(_compiled(expression), inverse)


def _compiled(expression: str) -> Expression:
    """Raises: BadFilter."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False  # into the terminal that is drawn on
    options.max_mem = PATTERN_BYTES_MAX
    try:
        found: Expression = re2.compile(expression.encode("utf-8", "replace"), options)
    except re2.error as error:
        why = error.args[0].decode("utf-8", "replace")
        raise BadFilter(f"{expression!r} is no regular expression here: {why}") from None
    return found
