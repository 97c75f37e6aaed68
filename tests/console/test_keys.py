"""Every key, pressed in the real application on a real recording."""

import asyncio
import csv
import json
import re
from dataclasses import replace

import pytest
from textual import events
from textual.widgets import Input

from console.main_screen import PLANS, MainScreen
from tests.console.pilots import (
    LIVE_AT,
    Played,
    every_table,
    on_recording,
    replayed,
    screen_text,
)

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SHOWN = re.compile(r"^[\d,.]+ ?(%|k|M|m?s|min|h|d|B|[KMGT]iB)$|[█#░]|^\d\d:\d\d:\d\d")


@on_recording()
async def test_the_first_look_says_stalled_and_names_who_is_missing(played: Played) -> None:
    text = screen_text(played.app)
    assert " STALLED  missing node0 (banned) and node3: 2 of 4 reachable, 3 needed" in text
    assert "do: bring back node3" in text


@on_recording(at=LIVE_AT)
async def test_a_calm_network_is_live(played: Played) -> None:
    text = screen_text(played.app)
    assert " LIVE  all 4 validators reachable" in text
    assert "1 more may fail" in text
    assert "nothing to do" in text


@on_recording()
async def test_numbers_and_tab_lead_to_every_screen(played: Played) -> None:
    for i, plan in enumerate(PLANS):
        await played.press(str(i + 1))
        assert played.app.window.plan is plan
    await played.press("tab")
    assert played.app.window.plan is PLANS[0]
    await played.press("shift+tab")
    assert played.app.window.plan is PLANS[-1]


@on_recording()
async def test_a_click_on_a_tab_shows_its_screen(played: Played) -> None:
    column = screen_text(played.app).splitlines()[2].index("5 DAG")
    await played.pilot.click("#tabs", offset=(column + 1, 0))
    assert played.app.window.plan.name == "DAG"
    await played.pilot.pause()
    line = next(
        i for i, text in enumerate(screen_text(played.app).splitlines()) if "v: Graph" in text
    )
    column = screen_text(played.app).splitlines()[line].index("Orphans")
    await played.pilot.click("#parts", offset=(column + 1, 0))
    assert played.app.window.part is not None
    assert played.app.window.part.name == "Orphans"


@on_recording()
async def test_v_goes_round_the_tables_of_a_screen(played: Played) -> None:
    assert "View-change from" in await played.press("2", "v")
    assert "Waits for" not in screen_text(played.app)
    assert "Sequence   View" in await played.press("v")
    assert "View-change from" in await played.press("V")


@on_recording()
async def test_slash_filters_while_it_is_typed_and_escape_clears(played: Played) -> None:
    before = await played.press("7")
    await played.press("slash", *"banned")
    text = await played.press("enter")
    table = played.app.window.table
    assert table is not None
    assert 0 < len(table.rows) < table.total
    assert all("banned" in row.line() for row in table.rows)
    assert f"filter banned: {len(table.rows)} of {table.total}" in text
    assert await played.press("escape") == before


@on_recording()
async def test_a_filter_after_an_exclamation_mark_shows_the_rest(played: Played) -> None:
    await played.press("7", "slash", *"!debug & !info", "enter")
    table = played.app.window.table
    assert table is not None
    assert {row.cells[1].text for row in table.rows} == {"warn"}


@on_recording()
async def test_a_filter_that_is_no_expression_is_refused_in_words(played: Played) -> None:
    await played.press("7", "slash", "(", "enter")
    assert any("'(' is no regular expression" in words for words in played.told())


@on_recording()
async def test_keys_of_the_screens_are_letters_while_a_filter_is_typed(played: Played) -> None:
    await played.press("7", "slash", *"q1p?v")
    assert played.app.window.plan.name == "Log"
    assert played.app.is_running
    assert played.app.query_one("#filter").value == "q1p?v"  # type: ignore[attr-defined]


@on_recording()
async def test_s_sorts_up_then_down_by_each_column_and_at_last_not(played: Played) -> None:
    await played.press("3")
    table = played.app.window.table
    assert table is not None
    own = [row.key for row in table.rows]
    text = await played.press("s", "s")
    assert "by validator, descending" in text
    assert [row.key for row in table.rows] == own[::-1]
    await played.press("escape")
    assert [row.key for row in table.rows] == own
    for _ in range(2 * len(table.columns) + 1):
        await played.press("s")
    assert [row.key for row in table.rows] == own


@on_recording()
async def test_a_click_on_a_head_sorts_by_its_column(played: Played) -> None:
    await played.press("4")
    table = played.app.window.table
    assert table is not None
    await played.pilot.click(table, offset=(14, 0))
    assert table.sorting.column == 1
    assert table.rows[0].cells[0].text == "node0"  # the banned one has the lowest score


@on_recording()
async def test_enter_opens_the_row_and_escape_leads_back(played: Played) -> None:
    text = await played.press("2", "enter")
    assert "prepare missing, commit missing" in text
    assert re.search(r"Sequence 67, as of \d{4}-\d\d-\d\d [0-9:]{8} UTC", text)
    await played.press("escape")
    assert isinstance(played.app.screen, MainScreen)
    await played.press("escape")
    assert played.app.window.plan.name == "Overview"


@on_recording()
async def test_enter_in_one_read_with_a_screen_s_key_opens_a_row_of_that_screen(
    played: Played,
) -> None:
    """As a slow line delivers it: the table before has the keys until the next moment."""
    await played.press("3", "down", "down")
    for key in ("4", "enter"):
        played.app.post_message(events.Key(key, None))
    text = await played.until_text("Reputation of")
    assert "Reputation of node0" in text, "the first row, where the cursor stands"


@on_recording()
async def test_what_is_typed_behind_a_slash_in_one_read_is_the_filter(played: Played) -> None:
    """A pasted filter must not be taken for keys: q would end the console, X stop the node."""
    await played.press("7")
    for key in "/quorum":
        name = "slash" if key == "/" else key
        played.app.post_message(events.Key(name, key))
    await played.until(lambda: played.app.focused is not None and played.app.focused.id == "filter")
    line = played.app.focused
    assert isinstance(line, Input)
    await played.until(lambda: line.value == "quorum")


@on_recording()
async def test_a_key_that_is_held_down_leaves_one_sentence(played: Played) -> None:
    await played.press(*["right_curly_bracket"] * 5)
    assert len(played.app._notifications) == 1


@on_recording()
async def test_arrows_pages_and_the_wheel_move_the_cursor(played: Played) -> None:
    await played.press("2", "down", "j", "up")
    table = played.app.window.table
    assert table is not None
    keys = [row.key for row in table.rows]
    assert table.current is not None
    assert table.current.key == keys[1]
    await played.press("end")
    assert table.current.key == keys[-1]
    await played.press("pageup")
    assert keys.index(table.current.key) < len(keys) - 5
    await played.press("home")
    await played.pilot.click(table, offset=(4, 3))
    assert table.current.key == keys[2]
    await played.pilot.click(table, offset=(4, 3), times=2)
    assert not isinstance(played.app.screen, MainScreen)


@on_recording()
async def test_evidence_is_three_keys_away_with_both_statements(played: Played) -> None:
    text = await played.press("7", "v", "enter")
    assert "first statement, signed" in text
    assert "anchor 93cdb351" in text
    assert "anchor d321838c" in text
    await played.until_text("not checked: a recording holds what was said, not the")
    text = await played.until_text("cretonode evidence verify --genesis genesis.json evidence.json")
    assert "cretonode evidence export 7baf98bb8bb8 --output evidence.json" in text


@on_recording()
async def test_a_vertex_leads_to_its_ancestors_and_descendants(played: Played) -> None:
    await played.press("5", "v", "down", "down")
    text = await played.press("enter")
    assert "parent" in text
    await played.press("a")
    text = await played.until_text("Ancestors of")
    assert "among the vertices that are known here" in text
    await played.press("enter")
    await played.press("d")
    await played.until_text("Descendants of")


@on_recording()
async def test_e_writes_the_rows_that_are_seen(played: Played) -> None:
    await played.press("2", "slash", *"final", "enter")
    table = played.app.window.table
    assert table is not None
    await played.press("E", "c")
    await played.until(lambda: list(played.directory.glob("*.csv")))
    (path,) = played.directory.glob("creto-sequences-*.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sequence"] for row in rows] == [row.key for row in table.rows]
    assert rows[0]["prepares"].startswith("node0=")
    await played.press("E", "j")
    await played.until(lambda: list(played.directory.glob("*.json")))
    (path,) = played.directory.glob("*.json")
    found = json.loads(path.read_text())
    assert [row["phase"] for row in found] == ["final"] * len(table.rows)
    assert all(isinstance(row["finality_ms"], int) for row in found)
    assert all(MOMENT.fullmatch(row["since"]) for row in found)
    assert path.stat().st_mode & 0o077 == 0


@on_recording()
async def test_every_table_is_exported_in_numbers_by_named_fields(played: Played) -> None:
    for _, keys in every_table()[1:]:
        await played.press(*keys, "E")
        table = played.app.window.table
        assert table is not None
        if not table.rows:
            assert played.told()[-1] == "no rows to write"
        else:
            await played.press("j")
            await played.until(lambda: list(played.directory.glob("*.json")))
            (path,) = played.directory.glob("*.json")
            found = json.loads(path.read_text())
            path.unlink()
            assert len(found) == len(table.rows)
            assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for row in found for name in row)
            said = [v for row in found for v in row.values() if isinstance(v, str)]
            assert not [v for v in said if SHOWN.search(v)]
        await played.press(*["V"] * (len(keys) - 1))


@on_recording()
async def test_y_copies_the_row_for_the_terminal_and_into_a_file(played: Played) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(played.directory))
        await played.press("3", "y")
        kept = (played.directory / "creto-console" / "copied.txt").read_text()
    assert kept.startswith("node0\nstate: banned")
    assert played.app.clipboard == kept


@on_recording()
async def test_y_copies_the_overview_with_its_verdict(played: Played) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(played.directory))
        await played.press("y")
    assert played.app.clipboard.lstrip().startswith("STALLED  missing node0")


@on_recording()
async def test_a_picture_of_the_screen_is_written(played: Played) -> None:
    await played.press("S")
    (path,) = played.directory.glob("creto-overview-*.svg")
    picture = path.read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "STALLED" in picture
    assert "url(" not in picture.replace("url(#", "")  # it fetches nothing


@on_recording()
async def test_help_names_the_keys_and_the_palette_finds_the_screens(played: Played) -> None:
    text = await played.press("question_mark")
    assert "filter: a regular expression" in text
    await played.press("escape", "ctrl+p")
    await played.press(*"storage")
    await played.until_text("Sizes, cache")
    await played.press("enter")
    await played.until(lambda: played.app.window.plan.name == "Storage")
    await played.press("3", "ctrl+p", *"filter", "enter")
    await played.until(lambda: played.app.focused is not None and played.app.focused.id == "filter")
    await played.press(*"node2", "enter")
    table = played.app.window.table
    assert table is not None
    assert table.filter.text == "node2"


@on_recording()
async def test_every_theme_says_the_same_words(played: Played) -> None:
    before = screen_text(played.app).splitlines()[:20]
    for name in ("light", "contrast", "no-colour", "dark"):
        text = await played.press("T")
        assert played.app.theme == name
        assert text.splitlines()[:20] == before


def test_signs_of_ascii_are_ascii_on_every_screen() -> None:
    async def play() -> None:
        async with replayed(ascii_only=True, theme="no-colour") as played:
            for number in "1234567":
                text = await played.press(number)
                assert text.isascii(), [c for c in text if not c.isascii()]
            await played.press("question_mark")
            await played.until(lambda: is_ascii_with(played, "Ctrl-P"))
            await played.press("escape", "v", "enter")
            await played.until(lambda: is_ascii_with(played, "not checked"))

    asyncio.run(play())


@pytest.mark.parametrize("theme", ["no-colour", "dark"])
def test_toasts_the_palette_and_every_dialog_keep_to_ascii(theme: str) -> None:
    async def play() -> None:
        async with replayed(ascii_only=True, theme=theme, toasts=True) as played:
            await played.press("3", "b")
            await played.until(lambda: is_ascii_with(played, "a recording cannot be changed"))
            await played.press("ctrl+p")
            await played.until(lambda: is_ascii_with(played, "Copy the row"))
            await played.press(*"stor")
            await played.until(lambda: is_ascii_with(played, "Sizes, cache"))
            await played.press("escape", "escape", "5", "v", "enter")
            await played.until(lambda: is_ascii_with(played, "its author's clock"))
            await played.press("a")
            await played.until(lambda: is_ascii_with(played, "Ancestors of"))
            await played.press("escape", "escape", "E")
            await played.until(lambda: is_ascii_with(played, "Export"))

    asyncio.run(play())


@on_recording()
async def test_each_author_has_a_lane_also_where_it_made_nothing(played: Played) -> None:
    text = await played.press("5")
    assert "│     │◇    │○    │" in text  # waiting: hollow
    assert "│     │◆    │     │" in text
    legend = "final ● vertex ◆ anchor   waiting ○ vertex ◇ anchor   ? orphan   · dropped"
    assert legend in text
    head = next(line for line in text.splitlines() if "Height" in line)
    row = next(line for line in text.splitlines() if "◇" in line and "│" in line)
    assert head.index("node1") == row.index("◇")


def is_ascii_with(played: Played, words: str) -> bool:
    text = screen_text(played.app)
    return words in text and text.isascii()


@on_recording()
async def test_q_leaves(played: Played) -> None:
    await played.press("q")
    assert not played.app.is_running


@on_recording()
async def test_what_cannot_be_written_is_said_with_path_and_reason(played: Played) -> None:
    away = played.directory / "no"
    played.app.options = replace(played.app.options, directory=away)
    await played.press("7", "S")
    await played.until(lambda: len(played.told()) == 1)
    assert re.fullmatch(rf"cannot write {away}/creto-log-.*svg: No such file.*", played.told()[0])
    await played.press("E", "c")
    await played.until(lambda: any("csv" in words for words in played.told()))
    (said,) = played.told()
    assert re.fullmatch(rf"cannot write {away}/creto-log-.*csv: No such file.*", said)
