"""The RocksDB backend: rows come back, crashes leave prefixes, damage is named. SPEC S6."""

import os
import random
import shutil
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cretonode.errors import CorruptionError, StorageError
from cretonode.storage.backend import Compression, DatabaseOptions
from cretonode.storage.rocksdb import RocksBackend
from cretonode.storage.schema import Family
from cretonode.storage.segment import SECTOR_BYTES
from tests.storage.small import small_options

OPTIONS = small_options()
ROWS = [(bytes([i]) * 3, bytes([i])) for i in range(1, 9)]


@pytest.fixture
def backend(tmp_path: Path, template: Path) -> Iterator[RocksBackend]:
    shutil.copytree(template, tmp_path / "db")
    opened = RocksBackend(tmp_path / "db", OPTIONS)
    yield opened
    opened.close()


def fill(backend: RocksBackend, family: Family = Family.EDGES) -> None:
    batch = backend.batch()
    for key, value in ROWS:
        batch.put(family, key, value)
    backend.write(batch)


def test_rows_are_read_back_and_families_are_apart(backend: RocksBackend) -> None:
    fill(backend)
    assert backend.get(Family.EDGES, ROWS[0][0]) == ROWS[0][1]
    assert backend.get(Family.VERTICES, ROWS[0][0]) is None
    keys = [ROWS[3][0], b"absent", ROWS[1][0]]
    assert backend.multi_get(Family.EDGES, keys) == [ROWS[3][1], None, ROWS[1][1]]
    assert backend.multi_get(Family.EDGES, []) == []


def test_a_batch_changes_all_or_nothing_in_order(backend: RocksBackend) -> None:
    batch = backend.batch()
    batch.put(Family.STATE, b"a", b"1")
    batch.put(Family.UNFINAL, b"a", b"")
    batch.delete(Family.UNFINAL, b"a")
    batch.put(Family.STATE, b"a", b"2")
    assert backend.get(Family.STATE, b"a") is None
    backend.write(batch)
    assert backend.get(Family.STATE, b"a") == b"2"
    assert backend.get(Family.UNFINAL, b"a") is None


def test_a_scan_yields_what_is_between_in_both_directions(backend: RocksBackend) -> None:
    fill(backend)
    for low in (b"", ROWS[0][0], ROWS[2][0], b"\x03\x00", b"\xff"):
        for high in (None, b"", ROWS[2][0], ROWS[7][0], b"\x03\x00", b"\xff"):
            expected = [row for row in ROWS if low <= row[0] and (high is None or row[0] < high)]
            assert list(backend.scan(Family.EDGES, low, high)) == expected
            assert list(backend.scan(Family.EDGES, low, high, backward=True)) == expected[::-1]


def test_a_prefix_scan_stops_at_the_end_of_the_prefix(backend: RocksBackend) -> None:
    keys = [b"\xff\xfe", b"\xff\xff", b"\xff\xff\x01", b"a", b"a\xff\xff", b"ab", b"b"]
    batch = backend.batch()
    for key in keys:
        batch.put(Family.PEERS, key, b"")
    backend.write(batch)
    for prefix in (b"", b"a", b"b", b"\xff", b"\xff\xff", b"c"):
        expected = sorted(key for key in keys if key.startswith(prefix))
        assert [key for key, _ in backend.scan_prefix(Family.PEERS, prefix)] == expected
        found = [key for key, _ in backend.scan_prefix(Family.PEERS, prefix, backward=True)]
        assert found == expected[::-1]


def test_a_scan_shows_one_moment(backend: RocksBackend) -> None:
    fill(backend)
    rows = backend.scan(Family.EDGES)
    first = next(rows)
    batch = backend.batch()
    batch.delete(Family.EDGES, ROWS[4][0])
    batch.put(Family.EDGES, b"\x02\x00", b"new")
    backend.write(batch)
    assert [first, *rows] == ROWS


def test_large_values_and_empty_ones_are_kept(tmp_path: Path) -> None:
    values = {b"empty": b"", b"small": b"x", b"large": os.urandom(512 * 1024)}
    path = tmp_path / "db"
    backend = RocksBackend(path, OPTIONS)
    batch = backend.batch()
    for key, value in values.items():
        batch.put(Family.PAYLOADS, key, value)
    backend.write(batch)
    backend.compact()
    backend.close()
    assert list(path.glob("*.blob")), "large values are in files of their own"
    backend = RocksBackend(path, OPTIONS)
    assert {key: backend.get(Family.PAYLOADS, key) for key in values} == values
    assert backend.sizes()[Family.PAYLOADS] > 512 * 1024
    backend.close()


@pytest.mark.parametrize("compression", Compression)
def test_every_compression_is_built_in(tmp_path: Path, compression: Compression) -> None:
    options = DatabaseOptions(cache_size_mb=8, write_buffer_mb=1, compression=compression)
    backend = RocksBackend(tmp_path, options)
    batch = backend.batch()
    batch.put(Family.PAYLOADS, b"key", b"value" * 10_000)
    batch.put(Family.EDGES, b"key", b"value" * 10_000)
    backend.write(batch)
    backend.compact()
    assert backend.get(Family.PAYLOADS, b"key") == b"value" * 10_000
    packed = compression is not Compression.NONE
    assert (backend.sizes()[Family.PAYLOADS] < 10_000) == packed
    assert (backend.sizes()[Family.EDGES] < 10_000) == packed
    backend.close()


def test_threads_share_a_database(backend: RocksBackend) -> None:
    fill(backend)
    found: list[object] = []

    def work() -> None:
        found.append(list(backend.scan(Family.EDGES)))
        fill(backend, Family.PEERS)
        backend.flush_wal(sync=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [ROWS] * 4
    assert list(backend.scan(Family.PEERS)) == ROWS


def test_a_copy_made_online_is_a_database(backend: RocksBackend, tmp_path: Path) -> None:
    fill(backend)
    backend.snapshot_to(tmp_path / "copy")
    fill(backend, Family.PEERS)
    copy = RocksBackend(tmp_path / "copy", OPTIONS)
    assert list(copy.scan(Family.EDGES)) == ROWS
    assert list(copy.scan(Family.PEERS)) == []
    copy.close()


def test_a_second_process_or_handle_is_refused(backend: RocksBackend) -> None:
    with pytest.raises(StorageError, match=f"database {backend.path}: open: .*LOCK"):
        RocksBackend(backend.path, OPTIONS)


def test_an_unusable_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=f"database {tmp_path}/file/db: open"):
        RocksBackend(tmp_path / "file" / "db", OPTIONS)


def test_a_closed_database_is_an_error_not_a_crash(tmp_path: Path) -> None:
    backend = RocksBackend(tmp_path, OPTIONS)
    backend.close()
    with pytest.raises(StorageError, match="closed"):
        backend.flush_wal(sync=True)


def test_metrics_count_what_happened(backend: RocksBackend) -> None:
    fill(backend)
    before = backend.metrics()
    assert before.write_buffer_bytes > 0
    backend.compact()
    for key, _ in ROWS:
        backend.get(Family.EDGES, key)
    metrics = backend.metrics()
    assert metrics.disk_bytes > 0
    assert metrics.cache_bytes > 0
    assert metrics.cache_hits + metrics.cache_misses > 0
    assert metrics.compaction_micros >= 0


def test_options_out_of_range_are_named_all_at_once() -> None:
    options = DatabaseOptions(cache_size_mb=0, levels=9, background_threads=0)
    assert options.problems() == [
        "cache_size_mb is 0; expected 4 to 1048576",
        "levels is 9; expected 2 to 7",
        "background_threads is 0; expected 1 to 64",
    ]
    assert DatabaseOptions().problems() == small_options().problems() == []


# --- damage


@pytest.fixture
def flushed(tmp_path: Path, template: Path) -> tuple[Path, dict[bytes, bytes]]:
    """A closed database with rows in tables and in files of large values."""
    path = tmp_path / "damaged"
    shutil.copytree(template, path)
    backend = RocksBackend(path, OPTIONS)
    rows = {os.urandom(32): os.urandom(200 if i % 2 else 6000) for i in range(200)}
    batch = backend.batch()
    for key, value in rows.items():
        batch.put(Family.PAYLOADS, key, value)
    backend.write(batch)
    backend.compact()
    backend.close()
    return path, rows


@pytest.mark.parametrize("kind", ["sst", "blob"])
def test_a_flipped_byte_in_a_table_is_never_served(
    flushed: tuple[Path, dict[bytes, bytes]], kind: str
) -> None:
    path, rows = flushed
    file = max(path.glob(f"*.{kind}"), key=lambda p: p.stat().st_size)
    whole = file.read_bytes()
    noticed = 0
    for part in range(1, 10):
        at = len(whole) * part // 10
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        noticed += _find_damage(path, rows)
    assert noticed >= 8, "all but what is not needed to read a row"


def _find_damage(path: Path, rows: dict[bytes, bytes]) -> bool:
    """Return whether damage was reported; fail when a wrong or missing row was served."""
    reports: list[CorruptionError] = []

    @contextmanager
    def reporting() -> Generator[None]:
        try:
            yield
        except CorruptionError as error:
            reports.append(error)

    backend: RocksBackend | None = None
    with reporting():
        backend = RocksBackend(path, OPTIONS)
    if backend is not None:
        for key, value in rows.items():
            with reporting():
                assert backend.get(Family.PAYLOADS, key) == value
        for backward in (False, True):
            with reporting():
                found = dict(backend.scan(Family.PAYLOADS, backward=backward))
                assert found == rows, "a scan that ends early must not look whole"
        backend.close()
    assert all(f"database {path}: " in str(error) for error in reports)
    return bool(reports)


@pytest.fixture
def log_of_turns(tmp_path: Path) -> tuple[Path, Path]:
    """A copy of a database whose 40 writes are only in its log, as after a crash."""
    backend = RocksBackend(tmp_path / "db", OPTIONS)
    for turn in range(40):
        batch = backend.batch()
        batch.put(Family.STATE, b"turn", b"%d" % turn)
        batch.put(Family.PAYLOADS, b"%02d" % turn, bytes(200))
        backend.write(batch)
    backend.flush_wal(sync=True)
    copy = tmp_path / "copy"
    shutil.copytree(backend.path, copy)
    backend.close()
    return copy, max(copy.glob("*.log"), key=lambda p: p.stat().st_size)


def test_a_log_cut_anywhere_gives_a_prefix_of_the_writes(log_of_turns: tuple[Path, Path]) -> None:
    path, log = log_of_turns
    pristine = path.with_name("pristine")
    path.rename(pristine)
    size = (pristine / log.name).stat().st_size
    counts = []
    for part in range(12):
        shutil.copytree(pristine, path)
        os.truncate(log, size * part // 12)
        backend = RocksBackend(path, OPTIONS)
        turns = [int(key) for key, _ in backend.scan(Family.PAYLOADS)]
        last = backend.get(Family.STATE, b"turn")
        backend.close()
        assert turns == list(range(len(turns)))
        assert last == (b"%d" % turns[-1] if turns else None)
        counts.append(len(turns))
        shutil.rmtree(path)
    assert counts == sorted(counts)
    assert counts[-1] > 30


@pytest.mark.parametrize("lost", [0, 7])
def test_a_torn_tail_is_nothing_to_speak_of(log_of_turns: tuple[Path, Path], lost: int) -> None:
    path, log = log_of_turns
    os.truncate(log, log.stat().st_size - lost)
    backend = RocksBackend(path, OPTIONS)
    assert backend.log_cut is None
    backend.close()


def test_a_flipped_byte_inside_the_log_is_told_and_what_is_before_it_kept(
    log_of_turns: tuple[Path, Path],
) -> None:
    """With RocksDB's default recovery mode, synced records vanish behind it silently."""
    path, log = log_of_turns
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    backend = RocksBackend(path, OPTIONS)
    assert backend.log_cut is not None
    assert backend.log_cut.startswith(f"database {path}: open: Corruption")
    turns = [int(key) for key, _ in backend.scan(Family.PAYLOADS)]
    backend.close()
    assert turns == list(range(len(turns)))
    assert 10 < len(turns) < 30


@pytest.mark.parametrize("seed", range(6))
def test_sectors_lost_behind_a_sync_lose_nothing_before_it(tmp_path: Path, seed: int) -> None:
    """A power cut leaves any sectors of what was not synced: docs/spec/durability.md, 4."""
    rng = random.Random(seed)
    backend = RocksBackend(tmp_path / "db", OPTIONS)
    synced = 0
    for turn in range(40):
        batch = backend.batch()
        batch.put(Family.PAYLOADS, b"%02d" % turn, rng.randbytes(900))
        backend.write(batch)
        if turn == 20:
            backend.flush_wal(sync=True)
            synced = max((tmp_path / "db").glob("*.log")).stat().st_size
    copy = tmp_path / "copy"
    shutil.copytree(backend.path, copy)
    backend.close()
    log = max(copy.glob("*.log"))
    data = bytearray(log.read_bytes())
    for start in range(synced - synced % SECTOR_BYTES, len(data), SECTOR_BYTES):
        first, last = max(start, synced), min(start + SECTOR_BYTES, len(data))
        if rng.random() < 0.3:
            data[first:last] = bytes(last - first)
    log.write_bytes(data)
    backend = RocksBackend(copy, OPTIONS)
    turns = [int(key) for key, _ in backend.scan(Family.PAYLOADS)]
    backend.close()
    assert turns == list(range(len(turns)))
    assert len(turns) >= 21


def test_a_damaged_table_of_contents_is_an_error(log_of_turns: tuple[Path, Path]) -> None:
    """Only the log is cut: what was flushed must be all there."""
    path, _ = log_of_turns
    manifest = next(path.glob("MANIFEST-*"))
    data = bytearray(manifest.read_bytes())
    data[len(data) // 2] ^= 1
    manifest.write_bytes(data)
    with pytest.raises(CorruptionError, match=f"database {path}: open: Corruption"):
        RocksBackend(path, OPTIONS)


def test_compactions_leave_the_cores_to_the_votes(backend: RocksBackend) -> None:
    for _ in range(2):
        fill(backend)
        backend.compact()
    niceness = {
        int(fields[16])
        for name, fields in map(thread_stat, Path("/proc/self/task").iterdir())
        if name == "rocksdb:low"
    }
    assert niceness == {19}


def thread_stat(task: Path) -> tuple[str, list[str]]:
    """Return name and the fields from the state on: proc_pid_stat(5)."""
    head, _, tail = (task / "stat").read_text().rpartition(")")
    return head.partition("(")[2], tail.split()
