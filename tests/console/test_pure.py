"""The pure parts: filters, order of rows, tables as text, units, histories, files, places."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from console import keep
from console.contact import BACK_OFF_MS, STALE_MS, Contact, Link, back_off_ms, banner
from console.exports import Record, as_csv, as_json, recorded
from console.filters import BadFilter, parse_filter
from console.look import ASCII, PALETTES, THEMES, UNICODE, Glyphs, Look, bar
from console.rows import Cell, Column, Row, Sorting, Tone, chosen
from console.series import STEPS_MAX, Rate, Series, sparkline
from console.sockets import BadPlace, places_of
from console.table_text import Frame, column_at, drawn, scrolled, widths_of
from console.units import clock, count, duration, listed, moment, plural, size, stamp
from console.writing import duration_ms
from tests.console import examples

LOOK = Look(UNICODE, PALETTES["dark"])
COLUMNS = (Column("Name"), Column("Age", right=True), Column("Remark"))


def row(name: str, age: int | None, remark: str = "") -> Row:
    shown = "-" if age is None else f"{age:,}"
    return Row(name, (Cell(name), Cell(shown, order=age), Cell(remark)))


ROWS = [row("bob", 1_000), row("Ann", 9), row("cy", None)]


@pytest.mark.parametrize(
    ("text", "line", "kept"),
    [
        ("", "anything", True),
        ("node[12]", "NODE2 up", True),
        ("node[12]", "node3 up", False),
        ("!debug", "debug slots_final", False),
        ("!debug", "warn peer_lost", True),
        ("warn & !node3", "warn node1", True),
        ("warn & !node3", "warn node3", False),
        ("a&b", "a&b", True),
        ("größe", "GRÖSSE 3", False),
        ("grö", "GRÖSSE 3", True),
        ("node\\d+ +silent$", "node12  silent", True),
    ],
)
def test_a_filter_keeps_what_matches(text: str, line: str, kept: bool) -> None:
    assert parse_filter(text).matches(line) is kept


@pytest.mark.parametrize(
    "text", ["(", "\ud800", "!", "a &  & b", "x" * 201, " & ".join("abcdefghi")]
)
def test_what_is_no_filter_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadFilter):
        parse_filter(text)


@pytest.mark.parametrize(
    "text", [r"(a+)+$", r"(x+x+)+y", r"(a|aa)+$", ".*" * 60 + "z"], ids=lambda text: text[:12]
)
def test_no_expression_can_stop_the_console(text: str) -> None:
    """Python's own `re` would take longer than the universe is old: hence a limit from outside."""
    program = (
        "import sys; from console.filters import parse_filter; "
        "print(parse_filter(sys.argv[1]).matches('ax' * 20 + 'a' * 900 + 'x' * 100 + '!'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, text], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "text", [r"(a)\1", "(?=a)", "(?<!a)b", "(.{100}){100}", "(?:a?){900}"],
)  # fmt: skip
def test_an_expression_that_is_not_matched_in_bounds_is_refused(text: str) -> None:
    with pytest.raises(BadFilter, match="is no regular expression here: "):
        parse_filter(text)


def test_rows_sort_by_number_where_there_is_one_and_nothing_comes_last() -> None:
    everything = parse_filter("")
    by_age = chosen(ROWS, everything, Sorting(1))
    assert [r.key for r in by_age] == ["Ann", "bob", "cy"]
    by_name = chosen(ROWS, everything, Sorting(0, descending=True))
    assert [r.key for r in by_name] == ["cy", "bob", "Ann"]


def test_sorting_goes_round() -> None:
    seen = [Sorting()]
    for _ in range(4):
        seen.append(seen[-1].next(2))
    assert seen == [
        Sorting(), Sorting(0), Sorting(0, descending=True), Sorting(1), Sorting(1, descending=True)
    ]  # fmt: skip
    assert seen[-1].next(2) == Sorting()


def test_a_table_drops_the_columns_that_do_not_fit_from_the_right() -> None:
    assert widths_of(COLUMNS, ROWS, 80) == [5, 5, 7]
    assert widths_of(COLUMNS, ROWS, 19) == [5, 5]
    assert widths_of(COLUMNS, [row("x", 1, "a long remark")], 20) == [5, 4, 7]
    assert widths_of(COLUMNS, ROWS, 4) == []


def test_a_table_draws_head_and_cursor_and_never_more_than_its_frame() -> None:
    lines = drawn(COLUMNS, ROWS, Frame(20, 3, 1, 0, focused=True), Sorting(1), LOOK)
    assert [line.plain.rstrip() for line in lines] == [
        f"Name    Age{UNICODE.up}  Remark",
        "bob    1,000",
        "Ann        9",
    ]
    assert all(line.cell_len <= 20 for line in lines)
    assert lines[2].spans[-1].style == LOOK.palette.cursor


def test_the_cursor_stays_in_sight() -> None:
    assert scrolled(0, 50, 100, 11) == 41
    assert scrolled(41, 45, 100, 11) == 41
    assert scrolled(41, 3, 100, 11) == 3
    assert scrolled(95, 4, 5, 11) == 0
    assert scrolled(0, 0, 0, 0) == 0


def test_a_place_in_the_head_is_a_column() -> None:
    assert [column_at(COLUMNS, ROWS, 80, x) for x in (0, 4, 6, 13, 40)] == [0, 0, 1, 2, None]


def test_numbers_read_as_people_say_them() -> None:
    assert [duration(v) for v in (None, 0, 0.7, 37, 4_200, 42_000, 180_000, 7_200_000)] == [
        "-", "0 ms", "0.7 ms", "37 ms", "4.2 s", "42 s", "3 min", "2 h"
    ]  # fmt: skip
    assert [size(v) for v in (None, 512, 1_536, 3 << 30)] == ["-", "512 B", "1.5 KiB", "3.0 GiB"]
    assert [count(v) for v in (None, 9_876, 12_345, 4_500_000)] == ["-", "9,876", "12.3k", "4.5M"]
    at_ms = 86_400_000 * 5 + 3_661_001
    assert clock(at_ms) == "01:01:01.001"
    assert moment(at_ms) == "1970-01-06 01:01:01"
    assert moment(at_ms, near_ms=at_ms + 3_600_000) == "01:01:01"
    assert moment(at_ms, near_ms=at_ms + 86_400_000, exact=True) == "1970-01-06 01:01:01.001"
    assert stamp(at_ms) == "1970-01-06 01:01:01.001 UTC"
    assert moment(2**63) == "day 106751991167 07:12:55"
    assert plural(1, "vote") == "1 vote"
    assert listed([]) == ""
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefg")) == "a, b, c and 4 more"


def test_a_series_keeps_one_number_a_second_and_no_more_than_its_bound() -> None:
    series = Series()
    for ms in (0, 200, 900, 3_100):
        series.note(ms, ms)
    assert series.last(9) == (900, 900, 900, 3_100)
    for second in range(10_000):
        series.note(second * 1000 + 4_000, second)
    assert len(series) == STEPS_MAX
    series.note(0, 5)  # a recording was wound back
    assert series.last(9) == (5,)


def test_a_rate_is_per_second_and_survives_a_restart_of_the_counter() -> None:
    rate = Rate()
    for at_ms, total in ((0, 100), (500, 150), (1_000, 300), (3_000, 500), (4_000, 3), (5_000, 8)):
        rate.note(at_ms, total)
    assert rate.series.last(9) == (200, 200, 100, 100, 5)
    assert rate.now == 5


def test_a_sparkline_is_as_wide_as_asked_and_its_top_is_full() -> None:
    assert sparkline((0, 5, 10), 5) == "  ▁▅█"
    assert sparkline((0, 0), 2) == "▁▁"
    assert sparkline(range(100), 4)[-1] == "█"
    assert sparkline((1, 2), 3, ascii_only=True).isascii()


def test_a_bar_shows_any_part_and_is_never_too_long() -> None:
    assert bar(1, 1_000, 4, ASCII) == "#---"
    assert bar(0, 4, 4, ASCII) == "----"
    assert bar(9, 4, 4, ASCII) == "####"
    assert bar(1, 0, 4, ASCII) == "#---"
    assert bar(-3, 4, 4, ASCII) == "----"
    assert bar(-(1 << 63), 1, 4, ASCII) == "----"
    assert bar(1 << 64, 1, 4, ASCII) == "####"
    assert bar(3, -1, 4, ASCII) == "#---"


def test_every_tone_has_a_style_in_every_palette_and_every_sign_one_cell() -> None:
    for theme in THEMES:
        for tone in Tone:
            assert isinstance(PALETTES[theme.name].of(tone), str)
    assert "#" not in "".join(PALETTES["no-colour"].of(tone) for tone in Tone)
    for glyphs in (UNICODE, ASCII):
        assert all(len(g) == 1 for g in (glyphs.good, glyphs.late, glyphs.anchor, glyphs.cut))


def test_back_off_grows_to_its_last_step() -> None:
    assert [back_off_ms(n) for n in (1, 2, 99)] == [BACK_OFF_MS[0], BACK_OFF_MS[1], BACK_OFF_MS[-1]]


def test_the_banner_says_how_old_the_picture_is() -> None:
    lost = Contact(Link.LOST, "the node closed the connection")
    assert banner(lost, 12_300, has_data=True).startswith("stale 12 s, trying again: the node")
    assert banner(Contact(Link.ATTACHED), STALE_MS - 1, has_data=True) == ""
    assert banner(Contact(Link.ATTACHED), STALE_MS, has_data=True).startswith("stale 2 s")
    assert (
        banner(Contact(Link.SEEKING, "no node"), 0, has_data=False) == "waiting for a node: no node"
    )
    assert banner(Contact(Link.RECORDING), 1e9, has_data=True) == ""


@pytest.mark.parametrize(
    ("text", "ms"),
    [("90s", 90_000), ("30m", 1_800_000), ("30 min", 1_800_000), ("2h", 7_200_000),
     ("7d", 604_800_000), ("0s", 0), ("", None), ("h", None),
     ("1 week", None), ("-1h", None), ("1e9d", None)],
)  # fmt: skip
def test_a_duration_is_a_number_and_a_unit(text: str, ms: int | None) -> None:
    assert duration_ms(text) == ms


def test_what_a_spreadsheet_would_run_is_exported_as_text(tmp_path: Path) -> None:
    records: list[Record] = [
        {"name": "=1+2", "lag": -3, "banned": False, "remark": "-"},
        {"name": "@x", "lag": None, "banned": True, "remark": "-cmd"},
    ]
    lines = ["name,lag,banned,remark", "'=1+2,-3,false,-", "'@x,,true,'-cmd"]
    assert as_csv(records).splitlines() == lines
    assert json.loads(as_json(records)) == records


def test_a_record_is_exported_as_numbers_with_times_in_utc() -> None:
    ban = recorded(examples.BAN, by="me")
    assert ban["since"] == "2026-11-23T00:00:40.000Z"
    assert ban["until"] == "2026-11-23T01:00:40.000Z"
    assert (ban["validator"], ban["in_force"], ban["by"]) == (2, True, "me")
    assert ban["node_id"] == examples.IDS[2].hex()
    assert recorded(replace(examples.BAN, until_ms=None))["until"] is None
    vertex = recorded(replace(examples.vertices_at(1)[0], timestamp_ms=2**63 - 1))
    assert vertex["timestamp"] is None
    assert vertex["payload_bytes"] == 256 * 150


def test_files_are_new_private_and_never_overwritten(tmp_path: Path) -> None:
    first = keep.write_new(tmp_path, "rows", "csv", "1")
    second = keep.write_new(tmp_path, "rows", "csv", "2")
    assert first != second
    assert first.read_text() == "1"
    assert first.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match=r"No such file.*/no/creto-rows-.*\.csv"):
        keep.write_new(tmp_path / "no", "rows", "csv", "3")
    path = keep.write_copied("text", {"XDG_STATE_HOME": str(tmp_path)})
    keep.write_copied("other", {"XDG_STATE_HOME": str(tmp_path)})
    assert path.read_text() == "other"
    assert path.stat().st_mode & 0o777 == 0o600


def bind(path: Path) -> None:
    """Leave a socket of which nobody takes calls, as a killed node does."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def test_stopped_nodes_of_a_directory_are_places_too(tmp_path: Path) -> None:
    for name in ("node0", "node1", "node2", "logs"):
        (tmp_path / name).mkdir()
    (tmp_path / "node0" / "node.toml").write_text("[node]\noperator_socket = '/run/x/0.sock'\n")
    (tmp_path / "node1" / "node.toml").write_text("[node]\n")
    bind(tmp_path / "node2" / "operator.sock")
    places = places_of([tmp_path], None, None, {})
    assert [place.socket for place in places] == [
        Path("/run/x/0.sock"),
        tmp_path / "node1" / "operator.sock",
        tmp_path / "node2" / "operator.sock",
    ]
    assert [place.state() for place in places] == ["stopped"] * 3
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "node1" / "operator.sock"))
        bound.listen()
        assert [place.state() for place in places] == ["stopped", "running", "stopped"]


def test_a_directory_of_nodes_is_all_of_them_with_their_genesis(tmp_path: Path) -> None:
    for name in ("node1", "node0"):
        (tmp_path / name).mkdir()
        bind(tmp_path / name / "operator.sock")
    (tmp_path / "genesis.json").touch()
    (tmp_path / "node1" / "node.toml").write_text("[node]\ngenesis_path = '/g.json'\n")
    places = places_of([tmp_path], None, None, {})
    assert [place.name for place in places] == ["node0", "node1"]
    assert [place.genesis for place in places] == [tmp_path / "genesis.json", Path("/g.json")]


def test_a_place_comes_from_the_option_the_config_or_the_environment(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text("[node]\noperator_socket = '/run/x.sock'\ngenesis_path = '/g.json'\n")
    (place,) = places_of([], config, None, {})
    assert (place.socket, place.genesis) == (Path("/run/x.sock"), Path("/g.json"))
    (place,) = places_of([], None, Path("/own.json"), {"CRETO_NODE_OPERATOR_SOCKET": "/e.sock"})
    assert (place.socket, place.genesis) == (Path("/e.sock"), Path("/own.json"))
    (place,) = places_of([tmp_path / "not-yet.sock"], None, None, {})
    assert place.socket == tmp_path / "not-yet.sock"


def test_a_place_that_cannot_be_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadPlace, match=r"without any operator\.sock or node\.toml"):
        places_of([tmp_path], None, None, {})
    with pytest.raises(BadPlace, match="No such file"):
        places_of([], tmp_path / "none.toml", None, {})
    (tmp_path / "bad.toml").write_text("[node")
    with pytest.raises(BadPlace, match="is no TOML"):
        places_of([], tmp_path / "bad.toml", None, {})
    with pytest.raises(BadPlace, match="--socket and --config each name a node"):
        places_of([tmp_path / "x.sock"], tmp_path / "bad.toml", None, {})


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_a_sign_of_the_graph_has_one_meaning_without_colour(glyphs: Glyphs) -> None:
    signs = [
        glyphs.vertex, glyphs.vertex_open, glyphs.anchor, glyphs.anchor_open, glyphs.orphan,
        glyphs.none, glyphs.edge,
    ]  # fmt: skip
    assert len(set(signs)) == len(signs)
    votes = [glyphs.missing, glyphs.good, glyphs.late, glyphs.crossed, glyphs.forked]
    assert len({*votes, glyphs.unknown}) == len(votes) + 1
    if glyphs.ascii_only:
        assert "".join(signs + votes).isascii()
