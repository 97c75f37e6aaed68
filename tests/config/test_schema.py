import dataclasses
import math

import pytest

from cretonode.config.keys import Key
from cretonode.config.schema import KEYS, SECTIONS, Config
from cretonode.core.state import Timing
from tests.config.documents import loaded

# SPEC, "Configuration keys", and the keys added to them.
DEFAULTS: dict[str, dict[str, object]] = {
    "node": {
        "id": "cretoai-node-1",
        "data_dir": "/data",
        "genesis_path": "/data/genesis.json",
        "operator_socket": "/data/operator.sock",
        "history_mb": 64,
        "log_level": "info",
        "log_format": "console",
    },
    "consensus": {
        "algorithm": "bft",
        "quorum_threshold": 0.67,
        "finality_timeout_ms": 500,
        "max_pending_vertices": 10000,
        "view_change_timeout_ms": 5000,
        "slot_interval_ms": 100,
        "detection_window_ms": 600_000,
        "ban_ms": 3_600_000,
        "batch_interval_ms": 20,
        "batch_transactions_max": 1000,
    },
    "network": {
        "listen_addr": "0.0.0.0:9000",
        "quic_port": 9001,
        "quic_engine": "aioquic",
        "keepalive_ms": 100,
        "bootstrap_peers": (),
        "max_peers": 50,
        "mdns_enabled": True,
        "enable_nat_traversal": True,
        "stun_servers": ("stun.l.google.com:19302",),
    },
    "storage": {
        "backend": "rocksdb",
        "profile": "default",
        "path": "/data/db",
        "cache_size_mb": 512,
        "write_buffer_mb": 128,
        "write_buffers_max": 4,
        "max_open_files": 1000,
        "compression": True,
        "enable_bloom_filters": True,
        "bloom_bits_per_key": 10,
        "compaction_style": "level",
        "levels": 7,
        "file_size_mb": 64,
        "background_threads": 4,
    },
    "crypto": {
        "signature_algorithm": "ml-dsa-87",
        "kem_algorithm": "ml-kem-768",
        "hash_algorithm": "blake3",
        "hybrid_mode": True,
        "key_path": "/data/keys",
        "passphrase_file": "",
        "provider": "openssl",
    },
    "metrics": {"enabled": True, "port": 9090, "endpoint": "/metrics"},
    "api": {
        "http_enabled": True,
        "http_host": "0.0.0.0",
        "http_port": 8080,
        "cors_enabled": True,
        "cors_origins": ("*",),
        "request_bytes_max": 4 * 1024 * 1024,
        "wait_ms_max": 30_000,
    },
    "backup": {
        "enabled": True,
        "interval_hours": 24,
        "retention_days": 30,
        "storage_type": "local",
        "path": "/data/backups",
    },
}
WITHOUT_EFFECT = [  # at the defaults; an empty list asks for nothing
    "network.max_peers",
    "network.mdns_enabled",
    "network.enable_nat_traversal",
    "network.stun_servers",
    "backup.enabled",
    "backup.interval_hours",
    "backup.retention_days",
    "backup.storage_type",
    "backup.path",
]
NUMBERS = [key for key in KEYS.values() if key.about.low is not None]
CHOICES = [key for key in KEYS.values() if key.about.choices]

# For every text with a form: what it accepts and what it refuses.
FORMS: dict[str, tuple[list[str], list[str]]] = {
    "node.id": (["a", "node 1", "é" * 64], ["", " a", "a ", "a\nb", "a" * 65, "\x00"]),
    "node.data_dir": (["/", "data", "/a b"], ["", " ", "/a\x00b", "/a\nb", "\udc80"]),
    "node.genesis_path": (["genesis.json"], ["", "\t"]),
    "node.operator_socket": (["/" + "a" * 106], ["", "/" + "a" * 107, "/" + "é" * 54, "/\x00"]),
    "network.listen_addr": (
        ["0.0.0.0:1", "[::]:9000", "127.0.0.1:9000", "localhost:9000"],
        ["", "9000", "0.0.0.0", "0.0.0.0:0", ":9000", "/ip4/0.0.0.0/udp/9000/quic"],
    ),
    "network.bootstrap_peers": (
        ["/ip4/172.21.0.11/udp/9001/quic", "/ip6/::1/udp/1/quic", "[::1]:9001", "node-2:9001"],
        ["", "node-2", "0.0.0.0:9001", "[::]:9001", "/ip4/0.0.0.0/udp/9001/quic", "/ip4/1.2.3.4"],
    ),
    "network.stun_servers": (
        ["stun.l.google.com:19302", "[2001:db8::1]:3478"],
        ["", "stun:stun.l.google.com:19302", "stun.l.google.com", "/ip4/1.2.3.4/udp/1/quic"],
    ),
    "storage.path": (["/data/db"], [""]),
    "crypto.key_path": (["/data/keys"], [""]),
    "crypto.passphrase_file": (["", "/run/secrets/passphrase"], [" ", "/a\x00"]),
    "metrics.endpoint": (["/", "/metrics", "/a/b-c_d"], ["", "metrics", "/a?b", "/a b", "/#"]),
    "api.http_host": (["0.0.0.0", "::", "localhost"], ["", "[::]", "a b", "1.2.3", "0.0.0.0:80"]),
    "api.cors_origins": (
        ["*", "http://a", "https://example.org:8443", "http://[::1]:80"],
        ["", "**", "example.org", "https://example.org/", "ftp://a", "https://u@a", "https://"],
    ),
    "backup.path": (["/data/backups", "bucket/prefix"], [""]),
}


def problems(key: Key, raw: object) -> list[str]:
    return list(key.problems(raw))


def test_every_key_has_the_name_and_the_default_that_the_specification_gives() -> None:
    """SPEC, "Configuration keys"."""
    assert dataclasses.asdict(Config()) == {**DEFAULTS, "origins": {}, "explicit": frozenset()}


def test_every_key_says_what_it_is_for_and_what_it_allows() -> None:
    for key in KEYS.values():
        assert key.about.doc.endswith("."), key.path
        assert key.allowed, key.path
        assert (key.about.low is None) == (key.about.high is None), key.path
        assert not isinstance(key.default, str) or key.about.form or key.about.choices, key.path


def test_a_variable_names_one_key() -> None:
    variables = [key.variable for key in KEYS.values()]
    assert len(set(variables)) == len(variables)
    assert not any("_" in section for section in SECTIONS)


@pytest.mark.parametrize("key", NUMBERS, ids=lambda key: key.path)
def test_a_number_is_held_to_its_range(key: Key) -> None:
    low, high = key.about.low, key.about.high
    assert low is not None
    assert high is not None
    assert not problems(key, low)
    assert not problems(key, high)
    step = 0.001 if isinstance(key.default, float) else 1
    for outside in (low - step, high + step, -(10**30), 16**5000):
        (problem,) = problems(key, outside)
        assert problem.startswith(f"{key.path} is ")
        assert problem.endswith(f"; expected {key.allowed}")


def test_a_range_is_said_with_its_unit() -> None:
    """House style 24."""
    assert problems(KEYS["consensus.view_change_timeout_ms"], 0) == [
        "consensus.view_change_timeout_ms is 0; expected 10 to 60000 milliseconds"
    ]
    assert problems(KEYS["consensus.quorum_threshold"], 0.5) == [
        "consensus.quorum_threshold is 0.5; expected 2/3 to 1"
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_out_of_range(value: float) -> None:
    assert problems(KEYS["consensus.quorum_threshold"], value)


@pytest.mark.parametrize("key", CHOICES, ids=lambda key: key.path)
def test_a_choice_is_one_of_those_offered(key: Key) -> None:
    for choice in key.about.choices:
        assert not problems(key, choice)
    for other in ("", "other", str(key.default).upper(), f"{key.default} "):
        assert problems(key, other) == [f'{key.path} is "{other}"; expected {key.allowed}']


def test_every_form_is_tried_below() -> None:
    assert set(FORMS) == {key.path for key in KEYS.values() if key.about.form is not None}


@pytest.mark.parametrize("path", FORMS)
def test_a_text_is_held_to_its_form(path: str) -> None:
    key = KEYS[path]
    many = isinstance(key.default, tuple)
    accepted, refused = FORMS[path]
    for text in accepted:
        assert not problems(key, [text] if many else text), text
    for text in [*refused, "a" * 2000]:
        (problem,) = problems(key, [text] if many else text)
        assert problem.startswith(f"{path}[0] " if many else f"{path} "), text
        assert "; expected " in problem
        assert problem.isprintable()
        assert len(problem) < 400


WRONG: dict[type, list[object]] = {
    bool: [0, 1, "true", None, []],
    int: [True, 1.0, "1", None, [1]],
    float: [True, "0.67", None, [0.67]],
    str: [1, True, None, ["a"], {}],
    tuple: ["a:1", 1, True, [1], ["a:1", None], {}, None],
}


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.path)
def test_a_value_of_another_type_is_refused(key: Key) -> None:
    for value in WRONG[type(key.default)]:
        (problem,) = problems(key, value)
        assert f"; expected {key.kind}" in problem


def test_a_whole_number_will_do_where_a_fraction_may_stand() -> None:
    key = KEYS["consensus.quorum_threshold"]
    assert not problems(key, 1)
    assert isinstance(key.value_of(1), float)


def test_every_bad_item_of_a_list_is_named_by_its_place() -> None:
    found = problems(KEYS["network.bootstrap_peers"], ["a:1", "b", "c:3", "d"])
    assert [problem.partition(";")[0] for problem in found] == [
        'network.bootstrap_peers[1] is "b"',
        'network.bootstrap_peers[3] is "d"',
    ]


def test_a_list_is_bounded() -> None:
    assert problems(KEYS["network.bootstrap_peers"], ["a:1"] * 1025) == [
        "network.bootstrap_peers has 1025 items; expected at most 1024"
    ]


@pytest.mark.parametrize("backend", ["leveldb", "sled"])
def test_another_backend_is_answered_with_the_only_one(backend: str) -> None:
    """SPEC S4, until the second backend is built."""
    (problem,) = problems(KEYS["storage.backend"], backend)
    expected = f'storage.backend is "{backend}"; expected "rocksdb", the only backend'
    assert problem.startswith(expected)
    assert "leveldb" in problem.lower()


def test_addresses_are_there_parsed() -> None:
    network = dataclasses.replace(
        Config().network, listen_addr="[::1]:9000", bootstrap_peers=("/ip4/1.2.3.4/udp/5/quic",)
    )
    assert str(network.listen_address) == "[::1]:9000"
    assert str(network.quic_address) == "[::1]:9001"
    assert [str(address) for address in network.bootstrap_addresses] == ["1.2.3.4:5"]
    assert [str(address) for address in network.stun_addresses] == ["stun.l.google.com:19302"]


def test_the_defaults_are_the_clockwork_of_the_core() -> None:
    assert Config().consensus.timing == Timing()


def test_keys_that_do_nothing_yet_are_named() -> None:
    assert Config().without_effect() == WITHOUT_EFFECT
    marked = [path for path, key in KEYS.items() if key.about.effect]
    assert marked == ["network.bootstrap_peers", *WITHOUT_EFFECT]
    asking = loaded(flags={"network.bootstrap_peers": "a:1"})
    assert asking.without_effect() == marked


def test_what_is_switched_off_is_not_named_as_without_effect() -> None:
    config = Config()
    quiet = dataclasses.replace(
        config,
        network=dataclasses.replace(config.network, mdns_enabled=False, enable_nat_traversal=False),
        backup=dataclasses.replace(config.backup, enabled=False),
    )
    assert quiet.without_effect() == ["network.max_peers"]
