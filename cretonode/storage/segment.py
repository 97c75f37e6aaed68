"""The bytes of a journal segment: how groups of records are laid out, and read back.

A group is what one sync made durable. Every 512-byte sector of it carries the group's stamp, so
that a reader can tell a group that was never finished (a sector is still zero) from one that was
finished and is damaged now (all sectors are there, the hashes are wrong). Pure.
Source: docs/spec/durability.md, sections 2 to 4.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from cretonode.identifiers import HASH_BYTES, Digest
from cretonode.storage.errors import JournalDamaged, JournalError

SECTOR_BYTES: Final = 512  # what a disk writes whole or not at all
BLOCK_BYTES: Final = 4096  # groups start at a multiple: no write touches a synced block again
STAMP: Final = struct.Struct(">2sH")
STAMP_MARK: Final = b"\xc7\x5a"  # no stamp is all zeros
SECTOR_DATA_BYTES: Final = SECTOR_BYTES - STAMP.size

SEGMENT_MAGIC: Final = b"CRETOJRN"
SEGMENT_VERSION: Final = 1
SEGMENT_HEADER: Final = struct.Struct(">8sHQQQIQ32s32s")
GROUP_MAGIC: Final = b"GRP1"
GROUP_HEADER: Final = struct.Struct(">4sQQII32s")
FRAME_HEADER: Final = struct.Struct(">I32s")
CHECK_BYTES: Final = 32
GROUP_BYTES_MAX: Final = 64 * 1024 * 1024
ZERO_SECTOR: Final = bytes(SECTOR_BYTES)

assert BLOCK_BYTES % SECTOR_BYTES == 0
assert SEGMENT_HEADER.size + CHECK_BYTES <= SECTOR_BYTES, "a header is written whole or not at all"
assert STAMP.size + GROUP_HEADER.size + CHECK_BYTES <= SECTOR_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A point between two groups: how many came before, since birth, and their chained hash."""

    groups: int
    records: int
    chain: Digest  # hash of the last record before, chained to all earlier ones


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """How a segment begins."""

    generation: int  # of segments: 1 at birth, one more at each rotation
    start: Position
    live_records: int  # in the first group, copied at rotation; 0: there is no such group
    size: int  # bytes the file had before it got its name; it never has fewer
    birth: Digest


@dataclass(frozen=True, slots=True)
class Group:
    """What one sync made durable."""

    records: tuple[bytes, ...]
    end: Position


@dataclass(frozen=True, slots=True)
class Contents:
    """A segment that was read whole."""

    header: SegmentHeader
    groups: tuple[Group, ...]
    offset: int  # where the next group goes
    torn_bytes: int  # of an unfinished group, from `offset` on; 0: a clean end


def pack_header(header: SegmentHeader) -> bytes:
    """Return the first block of a segment."""
    start = header.start
    fields = SEGMENT_HEADER.pack(
        SEGMENT_MAGIC,
        SEGMENT_VERSION,
        header.generation,
        start.groups,
        start.records,
        header.live_records,
        header.size,
        header.birth,
        start.chain,
    )
    return (fields + _check(header.birth, fields)).ljust(BLOCK_BYTES, b"\0")


def pack_group(
    records: Sequence[bytes], *, before: Position, birth: Digest
) -> tuple[bytes, Position]:
    """Return the blocks of a group that follows `before`, and the position after it."""
    frames: list[bytes] = []
    chain = before.chain
    for record in records:
        chain = _chained(chain, record)
        frames += (FRAME_HEADER.pack(len(record), chain), record)
    body = b"".join(frames)
    number = before.groups + 1
    fields = GROUP_HEADER.pack(
        GROUP_MAGIC, number, before.records, len(records), len(body), before.chain
    )
    raw = fields + _check(birth, fields) + body
    assert len(raw) <= GROUP_BYTES_MAX, f"a group of {len(raw)} bytes"
    stamp = stamp_of(number)
    sectors = [
        stamp + raw[at : at + SECTOR_DATA_BYTES] for at in range(0, len(raw), SECTOR_DATA_BYTES)
    ]
    packed = b"".join(sectors)
    end = Position(groups=number, records=before.records + len(records), chain=chain)
    return packed.ljust(_up_to_block(len(packed)), b"\0"), end


def read_segment(data: bytes, *, name: str, birth: Digest) -> Contents:
    """Return all whole groups of a segment.

    Raises: JournalDamaged, unless `data` is what was written, but for an unfinished last group.
    """
    header = read_header(data, name=name, birth=birth)
    if len(data) < header.size:
        raise JournalDamaged(f"{name}: {len(data)} bytes; it was made with {header.size}")
    end = len(data.rstrip(b"\0"))
    groups: list[Group] = []
    offset, position = BLOCK_BYTES, header.start
    while offset < end:
        reader = _GroupReader(data, name, offset, end, position, birth)
        found = reader.read()
        if found is None:
            break
        groups.append(found)
        position = found.end
        offset += _up_to_block(reader.extent)
    if header.live_records and (not groups or len(groups[0].records) != header.live_records):
        # These were synced before the segment got its name.
        raise JournalDamaged(f"{name}: the values copied at rotation are not whole")
    return Contents(header, tuple(groups), offset, max(0, end - offset))


def read_header(data: bytes, *, name: str, birth: Digest) -> SegmentHeader:
    """Return the header of a segment.

    Raises: JournalDamaged; JournalError, when newer software wrote it.
    """
    size = SEGMENT_HEADER.size
    fields, check = data[:size], data[size : size + CHECK_BYTES]
    rest = data[size + CHECK_BYTES : BLOCK_BYTES]
    if len(data) < BLOCK_BYTES or check != _check(birth, fields) or rest.strip(b"\0"):
        raise JournalDamaged(f"{name}: its header is not what was written")
    _, version, generation, groups, records, live, allocated, found, chain = SEGMENT_HEADER.unpack(
        fields
    )
    if version != SEGMENT_VERSION:
        # Nothing is lost: the software that wrote it can read it.
        raise JournalError(f"{name}: format {version}; this software reads {SEGMENT_VERSION}")
    assert found == birth, "the check is keyed with the birth"
    return SegmentHeader(
        generation=generation,
        start=Position(groups=groups, records=records, chain=Digest(chain)),
        live_records=live,
        size=allocated,
        birth=birth,
    )


def stamp_of(number: int) -> bytes:
    """Return what every sector of group `number` begins with."""
    return STAMP.pack(STAMP_MARK, number & 0xFFFF)


@dataclass(slots=True)
class _GroupReader:
    """Reads the group at `offset`, the one after `before`. `end`: after it all is zero."""

    data: bytes
    name: str
    offset: int
    end: int
    before: Position
    birth: Digest
    extent: int = 0  # bytes of whole sectors, once the header is read

    def read(self) -> Group | None:
        """Return the group; None when it is unfinished. Raises: JournalDamaged."""
        first = self._sector(self.offset)
        if first == ZERO_SECTOR:
            # Later sectors of a group may reach the disk before its first one.
            self._check_stamps(self.offset, self.end)
            return None
        self._check_stamps(self.offset, self.offset + SECTOR_BYTES)
        size = GROUP_HEADER.size
        fields = first[STAMP.size : STAMP.size + size]
        check = first[STAMP.size + size : STAMP.size + size + CHECK_BYTES]
        if check != _check(self.birth, fields):
            raise self._damaged("its header is not what was written")
        _, number, records, count, body_bytes, chain = GROUP_HEADER.unpack(fields)
        before = self.before
        if (number, records, chain) != (before.groups + 1, before.records, before.chain):
            raise self._damaged("it does not follow the group before it")
        raw_bytes = size + CHECK_BYTES + body_bytes
        sectors = -(-raw_bytes // SECTOR_DATA_BYTES)
        self.extent = sectors * SECTOR_BYTES
        missing = self._check_stamps(self.offset, self.offset + self.extent)
        if self.data[self.offset + self.extent : self._next()].strip(b"\0"):
            raise self._damaged("there is something in the room after it")
        if missing:
            if self.end > self._next():
                raise self._damaged("a sector is gone, and later groups are there")
            return None
        raw = b"".join(
            self._sector(at)[STAMP.size :]
            for at in range(self.offset, self.offset + self.extent, SECTOR_BYTES)
        )
        if raw[raw_bytes:].strip(b"\0"):
            raise self._damaged("there is something in the room after it")
        return self._parse(raw[size + CHECK_BYTES : raw_bytes], count)

    def _parse(self, body: bytes, count: int) -> Group:
        records: list[bytes] = []
        chain = self.before.chain
        at = 0
        while at < len(body):
            if at + FRAME_HEADER.size > len(body):
                raise self._damaged(f"record {len(records)} has no room")
            length, expected = FRAME_HEADER.unpack_from(body, at)
            at += FRAME_HEADER.size
            record = body[at : at + length]
            at += length
            chain = _chained(chain, record)
            if len(record) != length or chain != expected:
                raise self._damaged(f"record {len(records)} is not what was written")
            records.append(record)
        if len(records) != count:
            raise self._damaged(f"{len(records)} records; there were {count}")
        end = Position(
            groups=self.before.groups + 1, records=self.before.records + count, chain=chain
        )
        return Group(tuple(records), end)

    def _check_stamps(self, start: int, stop: int) -> bool:
        """Return whether a sector is unwritten. Raises: JournalDamaged, for another's sector."""
        stamp = stamp_of(self.before.groups + 1)
        missing = False
        for at in range(start, stop, SECTOR_BYTES):
            sector = self._sector(at)
            if sector == ZERO_SECTOR:
                missing = True
            elif not sector.startswith(stamp):
                raise self._damaged(f"the sector at {at} is not part of it")
        return missing

    def _sector(self, at: int) -> bytes:
        # What a file lacks at its end was never written.
        return self.data[at : at + SECTOR_BYTES].ljust(SECTOR_BYTES, b"\0")

    def _next(self) -> int:
        return self.offset + _up_to_block(self.extent)

    def _damaged(self, what: str) -> JournalDamaged:
        return JournalDamaged(
            f"{self.name}: group {self.before.groups + 1} at byte {self.offset} is damaged: {what}"
        )


def _chained(chain: Digest, record: bytes) -> Digest:
    return Digest(blake3(chain + len(record).to_bytes(4, "big") + record).digest())


def _check(birth: Digest, fields: bytes) -> bytes:
    # Keyed, so that nothing inside a record, which peers help to write, can pass for a header.
    return blake3(fields, key=birth).digest()


def _up_to_block(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


assert HASH_BYTES == CHECK_BYTES
