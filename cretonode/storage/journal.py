"""The vote journal: what this node must never contradict, on the disk before anybody hears it.

Append-only. A group of records is durable when `append_synced` returns; the first failure of the
disk stops the journal for good. The records are opaque here. All calls but the properties block:
run them in one worker thread, never two at once.
Source: docs/spec/durability.md.
"""

import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from cretonode.identifiers import Digest, Incarnation
from cretonode.storage.birth import NONCE_BYTES, Birth, check_owner, decode_birth
from cretonode.storage.disk import Disk
from cretonode.storage.errors import (
    JournalDamaged,
    JournalError,
    JournalExists,
    JournalMissing,
    JournalOutdated,
    JournalStopped,
)
from cretonode.storage.identity import Identity
from cretonode.storage.segment import (
    BLOCK_BYTES,
    Contents,
    Position,
    SegmentHeader,
    pack_group,
    pack_header,
    read_segment,
)

BIRTH_FILE: Final = "birth"
SPARE_FILE: Final = "spare"
UNFINISHED: Final = ".unfinished"  # a file that never got its name; swept away on open
SEGMENT_PREFIX: Final = "segment-"
SEGMENT_BYTES: Final = 4 * 1024 * 1024  # filled with zeros before it is used
EXTENSION_BYTES: Final = 1024 * 1024  # more, when it is full before the next rotation
ROTATE_AT_BYTES: Final = SEGMENT_BYTES // 2

assert SEGMENT_BYTES % BLOCK_BYTES == 0
assert EXTENSION_BYTES % BLOCK_BYTES == 0


@dataclass(frozen=True, slots=True)
class JournalMarker:
    """A place in the journal, for the database to remember: the journal must still contain it."""

    groups: int
    chain: Digest


@dataclass(frozen=True, slots=True)
class Opened:
    """A journal and what was in it."""

    journal: "Journal"
    records: tuple[bytes, ...]  # from the last rotation on
    settled: int  # so many of them, all but the last group: their turns reached the database, too
    torn_bytes: int  # of a group that was never finished: nobody heard of it, so it was dropped
    removed: tuple[str, ...]  # files of a rotation that was cut short


class Journal:
    """The current segment of one journal. Make one with `create_journal` or `open_journal`."""

    def __init__(
        self, disk: Disk, birth: Birth, *, generation: int, size: int, offset: int, end: Position
    ) -> None:
        self._disk = disk
        self._birth = birth
        self._generation = generation
        self._size = size  # of the file; what is beyond `offset` is zeros
        self._offset = offset
        self._position = end
        self._stopped: str | None = None

    @property
    def marker(self) -> JournalMarker:
        """The end of what is durable."""
        return JournalMarker(self._position.groups, self._position.chain)

    @property
    def stopped(self) -> str | None:
        """Why nothing can be appended any more; None while all is well."""
        return self._stopped

    @property
    def used_bytes(self) -> int:
        """Bytes of the current segment in use."""
        return self._offset

    @property
    def wants_rotation(self) -> bool:
        """True when the segment is worth replacing, at the next stable checkpoint or any time."""
        return self._offset >= ROTATE_AT_BYTES

    def append_synced(self, records: Sequence[bytes]) -> None:
        """Return only when `records`, all of them, survive a power cut.

        One write and one fdatasync for all. After any failure it is not known whether they
        survive, and no later call succeeds. Raises: JournalStopped.
        """
        self._refuse_if_stopped()
        if not records:
            return
        data, end = pack_group(records, before=self._position, birth=self._birth.digest)
        name = _segment_name(self._generation)
        with self._stop_on_failure("append"):
            if self._offset + len(data) > self._size:
                size = self._offset + len(data) + EXTENSION_BYTES
                self._disk.fill(name, size)
                self._size = size
            try:
                _write_whole(self._disk, name, data, self._offset)
                self._disk.sync(name)
            except OSError:
                # The caller will say that these were not promised, so the next start should not
                # find them, nor half of them, in the page cache. If this fails, too, it may.
                with suppress(OSError):
                    self._disk.write(name, bytes(len(data)), self._offset)
                raise
        self._offset += len(data)
        self._position = end

    def rotate(self, live_records: Sequence[bytes]) -> None:
        """Go on in a new segment that begins with `live_records`; let go of the old one.

        A crash at any moment leaves the old segment or the new one whole. Raises: JournalStopped.
        """
        self._refuse_if_stopped()
        header = SegmentHeader(
            generation=self._generation + 1,
            start=self._position,
            live_records=len(live_records),
            size=SEGMENT_BYTES,
            birth=self._birth.digest,
        )
        old = _segment_name(self._generation)
        with self._stop_on_failure("rotation"):
            header, offset, end = _write_segment(self._disk, header, live_records)
            # From here on the new one counts, whatever happens to the old one.
            self._generation, self._size = header.generation, header.size
            self._offset, self._position = offset, end
            self._disk.remove(old)
            self._disk.sync_directory()

    def prepare_spare(self) -> None:
        """Fill a file for the next rotation, so that it need not. Optional.

        May run in another thread while `append_synced` does. A failure here harms nothing that was
        promised. Raises: JournalError.
        """
        self._refuse_if_stopped()
        with _journal_errors(self._disk, "cannot prepare a segment"):
            if SPARE_FILE in self._disk.names():
                return
            unfinished = SPARE_FILE + UNFINISHED
            self._disk.create(unfinished)
            self._disk.fill(unfinished, SEGMENT_BYTES)
            self._disk.rename(unfinished, SPARE_FILE)

    def close(self) -> None:
        """Let go of the files. Everything appended is durable already."""
        self._stopped = self._stopped or "it is closed"
        self._disk.close()

    def _refuse_if_stopped(self) -> None:
        if self._stopped is not None:
            raise JournalStopped(
                f"vote journal {self._disk.where} takes nothing more: {self._stopped}"
            )

    @contextmanager
    def _stop_on_failure(self, action: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            # A failed sync may have lost what the page cache still shows: there is no second try.
            self._stopped = f"{action} failed: {error.strerror or error}"
            raise JournalStopped(f"vote journal {self._disk.where}: {self._stopped}") from error


def create_journal(disk: Disk, identity: Identity, incarnation: Incarnation) -> Journal:
    """Begin the one journal of a node's incarnation. The birth record comes last.

    Raises: JournalExists, JournalMissing (votes without a birth record), JournalError.
    """
    with _journal_errors(disk, "cannot be created"):
        names = disk.names()
        if BIRTH_FILE in names:
            raise JournalExists(f"vote journal {disk.where} is there already")
        if any(_has_votes(disk, name) for name in names if _generation_of(name)):
            raise JournalMissing(f"vote journal {disk.where} has votes and no birth record")
        birth = Birth(identity, incarnation, secrets.token_bytes(NONCE_BYTES))
        start = Position(groups=0, records=0, chain=birth.digest)
        header = SegmentHeader(
            generation=1, start=start, live_records=0, size=SEGMENT_BYTES, birth=birth.digest
        )
        header, offset, position = _write_segment(disk, header, ())
        unfinished = BIRTH_FILE + UNFINISHED
        disk.create(unfinished)
        _write_whole(disk, unfinished, birth.encode(), 0)
        disk.sync(unfinished)
        disk.rename(unfinished, BIRTH_FILE)
        disk.sync_directory()
    return Journal(
        disk, birth, generation=header.generation, size=header.size, offset=offset, end=position
    )


def open_journal(
    disk: Disk,
    identity: Identity,
    incarnation: Incarnation,
    *,
    at_least: JournalMarker | None = None,
) -> Opened:
    """Read everything back and go on after it. `at_least`: the marker that the database has.

    Raises: JournalMissing, JournalDamaged, JournalForeign, JournalOutdated: each is amnesia, and
    nothing is written then. JournalError, when the disk fails.
    """
    with _journal_errors(disk, "cannot be opened"):
        names = disk.names()
        if BIRTH_FILE not in names:
            raise JournalMissing(
                f"vote journal {disk.where} has no birth record: what this node said is not known"
            )
        birth = decode_birth(disk.read(BIRTH_FILE), name=f"{disk.where}/{BIRTH_FILE}")
        check_owner(birth, identity, incarnation, name=f"vote journal {disk.where}")
        generation = max((_generation_of(name) for name in names), default=0)
        if generation == 0:
            raise JournalDamaged(f"vote journal {disk.where}: its segment is gone")
        name = _segment_name(generation)
        data = disk.read(name)
        contents = read_segment(data, name=f"{disk.where}/{name}", birth=birth.digest)
        if contents.header.generation != generation:
            raise JournalDamaged(
                f"{disk.where}/{name}: it is segment {contents.header.generation}, renamed"
            )
        _check_reaches(disk, contents, at_least)
        if contents.torn_bytes:
            # Remains of it, under a shorter group, would look like damage later.
            _write_whole(disk, name, bytes(contents.torn_bytes), contents.offset)
            disk.sync(name)
        removed = _sweep(disk, names, keep=name)
        disk.sync_directory()
    groups = contents.groups
    end = groups[-1].end if groups else contents.header.start
    journal = Journal(
        disk, birth, generation=generation, size=len(data), offset=contents.offset, end=end
    )
    records = tuple(record for group in groups for record in group.records)
    settled = len(records) - len(groups[-1].records) if groups else 0
    return Opened(journal, records, settled, contents.torn_bytes, removed)


def _check_reaches(disk: Disk, contents: Contents, at_least: JournalMarker | None) -> None:
    """Return when the journal contains `at_least`. Raises: JournalOutdated."""
    if at_least is None:
        return
    ends = [contents.header.start, *(group.end for group in contents.groups)]
    if at_least.groups > ends[-1].groups:
        raise JournalOutdated(
            f"vote journal {disk.where} ends after {ends[-1].groups} groups; "
            f"{at_least.groups} were synced: an old copy was put back, or the disk lost some"
        )
    for end in ends:
        if end.groups == at_least.groups and end.chain != at_least.chain:
            raise JournalOutdated(
                f"vote journal {disk.where} is another one from group {end.groups} on: "
                "an old copy was put back and written to"
            )


def _write_segment(
    disk: Disk, header: SegmentHeader, records: Sequence[bytes]
) -> tuple[SegmentHeader, int, Position]:
    """Make a segment durable, then give it its name; return its header, end and position."""
    name = _segment_name(header.generation)
    unfinished = name + UNFINISHED
    group, end = b"", header.start
    if records:
        group, end = pack_group(records, before=header.start, birth=header.birth)
    offset = BLOCK_BYTES + len(group)
    if SPARE_FILE in disk.names():
        disk.rename(SPARE_FILE, unfinished)
    else:
        disk.create(unfinished)
    size = max(SEGMENT_BYTES, offset + EXTENSION_BYTES)
    disk.fill(unfinished, size)
    header = SegmentHeader(
        generation=header.generation,
        start=header.start,
        live_records=header.live_records,
        size=size,
        birth=header.birth,
    )
    _write_whole(disk, unfinished, pack_header(header) + group, 0)
    disk.sync(unfinished)
    disk.rename(unfinished, name)
    disk.sync_directory()
    return header, offset, end


def _has_votes(disk: Disk, name: str) -> bool:
    """True unless `name` is what a creation that was cut short may have left."""
    return _generation_of(name) > 1 or bool(disk.read(name)[BLOCK_BYTES:].strip(b"\0"))


def _sweep(disk: Disk, names: Sequence[str], *, keep: str) -> tuple[str, ...]:
    """Remove what a rotation that was cut short has left."""
    swept = [n for n in names if n.endswith(UNFINISHED) or (_generation_of(n) and n != keep)]
    for name in swept:
        disk.remove(name)
    return tuple(swept)


def _write_whole(disk: Disk, name: str, data: bytes, offset: int) -> None:
    written = disk.write(name, data, offset)
    if written != len(data):
        # The next call would say why, but then a group would be two writes.
        raise OSError(f"{name}: {written} of {len(data)} bytes written; the disk may be full")


@contextmanager
def _journal_errors(disk: Disk, what: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise JournalError(f"vote journal {disk.where} {what}: {error}") from error


def _segment_name(generation: int) -> str:
    return f"{SEGMENT_PREFIX}{generation:010d}"


def _generation_of(name: str) -> int:
    """Return the generation of a segment's name; 0 for other names."""
    number = name.removeprefix(SEGMENT_PREFIX)
    return int(number) if number != name and number.isdecimal() else 0
