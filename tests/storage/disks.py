"""A disk in memory that forgets, tears, fills up and fails, as real ones do."""

import errno
import random
from dataclasses import dataclass, field

from cretonode.storage.segment import SECTOR_BYTES


class PowerCut(Exception):
    """The machine stops here. What happens next is up to `FaultyDisk.after_power_cut`."""


@dataclass
class File:
    cached: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)


@dataclass
class FaultyDisk:
    """Satisfies Disk. Counts its operations; at number `fault_at` it raises `fault`.

    A fault of type int is a short write: so many bytes are taken.
    """

    files: dict[str, File] = field(default_factory=dict)
    durable_names: dict[str, File] = field(default_factory=dict)
    operations: list[str] = field(default_factory=list)
    fault_at: int | None = None
    fault: Exception | int | None = None
    where: str = "disk"

    def names(self) -> list[str]:
        return sorted(self.files)

    def read(self, name: str) -> bytes:
        self.sync(name)
        return bytes(self.files[name].durable)

    def create(self, name: str) -> None:
        self._count("create")
        self.files[name] = File()

    def write(self, name: str, data: bytes, offset: int) -> int:
        taken = self._count("write")
        if taken is not None:
            data = data[:taken]
        _put(self.files[name].cached, data, offset)
        return len(data)

    def fill(self, name: str, size: int) -> None:
        self._count("fill")
        file = self.files[name]
        _put(file.cached, bytes(max(0, size - len(file.cached))), len(file.cached))
        file.durable[:] = file.cached

    def sync(self, name: str) -> None:
        self._count("sync")
        self.files[name].durable[:] = self.files[name].cached

    def rename(self, old: str, new: str) -> None:
        self._count("rename")
        self.files[new] = self.files.pop(old)

    def remove(self, name: str) -> None:
        self._count("remove")
        del self.files[name]

    def sync_directory(self) -> None:
        self._count("sync_directory")
        self.durable_names = dict(self.files)

    def close(self) -> None:
        pass

    def copy(self) -> "FaultyDisk":
        """Return a healthy disk with the same durable contents."""
        return FaultyDisk(
            files={
                n: File(bytearray(f.durable), bytearray(f.durable)) for n, f in self.files.items()
            }
        )

    def after_power_cut(self, seed: int) -> "FaultyDisk":
        """Return the disk as the next start may find it.

        Of the names either all changes arrived or none; of the data, any choice of sectors.
        """
        rng = random.Random(seed)
        names = self.files if rng.random() < 0.5 else self.durable_names
        chance = rng.choice([0.0, 0.2, 0.5, 0.8, 1.0])
        files: dict[str, File] = {}
        for name, file in names.items():
            data = bytearray(file.durable)
            for at in range(0, len(file.cached), SECTOR_BYTES):
                if rng.random() < chance:
                    _put(data, bytes(file.cached[at : at + SECTOR_BYTES]), at)
            files[name] = File(bytearray(data), bytearray(data))
        return FaultyDisk(files=files, durable_names=dict(files))

    def _count(self, operation: str) -> int | None:
        self.operations.append(operation)
        if self.fault_at is None or len(self.operations) - 1 != self.fault_at:
            return None
        if isinstance(self.fault, Exception):
            raise self.fault
        return self.fault

    def fail_next(self, fault: Exception | int, *, after: int = 0) -> None:
        """Make the operation after the next `after` ones fail."""
        self.fault_at, self.fault = len(self.operations) + after, fault


def no_space() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def broken() -> OSError:
    return OSError(errno.EIO, "Input/output error")


def _put(target: bytearray, data: bytes, offset: int) -> None:
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data
