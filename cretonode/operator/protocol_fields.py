"""Fields with names, and the dataclasses that travel as such, one by one or as a table.

Canonical CBOR here has neither maps nor floats nor negative numbers: a map is an array of
[name, value] pairs in the order of the names, a float the whole number of its millionths.
Pure. Called only by `operator.protocol` and the modules beside it.
Source: docs/operator-socket.md, section 3.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, Final, NamedTuple, NewType, TypeVar, get_args, get_type_hints

from cretonode.crypto.canonical import Value
from cretonode.errors import MalformedMessage

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FIELDS_MAX: Final = 64  # of one message or record
TEXT_CHARACTERS_MAX: Final = 1024  # of one text in a record
BYTES_MAX: Final = 8 * 1024  # of one byte string in a record: the parents of one vertex fit
TABLE_ROWS_MAX: Final = 1024
NUMBER_MAX: Final = 2**63 - 1
MICRO: Final = 1_000_000
MICRO_SUFFIX: Final = "_micro"  # after the name of a field that counts millionths

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)

T = TypeVar("T", bound="DataclassInstance")

# --- fields


def fields_value(content: Mapping[str, Value]) -> Value:
    """Return [name, value] pairs in the order of the names."""
    assert len(content) <= FIELDS_MAX, len(content)
    assert all(_NAME.fullmatch(name) for name in content), list(content)
    return [[name, content[name]] for name in sorted(content)]


def fields_untrusted(value: Value) -> dict[str, Value]:
    """Return the values by name. Raises: MalformedMessage."""
    if not isinstance(value, list) or len(value) > FIELDS_MAX:
        raise MalformedMessage(f"fields are not an array of at most {FIELDS_MAX} pairs")
    content: dict[str, Value] = {}
    last = ""
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            raise MalformedMessage("a field is not a pair of a name and a value")
        name, item = pair
        word = name_untrusted("the name of a field", name)
        if word <= last:
            raise MalformedMessage("fields are not in the order of their names")
        content[word] = item
        last = word
    return content


def shown(text: str) -> str:
    """Return `text` with nothing in it that could steer a terminal, cut to the longest allowed."""
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    if len(text) > TEXT_CHARACTERS_MAX:
        text = text[: TEXT_CHARACTERS_MAX - 3] + "..."
    return text


def name_untrusted(name: str, value: Value) -> str:
    """Return the name of a command or field."""
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise MalformedMessage(f"{name} is not 1 to 64 lower-case letters, digits and _")
    return value


def number_untrusted(name: str, value: Value, high: int) -> int:
    """Return a whole number from 0 to `high`."""
    if type(value) is not int or not 0 <= value <= high:
        raise MalformedMessage(f"{name} is not a whole number from 0 to {high}")
    return value


def text_untrusted(name: str, value: Value) -> str:
    """Return a text that can be printed as it is."""
    if type(value) is not str or len(value) > TEXT_CHARACTERS_MAX or not value.isprintable():
        raise MalformedMessage(
            f"{name} is not a text of at most {TEXT_CHARACTERS_MAX} printable characters"
        )
    return value


# --- records


def widened(kind: type[T], record: "DataclassInstance", **more: object) -> T:
    """Return the `kind` that has the fields of `record` and `more`."""
    shared = {layout.name: getattr(record, layout.name) for layout in _layout(type(record))}
    return kind(**shared, **more)


def record_value(record: "DataclassInstance") -> Value:
    """Return the fields of a dataclass of numbers, texts, bytes, booleans and None.

    A text is made printable and cut to TEXT_CHARACTERS_MAX; a float becomes whole millionths, and
    one that is not finite becomes None.
    """
    return fields_value(
        {
            layout.wire_name: _item(layout, getattr(record, layout.name))
            for layout in _layout(type(record))
        }
    )


def record_untrusted(kind: type[T], value: Value) -> T:
    """Return the `kind` of these fields; fields it does not have are passed over.

    Raises: MalformedMessage.
    """
    content = fields_untrusted(value)
    found: dict[str, object] = {}
    for layout in _layout(kind):
        if layout.wire_name not in content:
            raise MalformedMessage(f"a {kind.__name__} without {layout.wire_name}")
        found[layout.name] = _item_untrusted(layout, content[layout.wire_name])
    return kind(**found)


def table_value(kind: "type[DataclassInstance]", rows: "Sequence[DataclassInstance]") -> Value:
    """Return the records of `kind`, or of dataclasses with its fields, with the names said once.

    Shape: [names, rows], each row the values in the order of the names.
    """
    assert len(rows) <= TABLE_ROWS_MAX, len(rows)
    layouts = _layout(kind)
    names: list[Value] = [layout.wire_name for layout in layouts]
    values_of = _values_of(kind)
    return [names, [[*map(_item, layouts, values_of(row))] for row in rows]]


def table_untrusted(kind: type[T], value: Value) -> tuple[T, ...]:
    """Return the records of a table; columns that `kind` does not have are passed over.

    Raises: MalformedMessage.
    """
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedMessage("a table is not an array of names and rows")
    names, rows = value
    if not isinstance(names, list) or len(names) > FIELDS_MAX:
        raise MalformedMessage(f"a table with over {FIELDS_MAX} names, or none")
    if not isinstance(rows, list) or len(rows) > TABLE_ROWS_MAX:
        raise MalformedMessage(f"a table with over {TABLE_ROWS_MAX} rows, or none")
    places = {name_untrusted("the name of a column", name): i for i, name in enumerate(names)}
    if len(places) != len(names):
        raise MalformedMessage("a table that has a name twice")
    columns: list[tuple[_Layout, int]] = []
    for layout in _layout(kind):
        if layout.wire_name not in places:
            raise MalformedMessage(f"a table of {kind.__name__} without {layout.wire_name}")
        columns.append((layout, places[layout.wire_name]))
    found: list[T] = []
    for row in rows:
        if not isinstance(row, list) or len(row) != len(names):
            raise MalformedMessage("a row that is not as long as the names")
        found.append(kind(**{at.name: _item_untrusted(at, row[place]) for at, place in columns}))
    return tuple(found)


class _Layout(NamedTuple):
    """How one field of a dataclass travels."""

    name: str
    wire_name: str
    kind: type
    optional: bool


@cache
def _layout(kind: "type[DataclassInstance]") -> tuple[_Layout, ...]:
    hints = get_type_hints(kind)
    return tuple(_layout_of(f.name, hints[f.name]) for f in fields(kind))


@cache
def _values_of(kind: "type[DataclassInstance]") -> Callable[[object], tuple[object, ...]]:
    """Return what gets all values of a record at once: it is done often."""
    first, second, *rest = (layout.name for layout in _layout(kind))
    getter: Callable[[object], tuple[object, ...]] = attrgetter(first, second, *rest)
    return getter


def _layout_of(name: str, hint: object) -> _Layout:
    optional = NoneType in get_args(hint)
    if optional:
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if isinstance(hint, NewType):
        hint = hint.__supertype__
    assert isinstance(hint, type), (name, hint)
    assert hint in (bool, int, float, str, bytes), (name, hint)
    return _Layout(name, name + MICRO_SUFFIX if hint is float else name, hint, optional)


def _item(layout: _Layout, value: object) -> Value:
    if value is None:
        return None
    if layout.kind is float:
        assert isinstance(value, float | int), (layout.name, value)
        value = round(value * MICRO) if math.isfinite(value) else None
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, int):
        assert 0 <= value <= NUMBER_MAX, (layout.name, value)
        return value
    assert value is None or isinstance(value, bytes), (layout.name, value)
    return value


def _item_untrusted(layout: _Layout, value: Value) -> object:
    if value is None and layout.optional:
        return None
    if layout.kind is int:
        return number_untrusted(layout.name, value, NUMBER_MAX)
    if layout.kind is float:
        return number_untrusted(layout.name, value, NUMBER_MAX) / MICRO
    if layout.kind is str:
        return text_untrusted(layout.name, value)
    if type(value) is not layout.kind or (isinstance(value, bytes) and len(value) > BYTES_MAX):
        raise MalformedMessage(f"{layout.name} is no {layout.kind.__name__} or too long")
    return value
