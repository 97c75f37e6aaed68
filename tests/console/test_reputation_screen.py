"""What the table of scores says moved them, when the node counts more than it shows."""

from console.contact import Contact, Link
from console.look import PALETTES, UNICODE, Look
from console.model import Model
from console.picture import Picture
from console.screens.reputation import score_rows
from console.verdict import verdict_of
from tests.console import examples


def moved(second: int) -> str:
    """Return what the story's table says moved node3's score."""
    model = Model()
    model.begin(examples.HELLO)
    for delta in list(examples.deltas(second + 1)):
        model.apply(delta)
    now_ms = examples.at(second)
    picture = Picture(
        model=model, now_ms=now_ms, verdict=verdict_of(model, now_ms),
        contact=Contact(Link.ATTACHED), look=Look(UNICODE, PALETTES["dark"]),
    )  # fmt: skip
    row = next(row for row in score_rows(picture) if row.cells[0].text == "node3")
    assert row.cells[4].text == "2"
    return row.cells[-1].text


def test_what_is_counted_and_no_longer_shown_is_older() -> None:
    assert moved(0) == "timeout 1, older 1"


def test_what_is_shown_in_full_says_nothing_of_older_ones() -> None:
    assert moved(examples.KILLED) == "timeout 2"
