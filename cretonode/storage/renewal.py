"""A new journal for a new incarnation: the old one is kept, and nothing in it counts any more.

The database enters the incarnation and names the new journal in one synced write; before it nothing
has changed, and after it the new journal gets its name, at the latest at the next start. All calls
block. Source: docs/spec/durability.md, section 11.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cretonode.identifiers import Incarnation
from cretonode.storage.amnesia import move_aside, sync_directory
from cretonode.storage.datadir import JOURNAL_DIRECTORY, DataDirectory, directory_errors
from cretonode.storage.disk import PosixDisk
from cretonode.storage.errors import JournalError
from cretonode.storage.journal import JournalMarker, create_journal, open_journal

RECOVERED_DIRECTORY: Final = "journal.recovered"  # the new one, until the old one has moved aside
BEFORE_PREFIX: Final = "journal.before-recovery-"


def renew_journal(
    directory: DataDirectory,
    incarnation: Incarnation,
    records: Sequence[bytes],
    enter: Callable[[JournalMarker], None],
) -> Path | None:
    """Put a new journal that begins with `records` in place of the old one.

    `enter` writes incarnation and marker to the database, synced, all or nothing. Returns where the
    old journal is kept now; None when there was none. Raises: DirectoryError, JournalError.
    """
    fresh = directory.path / RECOVERED_DIRECTORY
    with directory_errors(directory.path, "no new journal can be made"):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        with PosixDisk(fresh) as disk:
            journal = create_journal(disk, directory.identity, incarnation)
            if records:
                journal.append_synced(records)
            marker = journal.marker
            journal.close()
        sync_directory(directory.path)
    enter(marker)
    return finish_renewal(directory, incarnation, marker)


def finish_renewal(
    directory: DataDirectory, incarnation: Incarnation, marker: JournalMarker | None
) -> Path | None:
    """Give the new journal its name, when the database has entered its incarnation with it.

    Anything else that lies there is of a recovery that was cut short before, and is left alone.
    """
    fresh = directory.path / RECOVERED_DIRECTORY
    if marker is None or not fresh.is_dir():
        return None
    with directory_errors(directory.path, "the new journal cannot be put in place"):
        with PosixDisk(fresh) as disk:
            try:
                opened = open_journal(disk, directory.identity, incarnation)
            except JournalError:
                return None
            found = opened.journal.marker
            opened.journal.close()
        if found != marker:
            return None
        kept = move_aside(directory.path, BEFORE_PREFIX)
        fresh.rename(directory.path / JOURNAL_DIRECTORY)
        sync_directory(directory.path)
    return kept
