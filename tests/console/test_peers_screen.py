"""What Peers says of who is silent, missing or banned, and since when."""

from dataclasses import replace

import pytest

from console.contact import Contact, Link
from console.look import PALETTES, UNICODE, Look
from console.model import Model
from console.picture import Picture
from console.screens.peers import PEERS
from console.verdict import missing_words, verdict_of
from cretonode.operator.protocol_deltas import NOTHING, delta_of
from cretonode.operator.protocol_topics import WatchedPeerSnapshot
from tests.console import examples

MINUTE_MS = 60_000
SECOND = 33  # of the story: the newest word of the peers
NOW_MS = examples.at(SECOND) + 500
SILENT = {"silence_ms": 1_700.0, "state_ms": 9.0 * MINUTE_MS}
GONE = {
    "connected": False, "silence_ms": None, "state": "waiting", "state_ms": 3.0 * MINUTE_MS,
    "last_error": "connection lost: silent for 3.0 s",
}  # fmt: skip


def picture_of(**changed: object) -> Picture:
    """Return what is drawn when node3 is otherwise. The peers were told half a second ago."""
    peers = tuple(replace(p, **changed) if p.index == 3 else p for p in examples.peers_at(0))
    model = Model()
    model.begin(examples.HELLO)
    model.apply(next(examples.deltas(1)))
    told = delta_of(replace(NOTHING, peers=peers), at_ms=examples.at(SECOND), fresh=False)
    model.apply(told)
    model.apply(delta_of(NOTHING, at_ms=NOW_MS, fresh=False))
    look = Look(UNICODE, PALETTES["dark"])
    return Picture(
        model=model, now_ms=NOW_MS, verdict=verdict_of(model, NOW_MS),
        contact=Contact(Link.ATTACHED), look=look,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "cells", "line", "standing"),
    [
        (SILENT, ["silent", "1.7 s"], "node3 silent 1.7 s", "connected for 9 min, silent 1.7 s"),
        (
            GONE,
            ["waiting", "3 min"],
            "node3 missing since 23:57:33 (3 min): connection lost: silent for 3.0 s",
            "waiting, missing since 23:57:33 (3 min)",
        ),
        (
            {**GONE, "state_ms": 4_320.0 * MINUTE_MS, "connections": 0, "last_error": ""},
            ["waiting", "3 d"],
            "node3 missing since 2026-11-20 00:00:33 (3 d)",
            "waiting, missing since 2026-11-20 00:00:33 (3 d), never heard since this node started",
        ),
        (
            {**GONE, "state": "banned", "last_error": "banned: equivocation"},
            ["banned", "3 min"],
            "node3 banned since 23:57:33 (3 min): equivocation",
            "banned since 23:57:33 (3 min)",
        ),
    ],
    ids=["silent", "missing", "never there", "banned"],
)
def test_a_state_stands_beside_its_own_age(
    changed: dict[str, object], cells: list[str], line: str, standing: str
) -> None:
    picture = picture_of(**changed)
    (part,) = PEERS.parts
    assert [cell.text for cell in part.rows(picture)[2].cells[1:3]] == cells
    assert PEERS.lines(picture, 80)[1].plain == line
    detail = part.detail(picture, "3")
    assert detail is not None
    assert detail.fields[0] == ("state", standing)


def test_who_is_missing_by_the_status_alone_is_not_heard() -> None:
    picture = picture_of()
    status = replace(examples.status_at(0), absent=b"\0\0\0\1")
    picture.model.known = replace(picture.model.known, status=(status,))
    picture = replace(picture, verdict=verdict_of(picture.model, NOW_MS))
    assert PEERS.lines(picture, 80)[1].plain == "node3 not heard"


def test_the_verdict_knows_for_how_long_who_is_missing() -> None:
    assert verdict_of(picture_of().model, NOW_MS).missing == ""
    assert verdict_of(picture_of(**GONE).model, NOW_MS).missing == "node3 missing for 3 min"
    model = picture_of(**GONE).model
    assert missing_words(model, NOW_MS + 7 * MINUTE_MS) == "node3 missing for 10 min"
    banned = replace(examples.BAN, name="node3")
    model.known = replace(model.known, bans=(banned,))
    assert missing_words(model, NOW_MS) == ""
    both = tuple(replace(p, **GONE) for p in model.known.peers or ())[1:]
    assert isinstance(both[0], WatchedPeerSnapshot)
    model.known = replace(model.known, peers=both, bans=())
    assert missing_words(model, NOW_MS) == "node2 missing for 3 min, node3 for 3 min"
