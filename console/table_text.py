"""A table as lines of text: which columns fit, how wide each is, which rows are seen.

Pure but for rich's texts. Used by the table of every screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from console.look import Look
from console.rows import Column, Row, Sorting, Tone

GAP: Final = 2  # between columns
NARROWEST: Final = 6  # what the last column that is cut at the edge must still have


@dataclass(frozen=True, slots=True)
class Frame:
    """What of the table is seen: its size, the row under the cursor and the first one shown."""

    width: int
    height: int  # with the head
    cursor: int
    first: int
    focused: bool


def scrolled(first: int, cursor: int, rows: int, height: int) -> int:
    """Return the first row to show so that the cursor is seen, moving as little as possible."""
    seen = max(1, height - 1)
    first = min(first, cursor, max(0, rows - seen))
    return max(0, first, cursor - seen + 1)


def widths_of(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[int]:
    """Return the columns' widths, left to right; those that do not fit any more are left out.

    Every column is as wide as its widest cell; the last one that fits only in part is cut.
    """
    widths: list[int] = []
    left = width
    for i, column in enumerate(columns):
        wanted = max([cell_len(column.title) + 1, *(cell_len(row.cells[i].text) for row in rows)])
        gap = GAP if widths else 0
        if wanted + gap > left:
            if left - gap >= NARROWEST and not column.right:
                widths.append(left - gap)
            break
        widths.append(wanted)
        left -= wanted + gap
    return widths


def column_at(columns: Sequence[Column], rows: Sequence[Row], width: int, x: int) -> int | None:
    """Return the column at a place of a line; None right of the last."""
    end = 0
    for i, each in enumerate(widths_of(columns, rows, width)):
        end += each + (GAP if i else 0)
        if x < end:
            return i
    return None


def drawn(
    columns: Sequence[Column],
    rows: Sequence[Row],
    frame: Frame,
    sorting: Sorting,
    look: Look,
) -> list[Text]:
    """Return the head and the rows that are seen, a Text for each line."""
    # Widths come from every row and not only those seen, so that columns stand still in scrolling.
    widths = widths_of(columns, rows, frame.width)
    lines = [_head(columns, widths, sorting, look)]
    seen = rows[frame.first : frame.first + max(0, frame.height - 1)]
    for i, row in enumerate(seen, start=frame.first):
        line = _line(row, columns, widths, look)
        if i == frame.cursor:
            line.pad_right(max(0, frame.width - line.cell_len))
            palette = look.palette
            line.stylize(palette.cursor if frame.focused else palette.cursor_blurred)
        lines.append(line)
    return lines


def _head(columns: Sequence[Column], widths: list[int], sorting: Sorting, look: Look) -> Text:
    line = Text(no_wrap=True)
    for i, (column, width) in enumerate(zip(columns, widths, strict=False)):
        arrow = ""
        if sorting.column == i:
            arrow = look.glyphs.down if sorting.descending else look.glyphs.up
        title = _sized(column.title + arrow, width, look, right=column.right)
        line.append(" " * GAP if i else "")
        line.append(title, look.palette.head)
    return line


def _line(row: Row, columns: Sequence[Column], widths: list[int], look: Look) -> Text:
    line = Text(no_wrap=True)
    for i, (cell, width) in enumerate(zip(row.cells, widths, strict=False)):
        line.append(" " * GAP if i else "")
        text = _sized(cell.text, width, look, right=columns[i].right)
        if not cell.tones:
            line.append(text, look.palette.of(cell.tone))
            continue
        for place, character in enumerate(text):
            tone = cell.tones[place] if place < len(cell.tones) else Tone.PLAIN
            line.append(character, look.palette.of(tone))
    return line


def _sized(text: str, width: int, look: Look, *, right: bool) -> str:
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + look.glyphs.cut
    return " " * (width - length) + text if right else text + " " * (width - length)
