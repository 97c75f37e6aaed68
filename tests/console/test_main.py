"""The command line: what it refuses, and what it does without a screen."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from console.history import NoHistory, fetch
from console.main import _is_plain_terminal, command
from console.replay import Recording
from cretonode.operator.protocol import HISTORY, Request, Response, encode_message
from cretonode.operator.protocol_recording import HistoryPiece, history_value, recording_frame
from tests.console import examples
from tests.console.scripted_node import ScriptedNode, listening, refuses, says

RUN = "from console.main import command; command()"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_help_names_what_there_is() -> None:
    code, text = run("--help")
    assert code == 0
    for word in ("--socket", "--config", "--write", "--record", "--ascii", "replay", "history"):
        assert word in text


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    assert run("--socket", tmp_path / "x.sock") == (
        2, "creto-console needs a terminal; `cretonode status` does without one.\n"
    )  # fmt: skip


def test_a_file_that_exists_is_not_recorded_over(tmp_path: Path) -> None:
    (tmp_path / "old.creto").write_text("precious")
    code, text = run("--socket", tmp_path / "x.sock", "--record", tmp_path / "old.creto")
    assert code == 2
    assert "exists: name a new file" in text
    code, text = run("history", "--socket", tmp_path / "x.sock", tmp_path / "old.creto")
    assert code == 1
    assert "File exists" in text
    assert (tmp_path / "old.creto").read_text() == "precious"


def test_a_place_that_cannot_be_recorded_into_is_refused_at_once(tmp_path: Path) -> None:
    code, text = run("--socket", tmp_path / "x.sock", "--record", tmp_path / "no" / "new.creto")
    assert code == 2
    assert "there is no directory" in text


def test_options_before_a_subcommand_are_not_ignored(tmp_path: Path) -> None:
    code, text = run("--socket", tmp_path / "x.sock", "history", tmp_path / "out.creto")
    assert code == 2
    assert "put --socket after 'history'" in text
    code, text = run("--write", "replay", tmp_path / "out.creto")
    assert code == 2
    assert "--write means nothing to 'replay'" in text


@pytest.mark.parametrize(
    ("environment", "plain"),
    [
        ({"LANG": "de_DE.UTF-8"}, False),
        ({"LANG": "C", "LC_ALL": "C.utf8"}, False),
        ({"LANG": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),  # as Python leaves it, PEP 538
        ({"LANG": "en_US.UTF-8", "LC_CTYPE": "C.UTF-8"}, False),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({}, True),
        ({"PYTHONUTF8": "1"}, False),
    ],
)
def test_signs_are_plain_without_utf_8(environment: dict[str, str], *, plain: bool) -> None:
    assert _is_plain_terminal(environment) is plain


def test_a_recording_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert run("replay", tmp_path / "none.creto")[0] == 2


def test_a_history_comes_in_pieces_and_can_be_replayed(tmp_path: Path) -> None:
    frames = [recording_frame(encode_message(delta)) for delta in examples.deltas(5)]

    def piece(request: Request) -> Response:
        start = request.arguments.get("cursor", 0)
        assert isinstance(start, int)
        cursor = start + 2 if start + 2 < len(frames) else None
        value = history_value(HistoryPiece(cursor=cursor, frames=b"".join(frames[start:][:2])))
        return Response(id=request.id, ok=True, value=value)

    async def play() -> int:
        node = ScriptedNode()
        node.answers = {HISTORY: piece}
        async with listening(tmp_path / "x.sock", node):
            return await fetch(tmp_path / "x.sock", tmp_path / "kept.creto", None, "test")

    written = asyncio.run(play())
    assert (tmp_path / "kept.creto").stat().st_size == written
    recording = Recording(tmp_path / "kept.creto")
    list(recording.load())
    assert len(recording) == 5
    recording.close()


@pytest.mark.parametrize("hours", ["nan", "inf", "-1", "0", "999999", "soon"])
def test_hours_that_are_none_are_refused(tmp_path: Path, hours: str) -> None:
    code, text = run(
        "history", "--socket", tmp_path / "x.sock", "--hours", hours, tmp_path / "out.creto"
    )
    assert code == 2
    assert "--hours" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_history_leaves_no_file(tmp_path: Path, number: signal.Signals) -> None:
    """The node hangs: it takes the connection and says nothing."""
    with socket.socket(socket.AF_UNIX) as node:
        node.bind(str(tmp_path / "x.sock"))
        node.listen()
        words = ["history", "--socket", str(tmp_path / "x.sock"), str(tmp_path / "out.creto")]
        process = subprocess.Popen([sys.executable, "-c", RUN, *words])
        connection, _ = node.accept()
        process.send_signal(number)
        assert process.wait(30) != 0
        connection.close()
    assert not (tmp_path / "out.creto").exists()


def test_without_a_history_no_file_is_left(tmp_path: Path) -> None:
    async def play() -> None:
        node = ScriptedNode()
        node.answers = {HISTORY: refuses("this node keeps no history")}
        async with listening(tmp_path / "x.sock", node):
            await fetch(tmp_path / "x.sock", tmp_path / "kept.creto", 7, "test")

    with pytest.raises(NoHistory, match="keeps no history"):
        asyncio.run(play())
    assert not (tmp_path / "kept.creto").exists()


def test_a_history_that_the_disk_does_not_take_blames_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = recording_frame(encode_message(next(examples.deltas(1))))
    opening = os.open
    monkeypatch.setattr(os, "open", lambda *_: opening("/dev/full", os.O_WRONLY))

    async def play() -> None:
        node = ScriptedNode()
        piece = history_value(HistoryPiece(cursor=None, frames=frame))
        node.answers = {HISTORY: says(piece)}
        async with listening(tmp_path / "x.sock", node):
            await fetch(tmp_path / "x.sock", tmp_path / "kept.creto", None, "test")

    with pytest.raises(NoHistory) as caught:
        asyncio.run(play())
    assert str(caught.value) == f"{tmp_path / 'kept.creto'}: No space left on device"


def test_what_is_no_recording_and_no_socket_is_refused_at_once(tmp_path: Path) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.touch()
    for arguments, words in (
        (("replay", pipe), "is a FIFO, no recording"),
        (("--socket", pipe), "is a FIFO, no socket of a node"),
        (("--socket", file), "is a regular file, no socket of a node"),
        (("history", "--socket", file, tmp_path / "out"), "is a regular file, no socket of a node"),
    ):
        code, text = run(*arguments)
        assert code == 2
        assert words in " ".join(text.split())
