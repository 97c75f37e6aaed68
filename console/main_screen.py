"""The window: headline, tabs, one screen at a time, and the keys."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Input, Static

from console.exports import Record
from console.filters import EVERYTHING, BadFilter, parse_filter
from console.look import Palette
from console.opening import open_row
from console.picture import Part, Picture, Plan, shortened
from console.rows import Sorting, Tone
from console.screens.dag import DAG
from console.screens.log import LOG
from console.screens.overview import OVERVIEW
from console.screens.peers import PEERS
from console.screens.phases import PHASES
from console.screens.reputation import REPUTATION
from console.screens.storage import STORAGE
from console.table import GONE, Table
from console.verdict import Standing, Verdict
from cretonode.operator.protocol import Hello

if TYPE_CHECKING:
    from console.app import ConsoleApp

PLANS: Final = (OVERVIEW, PHASES, PEERS, REPUTATION, DAG, STORAGE, LOG)
NARROW: Final = 100
COPIED_CELLS: Final = 1_000  # of the headline, which has no edge there
KEYS_ALWAYS: Final = (("?", "help"), ("q", "quit"))
KEYS_TABLE: Final = (("/", "filter"), ("s", "sort"), ("Enter", "open"))
KEYS_REPLAY: Final = (("Space", "play"), (",.", "step"), ("<>", "speed"), ("[]", "view change"))


class Strip(Static):
    """One line whose named places can be clicked. `places`: from, to, action."""

    def __init__(self, id_: str) -> None:
        super().__init__(id=id_)
        self._places: list[tuple[int, int, str]] = []

    def show(self, parts: Sequence[tuple[str, str, str]]) -> None:
        """Show texts with their style and the action that a click on them runs."""
        text, self._places = Text(no_wrap=True), []
        for words, style, action in parts:
            start = text.cell_len
            text.append(words, style)
            if action:
                self._places.append((start, text.cell_len, action))
        self.update(text)

    async def on_click(self, event: events.Click) -> None:
        """Run what was clicked."""
        for start, end, action in self._places:
            if start <= event.get_content_offset_capture(self).x < end:
                await self.run_action(f"screen.{action}")


class MainScreen(Screen[None]):
    """Everything but the dialogs."""

    app: "ConsoleApp"

    DEFAULT_CSS = """
    MainScreen { layout: vertical; background: $background; }
    #headline, #second, #banner, #tabs, #parts, #keys { height: 1; width: 100%; }
    #headline, #second { background: $panel; }
    #banner { background: $warning; color: $background; text-style: bold; display: none; }
    #banner:ansi { text-style: reverse; }
    #tabs { background: $panel; }
    #overview { height: 1fr; padding: 0 1; scrollbar-size: 0 0; }
    MainScreen Static { text-wrap: nowrap; }
    #lines { height: auto; width: 100%; padding: 0 1; }
    #parts { padding: 0 1; }
    #tables { height: 1fr; padding: 0 1; }
    #filter { height: 1; display: none; }
    #keys { background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(i), f"show({i - 1})", plan.name, show=False)
            for i, plan in enumerate(PLANS, 1)
        ),
        Binding("tab", "cycle(1)", "Next screen", show=False),
        Binding("shift+tab", "cycle(-1)", "Screen before", show=False),
        Binding("v", "part(1)", "Next table", show=False),
        Binding("V", "part(-1)", "Table before", show=False),
        Binding("slash", "filter", "Filter", show=False),
        Binding("s", "sort", "Sort", show=False),
        Binding("escape", "back", "Back", show=False),
        Binding("p", "app.pause", "Pause", show=False),
        Binding("y", "app.copy", "Copy", show=False),
        Binding("E", "app.export", "Export", show=False),
        Binding("S", "app.picture", "Picture", show=False),
        Binding("question_mark", "app.help", "Help", show=False),
        Binding("T", "app.next_theme", "Theme", show=False),
        Binding("N", "app.nodes", "Nodes", show=False),
        Binding("q", "app.quit", "Quit", show=False),
        Binding("b", "app.ban", "Ban", show=False),
        Binding("u", "app.unban", "Take a ban back", show=False),
        Binding("L", "app.log_level", "Log level", show=False),
        Binding("D", "app.step_down", "Step down", show=False),
        Binding("X", "app.stop_node", "Stop the node", show=False),
        Binding("space", "app.play", "Play", show=False),
        Binding("full_stop", "app.step(1)", "Step", show=False),
        Binding("comma", "app.step(-1)", "Step back", show=False),
        Binding("right", "app.skip(10000)", "10 s on", show=False),
        Binding("left", "app.skip(-10000)", "10 s back", show=False),
        Binding("greater_than_sign", "app.faster(1)", "Faster", show=False),
        Binding("less_than_sign", "app.faster(-1)", "Slower", show=False),
        Binding("right_square_bracket", "app.jump('view change', 1)", show=False),
        Binding("left_square_bracket", "app.jump('view change', -1)", show=False),
        Binding("right_curly_bracket", "app.jump('ban', 1)", show=False),
        Binding("left_curly_bracket", "app.jump('ban', -1)", show=False),
        Binding("right_parenthesis", "app.jump('stall or gap', 1)", show=False),
        Binding("left_parenthesis", "app.jump('stall or gap', -1)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.shown = 0  # which of PLANS
        self._parts = [0] * len(PLANS)

    def compose(self) -> ComposeResult:
        yield Static(id="headline")
        yield Static(id="second")
        yield Static(id="banner")
        yield Strip("tabs")
        with VerticalScroll(id="overview", can_focus=True):
            yield Static(id="everything")
        yield Static(id="lines")
        yield Strip("parts")
        with ContentSwitcher(id="tables"):
            for i, plan in enumerate(PLANS):
                for j in range(len(plan.parts)):
                    table = Table(self.app.look)
                    table.id = f"table{i}-{j}"
                    yield table
        yield Input(
            id="filter",
            compact=True,
            placeholder="what to show: a regular expression, ! and one for the rest; Esc clears",
        )
        yield Static(id="keys")

    def on_mount(self) -> None:
        """Show the first screen."""
        self.action_show(0)

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.draw()

    @property
    def plan(self) -> Plan:
        """What is shown."""
        return PLANS[self.shown]

    @property
    def part(self) -> Part | None:
        """Which of its tables."""
        return self.plan.parts[self._parts[self.shown]] if self.plan.parts else None

    @property
    def table(self) -> Table | None:
        """The table that is seen."""
        if not self.plan.parts:
            return None
        return self.query_one(f"#table{self.shown}-{self._parts[self.shown]}", Table)

    def draw(self) -> None:
        """Draw everything anew, from the picture of this moment."""
        if not (self.query("#keys") and self.query("#everything")):
            # Not composed yet, or gone already.
            return
        picture = self.app.picture()
        width = self.size.width
        palette = picture.look.palette
        headline = shortened(_headline(picture, width), width, picture.look.glyphs)
        self.query_one("#headline", Static).update(headline)
        wide = width >= NARROW
        words = self.app.mode_words(wide=wide)
        room = width - len(picture.verdict.margin) - len(words) - 2
        titles = _titles(self.app.model.hello)
        title = next((t for t in titles if len(t) <= room), titles[-1])  # rather than the margin
        self.query_one("#second", Static).update(_second(picture, f"{title}{words}", width))
        words = self.app.banner_words()
        banner = self.query_one("#banner", Static)
        banner.display = bool(words)
        line = Text(f" {words}", no_wrap=True)
        banner.update(shortened(line, width, picture.look.glyphs))
        self.query_one("#tabs", Strip).show(self._tab_parts(palette, width))
        glyphs = picture.look.glyphs
        lines = Text("\n", no_wrap=True).join(
            shortened(line, width - 2, glyphs) for line in self.plan.lines(picture, width - 2)
        )
        if self.part is None:
            self.query_one("#everything", Static).update(lines)
        else:
            self.query_one("#lines", Static).update(lines)
            table = self.table
            assert table is not None
            table.fill(self.part, picture)
            self.query_one("#parts", Strip).show(self._part_parts(palette, table))
        self.query_one("#keys", Static).update(self._keys(palette, width))

    def action_show(self, number: int) -> None:
        """Show one of the screens."""
        self.shown = number
        tables = self.part is not None
        self.query_one("#overview").display = not tables
        for name in ("#lines", "#parts", "#tables"):
            self.query_one(name).display = tables
        self._close_filter()
        self._focus()
        self.draw()

    def action_cycle(self, steps: int) -> None:
        """Show the next screen, or the one before."""
        self.action_show((self.shown + steps) % len(PLANS))

    def action_part(self, steps: int) -> None:
        """Show the next table of the screen."""
        if self.plan.parts:
            self.action_choose((self._parts[self.shown] + steps) % len(self.plan.parts))

    def action_choose(self, number: int) -> None:
        """Show one table of the screen."""
        self._parts[self.shown] = number
        self._close_filter()
        self._focus()
        self.draw()

    def action_filter(self) -> None:
        """Open the line for the filter."""
        table = self.table
        if table is None:
            self.app.tell("the overview has nothing to filter")
            return
        line = self.query_one("#filter", Input)
        line.display = True
        line.value = table.filter.text
        self.set_focus(line)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        table = self.table
        if table is None or event.input.id != "filter" or not event.input.display:
            return
        try:
            wanted = parse_filter(event.value)
        except BadFilter:
            return  # half typed: said only when it is meant
        table.choose(wanted, table.sorting)
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        try:
            parse_filter(event.value)
        except BadFilter as error:
            self.app.tell(str(error), bad=True)
            return
        self._close_filter()
        self._focus()

    def action_sort(self) -> None:
        """Sort by the next column, then the other way round, at last not at all."""
        table = self.table
        if table is not None:
            table.choose(table.filter, table.sorting.next(len(table.columns)))
            self.draw()

    def action_back(self) -> None:
        """Leave the filter, then the sorting, then the screen."""
        table = self.table
        if self.query_one("#filter").display or (table is not None and table.filter.parts):
            if table is not None:
                table.choose(EVERYTHING, table.sorting)
            self._close_filter()
            self._focus()
        elif table is not None and table.sorting != Sorting():
            table.choose(table.filter, Sorting())
        else:
            self.action_show(0)
        self.draw()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Open a row.

        When a key for another screen came in one read with Enter, the table before still had the
        keys: Enter was meant for the one that is shown.
        """
        part, table = self.part, self.table
        if part is None or table is None:
            return
        if event.table is table:
            open_row(self.app, part, event.key)
        else:
            table.action_open()

    def forget(self) -> None:
        """Put every cursor where it began: what is shown next is another node."""
        for table in self.query(Table):
            table.forget()

    def why_nothing(self) -> str:
        """Return why there is nothing to copy."""
        table = self.table
        marked = table is not None and (table.gone or table.current is not None)
        return GONE if marked else "nothing to copy"

    def records(self) -> list[Record]:
        """Return the records behind the rows that are seen, in their order."""
        self.draw()  # so that rows and records are of one moment
        table, part = self.table, self.part
        if table is None or part is None:
            return []
        found = part.records(self.app.picture())
        return [found[row.key] for row in table.rows]

    def copied(self) -> str:
        """Return what `y` copies: the row under the cursor, or the overview."""
        table, part = self.table, self.part
        picture = self.app.picture()
        if table is None or part is None:
            lines = [
                _headline(picture, COPIED_CELLS).plain,
                f" {_titles(picture.model.hello)[0]}{self.app.mode_words(wide=True)}",
                *self.plan.lines(picture, self.size.width - 2),
            ]
            return "\n".join(str(line).rstrip() for line in lines)
        row = table.current
        detail = None if row is None else part.detail(picture, row.key)
        return "" if detail is None else detail.text()

    def _focus(self) -> None:
        table = self.table
        if table is None:
            self.set_focus(self.query_one("#overview"))
            return
        self.query_one("#tables", ContentSwitcher).current = table.id
        self.set_focus(table)

    def _close_filter(self) -> None:
        self.query_one("#filter", Input).display = False

    def _tab_parts(self, palette: Palette, width: int) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = []
        wide = width >= NARROW
        for i, plan in enumerate(PLANS):
            here = i == self.shown
            style = f"{palette.accent} reverse" if here else ""
            pad = " " if wide else ""
            found.append((f" {pad}{i + 1} {plan.name}{pad} ", style, f"show({i})"))
        return found

    def _part_parts(self, palette: Palette, table: Table) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = []
        chosen = self._parts[self.shown]
        if len(self.plan.parts) > 1:
            found.append(("v: ", palette.dim, ""))
            for i, part in enumerate(self.plan.parts):
                style = f"{palette.accent} underline" if i == chosen else palette.dim
                found += [(part.name, style, f"choose({i})"), ("  ", "", "")]
        if table.filter.parts:
            count = f"{len(table.rows)} of {table.total}"
            found.append((f"filter {table.filter.text}: {count}  ", palette.warn, "filter"))
        if table.sorting.column is not None:
            title = table.columns[table.sorting.column].title or "bar"
            way = "descending" if table.sorting.descending else "ascending"
            found.append((f"by {title.lower()}, {way}", palette.warn, "sort"))
        known = self.app.model.deltas > 0
        return found or [(f"{table.total} rows" if known else "", palette.dim, "")]

    def _keys(self, palette: Palette, width: int) -> Text:
        keys: list[tuple[str, str]] = []
        if self.app.player is not None:
            keys += KEYS_REPLAY
        if self.part is not None:
            keys += KEYS_TABLE
        if len(self.plan.parts) > 1:
            keys.append(("v", "next table"))
        if self.app.player is None:
            keys.append(("p", "go on" if self.app.paused else "pause"))
        keys += [("y", "copy"), ("^P", "commands"), *KEYS_ALWAYS]
        line = Text(no_wrap=True)
        for key, words in keys:
            item = Text.assemble((f" {key}", palette.accent), f" {words} ")
            if line.cell_len + item.cell_len <= width:
                line.append(item)
        return line


def _badge(verdict: Verdict, palette: Palette) -> tuple[str, str]:
    style = {
        Standing.LIVE: palette.live,
        Standing.DEGRADED: palette.degraded,
        Standing.STALLED: palette.stalled,
        Standing.WAITING: palette.waiting,
        Standing.STALE: palette.stalled,
    }[verdict.standing]
    return f" {verdict.standing.value} ", style


def _titles(hello: Hello | None) -> tuple[str, ...]:
    """Return whose picture it is, the longest words first."""
    if hello is None:
        return ("creto-console  ",)
    return f"{hello.name} on {hello.chain_id}  ", f"{hello.name}  "


def _headline(picture: Picture, width: int) -> Text:
    """Return the verdict, and where there is room, for how long who is missing is missing."""
    verdict = picture.verdict
    line = Text(no_wrap=True)
    line.append(*_badge(verdict, picture.look.palette))
    line.append(f" {verdict.reason}", "bold")
    more = f"; {verdict.missing}" if verdict.missing else ""
    return line.append(more) if line.cell_len + len(more) <= width else line


def _second(picture: Picture, words: str, width: int) -> Text:
    line = Text(no_wrap=True)
    status, verdict = picture.model.status, picture.verdict
    if status is not None and verdict.margin:
        short = verdict.standing is Standing.STALLED or status.connected <= status.quorum
        line.append(f" {verdict.margin}", picture.styled(Tone.WARN if short else Tone.GOOD))
        survives = f"  quorum {status.quorum} of {status.validators}, {status.faults} may lie"
        if line.cell_len + len(survives) + len(words) + 3 <= width:
            line.append(survives, picture.styled(Tone.DIM))
    shortened(line, width - len(words) - 1, picture.look.glyphs, pad=True)
    return line.append(f" {words}", picture.styled(Tone.DIM))
