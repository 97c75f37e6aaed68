"""One process at a time in a data directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cretonode.storage.errors import DirectoryError, LockHeld
from cretonode.storage.lock import LOCK_FILE, lock_directory

HOLDER = """
import sys
from pathlib import Path
from cretonode.storage.lock import lock_directory
lock = lock_directory(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_lock_held_by_another_process_is_refused_naming_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(LockHeld) as caught:
            lock_directory(tmp_path)
        assert f"{tmp_path} is in use by process {holder.pid}" in str(caught.value)
        assert str(tmp_path / LOCK_FILE) in str(caught.value)
        holder.kill()
        holder.wait()
        # The lock dies with its process, however that ended; the file may stay.
        lock_directory(tmp_path).close()


def test_a_lock_is_refused_to_the_same_process_until_it_is_closed(tmp_path: Path) -> None:
    with lock_directory(tmp_path), pytest.raises(LockHeld, match=f"process {os.getpid()}"):
        lock_directory(tmp_path)
    with lock_directory(tmp_path) as again:
        assert again.path.read_text() == f"{os.getpid()}\n"


def test_a_directory_that_is_not_there_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(DirectoryError, match="cannot be opened: No such file"):
        lock_directory(tmp_path / "missing")
