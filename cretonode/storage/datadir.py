"""The data directory of one node: its layout, how it is made, and whose it is.

    identity   chain, genesis, node and layout version, as text with a checksum
    lock       held by the running process (`lock.py`)
    journal/   the vote journal (`journal.py`); journal.damaged-1, ...: lost ones (`amnesia.py`)
    history/   what operators saw, for looking back (`node.history`)
    db/        the database, unless the configuration puts it elsewhere

All calls block. Source: docs/storage.md, section 1.
"""

import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import ChainId, Incarnation, NodeId, VertexHash
from cretonode.storage.disk import PosixDisk
from cretonode.storage.errors import DirectoryError, JournalMissing
from cretonode.storage.identity import Identity, difference
from cretonode.storage.journal import JournalMarker, Opened, create_journal, open_journal

LAYOUT_VERSION: Final = 1
IDENTITY_FILE: Final = "identity"
JOURNAL_DIRECTORY: Final = "journal"
DATABASE_DIRECTORY: Final = "db"
DIRECTORY_MODE: Final = 0o700
# Votes that nobody remembers may be contradicted: `init` must not look like the way to mend a loss.
MAKE_IT: Final = (
    "`cretonode init` makes it for a validator that has never run; if this one has, look for what "
    "it kept, such as a volume that is not mounted, and only then run `cretonode init --lost`"
)
# What may stand in a directory before `init`: what the default paths put there, an earlier attempt
# that ended early, and what a file system puts into a volume of its own.
EXPECTED_NAMES: Final = frozenset(
    {
        DATABASE_DIRECTORY, JOURNAL_DIRECTORY, IDENTITY_FILE + ".unfinished", "lock", "keys",
        "backups", "history", "genesis.json", "node.toml", "operator.sock", "lost+found",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A directory that is known to be this node's."""

    path: Path
    identity: Identity

    @property
    def database_path(self) -> Path:
        """Where the database is unless configured otherwise."""
        return self.path / DATABASE_DIRECTORY

    def open_journal(
        self, incarnation: Incarnation, *, at_least: JournalMarker | None = None
    ) -> Opened:
        """Open the vote journal. Raises: JournalError and its kinds; see `open_journal`."""
        path = self.path / JOURNAL_DIRECTORY
        if not path.is_dir():
            raise JournalMissing(f"vote journal {path} is gone: what this node said is not known")
        with directory_errors(path, "cannot be opened"):
            disk = PosixDisk(path)
        try:
            return open_journal(disk, self.identity, incarnation, at_least=at_least)
        except BaseException:
            disk.close()
            raise


def create_data_directory(
    path: Path, identity: Identity, incarnation: Incarnation, *, lost: bool = False
) -> DataDirectory:
    """Make the directory (0700), the journal's birth record and, last, the identity file.

    The directory may exist, as a mounted volume does, and hold a node's other things, as keys.
    `lost`: the node has run before, so no journal is begun. One that is there still stays; without
    one the node starts as an amnesiac.
    After a failure nothing is left of what was made here.
    Raises: DirectoryError, JournalError.
    """
    if (path / IDENTITY_FILE).exists():
        raise DirectoryError(f"{path} is a data directory already; nothing was changed")
    _check_nothing_foreign(path)
    made: list[Path] = []
    with directory_errors(path, "cannot be made"):
        try:
            _make_directory(path, made)
            if not lost:
                journal = path / JOURNAL_DIRECTORY
                _make_directory(journal, made)
                with PosixDisk(journal) as disk:
                    create_journal(disk, identity, incarnation).close()
            _write_identity(path, identity, made)
        except BaseException:
            _undo(made)
            raise
    return DataDirectory(path, identity)


def open_data_directory(path: Path, identity: Identity) -> DataDirectory:
    """Return the directory when it is this node's and can be written.

    Raises: DirectoryError, saying in one sentence what is wrong.
    """
    file = path / IDENTITY_FILE
    if not path.is_dir():
        raise DirectoryError(f"{path} is no directory; {MAKE_IT}")
    try:
        found = _parse_identity(file.read_bytes(), file)
    except FileNotFoundError:
        raise DirectoryError(f"{path} is no data directory; {MAKE_IT}") from None
    except OSError as error:
        raise DirectoryError(f"{file}: cannot be read: {error.strerror}") from error
    other = difference(found, identity)
    if other is not None:
        raise DirectoryError(f"{path} {other}")
    if not os.access(path, os.W_OK | os.X_OK):
        raise DirectoryError(f"{path}: no permission to write")
    return DataDirectory(path, identity)


def _check_nothing_foreign(path: Path) -> None:
    with directory_errors(path, "cannot be read"):
        present = {child.name for child in path.iterdir()} if path.is_dir() else set[str]()
    foreign = sorted(present - EXPECTED_NAMES)
    if foreign:
        shown = ", ".join(ascii(name) for name in foreign[:3]) + (", ..." if foreign[3:] else "")
        raise DirectoryError(
            f"{path} holds what no node makes: {shown}; choose a directory of its own"
        )


def _make_directory(path: Path, made: list[Path]) -> None:
    for missing in reversed([p for p in (path, *path.parents) if not p.exists()]):
        missing.mkdir(mode=DIRECTORY_MODE)
        made.append(missing)


def _write_identity(path: Path, identity: Identity, made: list[Path]) -> None:
    unfinished = path / (IDENTITY_FILE + ".unfinished")
    made.append(unfinished)
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(_format_identity(identity))
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path / IDENTITY_FILE)
    made.append(path / IDENTITY_FILE)
    for directory in (path, path.parent):
        directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory_fd)
        finally:
            os.close(directory_fd)


def _undo(made: list[Path]) -> None:
    # A failure to clean up must not hide the failure that matters.
    for path in reversed(made):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _format_identity(identity: Identity) -> bytes:
    fields: dict[str, str | int] = {
        "layout": LAYOUT_VERSION,
        "chain_id": identity.chain_id,
        "genesis": identity.genesis.hex(),
        "node_id": identity.node_id.hex(),
    }
    fields["checksum"] = hash_of(json.dumps(fields, sort_keys=True).encode()).hex()
    return json.dumps(fields, indent=2).encode() + b"\n"


def _parse_identity(data: bytes, file: Path) -> Identity:
    damaged = DirectoryError(f"{file}: it is not what `cretonode init` wrote")
    try:
        fields: object = json.loads(data)
    except ValueError:
        raise damaged from None
    match fields:
        case {"layout": int(layout)} if layout != LAYOUT_VERSION:
            raise DirectoryError(
                f"{file}: layout version {layout}; this software uses {LAYOUT_VERSION}"
            )
        case {"chain_id": str(chain), "genesis": str(genesis), "node_id": str(node)}:
            try:
                hashes = bytes.fromhex(genesis), bytes.fromhex(node)
            except ValueError:
                raise damaged from None
            identity = Identity(ChainId(chain), VertexHash(hashes[0]), NodeId(hashes[1]))
            if data == _format_identity(identity):  # the checksum is in it
                return identity
            raise damaged
        case _:
            raise damaged


@contextmanager
def directory_errors(path: Path, what: str) -> Generator[None]:
    """Translate what the operating system says about `path`."""
    try:
        yield
    except OSError as error:
        raise DirectoryError(f"{path} {what}: {error.strerror or error}") from error
