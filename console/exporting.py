"""Asks how to write the rows that are seen, and writes them."""

from typing import TYPE_CHECKING

from console.dialogs import ChoiceDialog
from console.exports import as_csv, as_json

if TYPE_CHECKING:
    from console.app import ConsoleApp


async def export(app: "ConsoleApp") -> None:
    """Write the rows that are seen now, whatever comes while the question stands."""
    part = app.window.part
    if part is None:
        app.tell("the overview has no rows; y copies it, S makes a picture")
        return
    records = app.window.records()
    if not records:
        app.tell("no rows to write")
        return
    choices = [("c", "CSV", "csv"), ("j", "JSON", "json")]
    kind = await app.ask(ChoiceDialog(f"Export {len(records)} rows as", choices))
    if kind is not None:
        text = as_json(records) if kind == "json" else as_csv(records)
        app.keep(part.name.lower().replace(" ", "-"), kind, text)
