"""Segments: groups come back whole, in order, or not at all, and never invented."""

import random

import pytest

from cretonode.crypto.hashing import hash_of
from cretonode.storage.errors import JournalDamaged
from cretonode.storage.segment import (
    BLOCK_BYTES,
    SECTOR_BYTES,
    Contents,
    Position,
    SegmentHeader,
    pack_group,
    pack_header,
    read_segment,
)

BIRTH = hash_of(b"birth")
START = Position(groups=0, records=0, chain=BIRTH)
GROUPS: list[list[bytes]] = [
    [b"first"],
    [b"second" * 40, b"", b"x" * 700],
    [bytes(1500), b"zeros around", bytes(600)],
    [b"last", b"of all"],
]
SIZE = 8 * BLOCK_BYTES


def segment(groups: list[list[bytes]], *, live: int = 0, size: int = SIZE) -> bytes:
    header = SegmentHeader(generation=1, start=START, live_records=live, size=size, birth=BIRTH)
    parts = [pack_header(header)]
    position = START
    for records in groups:
        data, position = pack_group(records, before=position, birth=BIRTH)
        parts.append(data)
    return b"".join(parts).ljust(size, b"\0")


def read(data: bytes) -> Contents:
    return read_segment(data, name="segment", birth=BIRTH)


def records_of(contents: Contents) -> list[list[bytes]]:
    return [list(group.records) for group in contents.groups]


def test_what_was_packed_is_read_back() -> None:
    contents = read(segment(GROUPS))
    assert records_of(contents) == GROUPS
    assert contents.torn_bytes == 0
    assert contents.groups[-1].end.records == sum(map(len, GROUPS))
    assert contents.offset == BLOCK_BYTES * (1 + len(GROUPS))


def test_an_empty_segment_has_no_groups() -> None:
    contents = read(segment([]))
    assert (contents.groups, contents.offset, contents.torn_bytes) == ((), BLOCK_BYTES, 0)


def test_a_flipped_byte_anywhere_is_damage_or_changes_nothing() -> None:
    """Every sector of a synced group is stamped, so a flip never looks like an unfinished write."""
    whole = segment(GROUPS)
    used = len(whole.rstrip(b"\0"))
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 0xFF
        try:
            found = records_of(read(bytes(data)))
        except JournalDamaged:
            continue
        # Only the room that no group has reached may look like an unfinished next group.
        assert at >= used, at
        assert found == GROUPS, at


def test_a_flipped_bit_anywhere_is_damage_or_changes_nothing() -> None:
    whole = segment(GROUPS)
    used = len(whole.rstrip(b"\0"))
    rng = random.Random(7)
    for at in range(used):
        data = bytearray(whole)
        data[at] ^= 1 << rng.randrange(8)
        with pytest.raises(JournalDamaged):
            read(bytes(data))


def test_a_file_cut_at_any_length_gives_whole_groups_or_an_error() -> None:
    """A file that was extended may end early; one shorter than it was made is damage."""
    made = 2 * BLOCK_BYTES
    whole = segment(GROUPS, size=made)
    for length in range(len(whole)):
        try:
            found = records_of(read(whole[:length]))
        except JournalDamaged:
            assert length < made or length % SECTOR_BYTES, "a sector is written whole or not at all"
            continue
        assert length >= made
        assert found == GROUPS[: len(found)]


def test_a_last_group_with_any_choice_of_its_sectors_is_dropped_or_whole() -> None:
    before = segment(GROUPS[:2])
    after = segment(GROUPS[:3])
    sectors = [at for at in range(0, SIZE, SECTOR_BYTES) if before[at:][:512] != after[at:][:512]]
    assert len(sectors) == 5
    for choice in range(2 ** len(sectors)):
        data = bytearray(before)
        for bit, at in enumerate(sectors):
            if choice >> bit & 1:
                data[at : at + SECTOR_BYTES] = after[at : at + SECTOR_BYTES]
        contents = read(bytes(data))
        is_whole = choice == 2 ** len(sectors) - 1
        assert records_of(contents) == GROUPS[: 3 if is_whole else 2]
        assert (contents.torn_bytes > 0) == (0 < choice < 2 ** len(sectors) - 1)


@pytest.mark.parametrize(
    ("group", "sector"), [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 2), (2, 4)]
)
def test_a_sector_lost_before_the_last_group_is_damage(group: int, sector: int) -> None:
    data = bytearray(segment(GROUPS))
    start = BLOCK_BYTES * (1 + group) + SECTOR_BYTES * sector
    assert data[start : start + SECTOR_BYTES].strip(b"\0")
    data[start : start + SECTOR_BYTES] = bytes(SECTOR_BYTES)
    with pytest.raises(JournalDamaged, match=r"not part of it|are there"):
        read(bytes(data))


def test_groups_in_another_order_are_damage() -> None:
    data = bytearray(segment(GROUPS))
    first, second = data[4096:8192], data[8192:12288]
    data[4096:8192], data[8192:12288] = second, first
    with pytest.raises(JournalDamaged):
        read(bytes(data))


def test_a_group_of_another_journal_is_damage() -> None:
    data = bytearray(segment(GROUPS))
    alien, _ = pack_group([b"first"], before=START, birth=hash_of(b"another birth"))
    data[4096:8192] = alien
    with pytest.raises(JournalDamaged, match="header is not what was written"):
        read(bytes(data))


def test_a_segment_of_another_birth_is_damage() -> None:
    with pytest.raises(JournalDamaged, match="header is not what was written"):
        read_segment(segment(GROUPS), name="segment", birth=hash_of(b"another birth"))


def test_records_copied_at_rotation_must_be_there() -> None:
    """They were synced before the segment got its name, so they cannot be unfinished."""
    assert records_of(read(segment(GROUPS[1:2], live=3))) == GROUPS[1:2]
    with pytest.raises(JournalDamaged, match="copied at rotation"):
        read(segment([], live=3))
