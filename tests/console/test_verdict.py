"""The verdict on made-up states: each row one change to a calm network."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from console.contact import Contact, Link
from console.look import PALETTES, UNICODE, Look
from console.main_screen import PLANS
from console.model import Model
from console.picture import Picture
from console.screens.overview import OVERVIEW
from console.screens.peers import PEERS
from console.screens.storage import slow_syncs
from console.verdict import STALL_MS, Standing, aged, verdict_of
from cretonode.operator.protocol_deltas import Changes
from cretonode.operator.protocol_topics import Phase
from tests.console import examples

CALM = 5  # a second of the story
NOW_MS = examples.at(CALM)


def model(status: Mapping[str, object] | None = None, **known: object) -> Model:
    found = Model()
    found.begin(examples.HELLO)
    for delta in examples.deltas(CALM + 1):
        found.apply(delta)
    changed = replace(examples.status_at(CALM), **(status or {}))
    found.known = replace(found.known, status=(changed,), **known)
    return found


def without(*indexes: int) -> tuple[object, ...]:
    return tuple(
        replace(peer, connected=False) if peer.index in indexes else peer
        for peer in examples.peers_at(CALM)
    )


def pictured(of: Model) -> Picture:
    return Picture(
        model=of, now_ms=NOW_MS, verdict=verdict_of(of, NOW_MS), contact=Contact(Link.ATTACHED),
        look=Look(UNICODE, PALETTES["dark"]),
    )  # fmt: skip


def test_before_the_first_word_there_is_no_verdict() -> None:
    assert verdict_of(Model(), 0).standing is Standing.WAITING


def test_a_calm_network_is_live_and_says_how_many_may_fail() -> None:
    verdict = verdict_of(model(), NOW_MS)
    assert verdict.standing is Standing.LIVE
    assert verdict.margin == "1 more may fail"
    assert verdict.advice == ""


DEGRADED: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "one is not connected": ({}, {"peers": without(3)}, "node3 not reachable"),
    "one is silent": (
        {},
        {"peers": tuple(replace(p, silence_ms=1_500.0) for p in examples.peers_at(CALM)[:1])},
        "node1 not reachable",
    ),
    "the status alone knows it": ({"absent": b"\0\0\1\0"}, {}, "node2 not reachable"),
    "one is banned": ({}, {"bans": (examples.BAN,)}, "node2 banned"),
    "the view is not open": ({"view_open": False}, {}, "changing to view 3, leader node3"),
    "this node is behind": ({"behind": 7}, {}, "catching up: 7 sequences behind"),
    "this node has amnesia": ({"phase": Phase.AMNESIAC.value}, {}, "lost its vote journal"),
    "the oldest vertex waits long": (
        {"waiting_since_ms": NOW_MS - 3_000, "final_at_ms": None},
        {},
        "the oldest vertex waits 3.0 s",
    ),
    "the disk is almost full": (
        {},
        {"storage": (replace(examples.storage_at(CALM), free_bytes=1),)},
        "the disk is almost full",
    ),
    "an alert of the node's own": ({}, {"alerts": examples.alerts_at(examples.LIED)}, "node2 con"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "known", "reason"), DEGRADED.values(), ids=DEGRADED)
def test_what_is_not_right_though_finality_goes_on(
    status: dict[str, object], known: dict[str, object], reason: str
) -> None:
    verdict = verdict_of(model(status, **known), NOW_MS)
    assert verdict.standing is Standing.DEGRADED
    assert reason in verdict.reason


STALLED: dict[str, tuple[dict[str, object], dict[str, object], str, str]] = {
    "no quorum": (
        {},
        {"peers": without(2, 3)},
        "missing node2 and node3: 2 of 4 reachable, 3 needed",
        "bring back node2 or node3",
    ),
    "no quorum for a banned one": (
        {},
        {"peers": without(2, 3), "bans": (examples.BAN,)},
        "missing node2 (banned) and node3",
        "bring back node3",
    ),
    "a quorum, and no votes": (
        {"waiting_since_ms": NOW_MS - STALL_MS, "final_at_ms": NOW_MS - 60_000,
         "phase": Phase.COMMIT.value, "awaits": b"\0\1\0\1", "votes_lacking": 1},
        {},
        "nothing final for 5 s: waits for 1 commit of node1 or node3",
        "Phases (2)",
    ),
    "the node has halted": (
        {"phase": Phase.HALTED.value, "reason": "a conflicting certificate"},
        {},
        "this node has halted: a conflicting certificate",
        "keep its data",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("status", "known", "reason", "advice"), STALLED.values(), ids=STALLED)
def test_what_stops_finality_names_whom_it_waits_for_and_what_to_do(
    status: dict[str, object], known: dict[str, object], reason: str, advice: str
) -> None:
    verdict = verdict_of(model(status, **known), NOW_MS)
    assert verdict.standing is Standing.STALLED
    assert reason in verdict.reason
    assert advice in verdict.advice


WAITS: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "any one of two": (
        {"phase": Phase.PREPARE.value, "awaits": b"\1\0\0\1", "votes_lacking": 1},
        {},
        "waits for 1 prepare of node0 or node3",
    ),
    "any two of three": (
        {"phase": Phase.PREPARE.value, "awaits": b"\1\1\0\1", "votes_lacking": 2},
        {},
        "waits for 2 prepares of node0, node1, node3",
    ),
    "both of two": (
        {"phase": Phase.COMMIT.value, "awaits": b"\1\0\0\1", "votes_lacking": 2},
        {},
        "waits for 2 commits of node0 and node3",
    ),
    "one only": (
        {"phase": Phase.COMMIT.value, "awaits": b"\0\0\0\1", "votes_lacking": 1},
        {},
        "waits for 1 commit of node3",
    ),
    "the leader, who owes no vote": (
        {"phase": Phase.PRE_PREPARE.value, "awaits": b"\0\1\0\0", "votes_lacking": 1},
        {},
        "waits for the leader's pre-prepare: node1",
    ),
    "clients, when all is well": (
        {"phase": Phase.IDLE.value, "awaits": bytes(4), "votes_lacking": 0},
        {},
        "waits for clients",
    ),
    "no clients without a quorum": (
        {"phase": Phase.IDLE.value, "awaits": bytes(4), "votes_lacking": 0},
        {"peers": without(2, 3)},
        "waits for a quorum: for node2 or node3",
    ),
    "no clients while one of them waits": (
        {"phase": Phase.IDLE.value, "awaits": bytes(4), "votes_lacking": 0,
         "waiting_since_ms": NOW_MS - STALL_MS, "final_at_ms": None},
        {},
        "waits for the leader's pre-prepare",
    ),
    "nobody, once halted": (
        {"phase": Phase.HALTED.value, "awaits": bytes(4), "votes_lacking": 0},
        {},
        "waits for nothing: it has halted",
    ),
    "those who attest": (
        {"phase": Phase.AMNESIAC.value, "awaits": b"\0\1\1\0", "votes_lacking": 0},
        {},
        "waits for the attestations of node1 and node2",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "screen"),
    [("slow_disk", "Storage (6)"), ("absent", "Peers (3)"), ("of a later node", "Log (7)")],
)
def test_an_alert_leads_to_the_screen_that_says_more(kind: str, screen: str) -> None:
    (alert,) = (replace(a, kind=kind) for a in examples.alerts_at(examples.LIED))
    assert verdict_of(model(alerts=(alert,)), NOW_MS).advice == screen


def test_few_syncs_have_a_highest_and_no_percentile() -> None:
    many = replace(examples.storage_at(CALM), sync_p99_ms=60.0, syncs=100)
    assert slow_syncs(many) == ("60 ms", "p99")
    few = replace(many, syncs=12)
    assert slow_syncs(few) == ("60 ms", "highest of 12")
    assert slow_syncs(replace(few, syncs=0, sync_p99_ms=None)) == ("-", "none so far")
    for plan in PLANS:
        words = " ".join(line.plain for line in plan.lines(pictured(model(storage=(few,))), 200))
        assert "60 ms p99" not in words


@pytest.mark.parametrize(("status", "known", "words"), WAITS.values(), ids=WAITS)
def test_what_it_waits_for_agrees_with_how_it_stands(
    status: dict[str, object], known: dict[str, object], words: str
) -> None:
    assert verdict_of(model(status, **known), NOW_MS).waits == words


def test_every_screen_of_a_stalled_idle_node_says_the_same() -> None:
    idle = {"phase": Phase.IDLE.value, "awaits": bytes(4), "votes_lacking": 0}
    stalled = model(idle, peers=without(2, 3), slots=())
    picture = pictured(stalled)
    assert picture.verdict.standing is Standing.STALLED
    for plan in PLANS:
        for line in plan.lines(picture, 200):
            assert "clients" not in line.plain
            assert "idle" not in line.plain


def test_what_was_waited_for_before_the_silence_is_no_news() -> None:
    late = aged(verdict_of(model(), NOW_MS), "this node says nothing for 12 s")
    assert late.waits.startswith("when last heard: waits for")


def test_who_was_missing_before_the_silence_is_not_shown_as_reachable() -> None:
    picture = pictured(model(peers=without(3)))
    late = replace(picture, verdict=aged(picture.verdict, "this node says nothing for 12 s"))
    assert PEERS.lines(late, 200)[0].plain == "when last heard: 3 of 4 reachable, quorum 3"
    (who,) = [line.plain for line in OVERVIEW.lines(late, 200) if "Validators" in line.plain]
    glyphs = late.look.glyphs
    assert f"{glyphs.bad} node3" in who
    assert f"{glyphs.none} node1" in who
    assert glyphs.good not in who.split("node3")[0].split("Validators")[1]


def test_something_that_waits_while_others_become_final_is_no_stall() -> None:
    waits = {"waiting_since_ms": NOW_MS - 60_000, "final_at_ms": NOW_MS - 100}
    assert verdict_of(model(waits), NOW_MS).standing is Standing.LIVE


def test_the_story_goes_from_live_to_stalled() -> None:
    found = Model()
    standings = []
    for delta in examples.deltas():
        found.apply(delta)
        standing = verdict_of(found, found.at_ms).standing
        if not standings or standings[-1] is not standing:
            standings.append(standing)
    assert standings == [
        Standing.LIVE, Standing.DEGRADED, Standing.LIVE, Standing.DEGRADED, Standing.STALLED
    ]  # fmt: skip


def test_another_node_on_the_same_socket_voids_what_was_known() -> None:
    found = model()
    found.begin(replace(examples.HELLO, node_id=examples.IDS[1]))
    assert found.known == Changes()
