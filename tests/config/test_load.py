import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cretonode.config import load as load_module
from cretonode.config.keys import Key
from cretonode.config.load import load
from cretonode.config.render import toml_of
from cretonode.config.schema import KEYS, SECTIONS, Config
from cretonode.errors import ConfigError
from tests.config.documents import loaded, problems_of


def test_without_file_environment_and_flags_all_is_default() -> None:
    config = loaded()
    assert config == Config()
    assert config.explicit == frozenset()


def test_flags_are_stronger_than_the_environment_and_that_than_the_file(tmp_path: Path) -> None:
    """SPEC L3."""
    config = loaded(
        "[network]\nmax_peers = 1\nquic_port = 1\n[metrics]\nport = 1\n",
        directory=tmp_path,
        environment={"CRETO_NETWORK_QUIC_PORT": "2", "CRETO_METRICS_PORT": "2"},
        flags={"metrics.port": 3},
    )
    assert config.network.max_peers == 1
    assert config.network.quic_port == 2
    assert config.metrics.port == 3
    assert config.explicit == {"network.max_peers", "network.quic_port", "metrics.port"}


def test_every_value_is_shown_with_where_it_came_from(tmp_path: Path) -> None:
    config = loaded(
        "[network]\nmax_peers = 1\nquic_port = 1\n",
        directory=tmp_path,
        environment={"CRETO_NETWORK_QUIC_PORT": "2", "NODE_ID": "n"},
        flags={"metrics.port": 3},
    )
    shown = {setting.key: (setting.value, setting.origin) for setting in config.show()}
    assert list(shown) == list(KEYS)
    assert shown["network.max_peers"] == (1, str(tmp_path / "node.toml"))
    assert shown["network.quic_port"] == (2, "CRETO_NETWORK_QUIC_PORT")
    assert shown["node.id"] == ("n", "NODE_ID")
    assert shown["metrics.port"] == (3, "flag")
    assert shown["api.http_port"] == (8080, "default")


def test_the_file_of_a_passphrase_is_shown_and_never_what_it_holds(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("hunter2")
    config = loaded(flags={"crypto.passphrase_file": str(secret)})
    assert "hunter2" not in str(config.show())
    assert str(secret) in str(config.show())


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.path)
def test_every_key_is_read_from_its_variable(key: Key) -> None:
    """SPEC L3."""
    text = ",".join(key.default) if isinstance(key.default, tuple) else str(key.default)
    config = loaded(environment={key.variable: text})
    assert config == Config(explicit=config.explicit)
    assert len(config.explicit) == 1


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("CRETO_METRICS_ENABLED", "FALSE", "metrics.enabled", False),
        ("CRETO_METRICS_ENABLED", " true ", "metrics.enabled", True),
        ("CRETO_METRICS_PORT", " 12 ", "metrics.port", 12),
        ("CRETO_CONSENSUS_QUORUM_THRESHOLD", "0.75", "consensus.quorum_threshold", 0.75),
        ("CRETO_CONSENSUS_QUORUM_THRESHOLD", "1", "consensus.quorum_threshold", 1.0),
        ("CRETO_NETWORK_BOOTSTRAP_PEERS", "a:1, b:2,", "network.bootstrap_peers", ("a:1", "b:2")),
        ("CRETO_NETWORK_BOOTSTRAP_PEERS", "", "network.bootstrap_peers", ()),
        ("NODE_ID", "node 7", "node.id", "node 7"),
        ("BOOTSTRAP_PEERS", "a:1,b:2", "network.bootstrap_peers", ("a:1", "b:2")),
    ],
)
def test_a_variable_is_read_in_the_type_of_its_key(
    variable: str, text: str, path: str, value: object
) -> None:
    assert loaded(environment={variable: text}).value_of(path) == value
    if variable.startswith("CRETO_"):
        assert loaded(flags={path: text}).value_of(path) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("CRETO_METRICS_ENABLED", "yes"),
        ("CRETO_METRICS_ENABLED", "1"),
        ("CRETO_METRICS_ENABLED", ""),
        ("CRETO_METRICS_PORT", "http"),
        ("CRETO_METRICS_PORT", "1.0"),
        ("CRETO_METRICS_PORT", "1_0"),
        ("CRETO_METRICS_PORT", "٣"),
        ("CRETO_METRICS_PORT", "9" * 5000),
        ("CRETO_CONSENSUS_QUORUM_THRESHOLD", "nan"),
        ("CRETO_CONSENSUS_QUORUM_THRESHOLD", "1e0"),
        ("CRETO_NODE_DATA_DIR", ""),
        ("CRETO_NODE_LOG_LEVEL", "INFO"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named_with_its_key(variable: str, text: str) -> None:
    (problem,) = problems_of(environment={variable: text})
    section, name = variable.lower().split("_", 2)[1:]
    assert problem.startswith(f'{variable}: {section}.{name} is "')
    assert "; expected " in problem


def test_the_full_name_of_a_variable_is_stronger_than_the_short_one() -> None:
    environment = {"NODE_ID": "short", "CRETO_NODE_ID": "full"}
    assert loaded(environment=environment).node.id == "full"


def test_a_variable_of_a_known_section_that_names_no_key_is_an_error() -> None:
    assert problems_of(environment={"CRETO_NODE_LOG_LEVLE": "info"}) == [
        (
            "CRETO_NODE_LOG_LEVLE: no key of [node] has this variable; did you mean "
            '"CRETO_NODE_LOG_LEVEL"?'
        )
    ]


def test_variables_of_others_are_left_alone() -> None:
    environment = {"HOME": "/", "CRETO_IMAGE": "x", "CRETO_": "x", "creto_node_x": "x", "NODE": ""}
    assert loaded(environment=environment) == Config()


@pytest.mark.parametrize("name", ["SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT_8080_TCP_ADDR"])
def test_a_variable_that_kubernetes_made_for_a_service_is_explained(name: str) -> None:
    (problem,) = problems_of(environment={f"CRETO_API_{name}": "10.0.0.1"})
    assert "enableServiceLinks: false" in problem


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert loaded(flags={"metrics.port": None}) == Config()


def test_an_unknown_key_is_answered_with_the_one_that_was_meant(tmp_path: Path) -> None:
    assert problems_of("[consensus]\nfinalty_timeout_ms = 1\n", directory=tmp_path) == [
        'node.toml: unknown key consensus.finalty_timeout_ms; did you mean "finality_timeout_ms"?'
    ]


def test_an_unknown_key_like_no_other_is_answered_with_those_that_are_known(
    tmp_path: Path,
) -> None:
    known = ", ".join(key.name for key in KEYS.values() if key.section == "backup")
    assert problems_of("[backup]\nzzz = 1\n", directory=tmp_path) == [
        f"node.toml: unknown key backup.zzz; known in [backup] are {known}"
    ]


def test_a_key_in_the_wrong_section_is_sent_to_its_own(tmp_path: Path) -> None:
    text = "quic_port = 1\n[node]\nhttp_port = 1\n"
    assert problems_of(text, directory=tmp_path) == [
        'node.toml: "quic_port" stands outside of its section; expected it in [network]',
        "node.toml: unknown key node.http_port; it belongs into [api]",
    ]


@pytest.mark.parametrize("name", ["window", "checkpoint_interval", "dedup_window"])
def test_a_parameter_of_genesis_is_sent_there(tmp_path: Path, name: str) -> None:
    """SPEC C2."""
    assert problems_of(f"[consensus]\n{name} = 64\n", directory=tmp_path) == [
        f"node.toml: unknown key consensus.{name}; genesis fixes it, see docs/genesis.md"
    ]


def test_a_secret_in_the_wrong_place_is_not_printed(tmp_path: Path) -> None:
    text = '[crypto]\npassphrase = "hunter2"\n[secrets]\nkey = "hunter2"\n'
    environment = {"CRETO_CRYPTO_PASSPHRASE": "hunter2"}
    problems = problems_of(text, directory=tmp_path, environment=environment)
    assert len(problems) == 3
    assert "hunter2" not in "".join(problems)
    assert problems[0].endswith('unknown key crypto.passphrase; did you mean "passphrase_file"?')


def test_an_unknown_section_is_answered_with_those_that_are_known(tmp_path: Path) -> None:
    known = ", ".join(SECTIONS)
    assert problems_of("[consenus]\nx = 1\n", directory=tmp_path, flags={"nod.id": "x"}) == [
        f'node.toml: unknown section [consenus]; known are {known}; did you mean "consensus"?',
        f'flag: unknown section [nod]; known are {known}; did you mean "node"?',
    ]


@pytest.mark.parametrize("value", ["1", '"x"', "[]", "2020-01-01"])
def test_a_section_that_is_no_table_is_refused(tmp_path: Path, value: str) -> None:
    (problem,) = problems_of(f"node = {value}\n", directory=tmp_path)
    assert problem.startswith("node.toml: node is ")
    assert problem.endswith("; expected a table [node]")


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("[node]\nid = \n", "not TOML: Invalid value (at line 2, column 6)"),
        ("[node\n", "(at line 1, column 6)"),
        ("[node]\n[node]\n", "(at line 2, column 6)"),
        ('[node]\nid = "a"\nid = "b"\n', "(at line 3, column 9)"),
    ],
)
def test_a_syntax_error_is_reported_with_its_line(tmp_path: Path, text: str, end: str) -> None:
    (problem,) = problems_of(text, directory=tmp_path)
    assert problem.startswith("node.toml: not TOML: ")
    assert problem.endswith(end)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"[node]\n\xff", "not UTF-8 at line 2"),
        (
            b"\xef\xbb\xbf[node]\n",
            "begins with a byte order mark, as TOML must not; save it without one",
        ),
        (b"x = " + b"[" * 100_000, "not TOML: nested too deeply"),
        (b"x = " + b"9" * 10_000, "not TOML: a number or date that cannot be"),
        (b"#" * (1024 * 1024 + 1), "over 1048576 bytes long, so no configuration"),
    ],
    ids=["not UTF-8", "mark", "nested", "long number", "large"],
)
def test_a_file_that_is_no_configuration_is_refused(
    tmp_path: Path, data: bytes, sentence: str
) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(path, environment={}, flags={})
    assert str(caught.value) == f"{path}: {sentence}"


def test_a_number_too_long_to_print_is_still_refused_in_one_line(tmp_path: Path) -> None:
    (problem,) = problems_of(f"[metrics]\nport = 0x{'f' * 9000}\n", directory=tmp_path)
    assert problem == "node.toml: metrics.port is a number of 36000 bits; expected 1 to 65535"


def test_a_missing_file_is_named_and_the_rest_is_checked_as_well(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(ConfigError) as caught:
        load(path, environment={"CRETO_METRICS_PORT": "0"}, flags={})
    assert str(caught.value).splitlines() == [
        f"{path}: no such file",
        "CRETO_METRICS_PORT: metrics.port is 0; expected 1 to 65535",
    ]


def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, environment={}, flags={})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Path("a\x00b"), environment={}, flags={})


@pytest.mark.skipif(os.geteuid() == 0, reason="to root every file is readable")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.touch(mode=0o000)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(path, environment={}, flags={})


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    """House style 24."""
    text = """
        [node]
        id = 7
        log_level = "loud"
        [network]
        quic_port = 70000
        bootstrap_peers = ["a", "b:1", "c"]
        [storage]
        backend = "sled"
        [tracing]
        [consensus]
        finality_timeout_ms = 9000
    """
    problems = problems_of(
        text,
        directory=tmp_path,
        environment={"CRETO_API_HTTP_PORT": "no", "NODE_ID": ""},
        flags={"metrics.port": True},
    )
    assert [problem.partition(";")[0] for problem in problems] == [
        "node.toml: node.id is 7",
        'node.toml: node.log_level is "loud"',
        "node.toml: network.quic_port is 70000",
        'node.toml: network.bootstrap_peers[0] is "a"',
        'node.toml: network.bootstrap_peers[2] is "c"',
        'node.toml: storage.backend is "sled"',
        "node.toml: unknown section [tracing]",
        'NODE_ID: node.id is ""',
        'CRETO_API_HTTP_PORT: api.http_port is "no"',
        "flag: metrics.port is true",
        f"consensus.finality_timeout_ms is 9000 ({tmp_path}/node.toml) and "
        "consensus.view_change_timeout_ms is 5000 (default)".replace(f"{tmp_path}/", ""),
    ]


def test_a_bad_value_is_reported_even_where_a_stronger_one_replaces_it(tmp_path: Path) -> None:
    problems = problems_of(
        "[metrics]\nport = 0\n",
        directory=tmp_path,
        environment={"CRETO_METRICS_PORT": "8080"},  # which is the API's
    )
    assert problems[0] == "node.toml: metrics.port is 0; expected 1 to 65535"
    assert problems[1].startswith("metrics.port is 8080 (CRETO_METRICS_PORT) and api.http_port")


def test_problems_without_end_are_cut(tmp_path: Path) -> None:
    text = "[node]\n" + "".join(f"x{n} = 1\n" for n in range(1000))
    problems = problems_of(text, directory=tmp_path)
    assert len(problems) == load_module.PROBLEMS_MAX + 1
    assert problems[-1] == "... and 900 more"


def test_a_profile_stands_for_its_sizes(tmp_path: Path) -> None:
    """SPEC S3."""
    config = loaded('[storage]\nprofile = "small"\n', directory=tmp_path)
    assert (config.storage.cache_size_mb, config.storage.write_buffer_mb) == (32, 8)
    assert config.origins["storage.cache_size_mb"] == "storage.profile small"
    assert config.explicit == {"storage.profile"}


def test_a_size_beside_its_profile_or_stronger_wins_and_a_weaker_one_does_not(
    tmp_path: Path,
) -> None:
    text = "[storage]\ncache_size_mb = 100\n"
    beside = loaded(f'{text}profile = "small"\n', directory=tmp_path)
    assert (beside.storage.cache_size_mb, beside.storage.write_buffer_mb) == (100, 8)
    weaker = loaded(text, directory=tmp_path, environment={"CRETO_STORAGE_PROFILE": "small"})
    assert weaker.storage.cache_size_mb == 32
    stronger = loaded(
        flags={"storage.cache_size_mb": 100}, environment={"CRETO_STORAGE_PROFILE": "small"}
    )
    assert stronger.storage.cache_size_mb == 100


_scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from([key.default for key in KEYS.values()]),
)
_tables = st.dictionaries(
    st.sampled_from([*SECTIONS, "other"]),
    st.dictionaries(
        st.sampled_from([key.name for key in KEYS.values()]) | st.text(max_size=5),
        _scalars | st.lists(_scalars, max_size=3),
        max_size=5,
    ),
    max_size=4,
)


def _as_toml(value: object) -> str:
    match value:
        case list() | tuple():
            return f"[{', '.join(map(_as_toml, value))}]"
        case bool() | int() | float() | str():
            return toml_of(value)
        case _:
            raise AssertionError(value)


def check_sentences(error: ConfigError) -> None:
    for line in str(error).split("\n"):
        assert line.isprintable()
        assert len(line) < 1000


def _load_data(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "node.toml"
        path.write_bytes(data)
        try:
            load(path, environment={}, flags={})
        except ConfigError as error:
            check_sentences(error)


@given(_tables)
def test_any_tables_load_or_raise_only_a_config_error(
    tables: dict[str, dict[str, object]],
) -> None:
    lines: list[str] = []
    for section, values in tables.items():
        lines.append(f"[{section}]")
        for name, value in values.items():
            quoted = name.encode("utf-8", "replace").decode()
            lines.append(f"{toml_of(quoted)} = {_as_toml(value)}")
    _load_data("\n".join(lines).encode())


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_load_or_raise_only_a_config_error(data: bytes) -> None:
    _load_data(data)


@given(
    st.dictionaries(st.sampled_from([key.variable for key in KEYS.values()]), st.text()),
    st.dictionaries(
        st.sampled_from(list(KEYS)) | st.text(max_size=10),
        _scalars | st.none() | st.lists(_scalars) | st.dictionaries(st.text(), _scalars),
    ),
)
def test_any_environment_and_flags_load_or_raise_only_a_config_error(
    environment: dict[str, str], flags: dict[str, object]
) -> None:
    try:
        load(None, environment=environment, flags=flags)
    except ConfigError as error:
        check_sentences(error)
