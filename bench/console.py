"""What an attached console costs: the same node without it and with it, in one run.

The real `creto-console` in a terminal of its own, as an operator leaves it open.
"""

import os
import time
from collections.abc import Sequence
from typing import Final

import trio

from bench.processes import cpu_s
from bench.terminal import READ_BYTES, in_terminal
from cretonode.cli.cluster import NodeProcess

SCREENS: Final = "1234567"
COLUMNS, LINES = 120, 40
SETTLE_S: Final = 4.0  # until it is up, attached and has drawn; not counted


async def watch(nodes: Sequence[NodeProcess], screen: str, seconds: float) -> dict[str, object]:
    """Return the cores that node 0, the others and the console use: half the time without it.

    The others, which nobody watches, show what the load itself changed meanwhile.
    """
    pids = [node.process.pid for node in nodes if node.process is not None]
    alone = await _cores(pids, seconds / 2)
    socket = nodes[0].files.operator_socket
    with in_terminal("--socket", socket, columns=COLUMNS, lines=LINES) as (process, terminal):
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


async def _read_forever(terminal: int) -> None:
    while True:
        await trio.lowlevel.wait_readable(terminal)
        try:
            if not os.read(terminal, READ_BYTES):
                return
        except OSError:  # how Linux says that the other end is closed
            return
