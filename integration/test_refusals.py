"""What an operator gets wrong is answered with one clear sentence, and nothing half-made."""

import subprocess
import sys
from pathlib import Path

import pytest

from cretonode.cli.layout import NodeFiles, make_testnet


def start(node: NodeFiles, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "cretonode.cli.main",
            "start",
            "--config",
            str(node.config_path),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.startswith("cretonode: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.fixture
def node(place: Path) -> NodeFiles:
    return make_testnet(place, size=1)[0]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("consensus.view_change_timeout_ms=0", "view_change_timeout_ms"),
        ("consensus.quorum_treshold=0.7", "quorum_threshold"),
        ("api.http_port=no", "http_port"),
        ("storage.backend=sled", "rocksdb"),
    ],
    ids=["out of range", "misspelt", "wrong type", "unknown backend"],
)
def test_a_wrong_setting_is_named(node: NodeFiles, setting: str, expected: str) -> None:
    done = start(node, "--set", setting)
    assert done.returncode == 2
    assert expected in complaint(done)


def test_a_missing_genesis_is_named(node: NodeFiles) -> None:
    (node.directory / "genesis.json").unlink()
    done = start(node)
    assert done.returncode == 2
    assert "genesis.json" in complaint(done)


def test_another_chain_s_data_directory_is_refused(node: NodeFiles, tmp_path: Path) -> None:
    other = make_testnet(tmp_path / "other", size=1, chain_id="other")[0]
    done = start(node, "--set", f"node.data_dir={other.directory / 'data'}")
    assert done.returncode == 2
    assert "belongs to chain 'other'" in complaint(done)


def test_another_node_s_key_is_refused(node: NodeFiles, tmp_path: Path) -> None:
    other = make_testnet(tmp_path / "other", size=1)[0]
    done = start(node, "--set", f"crypto.key_path={other.directory / 'keys'}")
    assert done.returncode == 2
    assert "is not one of the 1 validators" in complaint(done)


def test_a_key_that_others_can_read_is_refused(node: NodeFiles) -> None:
    (node.directory / "keys" / "node.key").chmod(0o644)
    done = start(node)
    assert done.returncode == 2
    assert "node.key" in complaint(done)


def test_a_lost_vote_journal_is_no_first_start(node: NodeFiles) -> None:
    """DESIGN 2: amnesia is never mistaken for a new node."""
    for file in (node.directory / "data" / "journal").iterdir():
        file.unlink()
    done = start(node)
    assert done.returncode == 1
    assert "journal" in complaint(done)
