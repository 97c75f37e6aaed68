"""The few file operations that the vote journal needs, so that tests can make them fail.

Every call blocks. Source: docs/spec/durability.md, section 6.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

ZEROS_BYTES: Final = 1024 * 1024  # written at once while a file is filled
FILE_MODE: Final = 0o600


class Disk(Protocol):
    """One flat directory. Satisfied by PosixDisk and by the tests' FaultyDisk.

    Raises: OSError, from any of these.
    """

    @property
    def where(self) -> str:
        """The directory, for messages."""
        ...

    def names(self) -> list[str]:
        """Return the names of the files, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """Return the whole file as it is on the disk: what was not synced before is now."""
        ...

    def create(self, name: str) -> None:
        """Make an empty file, in place of one that has the name."""
        ...

    def write(self, name: str, data: bytes, offset: int) -> int:
        """Write once; return how many bytes were taken."""
        ...

    def fill(self, name: str, size: int) -> None:
        """Extend with written zeros up to `size` and sync, so that later writes only overwrite."""
        ...

    def sync(self, name: str) -> None:
        """Return when the data of the file survives a power cut."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, atomically."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file."""
        ...

    def sync_directory(self) -> None:
        """Return when names survive a power cut."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class PosixDisk:
    """A directory of the operating system. Owns the descriptors of the files it has opened."""

    def __init__(self, directory: Path) -> None:
        """Raises: OSError, when `directory` cannot be opened."""
        self._directory = directory
        self._directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._fds: dict[str, int] = {}

    @property
    def where(self) -> str:
        """The directory, for messages."""
        return str(self._directory)

    def names(self) -> list[str]:
        """Return the names of the files, sorted."""
        return sorted(path.name for path in self._directory.iterdir())

    def read(self, name: str) -> bytes:
        """Return the whole file as it is on the disk."""
        fd = self._open(name)
        os.fdatasync(fd)
        # After a failed sync the page cache may hold what the disk does not: read the disk.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        size = os.fstat(fd).st_size
        parts: list[bytes] = []
        offset = 0
        while offset < size:
            part = os.pread(fd, size - offset, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def create(self, name: str) -> None:
        """Make an empty file, in place of one that has the name."""
        self._forget(name)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fds[name] = os.open(name, flags, FILE_MODE, dir_fd=self._directory_fd)

    def write(self, name: str, data: bytes, offset: int) -> int:
        """Write once; return how many bytes were taken."""
        return os.pwrite(self._open(name), data, offset)

    def fill(self, name: str, size: int) -> None:
        """Extend with written zeros up to `size` and sync."""
        # Reserved but unwritten blocks would cost every later fdatasync a journal commit.
        fd = self._open(name)
        offset = os.fstat(fd).st_size
        zeros = bytes(ZEROS_BYTES)
        while offset < size:
            offset += os.pwrite(fd, zeros[: size - offset], offset)
        os.fsync(fd)

    def sync(self, name: str) -> None:
        """Return when the data of the file survives a power cut."""
        os.fdatasync(self._open(name))

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, atomically."""
        directory = self._directory_fd
        os.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)
        self._forget(new)
        if old in self._fds:
            self._fds[new] = self._fds.pop(old)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._forget(name)
        os.unlink(name, dir_fd=self._directory_fd)

    def sync_directory(self) -> None:
        """Return when names survive a power cut."""
        os.fsync(self._directory_fd)

    def close(self) -> None:
        """Close every descriptor."""
        for name in list(self._fds):
            self._forget(name)
        if self._directory_fd >= 0:
            os.close(self._directory_fd)
            self._directory_fd = -1

    def __enter__(self) -> "PosixDisk":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, name: str) -> int:
        fd = self._fds.get(name)
        if fd is None:
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = self._fds[name] = os.open(name, flags, dir_fd=self._directory_fd)
        return fd

    def _forget(self, name: str) -> None:
        fd = self._fds.pop(name, None)
        if fd is not None:
            os.close(fd)
