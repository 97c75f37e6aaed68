"""How values stand in messages to the operator: on one line, short, whatever they are."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

SHOWN_CHARACTERS_MAX: Final = 80
_SHOWN_ITEMS_MAX: Final = 8


def shown(value: object) -> str:
    """Return `value` as an operator would write it, cut short."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case int() if abs(value) >= 2**64:  # Python refuses to print very long ones
            text = f"a number of {value.bit_length()} bits"
        case str():
            return f'"{cut(value)}"'
        case list() | tuple():
            items = [shown(item) for item in value[:_SHOWN_ITEMS_MAX]]
            more = ["..."] if len(value) > _SHOWN_ITEMS_MAX else []
            text = f"[{', '.join(items + more)}]"
        case dict():
            text = "a table"
        case _:
            text = str(value)
    return cut(text)


def cut(text: str) -> str:
    """Return the beginning of `text`, what is not printable as an escape sequence."""
    rest = "..." if len(text) > SHOWN_CHARACTERS_MAX else ""
    start = text[:SHOWN_CHARACTERS_MAX]
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in start) + rest


def number(value: float) -> str:
    """Return a bound as people write it."""
    return "2/3" if value == 2 / 3 else str(value)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "X"?` where something known is close to `word`, else nothing."""
    close = get_close_matches(word[:SHOWN_CHARACTERS_MAX], list(known), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""
