"""What cannot be read whole is not confirmed, and what is cut is marked."""

import asyncio
import re
from pathlib import Path

import pytest

from console.options import Options
from console.sockets import Place
from cretonode.operator.protocol import BAN_REMOVE, STOP
from tests.console.pilots import Played, opened, screen_text
from tests.console.scripted_node import ScriptedNode, listening, says

EFFECT = (
    "this leaves 2 of 4 reachable: finality will stop until one of those who are missing is back "
    "with its data"
)


async def in_size(
    tmp_path: Path, size: tuple[int, int], command: str, *keys: str
) -> tuple[str, int]:
    """Return what is seen of a confirmation, and how many commands came of a `y`."""
    path = tmp_path / "operator.sock"
    node = ScriptedNode()
    node.answers = {command: says(EFFECT)}
    options = Options(places=(Place(path),), write=True)
    async with listening(path, node), opened(options, size) as played:
        await played.until(lambda: played.app.model.deltas)
        await played.press(*keys)
        await played.until(lambda: node.requests and len(played.app.screen_stack) > 1)
        await played.pilot.pause()
        text = screen_text(played.app)
        await played.press("y")
        await answered(played, node)
        return text, len(node.requests)


async def answered(played: Played, node: ScriptedNode) -> None:
    """Return when the `y` has had its effect, if it has one."""
    if len(played.app.screen_stack) == 1:
        await played.until(lambda: len(node.requests) == 3)


def words_of(text: str) -> str:
    """Return the words in a box, without its breaks of lines."""
    return " ".join(" ".join(re.findall("│ (.*?) │", text)).split())


@pytest.mark.parametrize("size", [(20, 5), (40, 7), (30, 24), (80, 5)], ids=str)
def test_a_confirmation_that_cannot_be_read_is_not_taken(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    text, requests = asyncio.run(in_size(tmp_path, size, STOP, "X"))
    assert requests == 1  # the dry run
    assert "terminal too small:" in words_of(text)
    assert "needed" in text
    assert "y do it" not in text


@pytest.mark.parametrize("size", [(31, 24), (40, 10), (76, 6), (80, 24)], ids=str)
def test_one_that_can_is_read_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    text, requests = asyncio.run(in_size(tmp_path, size, STOP, "X"))
    assert EFFECT in words_of(text)
    assert "y do it   n or Esc leave it" in text
    assert "Stop this node?" in text
    assert requests == 3


def test_what_is_needed_is_enough_and_one_line_less_is_not(tmp_path: Path) -> None:
    """Whom it is about stands in the title, so that is read whole as well."""
    keys = ("4", "down", "u")
    text, _ = asyncio.run(in_size(tmp_path, (30, 30), BAN_REMOVE, *keys))
    assert "too small: 33 x 8 needed" in words_of(text)
    text, requests = asyncio.run(in_size(tmp_path, (33, 8), BAN_REMOVE, *keys))
    assert "Take back the ban of node2?" in text
    assert EFFECT in words_of(text)
    assert requests == 3
    text, requests = asyncio.run(in_size(tmp_path, (33, 7), BAN_REMOVE, *keys))
    assert requests == 1


def test_a_banner_that_is_cut_says_so(tmp_path: Path) -> None:
    async def play() -> None:
        options = Options(places=(Place(tmp_path / "operator.sock"),))
        async with opened(options, (40, 10)) as played:
            text = await played.until_text(" waiting for a node: no node")
            (line,) = [each for each in text.splitlines() if each.startswith(" waiting for")]
            assert line.endswith("…")
            assert len(line) == 40

    asyncio.run(play())
