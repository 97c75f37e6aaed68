"""What a kill or a power cut leaves of the files of a node: journal and database.

Assumed of a disk, as in docs/spec/durability.md, section 4: of what was not synced any sectors may
be there, of names that were not synced all or none.
"""

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cretonode.storage.rocksdb import RocksBackend
from cretonode.storage.segment import SECTOR_BYTES
from tests.storage.disks import FaultyDisk, File
from tests.storage.small import small_options

NOTHING: Final = "nothing"
LOSSES: Final = {"cut": "the end", "zeros": "the end, zeros there,", "holes": "some sectors"}


@dataclass
class JournalDisk(FaultyDisk):
    """A faulty disk for one journal. A sync can be put off: in the simulator it takes time."""

    puts_off: bool = False
    _owed: set[str] = field(default_factory=set)  # files whose sync was put off
    _unsynced: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path) -> "JournalDisk":
        """Return what is in a directory, synced."""
        contents = {path.name: path.read_bytes() for path in directory.iterdir()}
        files = {name: File(bytearray(data), bytearray(data)) for name, data in contents.items()}
        return cls(files=files, durable_names=dict(files), where=str(directory))

    def write(self, name: str, data: bytes, offset: int) -> int:
        taken = super().write(name, data, offset)
        self._unsynced.setdefault(name, []).append((offset, taken))
        return taken

    def sync(self, name: str) -> None:
        self._count("sync")
        if self.puts_off:
            self._owed.add(name)
        else:
            self._settle(name)

    def settle(self) -> None:
        """Catch up on the syncs that were put off."""
        for name in self._owed:
            self._settle(name)
        self._owed.clear()

    def survive(self) -> None:
        """Lose nothing, as when only the process ends."""
        for file in self.files.values():
            file.durable[:] = file.cached

    def _settle(self, name: str) -> None:
        # Copying whole segments at every sync would be most of a run.
        file = self.files[name]
        for offset, size in self._unsynced.pop(name, ()):
            end = offset + size
            file.durable.extend(bytes(max(0, end - len(file.durable))))
            file.durable[offset:end] = file.cached[offset:end]


class WatchedBackend(RocksBackend):
    """A database that notes how much of its log is synced."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises: CorruptionError, StorageError."""
        self.synced_bytes: dict[str, int] = {}  # of each file of the log
        super().__init__(path, small_options())

    def flush_wal(self, *, sync: bool) -> None:
        super().flush_wal(sync=sync)
        if sync:
            self.synced_bytes = {log.name: log.stat().st_size for log in self.path.glob("*.log")}


def keep(disk: FaultyDisk, directory: Path) -> None:
    """Make the directory hold what is durable, and nothing else."""
    shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    for name, file in disk.files.items():
        (directory / name).write_bytes(file.durable)


def copy_unchanging(source: Path, target: Path) -> None:
    """Copy a database while its background work may change the files: until it did not."""

    def files() -> dict[str, int]:
        return {path.name: path.stat().st_size for path in source.iterdir()}

    while True:
        shutil.rmtree(target, ignore_errors=True)
        try:
            before = files()
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("LOCK", "LOG*"))
            if files() == before:
                return
        except (FileNotFoundError, shutil.Error):
            pass


def lose_unsynced(path: Path, synced_bytes: dict[str, int], rng: random.Random) -> str:
    """Of the log of a database keep what was synced, of the rest any sectors; return which."""
    how = rng.choice((NOTHING, *LOSSES))
    lost = False
    for log in sorted(path.glob("*.log")):
        synced, data = synced_bytes.get(log.name, 0), bytearray(log.read_bytes())
        if lost:
            log.unlink()
        elif how != NOTHING and len(data) > synced:
            lost = True
            log.write_bytes(_without_some(data, synced, how, rng))
    return f"database: {LOSSES[how] if lost else NOTHING} lost of what was not synced"


def _without_some(data: bytearray, synced: int, how: str, rng: random.Random) -> bytearray:
    """Return a log of which what is behind `synced` is cut, or zeros in part."""
    end = rng.randrange(synced, len(data))
    if how == "cut":
        return data[:end]
    for start in range(synced - synced % SECTOR_BYTES, len(data), SECTOR_BYTES):
        first, last = max(start, synced), min(start + SECTOR_BYTES, len(data))
        if (how == "zeros" and start >= end) or (how == "holes" and rng.random() < 0.5):
            data[first:last] = bytes(last - first)
    return data
