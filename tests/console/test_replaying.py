"""A recording in the real application: its keys, its gaps, its damage, its times."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from console.options import Options
from console.replay import Recording
from console.screens.log import LOG
from console.screens.phases import PHASES
from console.units import DAY_MS, moment
from cretonode.operator.protocol import encode_message
from cretonode.operator.protocol_deltas import delta_of
from cretonode.operator.protocol_recording import recording_frame, recording_head
from tests.console import examples
from tests.console.pilots import (
    RECORDING,
    Played,
    on_recording,
    opened,
    replayed,
    screen_text,
)


@on_recording(at=0)
async def test_a_recording_is_stepped_and_jumped_through(played: Played) -> None:
    player = played.app.player
    assert player is not None
    await played.press("full_stop", "full_stop", "comma")
    assert player.position == 1
    text = await played.press("right_square_bracket")
    assert "equivocation" in await played.press("2", "v") or "view change" in text
    changed = player.position
    await played.press("right_curly_bracket")
    assert player.position > changed
    assert "node0" in await played.press("4", "v")
    text = await played.press("right_parenthesis", "1")
    assert " STALLED " in text
    await played.press("left_square_bracket")
    assert player.position == changed
    await played.press("left_parenthesis")
    assert "no stall or gap before this" in played.told()[-1]


@on_recording(at=0)
async def test_a_recording_has_no_other_node_to_choose(played: Played) -> None:
    await played.press("N")
    assert "a recording is of one node" in played.told()[-1]


@on_recording(at=0)
async def test_a_recording_plays_at_a_speed_and_stops_at_its_end(played: Played) -> None:
    player = played.app.player
    assert player is not None
    for _ in range(7):
        await played.press("greater_than_sign")
    assert player.speed == 128
    await played.press("less_than_sign")
    assert player.speed == 64
    text = await played.press("space")
    assert player.playing
    assert "replay 64x" in text
    await played.until(lambda: player.ended and not player.playing)
    await played.press("left")
    assert player.position < len(player.recording) - 1


@on_recording()
async def test_a_recording_cannot_be_changed(played: Played) -> None:
    await played.press("3", "b")
    assert played.told() == ["a recording cannot be changed"]


@pytest.mark.parametrize("content", ["dear diary", "damaged"])
def test_a_file_of_which_nothing_can_be_read_ends_the_console_in_words(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "notes.creto"
    path.write_text(content)
    words = "this is no recording of a node"
    if content == "damaged":
        data = bytearray(RECORDING.read_bytes())
        data[100] ^= 1
        path.write_bytes(data)
        words = "the recording is damaged at byte 18"

    async def play() -> None:
        async with opened(Options(recording=path)) as played:
            await played.until(lambda: not played.app.is_running)
            assert played.app.return_code == 1
            assert f"{path}: {words}" in str(played.app._exit_renderables[0])

    asyncio.run(play())


def test_a_damaged_recording_is_shown_up_to_the_damage_and_says_where_it_is(
    tmp_path: Path,
) -> None:
    whole = Recording(RECORDING)
    list(whole.load())
    path, place = tmp_path / "hurt.creto", whole._ends[9]
    whole.close()
    data = bytearray(RECORDING.read_bytes())
    data[place + 40] ^= 1
    path.write_bytes(data)

    async def play() -> None:
        async with replayed(at=9, recording=path, size=(160, 24)) as played:
            text = await played.press("2")
            assert "WAITING" not in text
            assert "replay stopped 10/10" in text
            after = f"damaged at byte {place} of hurt.creto after {moment(whole.times_ms[9])} UTC"
            assert f"{after}: a checksum does not match; what comes before is shown" in text

    asyncio.run(play())


def test_a_torn_end_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "torn.creto"
    path.write_bytes(RECORDING.read_bytes()[:-100])

    async def play() -> None:
        async with replayed(at=0, recording=path) as played:
            assert any("are torn and left out" in words for words in played.told())

    asyncio.run(play())


def test_a_dead_node_is_not_replayed_as_alive(tmp_path: Path) -> None:
    frames = [
        delta_of(examples.changes_at(1), at_ms=examples.at(second), fresh=True)
        for second in (0, 600, 601)
    ]
    path = tmp_path / "gap.creto"
    data = b"".join(recording_frame(encode_message(frame)) for frame in frames)
    path.write_bytes(recording_head(examples.HELLO) + data)

    async def play() -> None:
        async with replayed(at=0, recording=path) as played:
            text = await played.press("1")
            assert " LIVE " in text
            assert "replay stopped 1/3  2026-11-23 00:00:00 UTC" in text
            text = await played.press("right")
            gap = "nothing was recorded from 2026-11-23 00:00:00 to 00:10:00 UTC"
            assert f" STALE  {gap}" in text
            assert "do: ( and ) lead to the stall or gap before and after" in text
            assert "2026-11-23 00:00:10 UTC" in text
            await played.press(")")
            assert played.told()[-1] == "no stall or gap after this"
            await played.press("full_stop")
            assert " LIVE " in screen_text(played.app)
            text = await played.press("(")
            assert f" STALE  {gap}" in text

    asyncio.run(play())


@on_recording(size=(120, 40))
async def test_times_are_utc_and_have_a_date_where_it_is_not_the_clocks(played: Played) -> None:
    day = moment(played.app.model.at_ms)[:10]
    text = await played.press("7")
    assert re.search(rf"{day} \d\d:\d\d:\d\d UTC\n", text)
    assert text.count("UTC") == 1
    assert text.count(day) == 1
    await played.press("1")
    assert re.search(rf"{day} [0-9:]+ UTC\n", played.app.window.copied())
    old = played.app.picture()
    later = replace(old, now_ms=old.now_ms + DAY_MS)
    rows = [*LOG.parts[0].rows(later), *PHASES.parts[1].rows(later)]
    assert rows
    assert all(row.cells[0].text.startswith(f"{day} ") for row in rows)
    for key in ("7", "2", "4"):
        text = await played.press(key, *("v" if key == "2" else ""), "enter")
        assert re.search(rf"{day} [0-9:.]+ UTC", text) or key == "4"
        await played.press("escape")
