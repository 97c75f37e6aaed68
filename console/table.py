"""The table of every screen: cursor, scrolling, filter, sorting, mouse.

The cursor stands on a subject and not on a place: whatever comes, goes or is sorted anew, a key
acts on what was marked when it was pressed. When that subject goes, no row is marked.
"""

from collections.abc import Sequence
from typing import ClassVar

from rich.console import Group
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from console.filters import EVERYTHING, Filter
from console.look import Look
from console.picture import Newest, Part, Picture
from console.rows import OWN_ORDER, Column, Row, Sorting, chosen
from console.table_text import Frame, column_at, drawn, scrolled

WHEEL_ROWS = 3
GONE = "the row that was marked is gone: choose another"


class Table(Widget, can_focus=True):
    """Rows of one part at a time; each part keeps its own filter, sorting and cursor."""

    DEFAULT_CSS = "Table { height: 1fr; min-height: 3; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "end(0)", "First", show=False),
        Binding("end,G", "end(1)", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
    ]

    class Opened(Message):
        """Enter or a second click on a row."""

        def __init__(self, table: "Table", key: str) -> None:
            self.table, self.key = table, key
            super().__init__()

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self.filter: Filter = EVERYTHING
        self.sorting: Sorting = OWN_ORDER
        self.columns: tuple[Column, ...] = ()
        self.rows: list[Row] = []
        self.total = 0  # rows before the filter
        self._empty = ""
        self._newest: Newest | None = None
        self._all: Sequence[Row] = ()
        self._key: str | None = None  # of the subject under the cursor, or that was when it went
        self._cursor = 0  # where it stands, or stood
        self._moved = False  # by the operator: it is not with the newest row
        self._first = 0

    @property
    def current(self) -> Row | None:
        """The row under the cursor; None when there is none, or its subject is gone."""
        row = self.rows[self._cursor] if self._cursor < len(self.rows) else None
        return row if row is not None and row.key == self._key else None

    @property
    def gone(self) -> bool:
        """True when the cursor's subject went, and nothing was chosen since."""
        return self._key is not None and self.current is None

    def forget(self) -> None:
        """Begin anew: the rows that come are another node's."""
        self._key, self._cursor, self._first, self._moved = None, 0, 0, False

    def fill(self, part: Part, picture: Picture) -> None:
        """Show the part's rows, the cursor on the same subject as before if it is still there."""
        self.look = picture.look
        self.columns = part.columns_of(picture)
        self._empty, self._newest = part.empty_in(picture), part.newest
        self._arrange(part.rows(picture))

    def fill_with(self, columns: tuple[Column, ...], rows: Sequence[Row], empty: str) -> None:
        """Show these rows."""
        self.columns, self._empty = columns, empty
        self._arrange(rows)

    def choose(self, wanted: Filter, sorting: Sorting) -> None:
        """Filter and sort otherwise."""
        self.filter = wanted
        self.sorting = sorting if (sorting.column or 0) < len(self.columns) else OWN_ORDER
        self._arrange(self._all, asked=True)

    def _arrange(self, rows: Sequence[Row], *, asked: bool = False) -> None:
        """Take these rows. `asked`: the operator wants them otherwise, and sees what he does."""
        self._all, self.total = rows, len(rows)
        self.rows = chosen(rows, self.filter, self.sorting)
        place = next((i for i, row in enumerate(self.rows) if row.key == self._key), None)
        if not self._moved and (asked or self._flows):
            last = self._flows and self._newest is Newest.LAST
            self._put(len(self.rows) - 1 if last else 0)
        elif place is not None:
            self._put(place)
        elif self._key is None or asked:
            self._put(self._cursor)
        else:
            self._scroll()

    @property
    def _flows(self) -> bool:
        """True while the newest row keeps its place at an end."""
        return self._newest is not None and self.sorting == OWN_ORDER

    def _put(self, cursor: int) -> None:
        """Put the cursor on the subject that stands there now."""
        self._cursor = max(0, min(cursor, len(self.rows) - 1))
        if self.rows:
            self._key = self.rows[self._cursor].key
        self._scroll()

    def _scroll(self) -> None:
        self._cursor = max(0, min(self._cursor, len(self.rows) - 1))
        self._first = scrolled(self._first, self._cursor, len(self.rows), self.size.height)
        self.refresh()

    def _go(self, cursor: int) -> None:
        """Move the cursor; one that is pushed past the newest row stays with the newest."""
        past = cursor < 0 if self._newest is Newest.FIRST else cursor >= len(self.rows)
        self._moved = not (self._flows and past)
        self._put(cursor)

    def render(self) -> Group | Text:
        if not self.rows:
            words = self._empty
            if self.total:
                words = f"none of {self.total} rows matches the filter {self.filter.text}"
            return Text(words, self.look.palette.dim)
        self._first = scrolled(self._first, self._cursor, len(self.rows), self.size.height)
        cursor = -1 if self.current is None else self._cursor
        frame = Frame(
            self.size.width, self.size.height, cursor, self._first, focused=self.has_focus
        )
        return Group(*drawn(self.columns, self.rows, frame, self.sorting, self.look))

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._go(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by what is seen at once."""
        self._go(self._cursor + pages * max(1, self.size.height - 2))

    def action_end(self, last: int) -> None:
        """Move the cursor to the first or the last row."""
        self._go(len(self.rows) if last else -1)

    def action_open(self) -> None:
        """Tell whoever owns the table that the row is wanted."""
        if self.current is not None:
            self.post_message(self.Opened(self, self.current.key))
        elif self.gone:
            self.notify(GONE, markup=False)

    def on_click(self, event: events.Click) -> None:
        """A click on the head sorts; on a row moves the cursor; a second one opens."""
        if event.y == 0:
            column = column_at(self.columns, self.rows, self.size.width, event.x)
            if column is not None:
                descending = self.sorting.column == column and not self.sorting.descending
                self.choose(self.filter, Sorting(column, descending=descending))
            return
        row = self._first + event.y - 1
        if row < len(self.rows):
            again = self.current is not None and row == self._cursor
            self._go(row)
            if event.chain > 1 and again:  # not what has come to stand there meanwhile
                self.action_open()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move the cursor down."""
        event.stop()
        self._go(self._cursor + WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move the cursor up."""
        event.stop()
        self._go(self._cursor - WHEEL_ROWS)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._scroll()
