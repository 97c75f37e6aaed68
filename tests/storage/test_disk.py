"""The file operations of the journal reach the operating system in the order that matters."""

import os
from pathlib import Path

import pytest

from cretonode.storage.disk import PosixDisk


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calls made, in order."""
    made: list[str] = []
    for name in ("pwrite", "pread", "fdatasync", "fsync", "posix_fadvise"):
        real = getattr(os, name)

        def record(*arguments: object, name: str = name, real: object = real) -> object:
            made.append(name)
            assert callable(real)
            return real(*arguments)

        monkeypatch.setattr(os, name, record)
    return made


def test_a_file_is_synced_and_dropped_from_the_cache_before_it_is_read(
    tmp_path: Path, calls: list[str]
) -> None:
    """A predecessor may have been killed before its sync, or its sync may have failed."""
    with PosixDisk(tmp_path) as disk:
        disk.create("file")
        disk.write("file", b"content", 0)
        calls.clear()
        assert disk.read("file") == b"content"
        assert calls == ["fdatasync", "posix_fadvise", "pread"]


def test_a_sync_is_one_fdatasync_of_the_file_and_a_directory_has_its_own(
    tmp_path: Path, calls: list[str]
) -> None:
    with PosixDisk(tmp_path) as disk:
        disk.create("file")
        disk.sync("file")
        disk.sync_directory()
    assert calls == ["fdatasync", "fsync"]


def test_a_filled_file_has_zeros_that_were_written_and_synced(
    tmp_path: Path, calls: list[str]
) -> None:
    with PosixDisk(tmp_path) as disk:
        disk.create("file")
        disk.write("file", b"content", 0)
        calls.clear()
        disk.fill("file", 2_500_000)
        assert calls == ["pwrite", "pwrite", "pwrite", "fsync"]
        assert disk.read("file") == b"content".ljust(2_500_000, b"\0")
    assert (tmp_path / "file").stat().st_blocks * 512 >= 2_500_000, "not a hole"


def test_a_renamed_file_is_written_under_its_new_name(tmp_path: Path) -> None:
    with PosixDisk(tmp_path) as disk:
        disk.create("old")
        disk.create("new")
        disk.write("old", b"1", 0)
        disk.rename("old", "new")
        disk.write("new", b"2", 1)
        assert disk.names() == ["new"]
        assert disk.read("new") == b"12"
        disk.remove("new")
        assert disk.names() == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "file").symlink_to("target")
    with PosixDisk(tmp_path) as disk:
        with pytest.raises(OSError, match="symbolic"):
            disk.create("file")
        with pytest.raises(OSError, match="symbolic"):
            disk.read("file")
    assert (tmp_path / "target").read_bytes() == b"precious"
