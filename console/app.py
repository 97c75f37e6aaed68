"""The application: joins a source with the window, and does what the keys ask for."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from rich.text import Text
from textual import events
from textual.app import App, SystemCommand
from textual.command import CommandPalette
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import Worker

from console import keep, writing
from console.contact import STALE_MS, Contact, Link, RequestFailed, banner
from console.dialogs import ChoiceDialog, Dialog, HelpDialog
from console.exporting import export
from console.help import help_sections
from console.live import LiveSource
from console.look import ASCII, NO_COLOUR, PALETTES, THEMES, UNICODE, Look
from console.main_screen import MainScreen
from console.model import Model
from console.options import Options
from console.palette import CSS, commands_of
from console.picture import Picture, verdict_on
from console.player import TICK_MS, Player
from console.recorder import Recorder
from console.replay import Event, Recording
from console.screens import log
from console.sockets import ONE_NODE, ONE_RECORDED, Place, choices_of
from console.table import GONE
from console.units import moment, size
from console.verdict import Verdict
from console.verify import RECORDED, check
from cretonode.operator.protocol import Delta, Hello, MalformedMessage, Value

T = TypeVar("T")
DRAW_MS: Final = 200
TELL_S: Final = 6.0
REDRAW_MS: Final = 1_000  # when nothing changed: ages grow
EXIT_REFUSED: Final = 1
SOFTWARE: Final = "creto-console"
VALIDATORS: Final = ("Peers", "Reputation")  # screens whose rows are validators


class ConsoleApp(App[None]):
    """creto-console. Told by a source as its Listener, asked by `writing` as its Owner."""

    TITLE = "creto-console"
    CSS = CSS

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = options.theme
        self.set_class(options.ascii_only, "ascii")
        self.model = Model()
        self.contact = Contact(Link.SEEKING)
        self.player: Player | None = None
        self.paused = False
        self.window = MainScreen()
        self._frozen: tuple[Model, int, Verdict] | None = None
        self._place: Place | None = None
        self._source: LiveSource | None = None
        self._worker: Worker[None] | None = None
        self._conversation: Worker[None] | None = None  # with the operator
        self._recorder: Recorder | None = None
        self._recording: Recording | None = None
        self._loading = ""
        self._heard_s = time.monotonic()
        self._drawn_s = 0.0
        self._dirty = True

    # --- what is shown

    @property
    def look(self) -> Look:
        """How it is drawn, by theme and glyphs."""
        palette = PALETTES.get(self.theme, PALETTES[NO_COLOUR])
        return Look(ASCII if self.options.ascii_only else UNICODE, palette)

    def picture(self) -> Picture:
        """Return what there is to draw at this moment."""
        model, now_ms = self.model, self._now_ms()
        if self._frozen is not None:
            model, now_ms, verdict = self._frozen
        else:
            verdict = verdict_on(model, now_ms, self.contact, self._silence_ms())
        return Picture(
            model=model, now_ms=now_ms, verdict=verdict, contact=self.contact, look=self.look
        )

    def mode_words(self, *, wide: bool) -> str:
        """Return how the console stands, and the node's time of day; the date where it may be any.

        It is the one time that says UTC: all others are, and have no date when it is this one's.
        """
        words = ["write"] if self.options.write and self.player is None else ["read-only"]
        if self._recorder is not None:
            words.append("not recording" if self._unkept() else "recording")
        player = self.player
        if player is not None:
            state = f"{player.speed:g}x" if player.playing else "stopped"
            words = [f"replay {state} {player.position + 1}/{len(player.recording)}"]
        if self.model.deltas:
            now_ms = self._clock_ms()
            dated = wide or player is not None
            words.append(f"{moment(now_ms, near_ms=None if dated else now_ms)} UTC")
        return "  ".join(words)

    def banner_words(self) -> str:
        """Return why what is shown is not the present, or not kept; empty when it is."""
        if self._loading:
            return self._loading
        if self._recording is not None:
            return self._recording.damage
        words = banner(self.contact, self._silence_ms(), has_data=self.model.deltas > 0)
        if self.paused:
            words = f"paused{': ' + words if words else ': p goes on'}"
        unkept = self._unkept()
        if unkept:
            words = f"not recording: {unkept}" + (f"; {words}" if words else "")
        return words

    def _unkept(self) -> str:
        """Return why nothing is recorded though it was asked for; empty when all is well."""
        if self._recorder is None:
            return ""
        silent = "" if self.contact.link is Link.ATTACHED else "no node speaks"
        return self._recorder.problem or silent

    def _silence_ms(self) -> float:
        return (time.monotonic() - self._heard_s) * 1000

    def _clock_ms(self) -> int:
        """What the clock of the window shows: that of a recording goes on in its gaps."""
        if self.player is not None:
            return max(int(self.player.at_ms), self.model.at_ms)
        return self._frozen[1] if self._frozen is not None else self._now_ms()

    def _now_ms(self) -> int:
        """By the node's clock, as long as anybody knows how it went on."""
        if self.player is not None:
            gap = self.player.gap
            return self.model.at_ms if gap else max(int(self.player.at_ms), self.model.at_ms)
        if not self.model.deltas:
            return self.model.at_ms
        return self.model.at_ms + int(min(self._silence_ms(), STALE_MS))

    # --- life

    def get_default_screen(self) -> Screen[None]:
        """Start with the window."""
        return self.window

    def on_mount(self) -> None:
        """Take up with a recording or with a node; end as `q` does when told to."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit, None, 128 + number)
        self.set_interval(DRAW_MS / 1000, self._draw)
        self.run_worker(self._begin())

    async def _begin(self) -> None:
        if self.options.recording is not None:
            await self._replay(self.options.recording)
            return
        if self.options.record is not None:
            try:
                self._recorder = Recorder(self.options.record)
            except OSError as error:
                self._refuse(f"cannot record into {self.options.record}: {error.strerror}")
                return
        if len(self.options.places) == 1:
            self._take_up(self.options.places[0])
        else:
            await self._pick()

    def _refuse(self, words: str) -> None:
        """End: what was asked for cannot be done."""
        self.exit(None, EXIT_REFUSED, Text(f"creto-console: {words}"))

    async def _pick(self) -> None:
        """Let the operator choose a node."""
        places = self.options.places
        chosen = await self.ask(ChoiceDialog("Which node?", choices_of(places)))
        if chosen is not None:
            self._take_up(places[int(chosen)])
        elif self._source is None:
            self.exit()

    def _take_up(self, place: Place) -> None:
        if self._worker is not None:
            self._worker.cancel()
        self._place, self.model, self.contact = place, Model(), Contact(Link.SEEKING)
        self._frozen, self.paused = None, False
        self._heard_s = time.monotonic()
        self.window.forget()
        self._source = LiveSource(
            place.socket, self, SOFTWARE, self._recorder, self.options.interval_ms
        )
        self._worker = self.run_worker(self._source.run(), name="source")

    async def _replay(self, path: Path) -> None:
        try:
            recording = self._recording = Recording(path)
            for read in recording.load():
                self._loading = (
                    f"reading {path.name}: {read * 100 // max(1, recording.file_bytes)} %"
                )
                await asyncio.sleep(0)
        except (OSError, MalformedMessage) as error:
            self._refuse(f"{path}: {getattr(error, 'strerror', None) or error}")
            return
        self._loading = ""
        self.player = Player(recording)
        self.player.playing = self.options.playing
        self.model = self.player.model
        self._note_gap()
        if recording.torn_bytes:
            self.tell(f"the last {size(recording.torn_bytes)} are torn and left out")
        self._dirty = True
        self.set_interval(TICK_MS / 1000, self._play)

    def on_unmount(self) -> None:
        """Close the files."""
        if self._recording is not None:
            self._recording.close()
        if self._recorder is not None:
            self._recorder.close()

    def _play(self) -> None:
        assert self.player is not None
        if self._moved(lambda: self.player is not None and self.player.advance(TICK_MS)):
            self._dirty = True

    def _moved(self, move: Callable[[], T]) -> T | None:
        """Move within the recording; a file that was changed meanwhile is said, not crashed on."""
        assert self.player is not None
        try:
            result = move()
        except (OSError, MalformedMessage) as error:
            self.player.playing = False
            self.tell(f"{self.player.recording.path}: {error}", bad=True)
            return None
        self.model = self.player.model
        self._note_gap()
        return result

    def _note_gap(self) -> None:
        assert self.player is not None
        gap = self.player.gap
        contact = Contact(Link.RECORDING, "" if gap is None else gap.words())
        self._dirty = self._dirty or contact != self.contact
        self.contact = contact

    def _draw(self) -> None:
        now_s = time.monotonic()
        if self._dirty or (now_s - self._drawn_s) * 1000 >= REDRAW_MS:
            self._dirty, self._drawn_s = False, now_s
            self.window.draw()

    async def on_event(self, event: events.Event) -> None:
        """Do at once what a key is bound to, before the next one is looked at.

        Textual passes a key on and does it later: of `/q` in one read, `q` would come before the
        line of the filter has the keys.
        """
        is_key = isinstance(event, events.Key) and not event.is_forwarded
        if is_key and self.screen is self.window and not isinstance(self.focused, Input):
            assert isinstance(event, events.Key)
            if await self._check_bindings(event.key):
                return
        await super().on_event(event)

    # --- what a source says

    def on_hello(self, hello: Hello) -> None:
        """A node has answered."""
        self.model.begin(hello)
        self._dirty = True

    def on_delta(self, delta: Delta) -> None:
        """Something changed. Raises: MalformedMessage."""
        self.model.apply(delta)
        self._heard_s = time.monotonic()
        self._dirty = True

    def on_contact(self, contact: Contact) -> None:
        """The connection came or went."""
        self.contact = contact
        self._dirty = True

    # --- what the keys ask for

    def action_pause(self) -> None:
        """Hold the picture still, or go on; a recording plays or stops."""
        if self.player is not None:
            self.action_play()
            return
        self.paused = not self.paused
        self._frozen = None
        if self.paused:
            self._frozen = (self.model.held(), self._now_ms(), self.picture().verdict)
        self.window.draw()

    def action_copy(self) -> None:
        """Copy the row under the cursor, or the overview."""
        text = self.window.copied()
        if text:
            self.copy(text)
        else:
            self.tell(self.window.why_nothing())

    def copy(self, text: str) -> None:
        """Copy by OSC 52, and into a file for terminals that do not take it."""
        self.copy_to_clipboard(text)
        try:
            path = keep.write_copied(text, os.environ)
            self.tell(f"copied; also in {path}")
        except OSError as error:
            self.tell(f"copied by OSC 52 only, not to {error.filename}: {error.strerror}")

    def action_export(self) -> None:
        """Write the table's rows into a file."""
        self.converse(lambda: export(self))

    def action_picture(self) -> None:
        """Write the screen as an SVG picture."""
        picture = keep.self_contained(self.export_screenshot())
        self.keep(self.window.plan.name.lower(), "svg", picture)

    def keep(self, stem: str, suffix: str, text: str) -> None:
        """Write a new file, and say which or why not."""
        try:
            path = keep.write_new(self.options.directory, stem, suffix, text)
        except OSError as error:
            self.tell(f"cannot write {error.filename}: {error.strerror}", bad=True)
            return
        self.tell(f"wrote {path}")

    def action_help(self) -> None:
        """Show the keys and what this screen is about."""
        plan = self.window.plan
        sections = help_sections(plan, replay=self.player is not None, write=self.options.write)
        self.show(HelpDialog(f"Help: {plan.name}", sections))

    def action_next_theme(self) -> None:
        """Change the colours."""
        names = list(PALETTES)
        here = names.index(self.theme) if self.theme in names else -1
        self.dress(names[(here + 1) % len(names)])
        self.tell(f"theme {self.theme}")

    def action_nodes(self) -> None:
        """Choose another node."""
        if self.player is not None or len(self.options.places) < 2:
            self.tell(ONE_NODE if self.player is None else ONE_RECORDED)
            return
        self.converse(self._pick)

    async def verdict_of_evidence(self, id_: str) -> tuple[bool | None, str]:
        """Return whether a piece of evidence proves what it says. Raises: RequestFailed."""
        if self.player is not None or self._place is None:
            raise RequestFailed(RECORDED.format(id=id_[: log.ID_SHORT]))
        return await check(self._place, id_)

    # --- replay

    def action_play(self) -> None:
        """Play or stop."""
        self._on_player(lambda player: player.toggle())

    def action_step(self, deltas: int) -> None:
        """Go forth or back by deltas."""
        self._on_player(lambda player: player.step(deltas))

    def action_skip(self, ms: int) -> None:
        """Go forth or back by a time."""
        self._on_player(lambda player: player.skip(ms))

    def action_faster(self, steps: int) -> None:
        """Change the speed."""
        self._on_player(lambda player: player.faster(steps))

    def action_jump(self, event: str, way: int) -> None:
        """Go to the next such event, or the one before."""
        back = way < 0

        def jump(player: Player) -> None:
            if not player.jump(Event(event), back=back):
                self.tell(f"no {event} {'before' if back else 'after'} this")

        self._on_player(jump)

    def _on_player(self, move: Callable[[Player], None]) -> None:
        player = self.player
        if player is None:
            self.tell("this is no recording: the keys of a replay do nothing here")
            return
        self._moved(lambda: move(player))
        self.window.draw()

    # --- what changes a node

    def action_ban(self) -> None:
        """Ban the validator under the cursor."""
        self._on_validator(writing.ban)

    def action_unban(self) -> None:
        """Take the ban of the validator under the cursor back."""
        self._on_validator(writing.unban)

    def _on_validator(
        self, command: Callable[[writing.Owner, str], Coroutine[None, None, None]]
    ) -> None:
        table, plan = self.window.table, self.window.plan
        row = None if table is None else table.current
        if plan.name in VALIDATORS and table is not None and table.gone:
            self.tell(GONE, bad=True)
            return
        if plan.name not in VALIDATORS or row is None or not row.key.isdecimal():
            self.tell("put the cursor on a validator in Peers (3) or Reputation (4) first")
            return
        name = self.model.name_of(int(row.key))
        self.converse(lambda: command(self, name))

    def action_log_level(self) -> None:
        """Change from which level on the node logs."""
        self.converse(lambda: writing.log_level(self))

    def action_step_down(self) -> None:
        """Let another validator lead."""
        self.converse(lambda: writing.step_down(self))

    def action_stop_node(self) -> None:
        """Stop the node."""
        self.converse(lambda: writing.stop(self))

    def why_not_writing(self) -> str:
        """Return why nothing can be changed; empty when it can."""
        if self.player is not None or self.options.recording is not None:
            return "a recording cannot be changed"
        if not self.options.write:
            return "read-only: start creto-console with --write to change anything"
        return ""

    async def request(self, command: str, arguments: Mapping[str, Value]) -> Value:
        """Return the node's answer. Raises: RequestFailed."""
        if self._source is None:
            raise RequestFailed("not attached to a node")
        return await self._source.request(command, arguments)

    def show(self, dialog: Dialog[None], over: Dialog[None] | None = None) -> None:
        """Open a dialog over the one that asked for it, or over the window.

        A key that was typed twice finds what the first one opened, and opens nothing.
        """
        if self.screen is over or (over is None and not isinstance(self.screen, Dialog)):
            self.push_screen(dialog)

    def converse(self, conversation: Callable[[], Coroutine[None, None, None]]) -> None:
        """Begin what asks the operator or the node something, one at a time."""
        if self._conversation is None or self._conversation.is_finished:
            self._conversation = self.run_worker(conversation())
        elif not isinstance(self.screen, Dialog):
            self.tell("one question at a time: the node has not answered the last one yet")

    async def ask(self, dialog: Dialog[T]) -> T | None:
        """Return what the operator answers, None when not."""
        return await self.push_screen_wait(dialog)

    def tell(self, text: str, *, bad: bool = False) -> None:
        """Show a sentence for a while."""
        self.clear_notifications()  # a key that is held down must not cover the screen
        severity: SeverityLevel = "error" if bad else "information"
        self.notify(text, severity=severity, timeout=TELL_S, markup=False)

    # --- palette

    def action_command_palette(self) -> None:
        """Open the palette, over no dialog and no other palette."""
        if self.screen is self.window:
            self.push_screen(CommandPalette(placeholder="what to do"))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:  # noqa: ARG002
        """Return what Ctrl-P finds."""
        return commands_of(self)

    def dress(self, name: str) -> None:
        """Change the colours."""
        self.theme = name
        self.window.draw()
