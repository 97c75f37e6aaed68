"""The sections of node.toml about this machine: [node], [storage], [metrics], [api], [backup].

What is said of a key stands here once; its checks, configs/node.toml and docs/config.md follow.
Source: SPEC, "Configuration keys" and S3.
"""

from dataclasses import dataclass, field
from typing import Final

from cretonode.config import forms
from cretonode.config.addresses import PORT_MAX
from cretonode.config.keys import about
from cretonode.limits import TRANSACTION_BYTES_MAX

MIB: Final = 1024 * 1024
NO_BACKUP: Final = "scheduled backups are not built yet; none is made"
ROCKSDB_ONLY: Final = 'expected "rocksdb", the only backend of this version'


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSection:
    """Who this node is and where it keeps what is its own."""

    id: str = field(
        default="cretoai-node-1",
        metadata=about(
            "The name of this node in logs and dashboards. Its identity is its key, not this.",
            form=forms.LABEL,
        ),
    )
    data_dir: str = field(
        default="/data",
        metadata=about("The directory of the vote journal and the lock.", form=forms.PATH),
    )
    genesis_path: str = field(
        default="/data/genesis.json",
        metadata=about("The genesis document of the chain; see docs/genesis.md.", form=forms.PATH),
    )
    operator_socket: str = field(
        default="/data/operator.sock",
        metadata=about(
            "The local socket for creto-console and the operator's commands.",
            form=forms.SOCKET_PATH,
        ),
    )
    history_mb: int = field(
        default=64,
        metadata=about(
            "How much disk the node's own recording of what creto-console shows may take, for "
            "looking back; 0: none is kept. See docs/operator-socket.md.",
            low=0,
            high=65_536,
            unit="MiB",
        ),
    )
    log_level: str = field(
        default="info",
        metadata=about(
            "The least level that is logged.", choices=("debug", "info", "warn", "error")
        ),
    )
    log_format: str = field(
        default="console",
        metadata=about(
            "How log lines look: for people or one JSON object a line.",
            choices=("console", "json"),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSection:
    """The database of vertices. At the defaults it takes about 1.1 GB of memory in all."""

    backend: str = field(
        default="rocksdb",
        metadata=about(
            "The database library.",
            choices=("rocksdb",),
            answers={
                "leveldb": f"{ROCKSDB_ONLY}; LevelDB is not built yet",
                "sled": f"{ROCKSDB_ONLY}; sled has no Python binding, and leveldb is what will "
                "stand in for it",
            },
        ),
    )
    profile: str = field(
        default="default",
        metadata=about(
            'The sizes below, together: "small" is for development, about 100 MB in all. A size '
            "that is set in the same place or a stronger one wins over the profile.",
            choices=("default", "small"),
        ),
    )
    path: str = field(
        default="/data/db",
        metadata=about("The directory of the database, with nothing else in it.", form=forms.PATH),
    )
    cache_size_mb: int = field(
        default=512,
        metadata=about(
            "The block cache of all column families, with their indexes and filters.",
            low=8,
            high=1_048_576,
            unit="MiB",
        ),
    )
    write_buffer_mb: int = field(
        default=128,
        metadata=about(
            "The size of one write buffer; the column families share the budget.",
            low=1,
            high=4_096,
            unit="MiB",
        ),
    )
    write_buffers_max: int = field(
        default=4,
        metadata=about(
            "How many write buffers there are before writers wait.", low=2, high=16, unit="buffers"
        ),
    )
    max_open_files: int = field(
        default=1_000,
        metadata=about(
            "How many files the database keeps open.", low=64, high=1_000_000, unit="files"
        ),
    )
    compression: bool = field(default=True, metadata=about("Whether blocks are compressed."))
    enable_bloom_filters: bool = field(
        default=True,
        metadata=about("Whether filters spare reads of blocks that do not hold a key."),
    )
    bloom_bits_per_key: int = field(
        default=10,
        metadata=about(
            "The size of the filters: at 10 bits one read in a hundred is in vain.",
            low=1,
            high=32,
            unit="bits",
            needs="storage.enable_bloom_filters",
        ),
    )
    compaction_style: str = field(
        default="level", metadata=about("How files are merged.", choices=("level",))
    )
    levels: int = field(
        default=7, metadata=about("Levels of files.", low=2, high=10, unit="levels")
    )
    file_size_mb: int = field(
        default=64,
        metadata=about("The size of a file on the first level.", low=1, high=4_096, unit="MiB"),
    )
    background_threads: int = field(
        default=4,
        metadata=about("Threads that flush and merge.", low=1, high=64, unit="threads"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSection:
    """What Prometheus reads."""

    enabled: bool = field(default=True, metadata=about("Whether metrics are served."))
    port: int = field(
        default=9090,
        metadata=about("Their TCP port.", low=1, high=PORT_MAX, needs="metrics.enabled"),
    )
    endpoint: str = field(
        default="/metrics",
        metadata=about("Their path.", form=forms.URL_PATH, needs="metrics.enabled"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSection:
    """HTTP and WebSocket for applications."""

    http_enabled: bool = field(default=True, metadata=about("Whether the API is served."))
    http_host: str = field(
        default="0.0.0.0",  # noqa: S104  the SPEC's default; containers need it
        metadata=about("The address to bind.", form=forms.HOST, needs="api.http_enabled"),
    )
    http_port: int = field(
        default=8080,
        metadata=about("The TCP port.", low=1, high=PORT_MAX, needs="api.http_enabled"),
    )
    cors_enabled: bool = field(
        default=True,
        metadata=about(
            "Whether pages of other origins may call the API.", needs="api.http_enabled"
        ),
    )
    cors_origins: tuple[str, ...] = field(
        default=("*",),
        metadata=about("Which origins may.", form=forms.ORIGIN, needs="api.cors_enabled"),
    )
    request_bytes_max: int = field(
        default=4 * MIB,
        metadata=about(
            "The largest request body. The least fits one largest transaction, however encoded.",
            low=2 * TRANSACTION_BYTES_MAX,
            high=64 * MIB,
            unit="bytes",
            needs="api.http_enabled",
        ),
    )
    wait_ms_max: int = field(
        default=30_000,
        metadata=about(
            "How long a request may wait for finality.",
            low=0,
            high=600_000,
            unit="milliseconds",
            needs="api.http_enabled",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSection:
    """Scheduled backups of the database."""

    enabled: bool = field(
        default=True, metadata=about("Whether backups are made.", effect=NO_BACKUP)
    )
    interval_hours: int = field(
        default=24,
        metadata=about(
            "The time between backups.",
            low=1,
            high=8_760,
            unit="hours",
            needs="backup.enabled",
            effect=NO_BACKUP,
        ),
    )
    retention_days: int = field(
        default=30,
        metadata=about(
            "How long a backup is kept.",
            low=1,
            high=36_500,
            unit="days",
            needs="backup.enabled",
            effect=NO_BACKUP,
        ),
    )
    storage_type: str = field(
        default="local",
        metadata=about(
            "Where backups go.",
            choices=("local", "s3", "gcs"),
            needs="backup.enabled",
            effect=NO_BACKUP,
        ),
    )
    path: str = field(
        default="/data/backups",
        metadata=about(
            "The directory, or the bucket and prefix.",
            form=forms.PATH,
            needs="backup.enabled",
            effect=NO_BACKUP,
        ),
    )
