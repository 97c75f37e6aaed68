"""RocksDB as a backend. The only module that imports rocksdict and knows its exceptions.

The binding raises plain `Exception` for nearly everything and stops an iteration silently at a
corrupt block, so every call goes through `_rocks_errors` and every iteration ends with `status`.
"""

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import rocksdict

from cretonode.errors import CorruptionError, StorageError
from cretonode.storage.backend import (
    MIB,
    Batch,
    Compression,
    DatabaseMetrics,
    DatabaseOptions,
    after_prefix,
)
from cretonode.storage.schema import Family

LARGE_VALUES: Final = frozenset({Family.VERTICES, Family.PAYLOADS})
COUNTER: Final = re.compile(r"^(rocksdb\.\S+) .*?COUNT : (\d+)(?: SUM : (\d+))?", re.MULTILINE)
INDEX_BUFFER_MB: Final = 16  # small rows at random places: a larger buffer only makes puts slower
INFO_LOG_BYTES_MAX: Final = 4 * MIB
INFO_LOGS_KEPT: Final = 4
BLOCK_BYTES: Final = 16 * 1024
SMALL_CACHE_MB: Final = 64  # below it, buffers of background work shrink, too
# Compactions run at the lowest priority, so more files may wait for one before writes are held up.
FILES_SLOWDOWN: Final = 40
FILES_STOP: Final = 80


class RocksBatch:
    """A write batch of the binding."""

    def __init__(self, handles: dict[Family, rocksdict.ColumnFamily]) -> None:
        self.raw = rocksdict.WriteBatch(raw_mode=True)
        self._handles = handles

    def put(self, family: Family, key: bytes, value: bytes) -> None:
        """Add a row, in place of one that has the key."""
        self.raw.put(key, value, self._handles[family])

    def delete(self, family: Family, key: bytes) -> None:
        """Remove a row, if there is one."""
        self.raw.delete(key, self._handles[family])


class RocksBackend:
    """An open database. See `Backend` for what each call promises."""

    def __init__(self, path: Path, options: DatabaseOptions) -> None:
        """Open the database at `path`, or make one. Blocks while the log is replayed.

        Raises: CorruptionError, StorageError.
        """
        self._path = path
        self._cache = rocksdict.Cache(options.cache_size_mb * MIB)
        self._buffers = rocksdict.WriteBufferManager(
            options.write_buffer_budget_mb * MIB, allow_stall=False
        )
        self._log_cut: str | None = None
        with _rocks_errors(path, "open"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._open(options)
        except CorruptionError as error:
            # A power cut may leave any sectors of what was not synced, not only the first ones;
            # the log then looks damaged. All before that place is whole, and is what counts.
            self._open(options, cuts_log=True)
            self._log_cut = str(error)

    def _open(self, options: DatabaseOptions, *, cuts_log: bool = False) -> None:
        self._options = self._database_options(options)
        if cuts_log:
            self._options.set_wal_recovery_mode(rocksdict.DBRecoveryMode.point_in_time())
        families = {str(family): self._family_options(options, family) for family in Family}
        with _rocks_errors(self._path, "open"):
            self._database = rocksdict.Rdict(str(self._path), self._options, families)
            self._families = {f: self._database.get_column_family(str(f)) for f in Family}
            self._handles = {f: self._database.get_column_family_handle(str(f)) for f in Family}

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    @property
    def log_cut(self) -> str | None:
        """Why the log was cut short when the database was opened; None: it was whole.

        A power cut does that to what was not synced, a damaged disk to anything.
        """
        return self._log_cut

    # --- reads

    def get(self, family: Family, key: bytes) -> bytes | None:
        """Return one value."""
        with _rocks_errors(self._path, f"read of {family} {key.hex()}"):
            value: bytes | None = self._families[family].get(key)
        return value

    def multi_get(self, family: Family, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of `keys`, in their order."""
        with _rocks_errors(self._path, f"read of {len(keys)} rows of {family}"):
            values: list[bytes | None] | None = self._families[family].get(list(keys))
        assert values is not None
        return values

    def scan(
        self,
        family: Family,
        low: bytes = b"",
        high: bytes | None = None,
        *,
        backward: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows with low <= key < high, as they were at the first step."""
        with _rocks_errors(self._path, f"scan of {family}"):
            rows = self._families[family].iter()
            try:
                if not backward:
                    rows.seek(low)
                elif high is None:
                    rows.seek_to_last()
                else:
                    rows.seek_for_prev(high)
                while rows.valid():
                    key: bytes = rows.key()
                    if (key < low) if backward else (high is not None and key >= high):
                        break
                    if key != high:  # a backward scan may begin on the excluded end
                        value: bytes = rows.value()
                        yield key, value
                    rows.prev() if backward else rows.next()
                rows.status()  # an iterator at a corrupt block looks like one at the end
            finally:
                del rows  # or a traceback that somebody keeps would keep the database locked

    def scan_prefix(
        self, family: Family, prefix: bytes, *, backward: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose key begins with `prefix`."""
        return self.scan(family, prefix, after_prefix(prefix), backward=backward)

    # --- writes

    def batch(self) -> RocksBatch:
        """Return an empty batch, to be written once."""
        return RocksBatch(self._handles)

    def write(self, batch: Batch) -> None:
        """Apply a batch. Holds the GIL; fast while no write stall is on."""
        assert isinstance(batch, RocksBatch), type(batch)
        with _rocks_errors(self._path, "write"):
            self._database.write(batch.raw)

    def flush_wal(self, *, sync: bool) -> None:
        """Return when the log is handed over or on the disk. Blocks; releases the GIL."""
        with _rocks_errors(self._path, "sync of the log"):
            self._database.flush_wal(sync)

    # --- care

    def snapshot_to(self, path: Path) -> None:
        """Make a consistent copy at `path`. Blocks; run it in a worker thread."""
        with _rocks_errors(self._path, f"snapshot to {path}"):
            rocksdict.Checkpoint(self._database).create_checkpoint(str(path))

    def compact(self) -> None:
        """Rewrite everything in its final order. Blocks for long; run it in a worker thread."""
        with _rocks_errors(self._path, "compaction"):
            for family in self._families.values():
                family.flush()
                family.compact_range(None, None)

    def sizes(self) -> dict[Family, int]:
        """Return the bytes on disk of each family."""
        return {
            family: self._number(family, "rocksdb.total-sst-files-size")
            + self._number(family, "rocksdb.total-blob-file-size")
            for family in Family
        }

    def metrics(self) -> DatabaseMetrics:
        """Return what the database says about itself."""
        with _rocks_errors(self._path, "statistics"):
            text = self._options.get_statistics() or ""
        counters = {name: int(total or count) for name, count, total in COUNTER.findall(text)}
        return DatabaseMetrics(
            disk_bytes=sum(self.sizes().values()),
            write_buffer_bytes=self._buffers.get_usage(),
            cache_bytes=self._cache.get_usage(),
            cache_hits=counters.get("rocksdb.block.cache.hit", 0),
            cache_misses=counters.get("rocksdb.block.cache.miss", 0),
            compactions_running=self._number(Family.STATE, "rocksdb.num-running-compactions"),
            compaction_pending_bytes=sum(
                self._number(f, "rocksdb.estimate-pending-compaction-bytes") for f in Family
            ),
            compaction_micros=counters.get("rocksdb.compaction.times.micros", 0),
            write_stall_micros=counters.get("rocksdb.stall.micros", 0),
        )

    def close(self) -> None:
        """Flush and let go. An iterator that is not finished keeps the files locked."""
        with _rocks_errors(self._path, "close"):
            self._handles.clear()
            for family in self._families.values():
                family.close()
            self._database.close()

    def _number(self, family: Family, name: str) -> int:
        with _rocks_errors(self._path, f"property {name}"):
            return self._families[family].property_int_value(name) or 0

    # --- options

    def _database_options(self, options: DatabaseOptions) -> rocksdict.Options:
        raw = self._family_options(options, Family.STATE)
        raw.create_if_missing(create_if_missing=True)
        raw.create_missing_column_families(create_missing_cfs=True)
        raw.set_write_buffer_manager(self._buffers)
        raw.set_max_total_wal_size(options.write_buffer_budget_mb * MIB)
        raw.set_max_open_files(options.max_open_files)
        raw.set_max_background_jobs(options.background_threads)
        # A compaction is never urgent, a vote is: where cores are short it takes what is left.
        environment = rocksdict.Env()
        environment.lower_thread_pool_cpu_priority()
        raw.set_env(environment)
        raw.set_paranoid_checks(enabled=True)
        # A torn tail of the log is normal after a crash; damage before it is an error first, so
        # that somebody is told. The default mode drops what is behind a flipped bit silently.
        raw.set_wal_recovery_mode(rocksdict.DBRecoveryMode.tolerate_corrupted_tail_records())
        raw.set_keep_log_file_num(INFO_LOGS_KEPT)
        raw.set_max_log_file_size(INFO_LOG_BYTES_MAX)
        raw.set_stats_dump_period_sec(0)
        raw.set_bytes_per_sync(MIB)  # spreads the writes of flushes, so that votes need not wait
        raw.set_skip_stats_update_on_db_open(skip=True)
        if options.cache_size_mb < SMALL_CACHE_MB:
            raw.set_compaction_readahead_size(MIB // 4)
            raw.set_writable_file_max_buffer_size(MIB // 8)
            raw.set_max_file_opening_threads(1)
            raw.set_table_cache_num_shard_bits(2)
        if options.statistics:
            raw.enable_statistics()
        return raw

    def _family_options(self, options: DatabaseOptions, family: Family) -> rocksdict.Options:
        raw = rocksdict.Options(raw_mode=True)
        raw.set_block_based_table_factory(self._table_options(options))
        buffer_mb = options.write_buffer_mb
        if family is Family.TRANSACTIONS:
            buffer_mb = min(buffer_mb, INDEX_BUFFER_MB)
        raw.set_write_buffer_size(buffer_mb * MIB)
        raw.set_max_write_buffer_number(options.write_buffers_max)
        raw.set_arena_block_size(min(MIB, options.write_buffer_mb * MIB // 32))
        raw.set_compaction_style(rocksdict.DBCompactionStyle.level())
        raw.set_num_levels(options.levels)
        raw.set_level_compaction_dynamic_level_bytes(v=True)
        raw.set_level_zero_slowdown_writes_trigger(FILES_SLOWDOWN)
        raw.set_level_zero_stop_writes_trigger(FILES_STOP)
        raw.set_target_file_size_base(options.file_size_mb * MIB)
        raw.set_max_bytes_for_level_base(4 * options.file_size_mb * MIB)
        raw.set_compression_type(_compression(options.compression))
        if options.compression is not Compression.NONE:
            raw.set_bottommost_compression_type(_compression(Compression.ZSTD))
        if family in LARGE_VALUES:
            # Keys are hashes: levelled compaction would rewrite every payload many times over.
            raw.set_enable_blob_files(val=True)
            raw.set_min_blob_size(options.large_value_bytes)
            raw.set_blob_file_size(options.file_size_mb * MIB)
            raw.set_blob_compression_type(_compression(options.compression))
            raw.set_enable_blob_gc(val=True)
        return raw

    def _table_options(self, options: DatabaseOptions) -> rocksdict.BlockBasedOptions:
        table = rocksdict.BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_block_size(BLOCK_BYTES)
        table.set_cache_index_and_filter_blocks(v=True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(v=True)
        table.set_checksum_type(rocksdict.ChecksumType.xxh3())
        table.set_format_version(5)
        if options.bloom_bits_per_key:
            table.set_bloom_filter(options.bloom_bits_per_key, block_based=False)
        return table


def _compression(kind: Compression) -> rocksdict.DBCompressionType:
    match kind:
        case Compression.NONE:
            return rocksdict.DBCompressionType.none()
        case Compression.SNAPPY:
            return rocksdict.DBCompressionType.snappy()
        case Compression.LZ4:
            return rocksdict.DBCompressionType.lz4()
        case Compression.ZSTD:
            return rocksdict.DBCompressionType.zstd()


@contextmanager
def _rocks_errors(path: Path, action: str) -> Generator[None]:
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # the binding raises plain Exception for most failures
        kind = CorruptionError if "Corruption" in str(error) else StorageError
        raise kind(f"database {path}: {action}: {error}") from error
