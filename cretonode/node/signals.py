"""SIGINT and SIGTERM: the first asks the node to stop, the second cuts it short.

The node takes them while it runs; before and after that the process itself does, so that no
signal ever ends it in a way nobody chose.
"""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import structlog
import trio

STOP_S: Final = 4.5  # to drain and flush before everything is cancelled
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@contextmanager
def own_signals() -> Generator[None]:
    """Own the signals of this process, but for the time in which a node watches them.

    One that comes before the node does ends the process at once: nothing is open yet. When the
    body has ended without an error everything is closed, and signals are ignored from then on:
    the node that an impatient operator signals again has stopped in good order, and says so.
    """
    for number in SIGNALS:
        signal.signal(number, _exit_now)
    yield
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _exit_now(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


async def watch_signals(
    stop: trio.Event, everything: trio.CancelScope, *, task_status: trio.TaskStatus[None]
) -> None:
    """Set `stop` on the first signal; on the second cancel `everything`; on the third exit."""
    with trio.open_signal_receiver(*SIGNALS) as signals:
        task_status.started()
        received = 0
        async for number in signals:
            received += 1
            log.info("signal", name=signal.Signals(number).name, received=received)
            if received == 1:
                stop.set()
                everything.deadline = trio.current_time() + STOP_S
            elif received == 2:
                everything.cancel()
            else:
                os._exit(128 + number)
