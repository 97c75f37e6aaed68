"""One process at a time in a data directory: a second one with the same votes could fork them."""

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from cretonode.storage.errors import DirectoryError, LockHeld

LOCK_FILE: Final = "lock"


class DirectoryLock:
    """Holds the lock of a data directory until `close` or the end of the process."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def close(self) -> None:
        """Let another process in. The file stays: removing it would let two in."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "DirectoryLock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def lock_directory(directory: Path) -> DirectoryLock:
    """Take the lock of `directory`. Does not wait.

    Raises: LockHeld, naming the process; DirectoryError, when the lock file cannot be opened.
    """
    path = directory / LOCK_FILE
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DirectoryError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise LockHeld(
                f"{directory} is in use by process {holder} (lock file {path})"
            ) from None
        raise DirectoryError(f"{path}: cannot be locked: {error.strerror}") from error
    return DirectoryLock(path, fd)
