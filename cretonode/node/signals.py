"""SIGINT and SIGTERM: the first asks the node to stop, the second cuts it short."""

import os
import signal
from typing import Final

import structlog
import trio

STOP_S: Final = 4.5  # to drain and flush before everything is cancelled

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def watch_signals(
    stop: trio.Event, everything: trio.CancelScope, *, task_status: trio.TaskStatus[None]
) -> None:
    """Set `stop` on the first signal; on the second cancel `everything`; on the third exit."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
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
