"""Rows of tables: what a screen gives, and the order and choice in which they are shown.

Pure: no widget and no colour; a `Tone` says what a colour or a glyph will say.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from console.filters import Filter

Order = int | float | str


class Tone(Enum):
    """What a cell means to the operator."""

    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    DIM = "dim"
    ACCENT = "accent"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text with what it means, and by what it is sorted when that is not the text."""

    text: str
    tone: Tone = Tone.PLAIN
    order: Order | None = None
    tones: tuple[Tone, ...] = ()  # one for each character, instead of `tone`


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column. `right`: numbers are flush right."""

    title: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `key` stays the same while the row's subject does."""

    key: str
    cells: tuple[Cell, ...]

    def line(self) -> str:
        """Return what a filter sees."""
        return " ".join(cell.text for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Sorting:
    """By which column, None for the screen's own order."""

    column: int | None = None
    descending: bool = False

    def next(self, columns: int) -> "Sorting":
        """Return what the next press of the key gives: own order, then each column up and down."""
        if self.column is None:
            return Sorting(0)
        if not self.descending:
            return Sorting(self.column, descending=True)
        return Sorting(self.column + 1) if self.column + 1 < columns else Sorting()


OWN_ORDER: Final = Sorting()


def chosen(rows: Iterable[Row], wanted: Filter, sorting: Sorting = OWN_ORDER) -> list[Row]:
    """Return the rows that `wanted` matches, in the order of `sorting`."""
    found = [row for row in rows if wanted.matches(row.line())]
    column = sorting.column
    if column is not None:
        found.sort(key=lambda row: _order_of(row.cells[column]), reverse=sorting.descending)
    return found


def _order_of(cell: Cell) -> tuple[int, float, str]:
    """Numbers before texts, nothing at all last."""
    order = cell.text if cell.order is None else cell.order
    if isinstance(order, str):
        return (1 if order else 2, 0.0, order.casefold())
    return (0, float(order), "")
