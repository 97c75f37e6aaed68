"""A listening Unix socket that is its owner's alone, at a path that two nodes never share.

Only Linux: it gives a socket the mode that was set before `bind`, and tells who connected.
Source: Linux unix(7); SPEC M3.
"""

import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from cretonode.errors import ConfigError
from cretonode.operator.protocol import SOCKET_PATH_BYTES_MAX

MODE: Final = 0o600
BACKLOG: Final = 16
CLAIM_MS: Final = 2_000  # for others that start in the same directory to get out of the way
CLAIM_RETRY_MS: Final = 10

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: process, user, group


@asynccontextmanager
async def listening_at(path: Path) -> AsyncGenerator[socket.socket]:
    """Listen at `path` with mode 0600; on the way out, remove it while still listening.

    A socket that nobody answers on is taken away first. The socket it yields does not block.
    Raises: ConfigError, when `path` is too long, taken, or cannot be made.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise ConfigError(
            f"node.operator_socket is {path}, {len(os.fsencode(path))} bytes; expected a path of "
            f"at most {SOCKET_PATH_BYTES_MAX} bytes"
        )
    listener = await _claim(path)
    with _removed_at_the_end(path, listener):
        yield listener


@contextmanager
def _removed_at_the_end(path: Path, listener: socket.socket) -> Generator[None]:
    try:
        own = path.lstat()
        try:
            yield
        finally:
            # While we listen nobody else takes the path for stale, so it is still ours unless
            # somebody moved it away by hand.
            with suppress(OSError):
                if os.path.samestat(path.lstat(), own):
                    path.unlink()
    finally:
        listener.close()


def peer_uid(connection: socket.socket | trio.socket.SocketType) -> int:
    """Return the user who connected, as the kernel noted it then."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(credentials)
    assert isinstance(uid, int), uid
    return uid


async def _claim(path: Path) -> socket.socket:
    with trio.move_on_after(CLAIM_MS / 1000):
        while True:
            with _config_errors(path):
                try:
                    with _locked(path.parent):
                        _remove_stale(path)
                        return _listen(path)
                except BlockingIOError:
                    pass
            await trio.sleep(CLAIM_RETRY_MS / 1000)
    raise ConfigError(f"node.operator_socket: another process holds {path.parent} locked")


@contextmanager
def _config_errors(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"node.operator_socket: cannot listen at {path}: {error.strerror}"
        ) from error


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    """Keep others out between the look for a stale socket and the new one.

    Raises: BlockingIOError, when another process is at it.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"node.operator_socket is {path}, which exists and is no socket")
    if _is_answered(path):
        raise ConfigError(
            f"node.operator_socket is {path}, where another node listens: "
            "stop it or give this one another path"
        )
    path.unlink()


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise  # another user's: whether stale or not, we cannot take it
            # Any other failure (a full queue, another type of socket) means somebody is there.
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
        return True


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The umask belongs to the whole process, threads included, so it is not touched: Linux
        # gives the file the mode of the socket, less the umask.
        os.fchmod(listener.fileno(), MODE)
        listener.bind(str(path))
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode & ~MODE:  # nobody can connect before `listen`
            path.unlink()
            raise ConfigError(
                f"node.operator_socket: the file system of {path} made it {mode:04o}; "
                f"expected {MODE:04o}"
            )
        listener.listen(BACKLOG)
        listener.settimeout(0)
    except BaseException:
        listener.close()
        raise
    return listener
