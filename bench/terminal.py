"""A pseudo-terminal with the real console in it, for whoever types and reads."""

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

CONSOLE: Final = (sys.executable, "-c", "from console.main import main; main()")
READ_BYTES: Final = 65_536
END_S: Final = 10.0  # to leave in order
OURS: Final = ("NO_COLOR", "COLUMNS", "LINES")  # what our own terminal says is not its


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
