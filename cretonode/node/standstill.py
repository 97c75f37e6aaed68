"""Why nothing becomes final although something waits, in words. Pure: time is an argument."""

from collections.abc import Sequence
from typing import Final

from cretonode.core.replica import Replica
from cretonode.limits import TIMESTAMP_DRIFT_MS_MAX
from cretonode.node.phase import waiting_of

STALLED_TIMEOUTS: Final = 2  # view-change timeouts without finality while something waits
CLOCKS_MS: Final = 600_000  # for so long the clock of a leader is spoken of


def standstill(replica: Replica, names: Sequence[str], now_ms: int) -> str:
    """Return for how long nothing has become final, and what it waits for; empty: it goes on."""
    state = replica.state
    since_ms = replica.intake.oldest_ms()
    if since_ms is None:
        return ""
    still_ms = now_ms - max(since_ms, state.progress_ms)
    if still_ms <= STALLED_TIMEOUTS * state.timing.view_change_timeout_ms:
        return ""
    waiting = waiting_of(replica)
    of = ""
    if waiting.awaits:
        of = f" of {waiting.lacking} of {', '.join(names[i] for i in sorted(waiting.awaits))}"
    clocks = clocks_off(replica, names, now_ms)
    return (
        f"nothing became final for {still_ms // 1000} s while transactions wait: view "
        f"{state.view}, leader {names[state.leader]}, waiting for {waiting.phase}{of}"
        + (f"; {clocks}" if clocks else "")
    )


def clocks_off(replica: Replica, names: Sequence[str], now_ms: int) -> str:
    """Return whose clocks were too far from this node's for a vote; empty: nobody's."""
    found = [
        f"{names[leader]}'s clock is {away(seen.ahead_ms)} this node's"
        for leader, seen in sorted(replica.ordering.untimely.items())
        if now_ms - seen.at_ms < CLOCKS_MS
    ]
    if not found:
        return ""
    return (
        f"{', '.join(found)}; more than {TIMESTAMP_DRIFT_MS_MAX // 1000} s apart they do not vote "
        "for each other's anchors: put the wrong clock right, and start its node again"
    )


def away(ahead_ms: int) -> str:
    """Return a difference of clocks in words."""
    return f"{abs(ahead_ms) / 1000:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'}"
