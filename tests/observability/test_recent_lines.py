"""What whoever watches sees of the log."""

from threading import Thread

import structlog

from cretonode.observability.logs import configure
from cretonode.observability.recent_lines import LINES_MAX, RECENT, TEXT_CHARACTERS_MAX, RecentLines


def test_a_line_is_kept_with_its_fields() -> None:
    lines = RecentLines()
    lines.add({"timestamp": "t", "level": "warn", "event": "x", "view": 4, "peer": "a", "n": 1})
    (line,) = lines.after(0, 10)
    assert (line.number, line.level, line.event) == (1, "warn", "x")
    assert line.text == "view=4 peer=a n=1"
    assert (line.view, line.sequence, line.peer) == (4, None, None)


def test_lines_are_handed_on_in_order_and_none_twice() -> None:
    lines = RecentLines()
    for number in range(10):
        lines.add({"event": str(number)})
    assert [line.event for line in lines.after(0, 4)] == ["0", "1", "2", "3"]
    assert [line.number for line in lines.after(4, 100)] == [5, 6, 7, 8, 9, 10]
    assert lines.after(10, 5) == []
    assert lines.after(99, 5) == []


def test_what_is_kept_is_bounded_and_a_gap_shows() -> None:
    lines = RecentLines()
    for _ in range(LINES_MAX + 5):
        lines.add({"event": "e" * 1000, "detail": "d" * 1000})
    found = lines.after(0, 10_000)
    assert len(found) == LINES_MAX
    assert found[0].number == 6
    assert len(found[0].text) == TEXT_CHARACTERS_MAX


def test_lines_of_many_threads_have_numbers_of_their_own() -> None:
    lines = RecentLines()
    threads = [
        Thread(target=lambda: [lines.add({"event": "x"}) for _ in range(100)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [line.number for line in lines.after(0, 1000)] == list(range(1, 801))


def test_whatever_is_logged_is_kept_whatever_it_looks_like() -> None:
    before = structlog.get_config()
    try:
        for log_format in ("console", "json"):
            configure("info", log_format)
            number = RECENT.number
            log = structlog.get_logger("test")
            log.debug("unheard")
            log.warning("heard", sequence=7, text="a\nb")
            (line,) = RECENT.after(number, 10)
            assert (line.event, line.level, line.sequence) == ("heard", "warn", 7)
    finally:
        structlog.configure(**before)
