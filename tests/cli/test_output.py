"""What commands print and how they end, whoever reads and whatever interrupts."""

import io
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cretonode.cli.base import errors_reported
from cretonode.cli.commands import cli
from cretonode.cli.output import print_table
from cretonode.config import genesis
from cretonode.config.load import load
from cretonode.errors import ConfigError, CorruptionError, StorageError
from cretonode.storage.errors import JournalDamaged

ID = "241ecd37" * 8


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def printed(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, columns: int) -> list[str]:
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    print_table("", ["id", "why"], [[ID, "words " * 30]])
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_an_id_is_printed_whole_to_be_copied(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    lines = printed(Terminal(), monkeypatch, columns)
    assert sum(ID in line for line in lines) == 1


def test_a_pipe_gets_a_row_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(io.StringIO(), monkeypatch, 40)
    assert len(lines) == 2
    assert lines[1].split() == [ID, *["words"] * 30]


def test_the_configuration_is_shown_with_where_it_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("[network]\nquic_port = 4711\n")
    done = run("config", "show", "--config", file, "--set", "api.http_port=8081")
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["network.quic_port", "4711", str(file)] in rows
    assert ["api.http_port", "8081", "flag"] in rows
    assert run("config", "check", "--config", file).exit_code == 0
    file.write_text("[network]\nquic_port = 0\n")
    assert run("config", "check", "--config", file).exit_code == 2


def test_a_pipe_in_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    """Nobody writes into it: to wait would be for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="pipe: cannot be read: Not a regular file"):
        load(pipe, environment={}, flags={})
    with pytest.raises(ConfigError, match="pipe: cannot be read: Not a regular file"):
        genesis.read(pipe)


@pytest.mark.parametrize("wait", ["-1", "30001", "99999999999999999999", "soon"])
def test_a_wait_out_of_range_is_refused(wait: str) -> None:
    done = run("get", "--wait", wait, ID)
    assert done.exit_code == 2
    assert "--wait" in done.stderr


def test_a_reader_that_has_gone_is_no_bug() -> None:
    """`devnet | head -1`: the error comes out of a nursery."""
    with pytest.raises(SystemExit) as ended, errors_reported():
        raise BaseExceptionGroup(
            "nursery", [BaseExceptionGroup("inner", [BrokenPipeError(32, "")])]
        )
    assert ended.value.code == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_puts_things_away_and_is_in_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}

    def interrupted(*_arguments: object, **_options: object) -> None:
        os.kill(os.getpid(), number)
        raise AssertionError("the signal was lost")

    monkeypatch.setattr("cretonode.cli.network_commands.make_testnet", interrupted)
    done = run("testnet", tmp_path / "net")
    assert done.exit_code == 128 + number
    assert {n: signal.getsignal(n) for n in before} == before


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (CorruptionError("database x: get: Corruption: bad block"), "move the database away"),
        (StorageError("database x: write: No space left on device"), "make room and start again"),
        (StorageError("database x: write: Input/output error"), ""),
        (JournalDamaged("journal x: byte 7 is not what was written"), ""),
    ],
)
def test_a_failing_disk_is_told_with_what_to_do(
    capsys: pytest.CaptureFixture[str], error: StorageError, advice: str
) -> None:
    """Once, however many tasks it ended."""
    with pytest.raises(SystemExit) as ended, errors_reported():
        raise BaseExceptionGroup("nursery", [error, type(error)(str(error))])
    assert ended.value.code == 1
    first, *others = capsys.readouterr().err.splitlines()
    assert first == f"cretonode: {error}"
    assert len(others) == bool(advice)
    assert advice in "".join(others)
