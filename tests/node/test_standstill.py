"""Why nothing becomes final, as the operator and a load balancer hear it. SPEC C10."""

import pytest
import structlog

from cretonode.core.effects import Reason, Refuse
from cretonode.core.ordering import Untimely
from cretonode.identifiers import ValidatorIndex
from cretonode.node.standstill import CLOCKS_MS, clocks_off, standstill
from tests.core.replicas import (
    START_MS,
    Driven,
    anchor,
    committed,
    make_replica,
    new_view,
    plain,
    pre_prepare,
    prepared,
    view_change,
)
from tests.node.test_old_view import make_driver

NAMES = ("a", "b", "c", "d")
TIMEOUT_MS = 5_000


def told(tested: Driven) -> str:
    return standstill(tested.replica, NAMES, tested.now_ms)


def test_an_idle_node_stands_still_and_nothing_is_wrong() -> None:
    tested = make_replica()
    tested.now_ms += 10 * TIMEOUT_MS
    assert told(tested) == ""


def test_what_waits_for_two_timeouts_is_told_with_leader_and_phase() -> None:
    tested = make_replica()
    tested.hear(plain(2, 1))
    tested.now_ms += 2 * tested.replica.state.timing.view_change_timeout_ms
    assert told(tested) == ""
    tested.now_ms += 1
    seconds = 2 * tested.replica.state.timing.view_change_timeout_ms // 1000
    assert told(tested) == (
        f"nothing became final for {seconds} s: view 0, leader a, waiting for pre_prepare of 1 of a"
    )


def test_views_that_give_nothing_are_told_without_any_client() -> None:
    """A base that nobody holds: views change for ever, and nothing waits."""
    first = anchor(0, 1)
    base = prepared(0, first)
    tested = make_replica()
    for view in (1, 2, 3):
        tested.now_ms += TIMEOUT_MS
        tested.hear(*(view_change(view, author, base) for author in (0, 2, 3)))
        tested.hear(new_view(view, base))
    assert told(tested) == ""
    tested.now_ms += 1
    for view in (4, 5):
        tested.now_ms += TIMEOUT_MS
        tested.hear(*(view_change(view, author, base) for author in (0, 2, 3)))
        tested.hear(new_view(view, base))
    words = told(tested)
    assert words.startswith("nothing became final for 20 s: view 5, leader b, waiting for ")
    assert "the anchor of sequence 1, on which this view stands, has come from nobody" in words


def test_finality_ends_it_even_while_one_author_still_waits() -> None:
    tested = make_replica()
    tested.hear(plain(2, 1))
    tested.now_ms += 3 * tested.replica.state.timing.view_change_timeout_ms
    assert told(tested)
    first = anchor(0, 1)
    tested.hear(first, committed(0, first))
    assert told(tested) == ""


@pytest.mark.parametrize(
    ("ahead_ms", "words"), [(90_000, "90.0 s ahead of"), (-61_500, "61.5 s behind")]
)
def test_a_clock_that_is_off_is_named_with_its_difference(ahead_ms: int, words: str) -> None:
    off = anchor(0, 1, timestamp_ms=START_MS + ahead_ms)
    tested = make_replica()
    tested.hear(off, pre_prepare(0, off))
    assert clocks_off(tested.replica, NAMES, tested.now_ms).startswith(
        f"a's clock is {words} this node's; more than 60 s apart"
    )
    assert clocks_off(tested.replica, NAMES, tested.now_ms + CLOCKS_MS) == ""


async def test_the_log_says_it_once_a_minute() -> None:
    driver = make_driver(1)
    leader = ValidatorIndex(0)
    with structlog.testing.capture_logs() as logs:
        for at_ms in (0, 1_000, 59_000, 60_000):
            driver.replica.ordering.untimely[leader] = Untimely(90_000, START_MS + at_ms)
            driver._dispatch(Refuse(leader, Reason.UNTIMELY_ANCHOR))
    assert [
        (line["name"], line["ahead_ms"]) for line in logs if line["event"] == "clocks_differ"
    ] == [(driver.bans.names[0], 90_000)] * 2
    assert driver.counts.refused == {"untimely_anchor": 4}
