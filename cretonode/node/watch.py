"""Saying in the log when a quorum is missing, or finality stands still, and when it is over.

SPEC C10.
"""

from typing import Final, Never

import structlog
import trio

from cretonode.node.service import Service

CHECK_S: Final = 0.5
MISSING_S: Final = 5.0
STILL_LOG_S: Final = 60.0  # from one line about a standstill to the next

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def watch_quorum(service: Service) -> Never:
    """Check twice a second; tell clients that wait, and report what lasts for five seconds."""
    missing_since_s: float | None = None
    reported = False
    while True:
        await trio.sleep(CHECK_S)
        lacking = service.quorum_lacking()
        if not lacking:
            if reported:
                log.info("quorum_back", connected=1 + len(service.links.connected()))
            missing_since_s, reported = None, False
            continue
        service.batcher.give_back(lacking)
        missing_since_s = missing_since_s or trio.current_time()
        if not reported and trio.current_time() - missing_since_s >= MISSING_S:
            reported = True
            log.error("quorum_missing", reason=lacking)


async def watch_finality(service: Service) -> Never:
    """Report that nothing becomes final though a quorum is there, once a minute."""
    reported_s: float | None = None
    while True:
        await trio.sleep(CHECK_S)
        reason = "" if service.quorum_lacking() else service.standstill()
        if reason:
            if reported_s is None or trio.current_time() - reported_s >= STILL_LOG_S:
                reported_s = trio.current_time()
                log.error("standstill", reason=reason)
        elif reported_s is not None:
            reported_s = None
            log.info("standstill_over", final=service.replica.state.final)
