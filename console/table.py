"""The table of every screen: cursor, scrolling, filter, sorting, mouse."""

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
from console.picture import Part, Picture
from console.rows import OWN_ORDER, Column, Row, Sorting, chosen
from console.table_text import Frame, column_at, drawn, scrolled

WHEEL_ROWS = 3


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

        def __init__(self, key: str) -> None:
            self.key = key
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
        self._follows = False
        self._all: Sequence[Row] = ()
        self._cursor = 0
        self._first = 0

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self._cursor] if self._cursor < len(self.rows) else None

    def fill(self, part: Part, picture: Picture) -> None:
        """Show the part's rows, the cursor on the same subject as before if it is still there."""
        self.look = picture.look
        self.columns = part.columns_of(picture)
        self._empty, self._follows = part.empty_in(picture), part.follows
        self._arrange(part.rows(picture))

    def fill_with(self, columns: tuple[Column, ...], rows: Sequence[Row], empty: str) -> None:
        """Show these rows."""
        self.columns, self._empty = columns, empty
        self._arrange(rows)

    def choose(self, wanted: Filter, sorting: Sorting) -> None:
        """Filter and sort otherwise."""
        self.filter = wanted
        self.sorting = sorting if (sorting.column or 0) < len(self.columns) else OWN_ORDER
        self._arrange(self._all)

    def _arrange(self, rows: Sequence[Row]) -> None:
        before = self.current
        at_end = self._cursor >= len(self.rows) - 1
        self._all, self.total = rows, len(rows)
        self.rows = chosen(rows, self.filter, self.sorting)
        if self._follows and at_end and self.sorting == OWN_ORDER:
            self._cursor = len(self.rows) - 1
        elif before is not None and self._cursor > 0:
            # A cursor in the first row stays there: it looks at the newest, not at one subject.
            self._cursor = next(
                (i for i, row in enumerate(self.rows) if row.key == before.key), self._cursor
            )
        self._set_cursor(self._cursor)

    def _set_cursor(self, cursor: int) -> None:
        self._cursor = max(0, min(cursor, len(self.rows) - 1))
        self._first = scrolled(self._first, self._cursor, len(self.rows), self.size.height)
        self.refresh()

    def render(self) -> Group | Text:
        if not self.rows:
            words = self._empty
            if self.total:
                words = f"none of {self.total} rows matches the filter {self.filter.text}"
            return Text(words, self.look.palette.dim)
        self._first = scrolled(self._first, self._cursor, len(self.rows), self.size.height)
        frame = Frame(
            self.size.width, self.size.height, self._cursor, self._first, focused=self.has_focus
        )
        return Group(*drawn(self.columns, self.rows, frame, self.sorting, self.look))

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._set_cursor(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by what is seen at once."""
        self._set_cursor(self._cursor + pages * max(1, self.size.height - 2))

    def action_end(self, last: int) -> None:
        """Move the cursor to the first or the last row."""
        self._set_cursor((len(self.rows) - 1) * last)

    def action_open(self) -> None:
        """Tell whoever owns the table that the row is wanted."""
        if self.current is not None:
            self.post_message(self.Opened(self.current.key))

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
            self._set_cursor(row)
            if event.chain > 1:
                self.action_open()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move the cursor down."""
        event.stop()
        self._set_cursor(self._cursor + WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move the cursor up."""
        event.stop()
        self._set_cursor(self._cursor - WHEEL_ROWS)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._set_cursor(self._cursor)
