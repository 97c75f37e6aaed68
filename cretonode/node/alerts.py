"""What an operator should do something about, in words. Pure: time is an argument."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cretonode.node.standstill import STALLED_TIMEOUTS
from cretonode.operator.protocol_topics import (
    SYNCS_MIN,
    AlertSnapshot,
    Phase,
    StorageSnapshot,
    WatchedStatusSnapshot,
)

DISK_FREE_PERCENT: Final = 10
DISK_FREE_PERCENT_ERROR: Final = 3
DISK_SILENT_MS: Final = 5_000
SYNC_MS: Final = 100.0  # a vote waits for a sync in each of two phases


class Alert(NamedTuple):
    """One alert without its time."""

    kind: str
    level: str
    text: str


@dataclass(slots=True)
class Alerts:
    """Remembers since when each kind lasts. Bound: one for each kind."""

    since_ms: dict[str, int] = field(default_factory=dict)

    def current(
        self,
        status: WatchedStatusSnapshot,
        storage: StorageSnapshot | None,
        silent_ms: int,
        names: tuple[str, ...],
        now_ms: int,
        *,
        clocks: str = "",
    ) -> tuple[AlertSnapshot, ...]:
        """Return the alerts of this moment, the gravest first.

        `silent_ms`: for how long the disk has owed an answer. `clocks`: whose are off.
        """
        found = [*_of_consensus(status, names, now_ms)]
        if clocks:
            found.append(Alert("clocks", "warn", clocks))
        if silent_ms > DISK_SILENT_MS:
            text = "the disk does not answer: votes and clients wait for it"
            found.append(Alert("disk_silent", "error", text))
        if storage is not None:
            found += _of_storage(storage)
        kinds = {alert.kind for alert in found}
        self.since_ms = {k: self.since_ms.get(k, now_ms) for k in sorted(kinds)}
        found.sort(key=lambda alert: alert.level != "error")
        return tuple(
            AlertSnapshot(
                kind=alert.kind,
                level=alert.level,
                since_ms=self.since_ms[alert.kind],
                text=alert.text,
            )
            for alert in found
        )


def _of_consensus(
    status: WatchedStatusSnapshot, names: tuple[str, ...], now_ms: int
) -> Iterator[Alert]:
    if status.phase == Phase.HALTED:
        yield Alert("halted", "error", status.reason)
    if status.phase == Phase.AMNESIAC:
        yield Alert("amnesiac", "error", status.reason)
    if status.lacking:
        yield Alert("quorum_missing", "error", status.lacking)
    absent = [name for name, is_absent in zip(names, status.absent, strict=True) if is_absent]
    if absent and not status.lacking:
        spare = len(names) - len(absent) - status.quorum
        left = "none of the others may fail" if spare == 0 else f"{spare} more may fail"
        yield Alert("absent", "warn", f"{', '.join(absent)} not heard: {left}")
    since_ms = status.waiting_since_ms
    if since_ms is not None and not status.lacking:
        since_ms = max(since_ms, status.final_at_ms or 0)
        if now_ms - since_ms > STALLED_TIMEOUTS * status.view_change_timeout_ms:
            waiting = [n for n, awaited in zip(names, status.awaits, strict=True) if awaited]
            of = f", for {status.votes_lacking} of {', '.join(waiting)}" if waiting else ""
            yield Alert(
                "stalled",
                "error",
                f"nothing became final since; it waits in phase {status.phase}{of}",
            )
    if status.phase == Phase.CATCHING_UP:
        yield Alert("behind", "warn", status.reason or f"{status.behind} sequences behind")


def _of_storage(storage: StorageSnapshot) -> Iterator[Alert]:
    percent = 100 * storage.free_bytes // max(1, storage.total_bytes)
    if percent < DISK_FREE_PERCENT:
        level = "error" if percent < DISK_FREE_PERCENT_ERROR else "warn"
        free = storage.free_bytes // 1_000_000
        yield Alert("disk_full", level, f"{percent} % of the disk is free, {free} MB")
    p99_ms = storage.sync_p99_ms
    if p99_ms is not None and p99_ms > SYNC_MS and storage.syncs >= SYNCS_MIN:
        yield Alert(
            "slow_disk",
            "warn",
            f"one sync of the vote journal in a hundred takes {p99_ms:.0f} ms or more",
        )
