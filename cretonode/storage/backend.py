"""What the store needs of a key-value database, and how one may be tuned.

Satisfied by RocksBackend. Every call blocks; reads that miss the cache and `flush_wal` longest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from cretonode.storage.schema import Family

MIB: Final = 1024 * 1024


class Compression(StrEnum):
    """How blocks and payloads are compressed above the bottommost level, which takes zstd."""

    NONE = "none"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """Every tunable of SPEC S3. The cache and the write buffers are shared by all families.

    Memory at most: cache_size_mb + write_buffer_mb * write_buffers_max, and what compactions and
    open files take besides.
    """

    cache_size_mb: int = 512
    write_buffer_mb: int = 128
    write_buffers_max: int = 4
    max_open_files: int = 1000
    compression: Compression = Compression.LZ4
    bloom_bits_per_key: int = 10  # 0: no bloom filters
    levels: int = 7
    file_size_mb: int = 64
    background_threads: int = 4
    large_value_bytes: int = 2048  # from here on a vertex or payload goes to a file of its own kind
    statistics: bool = True  # cache hits, latencies; a few percent of the time of a read

    @property
    def write_buffer_budget_mb(self) -> int:
        """What all write buffers of all families may take together."""
        return self.write_buffer_mb * self.write_buffers_max

    def problems(self) -> list[str]:
        """Return every value that is out of range, as sentences that name the key."""
        return [
            f"{key} is {value}; expected {low} to {high}"
            for key, value, low, high in (
                ("cache_size_mb", self.cache_size_mb, 4, 1024 * 1024),
                ("write_buffer_mb", self.write_buffer_mb, 1, 4096),
                ("write_buffers_max", self.write_buffers_max, 2, 16),
                ("max_open_files", self.max_open_files, 32, 1_000_000),
                ("bloom_bits_per_key", self.bloom_bits_per_key, 0, 32),
                ("levels", self.levels, 2, 7),
                ("file_size_mb", self.file_size_mb, 1, 4096),
                ("background_threads", self.background_threads, 1, 64),
                ("large_value_bytes", self.large_value_bytes, 256, MIB),
            )
            if not low <= value <= high
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseMetrics:
    """What the database says about itself now. Times are sums since it was opened."""

    disk_bytes: int
    write_buffer_bytes: int
    cache_bytes: int
    cache_hits: int
    cache_misses: int
    compactions_running: int
    compaction_pending_bytes: int
    compaction_micros: int
    write_stall_micros: int


class Batch(Protocol):
    """Changes that happen together or not at all, in the order they were added."""

    def put(self, family: Family, key: bytes, value: bytes) -> None:
        """Add a row, in place of one that has the key."""
        ...

    def delete(self, family: Family, key: bytes) -> None:
        """Remove a row, if there is one."""
        ...


class Backend(Protocol):
    """An ordered key-value database with column families and one write-ahead log.

    After a crash it holds the effect of a prefix of all writes. Usable from several threads.
    Raises: CorruptionError, when stored bytes fail a checksum; StorageError, for all else.
    """

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    def get(self, family: Family, key: bytes) -> bytes | None:
        """Return one value."""
        ...

    def multi_get(self, family: Family, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of `keys`, in their order."""
        ...

    def scan(
        self,
        family: Family,
        low: bytes = b"",
        high: bytes | None = None,
        *,
        backward: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows with low <= key < high, as they were at the first step."""
        ...

    def scan_prefix(
        self, family: Family, prefix: bytes, *, backward: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose key begins with `prefix`."""
        ...

    def batch(self) -> Batch:
        """Return an empty batch, to be written once."""
        ...

    def write(self, batch: Batch) -> None:
        """Apply a batch. It survives the process from now on, a power cut after `flush_wal`."""
        ...

    def flush_wal(self, *, sync: bool) -> None:
        """Hand the log to the operating system; with `sync`, return when it is on the disk."""
        ...

    def snapshot_to(self, path: Path) -> None:
        """Make a consistent copy at `path`, which must not exist; files are linked if possible."""
        ...

    def compact(self) -> None:
        """Rewrite everything in its final order. Takes long."""
        ...

    def sizes(self) -> dict[Family, int]:
        """Return the bytes on disk of each family."""
        ...

    def metrics(self) -> DatabaseMetrics:
        """Return what the database says about itself."""
        ...

    def close(self) -> None:
        """Flush and let go. Iterators must be finished before."""
        ...


def after_prefix(prefix: bytes) -> bytes | None:
    """Return the first key after all that begin with `prefix`; None when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
