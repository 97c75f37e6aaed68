"""What a screen draws from, and what a screen is made of. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from rich.text import Text

from console.contact import Contact, Link, is_stale, why_stale
from console.exports import Record
from console.look import Glyphs, Look
from console.model import Model
from console.rows import Cell, Column, Row, Tone
from console.verdict import AGED_ADVICE, Verdict, aged, verdict_of

SPAN: Final = 13  # of a label
GAP_ADVICE: Final = "( and ) lead to the stall or gap before and after"
UNKNOWN: Final = "not known yet: no word from the node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything that is shown, at one moment."""

    model: Model
    now_ms: int  # by the node's clock
    verdict: Verdict
    contact: Contact
    look: Look

    def styled(self, tone: Tone) -> str:
        """Return the style of a tone."""
        return self.look.palette.of(tone)

    def sign(self, tone: Tone) -> tuple[str, str]:
        """Return the glyph of a tone and its style."""
        return self.look.glyphs.of(tone), self.look.palette.of(tone)


def verdict_on(model: Model, now_ms: int, contact: Contact, silence_ms: float) -> Verdict:
    """Return the verdict as far as the connection, or the recording, lets one judge."""
    if not is_stale(contact, silence_ms):
        return verdict_of(model, now_ms)
    verdict = verdict_of(model, model.at_ms)  # what waited when it was heard last has not waited on
    advice = GAP_ADVICE if contact.link is Link.RECORDING else AGED_ADVICE
    return aged(verdict, why_stale(contact, silence_ms), advice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What Enter opens: a title and labelled texts."""

    title: str
    fields: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """Return it as it is copied."""
        return "\n".join([self.title, *(f"{label}: {value}" for label, value in self.fields)])


class Newest(Enum):
    """Where the newest row of a table of happenings stands, in the table's own order."""

    FIRST = "first"
    LAST = "last"


def _no_lines(_: Picture, __: int) -> list[Text]:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One table of a screen."""

    name: str
    columns: tuple[Column, ...]
    rows: Callable[[Picture], list[Row]]
    detail: Callable[[Picture, str], Detail | None]
    records: Callable[[Picture], dict[str, Record]]  # behind the rows, by their keys, as exported
    empty: str  # what stands there when there are no rows
    newest: Newest | None = None  # a cursor that was not moved stays with the newest row
    own_columns: Callable[[Picture], tuple[Column, ...]] | None = None  # instead of `columns`

    def empty_in(self, picture: Picture) -> str:
        """Return what stands there when there are no rows: of an unseen node nothing is known."""
        return self.empty if picture.model.deltas else UNKNOWN

    def columns_of(self, picture: Picture) -> tuple[Column, ...]:
        """Return the columns now."""
        return self.columns if self.own_columns is None else self.own_columns(picture)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One screen: what is drawn above, and tables of which one is seen."""

    name: str
    parts: tuple[Part, ...] = ()
    lines: Callable[[Picture, int], list[Text]] = field(default=_no_lines)  # by width
    about: str = ""  # for the help


def labelled(label: str, *parts: tuple[str, str] | str) -> Text:
    """Return a line with a label and texts, each with or without a style."""
    return Text.assemble(f"{label:<{SPAN}}", *parts, no_wrap=True)


def shortened(line: Text, width: int, glyphs: Glyphs, *, pad: bool = False) -> Text:
    """Return the line with at most `width` cells, marked where it was cut."""
    width = max(1, width)
    if line.cell_len > width:
        line.truncate(width - 1)
        line.append(glyphs.cut)
    if pad:
        line.pad_right(width - line.cell_len)
    return line


def columns(*titles: str) -> tuple[Column, ...]:
    """Return columns by their titles; one that begins with `>` is flush right."""
    return tuple(Column(title.lstrip(">"), right=title.startswith(">")) for title in titles)


def number(value: float | None, text: str, tone: Tone = Tone.PLAIN) -> Cell:
    """Return a cell that sorts by its number and says it in words."""
    return Cell(text, tone, order=value)
