"""A pseudo-terminal with the real console in it, and its screen, for whoever types and reads."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import pyte
import trio

CONSOLE: Final = (sys.executable, "-c", "from console.main import main; main()")
READ_BYTES: Final = 65_536
END_S: Final = 10.0  # to leave in order
OURS: Final = ("NO_COLOR", "COLUMNS", "LINES")  # what our own terminal says is not its


class Drawing:
    """What a program has drawn on its terminal, kept by pyte as long as the program runs."""

    def __init__(self, terminal: int, *, columns: int, lines: int) -> None:
        self.drawn = bytearray()  # all of it, as it came
        self._terminal = terminal
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = trio.Event()

    @property
    def lines(self) -> list[str]:
        """What is on the screen now."""
        return [line.rstrip() for line in self._screen.display]

    async def wait_changed(self) -> None:
        """Return when the program has drawn something, or ended."""
        await self._changed.wait()

    async def read_forever(self) -> None:
        """Draw what comes, until the program ends."""
        ended = False
        while not ended:
            await trio.lowlevel.wait_readable(self._terminal)
            try:
                data = os.read(self._terminal, READ_BYTES)
            except OSError:  # how Linux says that the other end is closed
                data = b""
            ended = not data
            self._stream.feed(data)
            self.drawn += data
            self._changed.set()
            self._changed = trio.Event()


@contextmanager
def in_terminal(
    *arguments: object, columns: int, lines: int
) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    """Run creto-console; give its process and our end of the terminal. It is ended on the way out.

    In a process group of its own and in our session: see `Cluster`.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    process = subprocess.Popen(
        [*CONSOLE, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        process_group=0,
        env=environment | {"TERM": "xterm-256color", "PYTHONUTF8": "1"},
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(ours)
