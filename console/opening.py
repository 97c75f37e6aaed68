"""What Enter opens: one row in full."""

from dataclasses import replace
from typing import TYPE_CHECKING

from console import vertex_dialogs
from console.dialogs import DetailDialog, EvidenceDialog
from console.picture import Part
from console.screens import dag, log
from console.table import GONE
from console.units import moment

if TYPE_CHECKING:
    from console.app import ConsoleApp


def open_row(app: "ConsoleApp", part: Part, key: str) -> None:
    """Show one row of `part` in full."""
    picture = app.picture()
    detail = part.detail(picture, key)
    if detail is None:
        app.tell(GONE)
        return
    if part.name == log.EVIDENCE_PART:
        palette = picture.look.palette
        styles = (palette.good, palette.bad)
        dialog = EvidenceDialog(detail, app.copy, lambda: app.verdict_of_evidence(key), styles)
        app.show(dialog)
    elif part.name in dag.VERTEX_PARTS:
        vertex_dialogs.open_vertex(app, bytes.fromhex(key), detail)
    else:
        # It stands still while it is read.
        title = f"{detail.title}, as of {moment(picture.now_ms)} UTC"
        app.show(DetailDialog(replace(detail, title=title), app.copy))
