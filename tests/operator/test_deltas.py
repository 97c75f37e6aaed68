"""Source of every claim: docs/operator-socket.md, section 6."""

import re
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from cretonode.crypto.canonical import Value, decode_untrusted, encode
from cretonode.errors import MalformedMessage
from cretonode.limits import PARENTS_MAX
from cretonode.operator.protocol import (
    RESPONSE_BYTES_MAX,
    VERSION_MAJOR,
    VERSION_MINOR,
    Delta,
    decode_message_untrusted,
    encode_message,
)
from cretonode.operator.protocol_deltas import (
    LOG_LINES_MAX,
    NOTHING,
    TOPICS,
    Changes,
    Merge,
    changes_untrusted,
    delta_of,
    merged,
    topics_untrusted,
)
from cretonode.operator.protocol_fields import (
    FIELDS_MAX,
    TABLE_ROWS_MAX,
    table_untrusted,
    table_value,
)
from cretonode.operator.protocol_topics import LogSnapshot, VertexSnapshot
from tests.operator.examples import BAN_VIEW, LINE, VERTEX
from tests.operator.hostile import altered
from tests.wire.hostile import damaged

DOCS = Path(__file__).parents[2] / "docs" / "operator-socket.md"
DELTA = delta_of(
    Changes(log=(LINE, replace(LINE, number=2)), vertices=(VERTEX,), bans=()), at_ms=7, fresh=True
)


def test_a_delta_comes_back_as_it_was() -> None:
    heard = decode_message_untrusted(encode_message(DELTA))
    assert isinstance(heard, Delta)
    assert (heard.at_ms, heard.fresh) == (7, True)
    changes = changes_untrusted(heard)
    assert changes.log == (LINE, replace(LINE, number=2))
    assert changes.vertices == (VERTEX,)
    assert changes.bans == ()
    assert changes.status is None


@settings(deadline=None)
@given(data=damaged(encode_message(DELTA)) | altered(encode_message(DELTA)))
def test_a_delta_that_is_nearly_right_raises_nothing_else(data: bytes) -> None:
    with suppress(MalformedMessage):
        message = decode_message_untrusted(data)
        if isinstance(message, Delta):
            changes_untrusted(message)


def test_topics_and_columns_of_a_later_version_are_passed_over() -> None:
    names, rows = table_of(DELTA)
    wider: Value = [[*names, "colour"], [[*row, "red"] for row in rows]]
    later = replace(DELTA, topics={**DELTA.topics, "log": wider, "weather": [["x"], [[1]]]})
    assert changes_untrusted(later) == changes_untrusted(DELTA)


def table_of(delta: Delta) -> tuple[list[Value], list[list[Value]]]:
    table = decode_untrusted(encode(delta.topics["log"]))
    assert isinstance(table, list)
    names, rows = table
    assert isinstance(names, list)
    assert isinstance(rows, list)
    return names, [list(row) for row in rows if isinstance(row, list)]


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (7, "not an array of names and rows"),
        ([[]], "not an array of names and rows"),
        ([7, []], "names"),
        ([[], 7], "rows"),
        ([["number"] * 2, []], "a name twice"),
        ([["number"], []], "a table of LogSnapshot without at_ms"),
        ([["Number"], []], "lower-case"),
        ([[f"x{i}" for i in range(FIELDS_MAX + 1)], []], "over 64 names"),
        ([["number"], [[0]] * (TABLE_ROWS_MAX + 1)], "over 1024 rows"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_table_that_is_none_is_refused(table: Value, error: str) -> None:
    with pytest.raises(MalformedMessage, match=error):
        table_untrusted(LogSnapshot, table)


def test_a_row_has_as_many_values_as_there_are_names() -> None:
    names, rows = table_of(DELTA)
    for broken in (rows[0][:-1], [*rows[0], 1], 7):
        with pytest.raises(MalformedMessage, match="not as long as the names"):
            table_untrusted(LogSnapshot, [names, [broken]])


def test_a_table_of_dataclasses_with_the_same_fields_is_the_same() -> None:
    kind = TOPICS["bans"].kind
    (ban,) = table_untrusted(kind, table_value(kind, [BAN_VIEW]))
    for each in fields(ban):
        assert getattr(ban, each.name) == getattr(BAN_VIEW, each.name)


def test_the_largest_vertex_fits() -> None:
    parents = bytes(32 * PARENTS_MAX)
    vertex = replace(VERTEX, parents=parents, missing=parents)
    changes = Changes(vertices=(vertex,))
    assert changes_untrusted(delta_of(changes, at_ms=0, fresh=False)) == changes


# --- what deltas add up to


def test_rows_take_the_place_of_all_of_one_or_are_added() -> None:
    """Section 6, the table of topics."""
    first = Changes(families=(), vertices=(VERTEX, replace(VERTEX, hash=bytes(32))), log=(LINE,))
    final = replace(VERTEX, state="final", sequence=7)
    then = Changes(vertices=(final,), log=(replace(LINE, number=2),))
    known = merged(merged(NOTHING, first, fresh=True), then, fresh=False)
    assert known.vertices == (final, replace(VERTEX, hash=bytes(32)))
    assert known.log == (LINE, replace(LINE, number=2))
    assert known.families == ()
    assert merged(known, NOTHING, fresh=False) is known
    assert merged(known, then, fresh=True) == then


def test_what_is_kept_is_bounded() -> None:
    known = NOTHING
    for number in range(LOG_LINES_MAX + 50):
        line = replace(LINE, number=number)
        vertex = replace(VERTEX, hash=number.to_bytes(32, "big"))
        known = merged(known, Changes(log=(line,), vertices=(vertex,)), fresh=False)
    assert known.log is not None
    assert known.vertices is not None
    assert len(known.log) == LOG_LINES_MAX
    assert known.log[-1].number == LOG_LINES_MAX + 49
    assert len(known.vertices) == TOPICS["vertices"].rows_max
    many = replace(DELTA, topics={"alerts": table_value(VertexSnapshot, [])})
    with pytest.raises(MalformedMessage):
        changes_untrusted(many)


def test_a_key_is_a_field_of_its_rows() -> None:
    for name, topic in TOPICS.items():
        names = {each.name for each in fields(topic.kind)}
        assert (topic.merge is Merge.KEYED) == (topic.key in names), name
        assert 1 <= topic.rows_max <= TABLE_ROWS_MAX, name


@pytest.mark.parametrize(
    ("text", "topics"),
    [("", set(TOPICS)), ("  log   slots ", {"log", "slots"}), ("log log", {"log"})],
)
def test_topics_are_named_in_a_text(text: str, topics: set[str]) -> None:
    assert topics_untrusted(text) == topics


def test_an_unknown_topic_is_refused_by_name() -> None:
    with pytest.raises(MalformedMessage, match="there is no topic weather; known are alerts, bans"):
        topics_untrusted("log weather")


# --- the documentation


def test_the_documentation_lists_the_topics_and_what_they_do() -> None:
    text = DOCS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (all|added|key `\w+`) \| ([0-9,]+) \|", text, re.MULTILINE)
    documented = {name: (what, int(kept.replace(",", ""))) for name, what, kept in rows}
    words = {Merge.WHOLE: "all", Merge.ADDED: "added"}
    assert documented == {
        name: (words.get(topic.merge, f"key `{topic.key}`"), topic.rows_max)
        for name, topic in TOPICS.items()
    }
    assert f"This is version {VERSION_MAJOR}.{VERSION_MINOR}." in text


def test_a_message_of_the_node_has_room_for_the_documented_length() -> None:
    assert f"1 to {RESPONSE_BYTES_MAX:,} from it" in DOCS.read_text(encoding="utf-8")
