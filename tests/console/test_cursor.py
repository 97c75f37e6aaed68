"""The cursor stands on a subject: what comes, goes or is sorted anew never moves it to another."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from console.rows import Sorting
from console.table import GONE, Table
from cretonode.operator.protocol import BAN_REMOVE
from cretonode.operator.protocol_deltas import NOTHING, Changes, delta_of
from tests.console import examples
from tests.console.attaching import attached
from tests.console.pilots import Played, screen_text
from tests.console.scripted_node import ScriptedNode, says

RTT = 3  # the column


async def told(played: Played, node: ScriptedNode, changes: Changes, second: int) -> None:
    """Say a delta and wait until its rows are shown."""
    node.say(delta_of(changes, at_ms=examples.at(second), fresh=False))
    await played.until(lambda: played.app.model.at_ms == examples.at(second))
    played.app.window.draw()
    await played.pilot.pause()


def with_round_trips(times_ms: Sequence[float]) -> Changes:
    peers = zip(examples.peers_at(0), times_ms, strict=True)
    return replace(NOTHING, peers=tuple(replace(p, round_trip_ms=ms) for p, ms in peers))


def table_of(played: Played) -> Table:
    table = played.app.window.table
    assert table is not None
    return table


def marked(played: Played) -> str:
    row = table_of(played).current
    assert row is not None
    return row.cells[0].text.split()[-1]


def test_a_ban_meets_who_was_marked_though_others_were_sorted_above(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        await played.press("3", *["s"] * (2 * RTT + 1))
        assert table_of(played).sorting == Sorting(RTT)
        assert marked(played) == "node1"
        await told(played, node, with_round_trips((50.0, 0.8, 0.2)), 1)
        assert [row.key for row in table_of(played).rows] == ["3", "2", "1"]
        assert marked(played) == "node1"
        await played.press("b")
        await played.until_text("Why ban node1?")

    attached(tmp_path, test, write=True)


def test_a_sorting_that_is_asked_for_shows_its_first_row(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        await played.press("3", "s", "s")
        assert marked(played) == "node3"
        await played.press("down", "s", "s")
        assert marked(played) == "node2"  # it was moved there, so it stays there

    attached(tmp_path, test)


def test_who_is_gone_is_not_replaced_by_a_neighbour(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {BAN_REMOVE: says("the effect")}
        other = replace(examples.BAN, validator=3, name="node3", node_id=examples.IDS[3])
        await played.press("4", "v")
        await told(played, node, replace(NOTHING, bans=(examples.BAN, other)), 1)
        assert marked(played) == "node2"
        await told(played, node, replace(NOTHING, bans=(other,)), 2)
        for key in ("u", "enter", "y"):
            played.app.clear_notifications()
            await played.press(key)
            assert played.told() == [GONE]
        assert node.requests == []
        await played.press("home", "u")
        await played.until_text("Take back the ban of node3?")

    attached(tmp_path, test, write=True)


def test_a_cursor_that_was_not_moved_stays_with_the_newest(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        slots, log = examples.slots_at(9), examples.log_at(9)
        await played.press("7", "2")
        old = table_of(played).current
        await told(played, node, replace(NOTHING, slots=slots, log=log), 9)
        assert table_of(played).current != old
        assert marked(played) == f"{slots[-1].sequence:,}"
        await played.press("down")
        below = marked(played)
        await told(played, node, replace(NOTHING, slots=examples.slots_at(11)), 11)
        assert marked(played) == below
        await played.press("home")
        await told(played, node, replace(NOTHING, slots=examples.slots_at(13)), 13)
        assert marked(played) == f"{examples.slots_at(13)[-1].sequence:,}"
        await played.press("7")
        assert table_of(played).current == table_of(played).rows[-1]

    attached(tmp_path, test)


def test_filter_and_sorting_are_still_there_after_other_screens(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        await played.press("3", "s", "s", "slash", *"node[13]", "enter")
        await played.press("5", "v", "s", "s", "slash", *"node", "tab")
        for _ in range(4):
            await played.press("tab")
        text = screen_text(played.app)
        assert "filter node[13]: 2 of 3  by validator, descending" in text
        text = await played.press("tab", "tab")
        assert "filter node: " in text
        assert "by vertex, descending" in text

    attached(tmp_path, test)
