"""The vote journal under power cuts, full disks and failing syncs. SPEC C8; DESIGN, Durability."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cretonode.core.messages import Position
from cretonode.core.records import (
    Accepted,
    BaseAdopted,
    OwnVertex,
    Record,
    SaidCheckpoint,
    ViewEntered,
    fold,
)
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import (
    AuthorIndex,
    ChainId,
    Incarnation,
    NodeId,
    SequenceNumber,
    VertexHash,
    View,
)
from cretonode.storage import journal as journals
from cretonode.storage.disk import PosixDisk
from cretonode.storage.errors import (
    JournalDamaged,
    JournalError,
    JournalExists,
    JournalForeign,
    JournalMissing,
    JournalOutdated,
    JournalStopped,
)
from cretonode.storage.identity import Identity
from cretonode.storage.journal import (
    Journal,
    JournalMarker,
    Opened,
    create_journal,
    open_journal,
)
from cretonode.wire.records import decode_record, encode_record
from tests.storage.chain import IDENTITY
from tests.storage.disks import FaultyDisk, PowerCut, broken, no_space

FIRST = Incarnation(0)
TURNS = [[b"a1", b"a2"], [b"b" * 3000], [b"c1", b"", b"c3" * 300]]
LIVE = [b"live" * 200, b"values"]


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 32 * 1024)
    monkeypatch.setattr(journals, "EXTENSION_BYTES", 8 * 1024)


def made(disk: FaultyDisk | None = None, turns: list[list[bytes]] = TURNS) -> FaultyDisk:
    disk = disk or FaultyDisk()
    journal = create_journal(disk, IDENTITY, FIRST)
    for records in turns:
        journal.append_synced(records)
    return disk


def reopen(disk: FaultyDisk, at_least: JournalMarker | None = None) -> Opened:
    return open_journal(disk, IDENTITY, FIRST, at_least=at_least)


def flat(turns: list[list[bytes]]) -> tuple[bytes, ...]:
    return tuple(record for records in turns for record in records)


def segment_of(disk: FaultyDisk) -> str:
    return next(name for name in disk.names() if name.startswith("segment-"))


def test_what_was_appended_is_read_back_in_order() -> None:
    opened = reopen(made())
    assert opened.records == flat(TURNS)
    assert opened.torn_bytes == 0
    assert opened.journal.marker.groups == len(TURNS)


def test_a_group_costs_one_write_and_one_sync() -> None:
    disk = made(turns=[])
    journal = reopen(disk).journal
    disk.operations.clear()
    journal.append_synced([b"one", b"two" * 500, b"three"])
    assert disk.operations == ["write", "sync"]


def test_nothing_to_append_costs_nothing() -> None:
    disk = made(turns=[])
    journal = reopen(disk).journal
    disk.operations.clear()
    journal.append_synced([])
    assert disk.operations == []


def test_a_full_segment_grows() -> None:
    disk = made(turns=[])
    journal = reopen(disk).journal
    turns = [[bytes([i]) * 5000] for i in range(9)]
    for records in turns:
        journal.append_synced(records)
    assert reopen(disk).records == flat(turns)


def test_a_group_larger_than_a_segment_is_kept() -> None:
    big = [bytes(range(256)) * 400]
    assert reopen(made(turns=[big])).records == tuple(big)


def test_real_records_fold_to_the_same_promises(tmp_path: Path) -> None:
    anchor = VertexHash(hash_of(b"anchor"))
    said: list[Record] = [
        OwnVertex(AuthorIndex(1), anchor),
        Accepted(View(0), SequenceNumber(1), anchor),
        ViewEntered(View(1)),
        BaseAdopted(View(1), Position(View(0), SequenceNumber(1), anchor)),
        SaidCheckpoint(SequenceNumber(4), hash_of(b"digest")),
    ]
    journal = create_journal(PosixDisk(tmp_path), IDENTITY, FIRST)
    journal.append_synced([encode_record(record) for record in said])
    journal.close()
    opened = open_journal(PosixDisk(tmp_path), IDENTITY, FIRST)
    assert fold(map(decode_record, opened.records)) == fold(said)
    opened.journal.rotate([encode_record(record) for record in fold(said).records()])
    opened.journal.close()
    again = open_journal(PosixDisk(tmp_path), IDENTITY, FIRST)
    assert fold(map(decode_record, again.records)) == fold(said)
    again.journal.close()


# --- whose it is


def test_a_start_without_a_birth_record_is_an_error_of_its_own() -> None:
    """Amnesia is never mistaken for a first start."""
    with pytest.raises(JournalMissing, match="no birth record"):
        reopen(FaultyDisk())
    disk = made()
    disk.remove("birth")
    with pytest.raises(JournalMissing):
        reopen(disk)


def test_a_second_birth_is_refused() -> None:
    with pytest.raises(JournalExists):
        create_journal(made(), IDENTITY, FIRST)


@pytest.mark.parametrize("rotations", [0, 1])
def test_a_birth_over_the_votes_of_a_lost_one_is_refused(rotations: int) -> None:
    disk = made()
    for _ in range(rotations):
        reopen(disk).journal.rotate(LIVE)
    disk.remove("birth")
    with pytest.raises(JournalMissing, match="has votes"):
        create_journal(disk, IDENTITY, FIRST)


def test_a_creation_that_was_cut_short_can_be_repeated() -> None:
    whole = FaultyDisk()
    create_journal(whole, IDENTITY, FIRST)
    for step in range(len(whole.operations)):
        for seed in range(6):
            disk = FaultyDisk(fault_at=step, fault=PowerCut())
            with pytest.raises(PowerCut):
                create_journal(disk, IDENTITY, FIRST)
            later = disk.after_power_cut(seed)
            with suppress(JournalExists):
                create_journal(later, IDENTITY, FIRST)
            assert reopen(later).records == ()


@pytest.mark.parametrize(
    ("identity", "incarnation", "message"),
    [
        (Identity(ChainId("other"), IDENTITY.genesis, IDENTITY.node_id), 0, "chain 'test'"),
        (
            Identity(IDENTITY.chain_id, VertexHash(hash_of(b"?")), IDENTITY.node_id),
            0,
            "made from genesis",
        ),
        (
            Identity(IDENTITY.chain_id, IDENTITY.genesis, NodeId(hash_of(b"?"))),
            0,
            "belongs to node",
        ),
        (IDENTITY, 1, "of incarnation 0; the database is in 1.*cretonode recover apply"),
    ],
    ids=["another chain", "another genesis", "another node", "another incarnation"],
)
def test_a_foreign_journal_is_refused(identity: Identity, incarnation: int, message: str) -> None:
    with pytest.raises(JournalForeign, match=message):
        open_journal(made(), identity, Incarnation(incarnation))


def test_a_flipped_byte_in_the_birth_record_is_damage() -> None:
    whole = made()
    for at in range(len(whole.files["birth"].cached)):
        disk = whole.copy()
        disk.files["birth"].cached[at] ^= 0x10
        with pytest.raises(JournalDamaged, match="birth"):
            reopen(disk)


def test_a_lost_segment_is_damage() -> None:
    disk = made()
    disk.remove(segment_of(disk))
    with pytest.raises(JournalDamaged, match="its segment is gone"):
        reopen(disk)


def test_a_renamed_segment_is_damage() -> None:
    disk = made()
    disk.rename(segment_of(disk), "segment-0000000009")
    with pytest.raises(JournalDamaged, match="renamed"):
        reopen(disk)


def test_damage_names_the_file_and_the_place() -> None:
    disk = made()
    disk.files[segment_of(disk)].cached[4096 + 100] ^= 1
    with pytest.raises(JournalDamaged, match=r"disk/segment-0000000001: group 1 at byte 4096"):
        reopen(disk)


def test_damage_changes_nothing_on_the_disk() -> None:
    """What is left is evidence for whoever repairs it."""
    disk = made()
    disk.files[segment_of(disk)].cached[4096 + 100] ^= 1
    before = bytes(disk.files[segment_of(disk)].cached)
    with pytest.raises(JournalDamaged):
        reopen(disk)
    assert disk.files[segment_of(disk)].cached == before


# --- an old copy


def test_a_journal_that_ends_before_the_marker_is_outdated() -> None:
    disk = made()
    old = disk.copy()
    journal = reopen(disk).journal
    journal.append_synced([b"more"])
    reopen(disk, journal.marker)
    with pytest.raises(JournalOutdated, match="ends after 3 groups; 4 were synced"):
        reopen(old, journal.marker)


def test_a_copy_that_was_written_to_is_outdated() -> None:
    disk = made()
    old = disk.copy()
    journal = reopen(disk).journal
    journal.append_synced([b"more"])
    fork = reopen(old).journal
    fork.append_synced([b"something else"])
    fork.append_synced([b"and more"])
    with pytest.raises(JournalOutdated, match="another one from group 4"):
        reopen(old, journal.marker)


def test_a_marker_from_before_a_rotation_is_satisfied() -> None:
    disk = made()
    journal = reopen(disk).journal
    marker = journal.marker
    journal.rotate(LIVE)
    journal.append_synced([b"more"])
    assert reopen(disk, marker).records == (*LIVE, b"more")
    assert reopen(disk, journal.marker).records == (*LIVE, b"more")


# --- faults


def power_cuts() -> Iterator[tuple[int, int]]:
    """Yield each step of three appends, with seeds for what the disk kept."""
    disk = made(turns=[])
    steps = len(disk.operations)
    journal = reopen(disk).journal
    begin = len(disk.operations)
    for records in TURNS:
        journal.append_synced(records)
    assert steps < begin
    for step in range(len(disk.operations) - begin):
        for seed in range(30):
            yield step, seed


def test_after_a_power_cut_every_acknowledged_group_is_there_and_no_part_of_another() -> None:
    for step, seed in power_cuts():
        disk = made(turns=[])
        journal = reopen(disk).journal
        disk.fail_next(PowerCut(), after=step)
        acknowledged = 0
        marker = journal.marker
        try:
            for records in TURNS:
                journal.append_synced(records)
                acknowledged += 1
                marker = journal.marker
        except PowerCut:
            pass
        later = disk.after_power_cut(seed)
        opened = reopen(later, marker)
        assert opened.records in (flat(TURNS[:acknowledged]), flat(TURNS[: acknowledged + 1]))
        # It goes on from there, and remains of the lost group do not come back.
        opened.journal.append_synced([b"next"])
        assert reopen(later).records == (*opened.records, b"next")


def test_a_torn_tail_is_dropped_and_reported() -> None:
    disk = made()
    name = segment_of(disk)
    whole = bytes(disk.files[name].cached)
    reopen(disk).journal.append_synced([b"d" * 2000])
    torn = disk.files[name].cached
    torn[4 * 4096 + 512 : 4 * 4096 + 1024] = bytes(512)
    opened = reopen(disk)
    assert opened.records == flat(TURNS)
    assert 1024 < opened.torn_bytes < 4096
    assert disk.files[name].durable.rstrip(b"\0") == whole.rstrip(b"\0")


def test_a_rotation_cut_at_any_step_leaves_the_old_values_or_the_new_ones() -> None:
    disk = made()
    journal = reopen(disk).journal
    begin = len(disk.operations)
    journal.rotate(LIVE)
    steps = len(disk.operations) - begin
    assert steps >= 8
    for step in range(steps):
        for seed in range(30):
            disk = made()
            journal = reopen(disk).journal
            marker = journal.marker
            disk.fail_next(PowerCut(), after=step)
            with pytest.raises(PowerCut):
                journal.rotate(LIVE)
            later = disk.after_power_cut(seed)
            opened = reopen(later, marker)
            assert opened.records in (flat(TURNS), tuple(LIVE)), (step, seed)
            opened.journal.append_synced([b"next"])
            again = reopen(later)
            assert again.records == (*opened.records, b"next")
            assert again.removed == (), "the first start swept up"
            assert len([name for name in later.names() if "segment" in name]) == 1


def test_rotation_leaves_one_segment_and_the_position_goes_on() -> None:
    disk = made()
    journal = reopen(disk).journal
    journal.rotate(LIVE)
    assert journal.marker.groups == len(TURNS) + 1
    assert disk.names() == ["birth", "segment-0000000002"]
    journal.rotate([])
    journal.append_synced([b"more"])
    assert reopen(disk).records == (b"more",)


def test_a_prepared_spare_is_used_by_the_next_rotation() -> None:
    disk = made()
    journal = reopen(disk).journal
    journal.prepare_spare()
    journal.prepare_spare()
    assert "spare" in disk.names()
    journal.rotate(LIVE)
    assert disk.names() == ["birth", "segment-0000000002"]
    assert reopen(disk).records == tuple(LIVE)


def test_a_spare_that_cannot_be_made_harms_nothing() -> None:
    disk = made()
    journal = reopen(disk).journal
    disk.fail_next(no_space(), after=1)
    with pytest.raises(JournalError, match="No space left"):
        journal.prepare_spare()
    journal.append_synced([b"more"])
    opened = reopen(disk)
    assert opened.records == (*flat(TURNS), b"more")
    assert opened.removed == ("spare.unfinished",)


@pytest.mark.parametrize(
    ("fault", "after", "why"),
    [
        (no_space(), 0, "append failed: No space left on device"),
        (broken(), 0, "append failed: Input/output error"),
        (600, 0, "600 of 4096 bytes written"),
        (0, 0, "0 of 4096 bytes written"),
        (broken(), 1, "append failed: Input/output error"),
    ],
    ids=["full disk", "write fails", "short write", "nothing written", "sync fails"],
)
def test_the_first_failure_stops_the_journal_for_good(
    fault: OSError | int, after: int, why: str
) -> None:
    disk = made()
    journal = reopen(disk).journal
    disk.fail_next(fault, after=after)
    with pytest.raises(JournalStopped, match=why):
        journal.append_synced([b"lost" * 300])
    assert journal.stopped is not None
    writes = disk.operations.count("write")
    with pytest.raises(JournalStopped, match=why):
        journal.append_synced([b"later"])
    with pytest.raises(JournalStopped, match=why):
        journal.rotate(LIVE)
    assert disk.operations.count("write") == writes, "the disk was not touched again"
    for seed in range(20):
        opened = reopen(disk.after_power_cut(seed), journal.marker)
        assert opened.records in (flat(TURNS), (*flat(TURNS), b"lost" * 300))
    assert reopen(disk).records == flat(TURNS), "what failed is not there"


@pytest.mark.parametrize("taken", [1, 511, 512, 600, 1100, 1400, 4095])
def test_a_short_write_does_not_survive_as_a_group(taken: int) -> None:
    disk = made()
    journal = reopen(disk).journal
    disk.fail_next(taken)
    with pytest.raises(JournalStopped):
        journal.append_synced([b"half" * 300])
    assert reopen(disk).records == flat(TURNS)


def test_a_disk_that_is_full_when_the_segment_must_grow_stops_the_journal() -> None:
    disk = made()
    journal = reopen(disk).journal
    disk.fail_next(no_space())
    with pytest.raises(JournalStopped, match="append failed: No space left on device"):
        journal.append_synced([b"big" * 10_000])
    assert disk.operations[-1] == "fill"
    assert reopen(disk).records == flat(TURNS)


def test_a_failed_rotation_stops_the_journal_and_leaves_the_old_values() -> None:
    disk = made()
    journal = reopen(disk).journal
    disk.fail_next(no_space(), after=1)
    with pytest.raises(JournalStopped, match="rotation failed: No space left"):
        journal.rotate(LIVE)
    assert reopen(disk).records == flat(TURNS)


def test_a_disk_that_fails_while_opening_is_a_journal_error() -> None:
    disk = made()
    disk.fail_next(broken())
    with pytest.raises(JournalError, match=r"cannot be opened: .*Input/output error"):
        reopen(disk)


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = create_journal(PosixDisk(tmp_path), IDENTITY, FIRST)
    journal.close()
    with pytest.raises(JournalStopped, match="it is closed"):
        journal.append_synced([b"late"])


# --- on a real file system


def test_files_cut_at_every_block_boundary_give_whole_groups_or_an_error(tmp_path: Path) -> None:
    journal: Journal = create_journal(PosixDisk(tmp_path), IDENTITY, FIRST)
    turns = [[bytes([i]) * 3000] for i in range(12)]
    for records in turns:
        journal.append_synced(records)
    journal.close()
    path = next(tmp_path.glob("segment-*"))
    whole = path.read_bytes()
    assert len(whole) > journals.SEGMENT_BYTES
    for length in range(0, len(whole), 512):
        path.write_bytes(whole[:length])
        try:
            opened = open_journal(PosixDisk(tmp_path), IDENTITY, FIRST)
        except JournalDamaged:
            assert length < journals.SEGMENT_BYTES
            continue
        assert opened.records == flat(turns)[: len(opened.records)]
        opened.journal.append_synced([b"next"])
        opened.journal.close()


def test_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    create_journal(PosixDisk(tmp_path), IDENTITY, FIRST).close()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
