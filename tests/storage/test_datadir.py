"""The data directory: made whole or not at all, and refused when it is another node's. SPEC L1."""

import errno
import json
import os
from pathlib import Path

import pytest

from cretonode.crypto.hashing import hash_of
from cretonode.errors import ConfigError
from cretonode.identifiers import ChainId, Incarnation, NodeId, VertexHash
from cretonode.storage import datadir
from cretonode.storage.datadir import (
    IDENTITY_FILE,
    JOURNAL_DIRECTORY,
    create_data_directory,
    open_data_directory,
)
from cretonode.storage.disk import PosixDisk
from cretonode.storage.errors import DirectoryError, JournalExists, JournalForeign, JournalMissing
from cretonode.storage.identity import Identity
from tests.storage.chain import IDENTITY

FIRST = Incarnation(0)


def test_a_new_directory_is_private_and_opens(tmp_path: Path) -> None:
    path = tmp_path / "a" / "data"
    made = create_data_directory(path, IDENTITY, FIRST)
    assert path.stat().st_mode & 0o777 == 0o700
    assert open_data_directory(path, IDENTITY) == made
    assert made.database_path == path / "db"
    opened = made.open_journal(FIRST)
    assert opened.records == ()
    opened.journal.close()


def test_a_mounted_directory_with_other_things_in_it_will_do(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    create_data_directory(tmp_path, IDENTITY, FIRST)
    assert (tmp_path / "keys").is_dir()
    open_data_directory(tmp_path, IDENTITY)


def test_a_directory_with_foreign_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(DirectoryError, match=r"holds what no node makes: 'holiday\.jpg'; choose"):
        create_data_directory(tmp_path, IDENTITY, FIRST)
    assert [child.name for child in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_directory_is_made_only_once(tmp_path: Path) -> None:
    create_data_directory(tmp_path, IDENTITY, FIRST)
    before = (tmp_path / IDENTITY_FILE).read_bytes()
    with pytest.raises(DirectoryError, match="is a data directory already"):
        create_data_directory(tmp_path, IDENTITY, FIRST)
    assert (tmp_path / IDENTITY_FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("identity", "sentence"),
    [
        (
            Identity(ChainId("main"), IDENTITY.genesis, IDENTITY.node_id),
            "belongs to chain 'test'; this node is on chain 'main'",
        ),
        (
            Identity(IDENTITY.chain_id, VertexHash(hash_of(b"?")), IDENTITY.node_id),
            "was made from genesis .* of chain 'test'; this node has genesis",
        ),
        (
            Identity(IDENTITY.chain_id, IDENTITY.genesis, NodeId(hash_of(b"?"))),
            "belongs to node .*; this node is",
        ),
    ],
    ids=["another chain", "another genesis", "another node"],
)
def test_another_nodes_directory_is_refused_in_one_sentence(
    tmp_path: Path, identity: Identity, sentence: str
) -> None:
    create_data_directory(tmp_path, IDENTITY, FIRST)
    with pytest.raises(DirectoryError, match=sentence) as caught:
        open_data_directory(tmp_path, identity)
    assert isinstance(caught.value, ConfigError), "the operator's mistake: exit code 2"


def test_another_layout_is_refused(tmp_path: Path) -> None:
    create_data_directory(tmp_path, IDENTITY, FIRST)
    file = tmp_path / IDENTITY_FILE
    fields = json.loads(file.read_bytes())
    file.write_text(json.dumps(fields | {"layout": 7}))
    with pytest.raises(DirectoryError, match="layout version 7; this software uses 1"):
        open_data_directory(tmp_path, IDENTITY)


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b'{"layout": 1, "chain_id": "test"}'])
def test_a_damaged_identity_is_refused(tmp_path: Path, damage: bytes) -> None:
    create_data_directory(tmp_path, IDENTITY, FIRST)
    (tmp_path / IDENTITY_FILE).write_bytes(damage)
    with pytest.raises(DirectoryError, match="not what `cretonode init` wrote"):
        open_data_directory(tmp_path, IDENTITY)


def test_a_changed_digit_of_the_identity_is_noticed(tmp_path: Path) -> None:
    create_data_directory(tmp_path, IDENTITY, FIRST)
    file = tmp_path / IDENTITY_FILE
    file.write_bytes(file.read_bytes().replace(b'"test"', b'"tost"'))
    with pytest.raises(DirectoryError, match="not what"):
        open_data_directory(tmp_path, IDENTITY)


def test_a_directory_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    advice = "for a validator that has never run.*only then run `cretonode init --lost`"
    with pytest.raises(DirectoryError, match=f"is no directory; .*{advice}"):
        open_data_directory(tmp_path / "missing", IDENTITY)
    with pytest.raises(DirectoryError, match=f"is no data directory; .*{advice}"):
        open_data_directory(tmp_path, IDENTITY)


def test_a_directory_made_for_a_lost_one_has_no_journal_or_the_one_left(tmp_path: Path) -> None:
    """Its start is amnesia, unless the journal is still there."""
    empty = create_data_directory(tmp_path / "empty", IDENTITY, FIRST, lost=True)
    with pytest.raises(JournalMissing):
        empty.open_journal(FIRST)
    whole = create_data_directory(tmp_path / "whole", IDENTITY, FIRST)
    (whole.path / IDENTITY_FILE).unlink()
    with pytest.raises(JournalExists):
        create_data_directory(whole.path, IDENTITY, FIRST)
    create_data_directory(whole.path, IDENTITY, FIRST, lost=True).open_journal(
        FIRST
    ).journal.close()


def test_a_directory_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests may run as root, for whom every directory can be written."""
    create_data_directory(tmp_path, IDENTITY, FIRST)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DirectoryError, match="no permission to write"):
        open_data_directory(tmp_path, IDENTITY)


def test_a_path_through_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DirectoryError, match=r"cannot be made: (Not a directory|File exists)"):
        create_data_directory(tmp_path / "file" / "data", IDENTITY, FIRST)


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("failing", ["create", "fill", "write", "sync", "rename", "sync_directory"])
def test_a_failure_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, exists: bool
) -> None:
    path = tmp_path / "parent" / "data"
    if exists:
        path.mkdir(parents=True)
        (path / "keys").mkdir()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PosixDisk, failing, fail)
    with pytest.raises(Exception, match="No space left on device"):
        create_data_directory(path, IDENTITY, FIRST)
    left = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))
    assert left == (["parent", "parent/data", "parent/data/keys"] if exists else [])


def test_a_failure_of_the_last_step_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(datadir, "_write_identity", fail)
    with pytest.raises(DirectoryError, match="Input/output error"):
        create_data_directory(tmp_path / "data", IDENTITY, FIRST)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_whose_journal_is_gone_is_amnesia(tmp_path: Path) -> None:
    made = create_data_directory(tmp_path, IDENTITY, FIRST)
    (tmp_path / JOURNAL_DIRECTORY).rename(tmp_path / "elsewhere")
    with pytest.raises(JournalMissing, match="what this node said is not known"):
        made.open_journal(FIRST)
    (tmp_path / JOURNAL_DIRECTORY).mkdir()
    with pytest.raises(JournalMissing, match="no birth record"):
        made.open_journal(FIRST)


def test_another_incarnations_journal_is_foreign(tmp_path: Path) -> None:
    made = create_data_directory(tmp_path, IDENTITY, FIRST)
    with pytest.raises(JournalForeign):
        made.open_journal(Incarnation(1))
