"""The console inside tmux, as operators on a far machine run it."""

import os
import shlex
import shutil
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from bench.terminal import CONSOLE, END_S
from integration.terminal import Terminal

NAMES = {"Enter": "Enter", "Esc": "Escape", "Tab": "Tab", "Down": "Down"}
LOOK_S = 0.05
# Without a delay after Esc, and keeping the pane of a program that has ended.
SETTINGS = "set -s escape-time 0\nset -g remain-on-exit on\nset -g status off\n"


def is_installed() -> bool:
    """True when there is a tmux to run things in."""
    return shutil.which("tmux") is not None


class Tmux(Terminal):
    """One program in the one pane of a tmux server of its own."""

    def __init__(self, place: Path) -> None:
        self._call = ["tmux", "-S", str(place / "tmux.sock"), "-f", str(place / "tmux.conf")]
        self._code = place / "exit.code"

    def recording_code(self, command: str) -> str:
        """Return the same for a shell, with its exit code kept in a file, which appears whole.

        Of tmux one cannot ask it: version 3.3a may miss that its child has ended, and then
        `pane_dead_status` stays empty for good.
        """
        kept = shlex.quote(str(self._code))
        return f"{command}; echo $? > {kept}.new; mv {kept}.new {kept}"

    def run(self, *arguments: str) -> str:
        """Give tmux a command; return what it prints."""
        environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TMUX")}
        done = subprocess.run(
            [*self._call, *arguments],
            env=environment | {"TERM": "xterm-256color", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"},
            check=True,
            capture_output=True,
            text=True,
            timeout=END_S,
        )
        return done.stdout

    @property
    def text(self) -> str:
        """What is in the pane."""
        return self.run("capture-pane", "-p")

    async def wait_changed(self) -> None:
        """Let a moment pass: tmux does not say when something was drawn."""
        await trio.sleep(LOOK_S)

    async def press(self, *keys: str) -> None:
        """Send keys, as somebody at the keyboard does."""
        for key in keys:
            named = [NAMES[key]] if key in NAMES else ["-l", key]
            self.run("send-keys", *named)
            await trio.lowlevel.checkpoint()

    async def wait_ended(self) -> int:
        """Return the exit code of the program."""
        with trio.fail_after(END_S):
            while not self._code.exists():
                await self.wait_changed()
        return int(self._code.read_text())


@asynccontextmanager
async def open_in_tmux(
    place: Path, *arguments: object, columns: int = 100, lines: int = 30
) -> AsyncGenerator[Tmux]:
    """Run creto-console in tmux; both are ended on the way out."""
    (place / "tmux.conf").write_text(SETTINGS)
    tmux = Tmux(place)
    command = shlex.join([*CONSOLE, *map(str, arguments)])
    size = ("-x", str(columns), "-y", str(lines))
    tmux.run("new-session", "-d", *size, tmux.recording_code(command))
    try:
        yield tmux
    finally:
        tmux.run("kill-server")
