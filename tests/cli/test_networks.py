"""`testnet` and `devnet`: a whole network or none, and never another than was asked for."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cretonode.cli import layout
from cretonode.cli.commands import cli
from cretonode.cli.layout import NodeFiles, make_testnet
from cretonode.cli.network_commands import nodes_in
from cretonode.config.load import load
from cretonode.errors import ConfigError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One node; tests that change it copy it."""
    place = tmp_path_factory.mktemp("made") / "one"
    make_testnet(place, size=1, chain_id="devnet")
    return place


def test_a_relative_directory_serves_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("testnet", "-n", 1, "net").exit_code == 0
    monkeypatch.chdir("/")
    config = load(tmp_path / "net" / "node0" / "node.toml", environment={}, flags={})
    for path in (
        config.node.data_dir,
        config.node.genesis_path,
        config.node.operator_socket,
        config.storage.path,
        config.crypto.key_path,
    ):
        assert Path(path).is_relative_to(tmp_path), path


def test_the_environment_of_the_caller_is_not_in_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRETO_NODE_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("CRETO_CRYPTO_KEY_PATH", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("NODE_ID", "not-this")
    assert run("testnet", "-n", 2, tmp_path / "net").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    node = load(tmp_path / "net" / "node0" / "node.toml", environment={}, flags={})
    assert Path(node.node.data_dir).is_dir()


def test_a_wrong_chain_id_makes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "a" / "net"
    done = run("testnet", "--chain-id", "Bad ID", place)
    assert done.exit_code == 2
    assert "chain_id" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left", "/x")])
def test_what_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(path: Path) -> None:
        if path.parent.name == "node1":
            raise error

    monkeypatch.setattr(layout, "make_node", fail)
    done = run("testnet", "-n", 2, tmp_path / "a" / "net")
    assert done.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert not list(tmp_path.iterdir())


def test_an_empty_directory_that_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        (tmp_path / "stranger").touch()
        raise ConfigError("no")

    monkeypatch.setattr(layout, "make_node", fail)
    assert run("testnet", "-n", 1, tmp_path).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["stranger"]


@pytest.mark.parametrize("command", [("testnet",), ("devnet", "--dir")])
def test_a_half_made_network_is_called_so(
    made: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    place = tmp_path / "net"
    shutil.copytree(made, place)
    (place / "genesis.json").unlink()
    done = run(*command, place)
    assert done.exit_code == 2
    assert "half-made network" in done.stderr
    assert "remove that directory" in done.stderr


def test_a_network_of_another_size_is_refused(made: Path) -> None:
    done = run("devnet", "-n", 4, "--dir", made)
    assert done.exit_code == 2
    assert "holds a network of 1 node, but -n asks for 4" in done.stderr


def test_another_port_is_refused(made: Path) -> None:
    done = run("devnet", "--base-port", 1024, "--dir", made)
    assert done.exit_code == 2
    assert "--base-port asks for 1025" in done.stderr


def test_what_is_there_goes_on(made: Path) -> None:
    there: list[NodeFiles] = nodes_in(made, size=None, base_port=None)
    assert nodes_in(made, size=1, base_port=None) == there
    assert [node.directory for node in there] == [made / "node0"]


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "node-modules").mkdir()
    assert "no testnet" in run("devnet", "--dir", tmp_path).stderr
    assert "not empty" in run("testnet", tmp_path).stderr


@pytest.mark.parametrize("command", [("testnet",), ("devnet", "-n", "2", "--dir")])
@pytest.mark.parametrize("place", ["afile/sub", "/proc/foo", "dangling"])
def test_an_impossible_directory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    done = run(*command, place)
    assert done.exit_code in (1, 2)
    assert isinstance(done.exception, SystemExit)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert Path(place).name in done.stderr or "afile" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["afile", "dangling"]


def test_a_command_is_interruptible_and_no_longer_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        monkeypatch.setattr("cretonode.cli.network_commands.make_testnet", interrupt)
        assert run("testnet", "somewhere").exit_code == 130
        assert not received
        os.kill(os.getpid(), signal.SIGINT)
        assert received == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)
