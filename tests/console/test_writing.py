"""What changes a node: asked, shown with its effect, confirmed, refused."""

from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input

from console.dialogs import Dialog
from cretonode.operator.protocol import (
    BAN_ADD,
    BAN_REMOVE,
    LOG_LEVEL,
    STEP_DOWN,
    STOP,
)
from tests.console.attaching import attached
from tests.console.pilots import Played, screen_text
from tests.console.scripted_node import ScriptedNode, refuses, says


def test_nothing_is_changed_without_write(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        for keys in (("3", "b"), ("u",), ("L",), ("D",), ("X",)):
            played.app.clear_notifications()
            await played.press(*keys)
            await played.until(played.told)
            (said,) = played.told()
            assert said == "read-only: start creto-console with --write to change anything"
        assert node.requests == []

    attached(tmp_path, test)


def test_a_ban_says_its_effect_before_it_is_done(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {BAN_ADD: says("this leaves 3 of 4 reachable")}
        await played.press("3", "down", "b")
        await played.until_text("Why ban node2?")
        await played.press(*"slow", "enter")
        await played.until_text("For how long is node2 banned?")
        await played.press("enter")
        await played.until_text("Ban node2?")
        assert "this leaves 3 of 4 reachable" in screen_text(played.app)
        assert [dict(r.arguments) for r in node.requests] == [
            {"validator": "node2", "reason": "slow", "lasts_ms": 3_600_000, "dry_run": True}
        ]
        await played.press("n")
        await played.pilot.pause()
        assert len(node.requests) == 1

    attached(tmp_path, test, write=True)


@pytest.mark.parametrize(
    ("keys", "command", "arguments"),
    [
        (("4", "down", "u"), BAN_REMOVE, {"validator": "node2"}),
        (("D",), STEP_DOWN, {}),
        (("X",), STOP, {}),
    ],
    ids=["unban", "step down", "stop"],
)
def test_what_is_confirmed_is_done_after_a_dry_run(
    tmp_path: Path, keys: tuple[str, ...], command: str, arguments: dict[str, object]
) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {command: says("the effect")}
        await played.press(*keys)
        await played.until_text("the effect")
        await played.press("y")
        await played.until(lambda: len(node.requests) == 3)
        assert [r.command for r in node.requests] == [command] * 3
        for asked in node.requests[:2]:  # and again at the `y`: is it still so?
            assert dict(asked.arguments) == {**arguments, "dry_run": True}
        assert dict(node.requests[2].arguments) == arguments
        await played.until(lambda: played.told() == ["the effect"])

    attached(tmp_path, test, write=True)


def test_what_changed_since_the_question_is_asked_again(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {STOP: says("3 of 4 stay: finality goes on")}
        await played.press("X")
        await played.until_text("finality goes on")
        node.answers = {STOP: says("2 of 4 stay: finality will stop")}
        await played.press("y")
        await played.until_text("finality will stop")
        await played.until_text("Changed meanwhile. Stop this node?")
        await played.press("n")
        await played.pilot.pause()
        assert all(asked.arguments.get("dry_run") for asked in node.requests)

    attached(tmp_path, test, write=True)


@pytest.mark.parametrize(
    ("opening", "words", "keys"),
    [
        (("L",), "Log from which level on?", ("d", "d")),
        (("3", "down", "b"), "Why ban node2?", ("r", "enter", "enter")),
        (("X",), "finality goes on", ("y", "y")),
    ],
    ids=["choice", "line", "confirmation"],
)
def test_a_key_typed_twice_answers_once(
    tmp_path: Path, opening: tuple[str, ...], words: str, keys: tuple[str, ...]
) -> None:
    """Both keys can come in one read, before the dialog is gone."""

    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {LOG_LEVEL: says("from debug on"), STOP: says("finality goes on")}
        await played.press(*opening)
        await played.until_text(words)
        for key in keys:
            character = key if len(key) == 1 else None
            played.app.screen.post_message(events.Key(key, character))
        await played.pilot.pause()
        assert played.app.is_running
        assert played.app.return_code in (None, 0)

    attached(tmp_path, test, write=True)


@pytest.mark.parametrize(
    ("opening", "key", "other"),
    [
        ((), "X", "D"),
        (("3", "down"), "b", "u"),
        ((), "L", "L"),
        (("3",), "E", "E"),
        (("3",), "question_mark", "question_mark"),
        (("3",), "enter", "enter"),
        (("5", "v"), "enter", "enter"),
    ],
    ids=["stop", "ban", "log level", "export", "help", "row", "vertex"],
)
def test_a_key_typed_three_times_opens_one_dialog(
    tmp_path: Path, opening: tuple[str, ...], key: str, other: str
) -> None:
    """All three can be read before the first has opened it."""

    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {STOP: says("finality goes on"), STEP_DOWN: says("node1 leads")}
        await played.press(*opening)
        for each in (key, other, key):
            played.app.post_message(events.Key(each, each if len(each) == 1 else None))
        await played.until(lambda: isinstance(played.app.screen, Dialog))
        await played.pilot.pause(0.1)
        assert len(played.app.screen_stack) == 2
        await played.press("escape")
        assert len(played.app.screen_stack) == 1

    attached(tmp_path, test, write=True)


def test_a_bad_duration_is_said_beside_it_and_loses_nothing(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {BAN_ADD: says("this leaves 3 of 4 reachable")}
        await played.press("3", "down", "b")
        await played.until_text("Why ban node2?")
        await played.press(*"slow", "enter")
        await played.until_text("For how long is node2 banned?")
        await played.press(*"2x", "enter")
        text = await played.until_text("'2x' is no duration: expected 90s")
        assert "For how long is node2 banned?" in text
        await played.press("backspace", "backspace", *"9999d", "enter")
        await played.until_text("'9999d' is over ten years: say `ever`")
        await played.press(*["backspace"] * 5, *"2h", "enter")
        await played.until_text("this leaves 3 of 4 reachable")
        assert dict(node.requests[0].arguments) == {
            "validator": "node2", "reason": "slow", "lasts_ms": 7_200_000, "dry_run": True
        }  # fmt: skip

    attached(tmp_path, test, write=True)


def test_a_paste_longer_than_the_node_takes_is_not_taken(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        await played.press("3", "down", "b")
        await played.until_text("Why ban node2?")
        line = played.app.screen.query_one(Input)
        line.post_message(events.Paste("x" * 70_000))
        await played.press(*"slow")
        assert line.value == "slow"

    attached(tmp_path, test, write=True)


def test_a_log_level_is_chosen_by_its_key(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {LOG_LEVEL: says("would log from debug on")}
        await played.press("L")
        await played.until_text("Log from which level on?")
        await played.press("d")
        await played.until_text("would log from debug on")
        assert node.requests[0].arguments["level"] == "debug"

    attached(tmp_path, test, write=True)


def test_a_refused_command_is_told_and_not_asked_again(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {STEP_DOWN: refuses("this node does not lead view 4")}
        await played.press("D")
        await played.until(lambda: played.told() == ["this node does not lead view 4"])
        assert len(node.requests) == 1

    attached(tmp_path, test, write=True)
