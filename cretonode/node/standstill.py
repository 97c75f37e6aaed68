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
    since_ms = _owed_since_ms(replica)
    if since_ms is None:
        return ""
    still_ms = now_ms - max(since_ms, state.progress_ms)
    if still_ms <= STALLED_TIMEOUTS * state.timing.view_change_timeout_ms:
        return ""
    waiting = waiting_of(replica)
    of = ""
    if waiting.awaits:
        of = f" of {waiting.lacking} of {', '.join(names[i] for i in sorted(waiting.awaits))}"
    said = (
        f"nothing became final for {still_ms // 1000} s: view {state.view}, leader "
        f"{names[state.leader]}, waiting for {waiting.phase}{of}"
    )
    more = [_base_lacking(replica), clocks_off(replica, names, now_ms)]
    return "; ".join([said, *filter(None, more)])


def _owed_since_ms(replica: Replica) -> int | None:
    """Since when a vertex waits, or the sequence that every new view begins with; None: nothing."""
    state, views = replica.state, replica.views
    waits = [replica.intake.oldest_ms()]
    if state.view > 0 and state.progress_ms < views.entered_ms:
        waits.append(views.fruitless_ms)
    return min((since_ms for since_ms in waits if since_ms is not None), default=None)


def _base_lacking(replica: Replica) -> str:
    """Return that nobody has sent the anchor on which the view stands; empty when it is here."""
    state = replica.state
    base = state.base
    if base is None or base.sequence <= state.final or base.anchor in state.graph.admitted:
        return ""
    return (
        f"the anchor of sequence {base.sequence}, on which this view stands, has come from nobody: "
        "if those who had it are lost for good, only a recovery helps (docs/recover.md)"
    )


def clocks_off(replica: Replica, names: Sequence[str], now_ms: int) -> str:
    """Return whose clocks were too far from this node's for a vote; empty: nobody's."""
    found = [
        f"{names[leader]}'s clock is {_away(seen.ahead_ms)} this node's"
        for leader, seen in sorted(replica.ordering.untimely.items())
        if now_ms - seen.at_ms < CLOCKS_MS
    ]
    if not found:
        return ""
    return (
        f"{', '.join(found)}; more than {TIMESTAMP_DRIFT_MS_MAX // 1000} s apart they do not vote "
        "for each other's anchors: put the wrong clock right, and start its node again"
    )


def _away(ahead_ms: int) -> str:
    """Return a difference of clocks in words."""
    return f"{abs(ahead_ms) / 1000:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'}"
