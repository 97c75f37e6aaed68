"""Each alert begins and ends with its cause."""

from dataclasses import replace

import pytest

from cretonode.node.alerts import DISK_SILENT_MS, Alerts
from cretonode.operator.protocol_fields import widened
from cretonode.operator.protocol_topics import StorageSnapshot, WatchedStatusSnapshot
from tests.operator.examples import STATUS_VIEW

NAMES = ("node-0", "node-1", "node-2", "node-3")
NOW_MS = 1_760_000_000_000
STATUS = widened(
    WatchedStatusSnapshot,
    STATUS_VIEW,
    phase="idle",
    awaits=bytes(4),
    votes_lacking=0,
    lacking="",
    absent=bytes(4),
    finality_p50_ms=40,
    finality_p99_ms=90,
    final_at_ms=NOW_MS,
    waiting_since_ms=None,
    waiting_vertices=0,
    orphans=0,
    executed_vertices=500,
    behind=0,
    participation=0.75,
    views_entered=0,
    queue=0,
    cpu_seconds=1.0,
    resident_bytes=100_000_000,
    log_level="info",
    finality_timeout_ms=500,
    view_change_timeout_ms=5_000,
)
STORAGE = StorageSnapshot(
    disk_bytes=1,
    journal_bytes=1,
    history_bytes=1,
    free_bytes=50,
    total_bytes=100,
    cache_bytes=1,
    cache_hits=1,
    cache_misses=1,
    write_buffer_bytes=1,
    syncs=10,
    sync_last_ms=2.0,
    sync_p99_ms=5.0,
    compactions_running=0,
    compaction_pending_bytes=0,
    compaction_ms=0,
    write_stall_ms=0,
)


def test_all_is_well() -> None:
    assert Alerts().current(STATUS, STORAGE, 0, NAMES, NOW_MS) == ()
    assert Alerts().current(STATUS, None, 0, NAMES, NOW_MS) == ()


@pytest.mark.parametrize(
    ("status", "storage", "kind", "level", "text"),
    [
        ({"phase": "halted", "reason": "halted: see the log"}, {}, "halted", "error", "see the"),
        ({"phase": "amnesiac", "reason": "amnesiac: x"}, {}, "amnesiac", "error", "amnesiac: x"),
        ({"lacking": "2 of 4 are"}, {}, "quorum_missing", "error", "2 of 4 are"),
        ({"absent": bytes([0, 0, 1, 0])}, {}, "absent", "warn", "node-2 not heard: none of"),
        (
            {"absent": bytes([0, 0, 1, 0]), "quorum": 2},
            {},
            "absent",
            "warn",
            "node-2 not heard: 1 more may fail",
        ),
        (
            {
                "waiting_since_ms": NOW_MS - 20_000,
                "final_at_ms": NOW_MS - 10_001,
                "phase": "prepare",
                "awaits": bytes([0, 1, 0, 1]),
                "votes_lacking": 1,
            },
            {},
            "stalled",
            "error",
            "it waits in phase prepare, for 1 of node-1, node-3",
        ),
        ({"phase": "catching_up", "behind": 90}, {}, "behind", "warn", "90 sequences behind"),
        ({}, {"free_bytes": 9}, "disk_full", "warn", "9 % of the disk is free"),
        ({}, {"free_bytes": 2}, "disk_full", "error", "2 % of the disk is free"),
        (
            {},
            {"sync_p99_ms": 140.0, "syncs": 100},
            "slow_disk",
            "warn",
            "in a hundred takes 140 ms or more",
        ),
    ],
)
def test_each_cause_has_its_alert(
    status: dict[str, object], storage: dict[str, object], kind: str, level: str, text: str
) -> None:
    alerts = Alerts()
    now = replace(STATUS, **status)  # type: ignore[arg-type]  # fields of a table above
    disk = replace(STORAGE, **storage)  # type: ignore[arg-type]
    (alert,) = alerts.current(now, disk, 0, NAMES, NOW_MS)
    assert (alert.kind, alert.level, alert.since_ms) == (kind, level, NOW_MS)
    assert text in alert.text
    (alert,) = alerts.current(now, disk, 0, NAMES, NOW_MS + 5)
    assert alert.since_ms == NOW_MS
    assert alerts.current(STATUS, STORAGE, 0, NAMES, NOW_MS + 9) == ()
    (alert,) = alerts.current(now, disk, 0, NAMES, NOW_MS + 10)
    assert alert.since_ms == NOW_MS + 10


def test_waiting_is_no_stall_while_sequences_become_final() -> None:
    busy = replace(STATUS, waiting_since_ms=NOW_MS - 60_000, final_at_ms=NOW_MS - 100)
    assert Alerts().current(busy, STORAGE, 0, NAMES, NOW_MS) == ()
    never = replace(busy, final_at_ms=None)
    assert [a.kind for a in Alerts().current(never, STORAGE, 0, NAMES, NOW_MS)] == ["stalled"]


def test_the_slowest_of_a_handful_of_syncs_is_no_slow_disk() -> None:
    """One in a hundred of 99 is their single slowest."""
    few = replace(STORAGE, sync_p99_ms=140.0, syncs=99)
    assert Alerts().current(STATUS, few, 0, NAMES, NOW_MS) == ()


def test_a_disk_that_does_not_answer_is_told() -> None:
    assert Alerts().current(STATUS, None, DISK_SILENT_MS, NAMES, NOW_MS) == ()
    (alert,) = Alerts().current(STATUS, STORAGE, DISK_SILENT_MS + 1, NAMES, NOW_MS)
    assert (alert.kind, alert.level) == ("disk_silent", "error")


def test_the_gravest_comes_first() -> None:
    status = replace(STATUS, absent=bytes([0, 0, 1, 0]))
    found = Alerts().current(status, replace(STORAGE, free_bytes=1), 0, NAMES, NOW_MS)
    assert [alert.kind for alert in found] == ["disk_full", "absent"]


def test_a_clock_that_is_off_is_an_alert() -> None:
    (alert,) = Alerts().current(STATUS, None, 0, NAMES, NOW_MS, clocks="node-2's clock is off")
    assert (alert.kind, alert.level, alert.text) == ("clocks", "warn", "node-2's clock is off")
