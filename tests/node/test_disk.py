"""Opening what a node keeps."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from cretonode.cli.layout import make_testnet
from cretonode.config.load import load
from cretonode.config.schema import Config
from cretonode.core.records import OwnVertex, Promises, ViewEntered
from cretonode.errors import StorageError
from cretonode.identifiers import AuthorIndex, VertexHash, View
from cretonode.node.disk import open_disk
from cretonode.node.node import identify
from cretonode.storage import amnesia
from cretonode.storage.errors import JournalError, JournalForeign
from cretonode.storage.store import Store
from cretonode.wire.records import encode_record
from tests.storage.crashes import CrashAfter


async def test_a_lost_database_beside_a_kept_journal_is_told(tmp_path: Path) -> None:
    node = make_testnet(tmp_path / "net", size=1)[0]
    config = load(node.config_path, environment={}, flags={})
    who = identify(config)
    told: list[int] = []
    for _ in range(2):
        with structlog.testing.capture_logs() as logs:
            async with open_disk(config, who.committee, who.me, who.secret.node_id) as disk:
                disk.journal.append_synced([encode_record(ViewEntered(View(1)))])
        told.append([line["event"] for line in logs].count("database_empty"))
        shutil.rmtree(config.storage.path)
    assert told == [0, 1], "a first start is no loss"


async def test_a_close_that_fails_does_not_hide_why_the_node_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk fails once more when it is closed; the operator needs the first error."""
    node = make_testnet(tmp_path / "net", size=1)[0]
    config = load(node.config_path, environment={}, flags={})
    who = identify(config)

    def fail(_: Store) -> None:
        raise StorageError("second")

    async def run() -> None:
        async with open_disk(config, who.committee, who.me, who.secret.node_id):
            monkeypatch.setattr(Store, "sync", fail)
            raise StorageError("first")

    with pytest.raises(StorageError, match="first"):
        await run()


def flip_log(database: Path) -> None:
    log = max(database.glob("*.log"))
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)


@pytest.mark.parametrize("is_settled", [False, True], ids=["last group", "an earlier group"])
async def test_a_damaged_log_of_the_database_is_cut_and_told(
    tmp_path: Path, *, is_settled: bool
) -> None:
    """A power cut leaves holes in what was not synced; it must not need an operator.

    An own vertex in the last group of the journal may never have reached the database.
    """
    config = four(tmp_path)
    who = identify(config)
    database = Path(config.storage.path)
    async with open_disk(config, who.committee, who.me, who.secret.node_id) as disk:
        own = OwnVertex(AuthorIndex(1), VertexHash(bytes(32)))
        disk.journal.append_synced([encode_record(own)])
        if is_settled:
            disk.journal.append_synced([encode_record(ViewEntered(View(1)))])
        for number in range(20):
            disk.store.put_peer(b"peer", b"%d" % number * 100)
        shutil.copytree(database, tmp_path / "killed")
    shutil.rmtree(database)
    (tmp_path / "killed").rename(database)
    flip_log(database)
    with structlog.testing.capture_logs() as logs:
        async with open_disk(config, who.committee, who.me, who.secret.node_id) as disk:
            left = dict(disk.store.peers())[b"peer"]
    assert left in [b"%d" % number * 100 for number in range(1, 19)]
    told = next(line for line in logs if line["event"] == "database_log_cut")
    assert str(database) in told["cause"]
    assert told["log_level"] == ("error" if is_settled else "warning")


def four(tmp_path: Path, which: int = 0) -> Config:
    """Return the configuration of one of four nodes."""
    config_path = make_testnet(tmp_path / f"net-{which}", size=4)[which].config_path
    return load(config_path, environment={}, flags={})


async def promises_of(config: Config, *views: int) -> Promises:
    """Open the disk, enter views, and return what the journal promised when it was opened."""
    who = identify(config)
    async with open_disk(config, who.committee, who.me, who.secret.node_id) as disk:
        for view in views:
            disk.journal.append_synced([encode_record(ViewEntered(View(view)))])
            disk.store.apply((), journal=disk.journal.marker)
        return disk.take_restored().promises


def journal_of(config: Config) -> Path:
    return Path(config.node.data_dir) / "journal"


def flip(journal: Path) -> None:
    segment = next(journal.glob("segment-*"))
    data = bytearray(segment.read_bytes())
    data[4096 + 300] ^= 1
    segment.write_bytes(data)


def put_back(journal: Path) -> None:
    """Of the groups only the first is left."""
    segment = next(journal.glob("segment-*"))
    data = segment.read_bytes()
    segment.write_bytes(data[:8192] + bytes(len(data) - 8192))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped byte": flip,
    "the directory is gone": shutil.rmtree,
    "the birth record is gone": lambda journal: (journal / "birth").unlink(),
    "the segment is gone": lambda journal: next(journal.glob("segment-*")).unlink(),
    "an old copy": put_back,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_a_lost_journal_makes_an_amnesiac_and_stays_where_it_can_be_looked_at(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    config = four(tmp_path)
    await promises_of(config, 1, 2, 3)
    journal = journal_of(config)
    damage(journal)
    left = {path.name: path.read_bytes() for path in journal.glob("*")}
    first = await promises_of(config)
    assert first.amnesia is not None
    assert first.view == 0, "nothing of the old one is believed"
    kept = journal.with_name("journal.damaged-1")
    assert {path.name: path.read_bytes() for path in kept.glob("*")} == left
    assert (await promises_of(config)).amnesia == first.amnesia, "it is durable"
    assert not journal.with_name("journal.damaged-2").exists()


@pytest.mark.parametrize("step", range(5))
async def test_a_crash_on_the_way_into_amnesia_is_amnesia_again(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step ends with a sync of the directory or of the database; the crash comes after it."""
    config = four(tmp_path)
    await promises_of(config, 1, 2, 3)
    put_back(journal_of(config))
    crash_after = CrashAfter(step)
    with monkeypatch.context() as killing:
        killing.setattr(amnesia, "sync_directory", crash_after(amnesia.sync_directory))
        killing.setattr(Store, "put_journal_marker", crash_after(Store.put_journal_marker))
        killed = False
        try:
            await promises_of(config)
        except (InterruptedError, StorageError):
            killed = True
    assert killed == (step < 4), "four steps"
    promises = await promises_of(config)
    assert promises.amnesia is not None
    assert list(journal_of(config).parent.glob("journal.damaged-*/segment-*")), "it is kept"


async def test_a_foreign_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Another chain's journal is a mistake of the operator's, not a loss."""
    config = four(tmp_path)
    other = four(tmp_path, 1)
    shutil.rmtree(journal_of(config))
    shutil.copytree(journal_of(other), journal_of(config))
    with pytest.raises(JournalForeign, match="was made from genesis"):
        await promises_of(config)
    assert not journal_of(config).with_name("journal.damaged-1").exists()


async def test_who_is_alone_cannot_find_back(tmp_path: Path) -> None:
    node = make_testnet(tmp_path / "net", size=1)[0]
    config = load(node.config_path, environment={}, flags={})
    shutil.rmtree(journal_of(config))
    with pytest.raises(JournalError, match=r"only a new incarnation .*`cretonode recover`"):
        await promises_of(config)
