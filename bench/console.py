"""What an attached console costs: the same node without it and with it, in one run.

The real `creto-console` in a terminal of its own, as an operator leaves it open.
"""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

import trio

from bench.processes import cpu_s
from cretonode.cli.cluster import NodeProcess

SCREENS: Final = "1234567"
COLUMNS, LINES = 120, 40
SETTLE_S: Final = 4.0  # until it is up, attached and has drawn; not counted
END_S: Final = 5.0
READ_BYTES: Final = 65_536


async def watch(nodes: Sequence[NodeProcess], screen: str, seconds: float) -> dict[str, object]:
    """Return the cores that node 0, the others and the console use: half the time without it.

    The others, which nobody watches, show what the load itself changed meanwhile.
    """
    pids = [node.process.pid for node in nodes if node.process is not None]
    alone = await _cores(pids, seconds / 2)
    with _open_console(nodes[0]) as (process, terminal):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read_forever, terminal)
            await trio.sleep(SETTLE_S)
            os.write(terminal, screen.encode())
            watched = await _cores([*pids, process.pid], max(1.0, seconds / 2 - SETTLE_S))
            nursery.cancel_scope.cancel()
    return {
        "screen": screen,
        "node": {"alone": alone[0], "watched": watched[0]},
        "others": {
            "alone": sum(alone[1:]) / max(1, len(alone) - 1),
            "watched": sum(watched[1:-1]) / max(1, len(watched) - 2),
        },
        "console": watched[-1],
    }


async def _cores(pids: Sequence[int], seconds: float) -> list[float]:
    began_s = time.perf_counter()
    before = [cpu_s(pid) for pid in pids]
    await trio.sleep(seconds)
    elapsed_s = time.perf_counter() - began_s
    return [(cpu_s(pid) - b) / elapsed_s for pid, b in zip(pids, before, strict=True)]


@contextmanager
def _open_console(node: NodeProcess) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    program = "from console.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--socket", str(node.files.operator_socket)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        process_group=0,
        env={**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1"},
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


async def _read_forever(terminal: int) -> None:
    while True:
        await trio.lowlevel.wait_readable(terminal)
        try:
            if not os.read(terminal, READ_BYTES):
                return
        except OSError:  # how Linux says that the other end is closed
            return
