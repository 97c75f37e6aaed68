"""The ways in which our own disk can fail us, below `StorageError` and `CorruptionError`."""

from cretonode.errors import ConfigError, CorruptionError, StorageError


class DirectoryError(StorageError, ConfigError):
    """A data directory is missing, not writable, taken, or another node's. Exit code 2."""


class LockHeld(DirectoryError):
    """Another process works in this data directory."""


class JournalError(StorageError):
    """The vote journal cannot vouch for what this node said."""


class JournalMissing(JournalError):
    """There is no birth record. Not a first start: `init` writes one. This is amnesia."""


class JournalExists(JournalError):
    """A journal is there already; a second birth would forget the first one's votes."""


class JournalForeign(JournalError):
    """The journal is another chain's, another node's or another incarnation's."""


class JournalOutdated(JournalError):
    """The journal ends before a position that was synced: an old copy was put back."""


class JournalDamaged(JournalError, CorruptionError):
    """Bytes that were synced are not what was written. Names file and place."""


class JournalStopped(JournalError):
    """A write or sync failed; nothing may be promised on this journal any more."""
