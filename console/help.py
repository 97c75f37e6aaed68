"""The words of the help: what the screen is about, the keys, the signs. Pure."""

from collections.abc import Sequence
from typing import Final

from console.picture import Plan

Lines = Sequence[tuple[str, str]]

MOVES: Final[Lines] = (
    ("1-7 Tab", "screens; v: the next table of a screen"),
    ("Up Down j k", "rows; PgUp, PgDn, Home, End, wheel"),
    ("Enter", "open the row; Esc: back"),
    ("/", "filter: a regular expression; !x: not x; a & b: both"),
    ("s", "sort by the next column, up, then down, then not"),
    ("p", "hold the picture still"),
    ("y", "copy the row (OSC 52, and a file)"),
    ("E", "export the rows as CSV or JSON"),
    ("S", "a picture of the screen (SVG)"),
    ("T", "colours: dark, light, contrast, none"),
    ("N", "another node"),
    ("Ctrl-P", "all commands"),
    ("q", "leave; the node goes on"),
)
REPLAY: Final[Lines] = (
    ("Space", "play or stop"),
    (", .", "one delta back or on"),
    ("Left Right", "ten seconds back or on"),
    ("< >", "slower, faster"),
    ("[ ]", "the view change before or after"),
    ("{ }", "the ban before or after"),
    ("( )", "the stall or the gap before or after"),
)
WRITE: Final[Lines] = (
    ("b u", "ban a validator, take its ban back (Peers, Reputation)"),
    ("L", "log level"),
    ("D", "step down as leader"),
    ("X", "stop the node"),
)
STANDINGS: Final[Lines] = (
    ("LIVE", "what is submitted becomes final"),
    ("DEGRADED", "it does, and something needs an eye"),
    ("STALLED", "nothing becomes final"),
    ("STALE", "this node says nothing any more: what is shown was"),
)


def help_sections(plan: Plan, *, replay: bool, write: bool) -> list[tuple[str, Lines]]:
    """Return the help's sections."""
    sections: list[tuple[str, Lines]] = [(plan.about, ()), ("Keys", MOVES)]
    if replay:
        sections.append(("Replay", REPLAY))
    else:
        head = "Changing the node" if write else "Changing the node (needs --write)"
        sections.append((head, WRITE))
    return [*sections, ("Verdict", STANDINGS)]
