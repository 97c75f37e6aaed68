import dataclasses
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cretonode.config.reference import main, rendered_files
from cretonode.config.render import render_node_toml, toml_of
from cretonode.config.schema import KEYS, Config
from tests.config.documents import loaded

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", rendered_files())
def test_a_file_made_from_the_schema_is_what_the_schema_makes_now(name: str) -> None:
    """To mend it: python -m cretonode.config.reference ."""
    assert (ROOT / name).read_text(encoding="utf-8") == rendered_files()[name]


def test_the_default_file_loads_as_the_defaults_and_sets_every_key(tmp_path: Path) -> None:
    config = loaded(render_node_toml(), directory=tmp_path)
    assert dataclasses.replace(config, explicit=frozenset()) == Config()
    assert config.explicit == set(KEYS)


def test_a_changed_configuration_renders_and_loads_again(tmp_path: Path) -> None:
    flags: dict[str, object] = {
        "node.id": 'a "quoted" \\ name é',
        "consensus.quorum_threshold": 0.75,
        "network.bootstrap_peers": ["a:1", "/ip4/1.2.3.4/udp/5/quic"],
        "metrics.enabled": False,
    }
    config = loaded(flags=flags)
    again = loaded(render_node_toml(config), directory=tmp_path)
    assert dataclasses.replace(again, explicit=config.explicit) == config


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_toml(text: str) -> None:
    assert tomllib.loads(f"x = {toml_of(text)}") == {"x": text}


def test_the_reference_names_every_key_and_what_does_nothing_yet() -> None:
    text = rendered_files()["docs/config.md"]
    for key in KEYS.values():
        (row,) = [
            line
            for line in text.split(f"## [{key.section}]\n")[1].split("\n## ")[0].splitlines()
            if line.startswith(f"| `{key.name}` |")
        ]
        assert key.about.doc in row
        assert ("No effect yet" in row) == (key.about.effect is not None)


def test_the_writer_writes_both_files(tmp_path: Path) -> None:
    for directory in ("configs", "docs"):
        (tmp_path / directory).mkdir()
    main(tmp_path)
    for name, text in rendered_files().items():
        assert (tmp_path / name).read_text(encoding="utf-8") == text
