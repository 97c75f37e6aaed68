"""Reading a file that somebody named, which may be anything. Called by `load` and `genesis`."""

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path, bytes_max: int) -> bytes:
    """Return the first `bytes_max` bytes of a regular file; never waits, as on a pipe.

    Raises: OSError, for another kind of file, too; ValueError, for a path with a zero byte.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        return file.read(bytes_max)
