"""The console attached to a socket: it waits, watches, loses, finds again, asks, and refuses."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest
from textual import events

from console.contact import STALE_MS, Contact, Link
from console.options import Options
from console.replay import Recording
from console.sockets import Place
from cretonode.identifiers import ValidatorIndex
from cretonode.operator.protocol import (
    STEP_DOWN,
    WALK,
    Refusal,
)
from cretonode.operator.protocol_deltas import delta_of
from cretonode.operator.protocol_fields import table_value
from cretonode.operator.protocol_topics import VertexSnapshot
from tests.console import examples
from tests.console.attaching import at, attached
from tests.console.pilots import Played, every_table, opened, screen_text
from tests.console.scripted_node import ScriptedNode, listening, refuses, says


def test_it_waits_for_a_node_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"

    async def play() -> None:
        async with opened(Options(places=(Place(path),)), size=(160, 24)) as played:
            text = await played.until_text("waiting for a node: no node listens at")
            assert " WAITING " in text
            async with listening(path, ScriptedNode()):
                text = await played.until_text("LIVE")
                assert "node0 on example" in text

    asyncio.run(play())


def test_deltas_move_the_picture_and_a_pause_holds_it(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.say(at(25))
        await played.until_text("DEGRADED  node3 not reachable")
        await played.press("p")
        node.say(at(55))
        await played.until(lambda: played.app.model.at_ms == examples.at(55))
        text = await played.press("2", "1")
        assert "DEGRADED  node3 not reachable" in text
        assert "paused" in text
        await played.press("p")
        await played.until_text("STALLED  missing node2 (banned) and node3")

    attached(tmp_path, test)


def test_a_lost_node_is_said_with_the_age_of_the_picture_and_found_again(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.hang_up()
        await played.until_text("trying again: the node closed the connection")
        await played.until(lambda: node.attached == 2)
        await played.until(lambda: "stale" not in screen_text(played.app))
        await played.until_text("LIVE")

    attached(tmp_path, test)


def test_a_node_that_falls_silent_is_no_longer_called_live(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.silent = True
        text = await played.until_text(" STALE ")
        assert re.search(r"this node says nothing for \d+ s; before: live", text)
        assert "more may fail" not in text
        text = await played.press("p")
        assert " STALE " in text, "a picture that is held still is no younger"
        assert "before: live" in text
        await played.press("p")
        node.silent = False
        await played.until_text(" LIVE ")

    attached(tmp_path, test)


@pytest.mark.parametrize(
    "data", [b"\x00\x00\x00\x02\xff\xff", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"],
    ids=["no CBOR", "too long", "another protocol"],
)  # fmt: skip
def test_bytes_that_no_node_says_end_the_connection_and_not_the_console(
    tmp_path: Path, data: bytes
) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.say_bytes(data)
        await played.until(lambda: node.attached == 2)
        await played.until_text("LIVE")

    attached(tmp_path, test)


def test_a_delta_that_breaks_the_protocol_ends_the_connection_and_not_the_console(
    tmp_path: Path,
) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.say(replace(at(3), topics={"status": 7}))
        await played.until(lambda: node.attached == 2)
        await played.until_text("LIVE")

    attached(tmp_path, test)


def test_an_older_node_and_a_refusal_are_said_in_the_nodes_words(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"

    async def play() -> None:
        node = ScriptedNode()
        node.hello = replace(node.hello, minor=1)
        options = Options(places=(Place(path),))
        async with listening(path, node), opened(options, size=(300, 24)) as played:
            await played.until_text("speaks operator protocol 1.1, this console 1.2 or later")
            assert f"{path}: the node (" in screen_text(played.app)
            node.answer = lambda _: [Refusal(reason="16 clients are attached already")]  # type: ignore
            await played.until_text("16 clients are attached already")

    asyncio.run(play())


def test_a_relation_walked_twice_in_one_read_is_opened_once(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {WALK: says(table_value(VertexSnapshot, examples.vertices_at(7)))}
        await played.press("5", "v", "enter")
        for each in ("d", "d"):
            played.app.post_message(events.Key(each, each))
        await played.until_text("Descendants of")
        for _ in range(2):
            played.app.post_message(events.Key("enter", None))
        await played.until_text("its author's clock")
        assert len(played.app.screen_stack) == 4  # window, vertex, descendants, vertex

    attached(tmp_path, test)


def test_words_of_the_node_are_shown_as_they_are_and_never_as_markup(tmp_path: Path) -> None:
    """Names and log lines reach the screen from others: none of them may draw on it."""
    words = "[bold]x[/nothing] [@click=app.quit]y[/]"

    async def test(played: Played, node: ScriptedNode) -> None:
        line = replace(examples.log_at(1)[0], event=words, text=words, peer=200, view=None)
        line = replace(line, sequence=None)
        vertex = replace(examples.vertices_at(1)[0], state="later", author=ValidatorIndex(99))
        slot = replace(examples.slots_at(1)[0], prepares=bytes([77] * 9), commits=b"")
        known = replace(
            examples.changes_at(1), log=(line,), vertices=(vertex,), slots=(slot,),
            validators=tuple(
                replace(v, name=words) for v in examples.changes_at(0).validators or ()
            ),
        )  # fmt: skip
        for number in range(1, 8):
            said = played.app.model.deltas
            node.say(delta_of(known, at_ms=examples.at(number), fresh=True))
            await played.until(lambda before=said: played.app.model.deltas > before)
            for _ in range(4 if number == 5 else 2):
                await played.press(str(number), "v", "enter", "escape")
        await played.press("enter")
        await played.until_text(f" {words} ")
        node.answers = {STEP_DOWN: refuses(words)}
        await played.press("escape", "D")
        await played.until(lambda: words in played.told())
        await played.until_text(words[:20])
        assert played.app.is_running

    attached(tmp_path, test, write=True)


def test_a_walk_is_the_nodes_own(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {WALK: says(table_value(VertexSnapshot, examples.vertices_at(7)))}
        await played.press("5", "v", "enter", "d")
        text = await played.until_text("as the node stores them")
        assert "Descendants of" in text
        assert node.requests[0].arguments["descendants"] is True

    attached(tmp_path, test)


def test_a_walk_is_asked_for_once_while_its_key_is_held_down(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        node.answers = {WALK: says(table_value(VertexSnapshot, examples.vertices_at(7)))}
        await played.press("5", "v", "enter")
        for _ in range(3):
            played.app.screen.post_message(events.Key("d", "d"))
        await played.until_text("as the node stores them")
        assert len(node.requests) == 1

    attached(tmp_path, test)


def test_what_is_recorded_can_be_replayed(tmp_path: Path) -> None:
    file = tmp_path / "kept.creto"

    async def test(played: Played, node: ScriptedNode) -> None:
        assert "recording" in screen_text(played.app)
        for second in (1, 2):
            node.say(at(second))
        node.hang_up()
        await played.until(lambda: node.attached == 2)
        node.say(at(3))
        await played.until(lambda: played.app.model.at_ms == examples.at(3))

    attached(tmp_path, test, record=file)
    recording = Recording(file)
    list(recording.load())
    assert list(dict.fromkeys(recording.times_ms)) == [examples.at(s) for s in range(4)]
    model = recording.model_at(len(recording) - 1)
    assert model.known.status == examples.changes_at(3).status
    recording.close()
    assert file.stat().st_mode & 0o077 == 0


def test_one_of_several_nodes_is_chosen_by_its_key(tmp_path: Path) -> None:
    places = []
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
        places.append(Place(tmp_path / name / "operator.sock"))

    async def play() -> None:
        nodes = [ScriptedNode(), ScriptedNode()]
        nodes[1].hello = replace(nodes[1].hello, name="second", node_id=examples.IDS[1])
        async with (
            listening(places[0].socket, nodes[0]),
            listening(places[1].socket, nodes[1]),
            opened(Options(places=places)) as played,
        ):
            text = await played.until_text("Which node?")
            for words in ("1  first +running", "2  second +running", "3  third +stopped"):
                assert re.search(words, text)
            await played.press("2")
            await played.until_text("second on example")
            await played.press("N")
            await played.until_text("Which node?")
            await played.press("1")
            await played.until_text("node0 on example")

    asyncio.run(play())


def test_a_recording_that_is_not_being_written_says_so_until_it_is_again(tmp_path: Path) -> None:
    places = [Place(tmp_path / "0.sock"), Place(tmp_path / "1.sock")]
    file = tmp_path / "kept.creto"

    async def play() -> None:
        nodes = [ScriptedNode(), ScriptedNode()]
        nodes[1].hello = replace(nodes[1].hello, name="second", node_id=examples.IDS[1])
        options = Options(places=places, record=file)
        async with (
            listening(places[0].socket, nodes[0]),
            listening(places[1].socket, nodes[1]),
            opened(options, size=(200, 24)) as played,
        ):
            await played.until_text("Which node?")
            await played.press("1")
            await played.until_text("read-only  recording")
            await played.press("N", "2")
            await played.until_text("second on example")
            words = f"not recording: {file} is of node0, second speaks; it goes on when node0 does"
            await played.until_text(words)
            await played.press("p")
            await played.until_text(f"{words}; paused")
            await played.press("p", "N", "1")
            await played.until_text("read-only  recording")
            assert "not recording" not in screen_text(played.app)
            nodes[0].hang_up()
            await played.until_text("not recording: no node speaks; stale")
            await played.until_text("read-only  recording")
            said = played.app.model.deltas
            nodes[0].say(at(9))
            await played.until(lambda: played.app.model.deltas > said)

    asyncio.run(play())
    recording = Recording(file)
    list(recording.load())
    assert recording.times_ms[-1] == examples.at(9)
    recording.close()


def test_a_place_that_cannot_be_recorded_into_ends_the_console_with_the_reason(
    tmp_path: Path,
) -> None:
    options = Options(places=(Place(tmp_path / "x.sock"),), record=Path("/proc/kept.creto"))

    async def play() -> None:
        async with opened(options) as played:
            await played.until(lambda: not played.app.is_running)
            assert played.app.return_code == 1
            assert "cannot record into /proc/kept.creto: " in str(played.app._exit_renderables[0])

    asyncio.run(play())


def test_the_clock_of_a_lost_node_stands_and_never_goes_back(tmp_path: Path) -> None:
    async def test(played: Played, node: ScriptedNode) -> None:
        app = played.app
        app._heard_s -= 8  # an attached node that is silent
        before = app.picture().now_ms
        assert before == app.model.at_ms + STALE_MS
        app.on_contact(Contact(Link.LOST, "gone"))
        assert app.picture().now_ms == before

    attached(tmp_path, test)


def test_of_an_unseen_node_nothing_is_claimed(tmp_path: Path) -> None:
    async def play() -> None:
        async with opened(Options(places=(Place(tmp_path / "x.sock"),))) as played:
            await played.until_text(" WAITING ")
            for _, keys in every_table()[1:]:
                text = await played.press(*keys)
                assert "not known yet: no word from the node" in text
                assert "0 rows" not in text
                await played.press(*["V"] * (len(keys) - 1))

    asyncio.run(play())


def test_what_took_the_place_of_a_socket_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    path.touch()

    async def play() -> None:
        async with opened(Options(places=(Place(path),)), size=(200, 24)) as played:
            await played.until_text(f"waiting for a node: {path} is a regular file")

    asyncio.run(play())


def test_rubbish_on_a_socket_is_said_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"

    async def rubbish(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        writer.close()

    async def play() -> None:
        server = await asyncio.start_unix_server(rubbish, str(path))
        async with opened(Options(places=(Place(path),)), size=(200, 24)) as played:
            await played.until_text(f"waiting for a node: {path}: ")
        server.close()

    asyncio.run(play())
