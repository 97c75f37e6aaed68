"""Whole worlds over real journals and databases whose disks fail; and what these worlds would see.

Source: docs/spec/durability.md, docs/storage.md section 3. `just simulate disks=yes` plays more.
"""

from collections.abc import Callable

import pytest

from cretonode.core.records import AmnesiaEnded, HighCertificate, Promises, Record
from cretonode.identifiers import AuthorIndex
from cretonode.storage.store import Store
from tests.simulation import real_disk
from tests.simulation.real_disk import JournalDisk
from tests.simulation.real_world import play_real

SHORT = 3_000  # core steps


@pytest.mark.parametrize("seed", [0, 7, 12])
def test_no_disk_breaks_a_promise(seed: int) -> None:
    """SPEC C3, C8: lost unsynced sectors, full disks, flipped bits, lost files; and amnesia."""
    outcome, acted = play_real(seed, SHORT)
    again = f"just simulate disks=yes seed={seed} steps={SHORT} trace=yes"
    assert outcome.violation is None, f"{again}: {outcome.violation}"
    assert acted["rotations"] > 0
    assert acted["power cuts"] > 0


def test_the_same_seed_is_the_same_run() -> None:
    """Files have names and times of their own; nothing of these reaches the nodes."""
    first, second = (play_real(0, 1_500) for _ in range(2))
    assert first[0].trace_hash == second[0].trace_hash
    assert first[1] == second[1]


def without_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal writes its groups and does not sync them."""
    sync = JournalDisk.sync

    def forgotten(self: JournalDisk, name: str) -> None:
        if not self.puts_off:
            sync(self, name)

    monkeypatch.setattr(JournalDisk, "sync", forgotten)


def without_database_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Votes are given for vertices that are written and not synced."""
    monkeypatch.setattr(Store, "sync", lambda self: None)


def without_high(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation does not take the high certificate along."""
    records = Promises.records

    def forgotten(self: Promises) -> list[Record]:
        return [record for record in records(self) if not isinstance(record, HighCertificate)]

    monkeypatch.setattr(Promises, "records", forgotten)


def without_amnesia(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who lost its journal votes on with an empty one."""
    monkeypatch.setattr(real_disk, "AmnesiaBegun", lambda nonce: AmnesiaEnded(AuthorIndex(1_000)))


@pytest.mark.parametrize(
    ("plant", "first", "word"),
    [
        (without_sync, 2, "a journal nobody damaged is not believed"),
        (without_database_sync, 2, "operations were synced"),
        (without_high, 1, "the journal says"),
        (without_amnesia, 15, "contradicts itself"),
    ],
)
def test_a_planted_bug_of_storage_is_caught(
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    first: int,
    word: str,
) -> None:
    """An oracle is worth what it catches. `first`: a seed that did; any of the next will do."""
    plant(monkeypatch)
    seeds = range(first, first + 24)
    assert any(word in (play_real(seed, SHORT)[0].violation or "") for seed in seeds)
