"""A made-up network as deltas: what screens are drawn from when no node is at hand.

Second by second: four validators order transactions; node3, the leader, is killed; the view
changes; node3 comes back; node2 says two things and is banned; at last two are gone and nothing
becomes final.
"""

from collections.abc import Iterator
from pathlib import Path

from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import (
    AuthorIndex,
    Height,
    NodeId,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.operator.protocol import (
    BanSnapshot,
    Delta,
    EvidenceSnapshot,
    Hello,
    ReputationSnapshot,
    ViolationSnapshot,
    encode_message,
)
from cretonode.operator.protocol_deltas import Changes, delta_of
from cretonode.operator.protocol_recording import recording_frame, recording_head
from cretonode.operator.protocol_topics import (
    AlertSnapshot,
    FamilySnapshot,
    LogSnapshot,
    Mark,
    Phase,
    SlotSnapshot,
    StorageSnapshot,
    ValidatorSnapshot,
    VertexSnapshot,
    VertexState,
    ViewChangeSnapshot,
    WatchedPeerSnapshot,
    WatchedStatusSnapshot,
)

START_MS = 1_795_392_000_000  # 2026-11-23 00:00:00 UTC
SECONDS = 60
KILLED, CHANGED, BACK, LIED, STALLED = 20, 21, 30, 40, 50  # seconds
N = 4
IDS = tuple(NodeId(hash_of(b"node%d" % i)) for i in range(N))
NAMES = tuple(f"node{i}" for i in range(N))
HELLO = Hello(software="cretonode 0.1.0", chain_id="example", name="node0", node_id=IDS[0])
MIB = 1 << 20


def at(second: float) -> int:
    """Return the Unix time of a second of the story, in milliseconds."""
    return START_MS + round(second * 1000)


def absent(second: int) -> set[int]:
    """Return who is not there."""
    if second >= STALLED:
        return {2, 3}
    return {3} if KILLED <= second < BACK else set()


def view_at(second: int) -> View:
    return View(3 if second < CHANGED else 4)


def final_at(second: int) -> SequenceNumber:
    """Two sequences a second, but for the one that the view change takes, and none in the end."""
    if second >= STALLED:
        return final_at(STALLED - 1)
    return SequenceNumber(1_000 + 2 * second - (2 if second >= CHANGED else 0))


def marked(indexes: set[int]) -> bytes:
    return bytes(i in indexes for i in range(N))


def status_at(second: int) -> WatchedStatusSnapshot:
    gone = absent(second)
    stalled = second >= STALLED
    changing = KILLED <= second < CHANGED
    phase = Phase.COMMIT if stalled else Phase.VIEW_CHANGE if changing else Phase.PREPARE
    view = view_at(second)
    return WatchedStatusSnapshot(
        chain_id="example", name="node0", index=ValidatorIndex(0), node_id=IDS[0],
        version="0.1.0", view=view, leader=ValidatorIndex(view % N), view_open=not changing,
        final=final_at(second), stable=SequenceNumber(896 + 128 * (second // 30)), in_flight=1,
        executed_transactions=500_000 + 1_200 * min(second, STALLED) + 90 * (second % 5),
        waiting_transactions=400 * (second - STALLED + 1) if stalled else 60, validators=N,
        quorum=3, faults=1, connected=N - len(gone), ready=not stalled,
        reason="2 of 4 validators are connected; 3 are needed" if stalled else "",
        tolerance="survives 1 crash, 1 liar", uptime_ms=7_200_000 + 1000 * second,
        phase=phase.value, awaits=marked(gone or {second % N}), votes_lacking=1,
        lacking="node2 and node3" if stalled else "", absent=marked(gone),
        finality_p50_ms=37 + second % 4, finality_p99_ms=80 + second % 11,
        final_at_ms=at(min(second, STALLED - 1)),
        waiting_since_ms=at(STALLED) if stalled else None, waiting_vertices=4 if stalled else 1,
        orphans=0, executed_vertices=90_000 + 8 * min(second, STALLED), behind=0,
        participation=1 - len(gone) / N, views_entered=view, queue=0,
        cpu_seconds=300 + 0.31 * second, resident_bytes=182 * MIB, log_level="info",
        finality_timeout_ms=500, view_change_timeout_ms=5_000,
    )  # fmt: skip


def peers_at(second: int) -> tuple[WatchedPeerSnapshot, ...]:
    gone = absent(second)
    return tuple(
        WatchedPeerSnapshot(
            index=ValidatorIndex(i), name=NAMES[i], node_id=IDS[i], address=f"10.0.0.{i + 4}:9001",
            connected=i not in gone, round_trip_ms=None if i in gone else 0.6 + i / 10,
            silence_ms=None if i in gone else 20.0 * i, backlog_bytes=0 if i in gone else 1_200 * i,
            view=view_at(second), final=SequenceNumber(final_at(second) - i // 3),
            last_error="connection lost: silent for 3.0 s" if i in gone else "",
            state="dialling" if i in gone else "connected",
            state_ms=1000.0 * (second + 7_000), direction="" if i in gone else "out",
            path="" if i in gone else "direct", version="" if i in gone else "0.1.0",
            inbound_bytes=0, connections=1 + (i == 3 and second >= BACK),
            failures=4 if i in gone else 0,
        )
        for i in range(1, N)
    )  # fmt: skip


def slots_at(second: int) -> tuple[SlotSnapshot, ...]:
    """The two sequences that became final this second, and the one being voted on."""
    gone = absent(second)
    votes = bytes(
        Mark.MISSING if i in gone else Mark.LATE if i == 1 + second % 3 else Mark.SEEN
        for i in range(N)
    )
    if second == LIED:
        votes = votes[:2] + bytes([Mark.EQUIVOCATING]) + votes[3:]
    final, view = final_at(second), view_at(second)
    found = [
        SlotSnapshot(
            sequence=SequenceNumber(sequence), view=view, leader=ValidatorIndex(view % N),
            since_ms=at(second) - 40,
            anchor=anchor_of(sequence), pre_prepared=True, prepared=True,
            committed=True, executed=True, fetched=False, prepares=votes, commits=votes, authors=3,
            vertices=4, transactions=590 + second, finality_ms=37 + second % 9, views=1,
        )
        for sequence in (final - 1, final)
    ]  # fmt: skip
    stalled = second >= STALLED
    seen = bytes(Mark.MISSING if i in gone else Mark.SEEN for i in range(N))
    some = bytes([Mark.SEEN, Mark.SEEN, Mark.MISSING, Mark.MISSING])
    found.append(
        SlotSnapshot(
            sequence=SequenceNumber(final + 1), view=view, leader=ValidatorIndex(view % N),
            since_ms=at(STALLED if stalled else second) - 20, anchor=anchor_of(final + 1),
            pre_prepared=True, prepared=stalled, committed=False, executed=False, fetched=False,
            prepares=seen if stalled else some, commits=some if stalled else bytes(N), authors=0,
            vertices=0, transactions=0, finality_ms=None, views=2 if second == CHANGED else 1,
        )
    )  # fmt: skip
    return tuple(found)


def anchor_of(sequence: int) -> VertexHash:
    return VertexHash(hash_of(b"anchor %d" % sequence))


def vertex_of(height: int, author: int) -> VertexHash:
    return VertexHash(hash_of(b"vertex %d %d" % (height, author)))


def vertices_at(second: int) -> tuple[VertexSnapshot, ...]:
    """One height a second: the leader's anchor and the others' vertices."""
    if second > STALLED:
        return ()
    height, leader, sequence = 2_000 + second, view_at(second) % N, final_at(second)
    authors = [i for i in range(N) if i not in absent(second)]
    parents = b"".join(vertex_of(height - 1, i) for i in range(N) if i not in absent(second - 1))
    found = [
        VertexSnapshot(
            hash=vertex_of(height, i), author=ValidatorIndex(i), index=AuthorIndex(4_000 + second),
            height=Height(height), anchor=SequenceNumber(sequence if i == leader else 0),
            parents=parents if i == leader else parents[:64], timestamp_ms=at(second) - 50,
            transactions=150 + 7 * i, payload_bytes=256 * (150 + 7 * i),
            state=(VertexState.FINAL if second < STALLED else VertexState.WAITING).value,
            sequence=sequence if second < STALLED else None, missing=b"",
        )
        for i in authors
    ]  # fmt: skip
    if second == BACK:
        lost = vertex_of(9, 9)
        found.append(
            VertexSnapshot(
                hash=vertex_of(height, 8), author=ValidatorIndex(3), index=AuthorIndex(3_999),
                height=Height(height), anchor=SequenceNumber(0), parents=lost,
                timestamp_ms=at(second), transactions=12, payload_bytes=3_000,
                state=VertexState.ORPHAN.value, sequence=None, missing=lost,
            )
        )  # fmt: skip
    return tuple(found)


def storage_at(second: int) -> StorageSnapshot:
    return StorageSnapshot(
        disk_bytes=(1_200 + second) * MIB, journal_bytes=(18 + second % 16) * MIB,
        history_bytes=31 * MIB, free_bytes=(61_000 - second) * MIB, total_bytes=98_304 * MIB,
        cache_bytes=300 * MIB, cache_hits=4_000_000 + 900 * second, cache_misses=52_000 + second,
        write_buffer_bytes=(3 + second % 40) * MIB, syncs=220_000 + 30 * second,
        sync_last_ms=0.7 + (second % 7) / 10, sync_p99_ms=2.4,
        compactions_running=int(second % 20 == 0),
        compaction_pending_bytes=(second % 20) * MIB, compaction_ms=41_000, write_stall_ms=0,
    )  # fmt: skip


def reputation_at(second: int) -> tuple[ReputationSnapshot, ...]:
    lied = second >= LIED
    return tuple(
        ReputationSnapshot(
            validator=ValidatorIndex(i), name=NAMES[i], node_id=IDS[i],
            score=0.1 if lied and i == 2 else 0.82 if i == 3 and second >= KILLED else 1.0,
            banned=lied and i == 2, violations=(1 if lied and i == 2 else 2 if i == 3 else 0),
            evidence=int(lied and i == 2),
        )
        for i in range(1, N)
    )  # fmt: skip


BAN = BanSnapshot(
    validator=ValidatorIndex(2), name="node2", node_id=IDS[2], since_ms=at(LIED),
    until_ms=at(LIED + 3_600), by="detector", reason="equivocation", in_force=True,
)  # fmt: skip
EVIDENCE = EvidenceSnapshot(
    id=hash_of(b"evidence"), author=ValidatorIndex(2), name="node2",
    contradiction="two prepares for one sequence",
    first=f"prepare: view 4, sequence 1078, anchor {anchor_of(1).hex()[:16]}",
    second=f"prepare: view 4, sequence 1078, anchor {anchor_of(2).hex()[:16]}",
)  # fmt: skip
CHANGE = ViewChangeSnapshot(
    number=3, at_ms=at(KILLED), from_view=View(3), from_leader=ValidatorIndex(3), to_view=View(4),
    to_leader=ValidatorIndex(0), cause="leader_silent", reason="the leader node3 fell silent",
    voters=marked({0, 1, 2}), duration_ms=None, ended=False,
)  # fmt: skip
ENDED = ViewChangeSnapshot(
    number=3, at_ms=at(KILLED), from_view=View(3), from_leader=ValidatorIndex(3), to_view=View(4),
    to_leader=ValidatorIndex(0), cause="leader_silent", reason="the leader node3 fell silent",
    voters=marked({0, 1, 2}), duration_ms=412, ended=True,
)  # fmt: skip
OLD_CHANGE = ViewChangeSnapshot(
    number=2, at_ms=at(-3_600), from_view=View(2), from_leader=ValidatorIndex(2), to_view=View(3),
    to_leader=ValidatorIndex(3), cause="step_down", reason="the leader node2 stepped down",
    voters=marked({0, 1, 2, 3}), duration_ms=35, ended=True,
)  # fmt: skip


def violations_at(second: int) -> tuple[ViolationSnapshot, ...] | None:
    rows = {
        0: [("timeout", 3, "no finality for 500 ms in view 3")],
        KILLED: [("timeout", 3, "no finality for 500 ms in view 3")],
        LIED: [("equivocation", 2, "two prepares for view 4, sequence 1078")],
    }.get(second)
    if rows is None:
        return None
    return tuple(
        ViolationSnapshot(
            at_ms=at(second), validator=ValidatorIndex(i), name=NAMES[i], type=kind, detail=detail
        )
        for kind, i, detail in rows
    )


def log_at(second: int) -> tuple[LogSnapshot, ...]:
    lines: list[tuple[str, str, str, int | None]] = [("debug", "slots_final", "count=2", None)]
    if second % 30 == 0:
        lines.append(("info", "checkpoint_stable", "digest=5e2a09c1", None))
    lines += {
        KILLED: [("warn", "peer_lost", "reason=silent for 3.0 s", 3),
                 ("warn", "view_left", "cause=leader_silent", None)],
        CHANGED: [("info", "view_entered", "leader=0 elapsed_ms=412", None)],
        BACK: [("info", "peer_connected", "direction=in", 3)],
        LIED: [("error", "evidence_kept", "contradiction=two prepares for one sequence", 2),
               ("warn", "banned", "reason=equivocation until=3600 s", 2)],
        STALLED: [("error", "quorum_missing", "connected=2 needed=3", None)],
    }.get(second, [])  # fmt: skip
    return tuple(
        LogSnapshot(
            number=10 * second + i, at_ms=at(second) + i, level=level, event=event, text=text,
            view=view_at(second), sequence=final_at(second), peer=peer,
        )
        for i, (level, event, text, peer) in enumerate(lines)
    )  # fmt: skip


def alerts_at(second: int) -> tuple[AlertSnapshot, ...]:
    found = []
    if second >= STALLED:
        text = "no quorum: 2 of 4 validators reachable, 3 needed"
        found.append(AlertSnapshot(kind="quorum", level="error", since_ms=at(STALLED), text=text))
    if second >= LIED:
        text = "node2 contradicted itself and is banned"
        found.append(AlertSnapshot(kind="ban", level="warn", since_ms=at(LIED), text=text))
    return tuple(found)


def views_at(second: int) -> tuple[ViewChangeSnapshot, ...] | None:
    return {0: (OLD_CHANGE,), KILLED: (CHANGE,), CHANGED: (ENDED,)}.get(second)


def changes_at(second: int) -> Changes:
    """Return what is told at a second: at the first one everything."""
    first = second == 0
    return Changes(
        alerts=alerts_at(second),
        bans=(BAN,) if second >= LIED else (),
        evidence=(EVIDENCE,) if second >= LIED else (),
        families=tuple(
            FamilySnapshot(family=name, disk_bytes=size * MIB)
            for name, size in (("vertices", 900), ("transactions", 240), ("edges", 40),
                               ("finalized", 15), ("metadata", 8))
        ) if first else None,
        log=log_at(second),
        peers=peers_at(second),
        reputation=reputation_at(second),
        slots=slots_at(second),
        status=(status_at(second),),
        storage=(storage_at(second),),
        validators=tuple(
            ValidatorSnapshot(
                index=ValidatorIndex(i), name=NAMES[i], node_id=IDS[i],
                address=f"10.0.0.{i + 4}:9001",
            )
            for i in range(N)
        ) if first else None,
        vertices=vertices_at(second),
        views=views_at(second),
        violations=violations_at(second),
    )  # fmt: skip


def deltas(seconds: int = SECONDS) -> Iterator[Delta]:
    """Yield one delta a second."""
    for second in range(seconds):
        yield delta_of(changes_at(second), at_ms=at(second), fresh=second == 0)


def write_recording(path: Path, seconds: int = SECONDS) -> Path:
    """Write the story as a recording."""
    with path.open("wb") as file:
        file.write(recording_head(HELLO))
        for delta in deltas(seconds):
            file.write(recording_frame(encode_message(delta)))
    return path
