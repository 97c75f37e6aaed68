"""The verdict: is the node live, and if not, why, whom it waits for, and what to do.

Pure: the one line of the console that has to be right at 3 a.m.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from console.model import Model
from console.units import duration, listed, listed_of, plural
from cretonode.operator.protocol_topics import (
    SILENT_MS,
    Phase,
    WatchedPeerSnapshot,
    WatchedStatusSnapshot,
)

AGED_ADVICE: Final = "see whether its process runs, and what its log ends with"
STALL_MS: Final = 5_000  # without finality while something waits (SPEC C10)
SLOW_FACTOR: Final = 4  # times finality_timeout_ms: the oldest waits suspiciously long
DISK_LOW: Final = 0.05  # of the file system
SCREENS: Final = {  # where more is said about an alert of the node's
    "quorum_missing": "Peers (3)",
    "absent": "Peers (3)",
    "stalled": "Phases (2)",
    "behind": "Phases (2)",
    "disk_full": "Storage (6)",
    "disk_silent": "Storage (6)",
    "slow_disk": "Storage (6)",
}


class Standing(Enum):
    """How the node stands."""

    WAITING = "WAITING"  # for a node, or for its first word
    STALE = "STALE"  # it says nothing any more: nobody knows
    LIVE = "LIVE"
    DEGRADED = "DEGRADED"  # final goes on, with something an operator should know
    STALLED = "STALLED"  # nothing becomes final


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the headline says."""

    standing: Standing
    reason: str
    margin: str = ""  # how much more may fail
    advice: str = ""  # what to do now
    absent: tuple[str, ...] = field(default=())  # who cannot be reached; stale: could not be
    waits: str = ""  # for what and for whom, the same words on every screen
    missing: str = ""  # who is missing for how long, to be said where there is room


def verdict_of(model: Model, now_ms: int) -> Verdict:
    """Return the verdict at `now_ms`, by the node's clock."""
    status = model.status
    if status is None:
        return Verdict(standing=Standing.WAITING, reason="no word from the node yet")
    absent = tuple(absent_names(model, status))
    reachable = status.validators - len(absent)
    waits = waits_for(model, status, absent)
    standing, reason, advice = _judge(model, status, now_ms, absent, waits)
    return Verdict(
        standing=standing,
        reason=reason,
        advice=advice,
        margin=_margin(status, reachable),
        absent=absent,
        waits=waits,
        missing=missing_words(model, now_ms),
    )


def aged(verdict: Verdict, why: str, advice: str = AGED_ADVICE) -> Verdict:
    """Return the verdict on a node that said nothing for too long: what was is not what is."""
    if verdict.standing is Standing.WAITING:
        return verdict
    last = f"{verdict.standing.value.lower()}, {verdict.reason}"
    return Verdict(
        standing=Standing.STALE,
        reason=f"{why}; before: {last}",
        advice=advice,
        absent=verdict.absent,
        waits=f"when last heard: {verdict.waits}",
    )


def absent_names(model: Model, status: WatchedStatusSnapshot) -> list[str]:
    """Return who is not connected, or connected and silent, in the order of the genesis list."""
    silent: set[int] = {
        peer.index for peer in model.known.peers or () if missing_since_ms(model, peer) is not None
    }
    silent |= {i for i, byte in enumerate(status.absent) if byte == 1}
    return [model.name_of(i) for i in sorted(silent - {status.index})]


def missing_since_ms(model: Model, peer: WatchedPeerSnapshot) -> int | None:
    """Return since when nothing has been heard of a peer, by the node's clock; None: it is heard.

    Of one that was never heard: since the node began to look for it.
    """
    if not peer.connected:
        return model.peers_at_ms - round(peer.state_ms)
    if peer.silence_ms is not None and peer.silence_ms > SILENT_MS:
        return model.peers_at_ms - round(peer.silence_ms)
    return None


def missing_words(model: Model, now_ms: int) -> str:
    """Return `node3 missing for 3 min` of those who are gone and not banned; empty when nobody."""
    banned = {ban.name for ban in model.known.bans or () if ban.in_force}
    found: list[str] = []
    for peer in sorted(model.known.peers or (), key=lambda each: each.index):
        since_ms = missing_since_ms(model, peer)
        if since_ms is not None and peer.name not in banned:
            long = duration(max(0, now_ms - since_ms))
            found.append(f"{peer.name} for {long}" if found else f"{peer.name} missing for {long}")
    return ", ".join(found)


def stalled_ms(status: WatchedStatusSnapshot, now_ms: int) -> int:
    """Return for how long something has waited while nothing became final; 0: nothing waits."""
    if status.waiting_since_ms is None:
        return 0
    since = max(status.waiting_since_ms, status.final_at_ms or 0)
    return max(0, now_ms - since)


def _judge(
    model: Model,
    status: WatchedStatusSnapshot,
    now_ms: int,
    absent: tuple[str, ...],
    waits: str,
) -> tuple[Standing, str, str]:
    """Return the standing, the reason and the advice: the worst that holds."""
    if status.phase == Phase.HALTED:
        reason = f"this node has halted: {status.reason}"
        return Standing.STALLED, reason, "keep its data and read its log (7)"
    reachable = status.validators - len(absent)
    still_ms = stalled_ms(status, now_ms)
    banned = [ban.name for ban in model.known.bans or () if ban.in_force]
    gone = [name for name in absent if name not in banned]
    if reachable < status.quorum:
        needed = status.quorum - reachable
        since = f", still for {still_ms // 1000} s" if still_ms >= STALL_MS else ""
        lost = listed([f"{name} (banned)" if name in banned else name for name in absent])
        reason = (
            f"missing {lost}: {reachable} of {status.validators} reachable, "
            f"{status.quorum} needed{since}"
        )
        back = f"bring back {_some(needed, gone)}; Peers (3) says why"
        return Standing.STALLED, reason, back if gone else "Reputation (4), v: why they are banned"
    if still_ms >= STALL_MS:
        reason = f"nothing final for {still_ms // 1000} s: {waits}"
        return Standing.STALLED, reason, "Phases (2) shows the missing votes, Log (7) the rest"
    troubles = _troubles(model, status, still_ms, banned, gone, waits)
    if troubles:
        more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
        reason, advice = troubles[0]
        return Standing.DEGRADED, reason + more, advice
    return Standing.LIVE, f"all {status.validators} validators reachable", ""


def waits_for(model: Model, status: WatchedStatusSnapshot, absent: tuple[str, ...]) -> str:
    """Return what the node waits for, in words.

    Never for clients while nothing that they send would become final.
    """
    phase, lacking = status.phase, status.votes_lacking
    names = model.names_of(status.awaits)
    if phase == Phase.HALTED:
        return "waits for nothing: it has halted"
    short = status.quorum - (status.validators - len(absent))
    if phase == Phase.IDLE and short > 0:
        return f"waits for a quorum: for {_some(short, list(absent))}"
    if phase == Phase.IDLE and status.waiting_since_ms is not None:
        phase = Phase.PRE_PREPARE.value
    if phase in _VOTES and lacking and names:
        return f"waits for {plural(lacking, _VOTES[phase])} of {listed_of(lacking, names)}"
    if phase == Phase.AMNESIAC and names:
        return f"waits for the attestations of {listed(names)}"
    what = _PHASES.get(phase, phase.replace("_", " "))
    return f"waits for {what}" + (f": {listed(names)}" if names else "")


_PHASES: Final = {
    Phase.IDLE.value: "clients",
    Phase.PRE_PREPARE.value: "the leader's pre-prepare",
    Phase.PREPARE.value: "prepares",
    Phase.COMMIT.value: "commits",
    Phase.EXECUTE.value: "vertices of a certified sequence",
    Phase.VIEW_CHANGE.value: "view-changes",
    Phase.NEW_VIEW.value: "the new leader's new-view",
    Phase.CATCHING_UP.value: "what it missed",
    Phase.AMNESIAC.value: "a view that it may vote in",
}
_VOTES: Final = {
    Phase.PREPARE.value: "prepare",
    Phase.COMMIT.value: "commit",
    Phase.VIEW_CHANGE.value: "view-change",
}


def _troubles(
    model: Model,
    status: WatchedStatusSnapshot,
    still_ms: int,
    banned: list[str],
    gone: list[str],
    waits: str,
) -> list[tuple[str, str]]:
    """Return what is wrong though sequences become final: reasons and advice, worst first."""
    found: list[tuple[str, str]] = []
    if status.phase == Phase.AMNESIAC:
        found.append(
            (
                "this node lost its vote journal and may not vote yet",
                "leave it running: it votes again in a view that began without it",
            )
        )
    if gone:
        found.append(
            (
                f"{listed(gone)} not reachable",
                f"start {listed(gone, 2)} or mend the path; Peers (3) says why",
            )
        )
    if not status.view_open:
        to = f"view {status.view}, leader {model.name_of(status.leader)}"
        found.append((f"changing to {to}: {waits}", "Phases (2), v: the view changes"))
    if status.phase == Phase.CATCHING_UP or status.behind > 0:
        found.append((f"catching up: {plural(status.behind, 'sequence')} behind", ""))
    if still_ms >= SLOW_FACTOR * status.finality_timeout_ms:
        slow = f"the oldest vertex waits {duration(still_ms)}: {waits}"
        found.append((slow, "Phases (2) shows who has not voted"))
    if banned:
        found.append(
            (f"{listed(banned)} banned", "Reputation (4), v: the bans, why and until when")
        )
    storage = model.storage
    if storage is not None and storage.free_bytes < DISK_LOW * storage.total_bytes:
        found.append(("the disk is almost full", "make room: a full disk stops the node"))
    if not status.ready and status.reason and not found:
        found.append((status.reason, ""))
    alerts = model.known.alerts or ()
    found += [(a.text, SCREENS.get(a.kind, "Log (7)")) for a in alerts if not found]
    return found


def _some(needed: int, gone: list[str]) -> str:
    some = listed_of(needed, gone)
    return some if needed == 1 or needed >= len(gone) else f"{needed} of {some}"


def _margin(status: WatchedStatusSnapshot, reachable: int) -> str:
    spare = reachable - status.quorum
    if spare < 0:
        return f"{-spare} short of a quorum"
    if spare == 0:
        return "none to spare: one more lost stops finality"
    return f"{spare} more may fail"
