"""Beginning a new journal when the old one cannot vouch for what this node said.

The old one is moved aside and never deleted. A crash at any moment leaves a directory whose next
start is amnesia again, or the new journal, whose first record says that it is. All calls block.
Source: docs/spec/durability.md, section 8.
"""

import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

from cretonode.identifiers import Incarnation
from cretonode.storage.datadir import JOURNAL_DIRECTORY, DataDirectory, directory_errors
from cretonode.storage.disk import PosixDisk
from cretonode.storage.journal import JournalMarker, create_journal

FRESH_DIRECTORY: Final = "journal.fresh"  # without its name until it is whole
DAMAGED_PREFIX: Final = "journal.damaged-"


def begin_again(
    directory: DataDirectory,
    incarnation: Incarnation,
    first: bytes,
    remember: Callable[[JournalMarker], None],
) -> Path | None:
    """Put a new journal, whose first record is `first`, in place of the old one.

    `remember` makes a marker durable in the database; the old one names a place that the new
    journal does not have. Returns where the old journal is kept now; None when there was none.
    Raises: DirectoryError, JournalError.
    """
    fresh = directory.path / FRESH_DIRECTORY
    with directory_errors(directory.path, "no new journal can be made"):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        with PosixDisk(fresh) as disk:
            journal = create_journal(disk, directory.identity, incarnation)
            journal.append_synced([first])
            marker = journal.marker
            journal.close()
        sync_directory(directory.path)
        # While the old one has its name, the marker must be the old one's: an old copy that was
        # put back would pass under the new one.
        kept = move_aside(directory.path, DAMAGED_PREFIX)
        remember(marker)
        fresh.rename(directory.path / JOURNAL_DIRECTORY)
        sync_directory(directory.path)
    return kept


def move_aside(path: Path, prefix: str) -> Path | None:
    """Give the journal, if there is one, the next free name that starts with `prefix`."""
    old = path / JOURNAL_DIRECTORY
    if not old.exists() and not old.is_symlink():
        return None
    kept = next(k for i in count(1) if not (k := path / f"{prefix}{i}").exists())
    old.rename(kept)
    sync_directory(path)
    return kept


def sync_directory(path: Path) -> None:
    """Make new names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
