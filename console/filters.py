"""Filters of tables: a regular expression, or `!` and what must not match.

Pure. Words beyond the obvious: a filter of several words apart by ` & ` needs all of them.
"""

import re
from dataclasses import dataclass
from typing import Final

FILTER_CHARACTERS_MAX: Final = 200
PARTS_MAX: Final = 8
AND: Final = " & "
NOT: Final = "!"


class BadFilter(ValueError):
    """What the operator typed is no filter; the text says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """One expression of a filter."""

    pattern: re.Pattern[str]
    inverse: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """What a line must match, all parts of it. Without parts it matches every line."""

    text: str = ""
    parts: tuple[Part, ...] = ()

    def matches(self, line: str) -> bool:
        """Return whether to show `line`."""
        return all((part.pattern.search(line) is None) == part.inverse for part in self.parts)


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
    try:
        return Part(re.compile(expression, re.IGNORECASE), inverse)
    except re.error as error:
        raise BadFilter(f"{expression!r} is no regular expression: {error}") from None
