"""A vertex opened, and its relations walked: by the node when it is there, else among the known."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from console.contact import RequestFailed
from console.dialogs import DetailDialog, Dialog
from console.picture import Detail, columns
from console.rows import Cell, Row
from console.screens import dag
from console.table import Table
from cretonode.operator.protocol import WALK, MalformedMessage
from cretonode.operator.protocol_fields import table_untrusted
from cretonode.operator.protocol_topics import VertexSnapshot

if TYPE_CHECKING:
    from console.app import ConsoleApp

COLUMNS: Final = columns("Author", ">Height", "Vertex")


class WalkDialog(Dialog[None]):
    """Ancestors or descendants, nearest first; Enter opens one."""

    DEFAULT_CSS = "WalkDialog > .box { height: 80%; } WalkDialog Table { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = []

    app: "ConsoleApp"

    def __init__(self, title: str, vertices: Sequence[VertexSnapshot], note: str) -> None:
        super().__init__()
        self._title = title
        self._vertices = {vertex.hash.hex(): vertex for vertex in vertices}
        self._note = note

    def compose(self) -> ComposeResult:
        picture = self.app.picture()
        with Vertical(classes="box") as box:
            box.border_title = Text(self._title)
            table = Table(picture.look)
            rows = [
                Row(
                    key,
                    (
                        Cell(picture.model.name_of(vertex.author)),
                        Cell(f"{vertex.height:,}"),
                        Cell(dag.in_words(vertex), dag.tone_of(vertex)),
                    ),
                )
                for key, vertex in self._vertices.items()
            ]
            table.fill_with(COLUMNS, rows, "none that is known here")
            yield table
            yield Static(f"{self._note}   Enter open   Esc back", classes="keys")

    def on_table_opened(self, event: Table.Opened) -> None:
        """Open a vertex."""
        event.stop()
        vertex = self._vertices[event.key]
        detail = dag.described(self.app.picture(), vertex)
        open_vertex(self.app, bytes(vertex.hash), detail, over=self)


def open_vertex(
    app: "ConsoleApp", hash_: bytes, detail: Detail, over: WalkDialog | None = None
) -> None:
    """Show a vertex; `a` and `d` walk on from it."""

    def walk(*, descendants: bool) -> None:
        app.converse(lambda: _walk(app, dialog, hash_, descendants=descendants))

    actions = (
        ("a", "ancestors", lambda: walk(descendants=False)),
        ("d", "descendants", lambda: walk(descendants=True)),
    )
    dialog = DetailDialog(detail, app.copy, actions)
    app.show(dialog, over)


async def _walk(app: "ConsoleApp", over: DetailDialog, hash_: bytes, *, descendants: bool) -> None:
    try:
        value = await app.request(WALK, {"hash": hash_, "descendants": descendants})
        found: Sequence[VertexSnapshot] = table_untrusted(VertexSnapshot, value)
        note = "as the node stores them"
    except (RequestFailed, MalformedMessage):
        known = app.picture().model.known.vertices or ()
        found = dag.walked(known, hash_, descendants=descendants)
        note = "among the vertices that are known here"
    what = "Descendants" if descendants else "Ancestors"
    title = f"{what} of {hash_.hex()[: dag.SHORT]}"
    app.show(WalkDialog(title, found, note), over)
