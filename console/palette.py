"""What Ctrl-P finds, and how it and the sentences for a while are drawn."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from textual.app import SystemCommand

from console.look import PALETTES
from console.main_screen import PLANS

if TYPE_CHECKING:
    from console.app import ConsoleApp

CSS: Final = """
Toast { width: auto; max-width: 80%; }
.ascii Toast { border: none; padding: 0 1; }
.ascii CommandPalette Vertical, .ascii CommandPalette #--input { border: none; }
.ascii CommandPalette CommandList { border: none !important; }
CommandPalette SearchIcon, .ascii CommandPalette LoadingIndicator { display: none; }
.ascii * { scrollbar-size: 0 0; }
"""


def commands_of(app: "ConsoleApp") -> Iterator[SystemCommand]:
    """Yield the commands that are of use now."""
    for i, plan in enumerate(PLANS):
        yield SystemCommand(plan.name, plan.about, lambda i=i: app.window.action_show(i))
    for name in PALETTES:
        yield SystemCommand(f"Theme {name}", "Change the colours", lambda n=name: app.dress(n))
    yield SystemCommand("Help", "The keys", app.action_help)
    yield SystemCommand("Pause", "Hold the picture still, or go on", app.action_pause)
    yield SystemCommand("Copy", "Copy the row under the cursor", app.action_copy)
    yield SystemCommand("Export", "Write the rows as CSV or JSON", app.action_export)
    # The palette itself must be gone from the screen first.
    yield SystemCommand(
        "Picture", "Write the screen as SVG", lambda: app.set_timer(0.1, app.action_picture)
    )
    if len(app.options.places) > 1:
        yield SystemCommand("Nodes", "Attach to another node", app.action_nodes)
    yield SystemCommand("Filter", "Show only rows that match", app.window.action_filter)
    yield SystemCommand("Sort", "By the next column", app.window.action_sort)
    if not app.why_not_writing():
        yield SystemCommand("Ban", "The validator under the cursor", app.action_ban)
        yield SystemCommand(
            "Take a ban back", "Of the validator under the cursor", app.action_unban
        )
        yield SystemCommand("Log level", "From which level on it logs", app.action_log_level)
        yield SystemCommand("Step down", "Let another validator lead", app.action_step_down)
        yield SystemCommand("Stop the node", "As SIGTERM does", app.action_stop_node)
    yield SystemCommand("Quit", "Leave the console; the node goes on", app.exit)
