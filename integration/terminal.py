"""A terminal without a window: runs the real console, types, reads the screen."""

import os
import re
import subprocess
import termios
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import trio

from bench.terminal import END_S, Drawing, in_terminal
from integration.conftest import SETTLE_S

KEYS = {"Enter": "\r", "Esc": "\x1b", "Tab": "\t", "Down": "\x1b[B"}
MODES = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")


class Terminal(ABC):
    """One program and its screen."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What is on the screen."""

    @abstractmethod
    async def wait_changed(self) -> None:
        """Return when the screen may show something else."""

    @abstractmethod
    async def press(self, *keys: str) -> None:
        """Type keys: characters, or names of KEYS."""

    @abstractmethod
    async def wait_ended(self) -> int:
        """Return the exit code of the program."""

    async def until(self, condition: Callable[[str], object]) -> str:
        """Return the screen once it is as wanted."""
        try:
            with trio.fail_after(SETTLE_S):
                while not condition(self.text):
                    await self.wait_changed()
        except trio.TooSlowError:
            raise AssertionError(f"the screen stays\n{self.text}") from None
        return self.text

    async def until_text(self, *words: str) -> str:
        """Return the screen once all of these words are on it."""
        return await self.until(lambda text: all(word in text for word in words))


class BareTerminal(Terminal):
    """A pseudo-terminal, its screen kept by pyte."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int, columns: int, lines: int) -> None:
        self.process = process
        self._fd = fd
        self.drawing = Drawing(fd, columns=columns, lines=lines)

    @property
    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(self.drawing.lines)

    @property
    def settings(self) -> list[object]:
        """How the terminal treats what is typed: echo, lines, signals."""
        return termios.tcgetattr(self._fd)

    @property
    def modes(self) -> set[int]:
        """The private modes that the program has switched on and not off: mouse, second screen."""
        on = set[int]()
        for numbers, switch in MODES.findall(self.drawing.drawn):
            for number in map(int, numbers.split(b";")):
                (on.add if switch == b"h" else on.discard)(number)
        return on

    async def press(self, *keys: str) -> None:
        """Type keys: characters, or names of KEYS."""
        for key in keys:
            os.write(self._fd, KEYS.get(key, key).encode())
            await trio.lowlevel.checkpoint()

    async def wait_changed(self) -> None:
        """Return when the program has drawn something."""
        await self.drawing.wait_changed()

    async def wait_ended(self) -> int:
        """Return the exit code of the program."""
        with trio.fail_after(END_S):
            return await trio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)


@asynccontextmanager
async def open_console(
    *arguments: object, columns: int = 100, lines: int = 30
) -> AsyncGenerator[BareTerminal]:
    """Run creto-console in a bare terminal; it is ended on the way out."""
    with in_terminal(*arguments, columns=columns, lines=lines) as (process, fd):
        async with trio.open_nursery() as nursery:
            terminal = BareTerminal(process, fd, columns, lines)
            nursery.start_soon(terminal.drawing.read_forever)
            yield terminal
            nursery.cancel_scope.cancel()
