"""What stands over a screen for a moment: details, questions, choices, help."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from console.contact import RequestFailed
from console.picture import Detail

if TYPE_CHECKING:
    from console.app import ConsoleApp

T = TypeVar("T")
YES_KEYS: Final = "y do it   n or Esc leave it"
CONFIRM_CELLS: Final = 76  # of a confirmation, at most
EDGE: Final = 4  # columns of its border and of the blanks beside it
TITLE_EDGE: Final = 2  # of its corners
CONFIRM_LINES: Final = 4  # of its border, and of the keys with the line above
TYPED_MAX: Final = 200  # characters of an answer, as many as the node takes of a reason


class Dialog(ModalScreen[T]):
    """A box in the middle that Esc closes."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > .box {
        width: 90%; max-width: 110; height: auto; max-height: 90%;
        border: round $primary; background: $panel; padding: 0 1;
    }
    Dialog .keys { color: $text-muted; height: 1; margin-top: 1; }
    Dialog:ansi { background: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close"),
    ]

    app: "ConsoleApp"
    answered = False

    def answer(self, result: T | None) -> None:
        """Close with an answer. A second key that was typed with the first finds nobody."""
        if not self.answered:
            self.answered = True
            self.dismiss(result)

    def on_mount(self) -> None:
        """Draw the box with signs that the terminal has."""
        if self.app.look.glyphs.ascii_only:
            for box in self.query(".box, .side"):
                box.styles.border = ("ascii", box.styles.border_top[1])
                box.styles.scrollbar_size_vertical = 0  # its ends are drawn with blocks

    def action_close(self) -> None:
        """Close without an answer."""
        self.answer(None)


class DetailDialog(Dialog[None]):
    """One row in full. `actions`: key, words, what it does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "close", "Close", show=False),
        Binding("y", "copy", "Copy"),
    ]

    def __init__(
        self,
        detail: Detail,
        copy: Callable[[str], None],
        actions: Sequence[tuple[str, str, Callable[[], None]]] = (),
    ) -> None:
        super().__init__()
        self._detail = detail
        self._copy = copy
        self._actions = {key: run for key, _, run in actions}
        self._keys = "  ".join(
            [*(f"{key} {name}" for key, name, _ in actions), "y copy", "Esc back"]
        )

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="box") as box:
            box.border_title = Text(self._detail.title)
            yield from self.body()
            yield Static(self._keys, classes="keys")

    def body(self) -> ComposeResult:
        """What stands between the title and the keys."""
        yield Static(two_columns(self._detail.fields), classes="fields")

    def on_key(self, event: events.Key) -> None:
        """Run the action of a key."""
        if event.key in self._actions:
            self._actions[event.key]()

    def text(self) -> str:
        """Return what is copied."""
        return self._detail.text()

    def action_copy(self) -> None:
        """Copy all of it."""
        self._copy(self.text())


def two_columns(lines: Sequence[tuple[str, str]]) -> Table:
    """Return labels in bold and texts that wrap beside them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for label, words in lines:
        table.add_row(Text(label), Text(words))
    return table


class EvidenceDialog(DetailDialog):
    """Both statements side by side, and what the check of them found."""

    DEFAULT_CSS = """
    EvidenceDialog .sides { height: auto; margin-top: 1; }
    EvidenceDialog .side { width: 1fr; height: auto; border: round $error; padding: 0 1; }
    EvidenceDialog .verdict { margin-top: 1; height: auto; }
    """

    def __init__(
        self,
        detail: Detail,
        copy: Callable[[str], None],
        check: Callable[[], Awaitable[tuple[bool | None, str]]],
        styles: tuple[str, str],  # of what is proven, and of what is not
    ) -> None:
        super().__init__(detail, copy)
        self._check = check
        self._styles = styles
        self._found = ""

    def body(self) -> ComposeResult:
        """The statements, and below them the verdict."""
        said = dict(self._detail.fields)
        yield Static(Text(said["contradiction"], "bold"))
        with Horizontal(classes="sides"):
            for which in ("first", "second"):
                side = Static(Text(said[which]), classes="side")
                side.border_title = f"{which} statement, signed"
                yield side
        yield Static(Text(f"id {said['id']}"), classes="id")
        yield Static(Text("checking both signatures against the genesis ..."), classes="verdict")

    def on_mount(self) -> None:
        """Check at once: nobody should have to ask."""
        super().on_mount()
        self.run_worker(self._verify(), exclusive=True)

    async def _verify(self) -> None:
        try:
            proven, self._found = await self._check()
        except RequestFailed as error:
            proven, self._found = None, f"not checked: {error}"
        style = "" if proven is None else self._styles[0 if proven else 1]
        self.query_one(".verdict", Static).update(Text(self._found, style))

    def text(self) -> str:
        """Return the statements and what was found."""
        return f"{super().text()}\n{self._found}"


class ConfirmDialog(Dialog[bool]):
    """A question with its effect, answered by y: only where all of it can be read."""

    DEFAULT_CSS = f"""
    ConfirmDialog > .box {{
        border: round $error; width: 100%; max-width: {CONFIRM_CELLS}; max-height: 100%;
        overflow: hidden;
    }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "Do it"),
        Binding("n", "close", "Leave it"),
    ]

    def __init__(self, title: str, effect: str) -> None:
        super().__init__()
        self._title = title
        self._effect = effect

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Text(self._title)
            yield Static(id="effect")
            yield Static(YES_KEYS, classes="keys")

    def on_mount(self) -> None:
        """Let nothing lie over the question."""
        super().on_mount()
        self.app.clear_notifications()

    def on_resize(self) -> None:
        """Show the question, or what it takes to read it."""
        width, height = needed = self._needed()
        words = self._effect
        if not self._is_readable(needed):
            words = f"terminal too small: {width} x {height} needed"
        self.query_one("#effect", Static).update(Text(words))
        self.query_one(".keys").display = self._is_readable(needed)

    def _needed(self) -> tuple[int, int]:
        """Return columns and lines of the least terminal as wide as this that shows all of it."""
        widest = max(cell_len(YES_KEYS), cell_len(self._title) + TITLE_EDGE)
        width = max(min(self.size.width, CONFIRM_CELLS), widest + EDGE)
        lines = Text(self._effect).wrap(self.app.console, min(width, CONFIRM_CELLS) - EDGE)
        return width, len(lines) + CONFIRM_LINES

    def _is_readable(self, needed: tuple[int, int]) -> bool:
        return needed[0] <= self.size.width and needed[1] <= self.size.height

    def action_yes(self) -> None:
        """Answer yes, to what can be read."""
        if self._is_readable(self._needed()):
            self.answer(result=True)


class AskDialog(Dialog[str]):
    """A line of text to type. `check`: why it will not do, empty when it will."""

    DEFAULT_CSS = """
    AskDialog > .box { max-width: 76; }
    AskDialog .problem { color: $error; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "Close")]

    def __init__(
        self, title: str, hint: str, value: str = "", check: Callable[[str], str] = lambda _: ""
    ) -> None:
        super().__init__()
        self._title = title
        self._hint = hint
        self._value = value
        self._check = check

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Text(self._title)
            yield Input(
                value=self._value, placeholder=self._hint, compact=True, max_length=TYPED_MAX
            )
            yield Static(classes="problem")
            yield Static("Enter go on   Esc leave it", classes="keys")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer with what was typed, once it will do; nothing is no answer."""
        typed = event.value.strip()
        problem = self._check(typed) if typed else ""
        self.query_one(".problem", Static).update(Text(problem))
        if not problem:
            self.answer(typed or None)


class ChoiceDialog(Dialog[str]):
    """A choice by its key."""

    DEFAULT_CSS = "ChoiceDialog > .box { max-width: 76; }"

    def __init__(self, title: str, choices: Sequence[tuple[str, str, str]]) -> None:
        """`choices`: key, words, answer."""
        super().__init__()
        self._title = title
        self._choices = choices

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="box") as box:
            box.border_title = Text(self._title)
            text = Text()
            for key, words, _ in self._choices:
                text.append(f" {key} ", "bold reverse")
                text.append(f" {words}\n")
            text.rstrip()
            yield Static(text)
            yield Static("a key chooses   Esc leaves it", classes="keys")

    def on_key(self, event: events.Key) -> None:
        """Answer with what the key stands for."""
        for key, _, answer in self._choices:
            if event.character == key:
                self.answer(answer)


class HelpDialog(Dialog[None]):
    """The keys, and what the signs say."""

    DEFAULT_CSS = "HelpDialog .section { margin-left: 2; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,enter", "close", "Close", show=False),
    ]

    def __init__(
        self, title: str, sections: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    ) -> None:
        super().__init__()
        self._title = title
        self._sections = sections

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="box") as box:
            box.border_title = Text(self._title)
            for head, lines in self._sections:
                yield Static(Text(head, "bold underline"))
                yield Static(two_columns(lines), classes="section")
            yield Static("Up and Down scroll   Esc back", classes="keys")
