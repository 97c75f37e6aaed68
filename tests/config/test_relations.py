import pytest

from tests.config.documents import loaded, problems_of

AT_MOST = "expected the first to be at most the second"
APART = "expected two directories, neither inside the other"
PORTS = "expected two different TCP ports"

# What is set by flag, and for each sentence: the two keys with their values, what is expected.
BROKEN: dict[str, tuple[dict[str, object], list[tuple[str, str, str]]]] = {
    "a view ends before a vertex is late": (
        {"consensus.finality_timeout_ms": 6000},
        [
            (
                "consensus.finality_timeout_ms is 6000 (flag)",
                "consensus.view_change_timeout_ms is 5000 (default)",
                AT_MOST,
            )
        ],
    ),
    "a slot takes longer than finality may": (
        {"consensus.slot_interval_ms": 501},
        [
            (
                "consensus.slot_interval_ms is 501 (flag)",
                "consensus.finality_timeout_ms is 500 (default)",
                AT_MOST,
            )
        ],
    ),
    "a batch waits longer than finality may": (
        {"consensus.batch_interval_ms": 501},
        [
            (
                "consensus.batch_interval_ms is 501 (flag)",
                "consensus.finality_timeout_ms is 500 (default)",
                AT_MOST,
            )
        ],
    ),
    "a backup is gone before the next": (
        {"backup.retention_days": 1, "backup.interval_hours": 25},
        [
            (
                "backup.retention_days is 1 (flag)",
                "backup.interval_hours is 25 (flag)",
                "expected a backup to be kept until the next one is made",
            )
        ],
    ),
    "API and metrics share a port": (
        {"api.http_port": 9090},
        [("metrics.port is 9090 (default)", "api.http_port is 9090 (flag)", PORTS)],
    ),
    "all ports are one": (
        {"network.listen_addr": "0.0.0.0:80", "api.http_port": 80, "metrics.port": 80},
        [
            ('network.listen_addr is "0.0.0.0:80" (flag)', "metrics.port is 80 (flag)", PORTS),
            ('network.listen_addr is "0.0.0.0:80" (flag)', "api.http_port is 80 (flag)", PORTS),
            ("metrics.port is 80 (flag)", "api.http_port is 80 (flag)", PORTS),
        ],
    ),
    "backups go into the database": (
        {"backup.path": "/data/./db/backups"},
        [
            (
                'storage.path is "/data/db" (default)',
                'backup.path is "/data/./db/backups" (flag)',
                APART,
            )
        ],
    ),
    "the database is in the directory of the keys": (
        {"storage.path": "/data/keys/"},
        [
            (
                'storage.path is "/data/keys/" (flag)',
                'crypto.key_path is "/data/keys" (default)',
                APART,
            )
        ],
    ),
    "the journal is in the database": (
        {"node.data_dir": "/data/db/x/.."},
        [
            (
                'node.data_dir is "/data/db/x/.." (flag)',
                'storage.path is "/data/db" (default)',
                "expected the first to be outside the second",
            )
        ],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_relation_names_both_keys_and_where_they_were_set(name: str) -> None:
    flags, sentences = BROKEN[name]
    assert problems_of(flags=flags) == [
        f"{first} and {second}; {expected}" for first, second, expected in sentences
    ]


@pytest.mark.parametrize(
    "flags",
    [
        {"consensus.finality_timeout_ms": 5000},
        {"network.quic_port": 9000},
        {"network.quic_port": 8080},
        {"api.http_port": 9090, "metrics.enabled": False},
        {"api.http_port": 9090, "api.http_enabled": False},
        {"backup.retention_days": 1, "backup.interval_hours": 24},
        {"backup.retention_days": 1, "backup.interval_hours": 48, "backup.enabled": False},
        {"backup.path": "/data/db", "backup.enabled": False},
        {"backup.path": "/data/db", "backup.storage_type": "s3"},
        {"storage.path": "/data/keys-and-db"},
    ],
    ids=str,
)
def test_what_is_equal_switched_off_or_elsewhere_breaks_no_relation(
    flags: dict[str, object],
) -> None:
    loaded(flags=flags)


def test_a_value_that_is_refused_itself_is_not_compared_as_well() -> None:
    flags: dict[str, object] = {
        "consensus.finality_timeout_ms": 60_000,
        "consensus.view_change_timeout_ms": 0,
    }
    (problem,) = problems_of(flags=flags)
    assert problem.startswith("flag: consensus.view_change_timeout_ms is 0;")
