from dataclasses import asdict

import pytest

from cretonode.crypto.canonical import Value
from cretonode.errors import ClientError
from cretonode.operator.commands import Then, commands_of
from cretonode.operator.protocol import (
    COMMANDS,
    BanSnapshot,
    EvidenceSnapshot,
    ReputationSnapshot,
    Request,
    ViolationSnapshot,
    peers_value,
    records_untrusted,
    records_value,
    status_value,
)
from cretonode.operator.protocol_fields import table_value
from cretonode.operator.protocol_recording import history_untrusted
from cretonode.operator.protocol_topics import VertexSnapshot
from tests.operator.examples import (
    BAN_VIEW,
    EVIDENCE_VIEW,
    PEER_VIEWS,
    REPUTATION_VIEW,
    STATUS_VIEW,
    VERTEX,
    VIOLATION_VIEW,
    FakeNode,
    FakeTools,
)

TOOLS = FakeTools()
answer = commands_of(FakeNode(), TOOLS)


async def test_each_command_has_its_answer() -> None:
    assert await answer(Request(id=1, command="status")) == status_value(STATUS_VIEW)
    assert await answer(Request(id=2, command="peers")) == peers_value(PEER_VIEWS)
    assert await answer(Request(id=3, command="ping")) is None
    for command, view in (
        ("bans", BAN_VIEW),
        ("reputation", REPUTATION_VIEW),
        ("violations", VIOLATION_VIEW),
        ("evidence", EVIDENCE_VIEW),
    ):
        assert await answer(Request(id=4, command=command)) == records_value([view])


async def test_records_survive_the_socket() -> None:
    for kind, view in (
        (BanSnapshot, BAN_VIEW),
        (ReputationSnapshot, REPUTATION_VIEW),
        (ViolationSnapshot, VIOLATION_VIEW),
        (EvidenceSnapshot, EVIDENCE_VIEW),
    ):
        (snapshot,) = records_untrusted(kind, records_value([view]))
        assert asdict(snapshot) == asdict(view)


async def test_arguments_reach_the_node() -> None:
    ban = {"validator": "node-2", "reason": "leaked key"}
    for command, arguments, value in (
        ("ban_add", ban, "ban node-2 leaked key None False"),
        ("ban_add", {**ban, "lasts_ms": 5, "dry_run": True}, "ban node-2 leaked key 5 True"),
        ("ban_remove", {"validator": "2"}, "pardon 2 False"),
        ("ban_remove", {"validator": "2", "dry_run": True}, "pardon 2 True"),
        ("evidence_get", {"id": EVIDENCE_VIEW.id}, b"evidence"),
        ("evidence_get", {"id": b"x"}, None),
    ):
        assert await answer(Request(id=1, command=command, arguments=arguments)) == value


async def test_tools_are_handed_what_was_asked() -> None:
    async def ask(command: str, **arguments: Value) -> Value | Then:
        return await answer(Request(id=1, command=command, arguments=arguments))

    table = table_value(VertexSnapshot, [VERTEX])
    assert await ask("vertex", hash=VERTEX.hash) == table
    assert await ask("vertex", hash=bytes(32)) == table_value(VertexSnapshot, [])
    assert await ask("walk", hash=VERTEX.hash) == table
    assert await ask("walk", hash=VERTEX.hash, descendants=True, vertices_max=2) == table
    assert TOOLS.walked == [(False, 256), (True, 2)]
    assert history_untrusted(plain(await ask("history", from_ms=7))).frames == b"from 7"
    assert history_untrusted(plain(await ask("history", cursor=9))).cursor == 10
    assert await ask("log_level", level="debug", dry_run=True) == "log debug True"
    assert await ask("step_down") == "step down False"


async def test_a_node_stops_after_it_has_answered_and_not_on_a_dry_run() -> None:
    dry = await answer(Request(id=1, command="stop", arguments={"dry_run": True}))
    assert dry == "stop True"
    asked = await answer(Request(id=1, command="stop"))
    assert isinstance(asked, Then)
    assert asked.value == "stop False"
    assert not TOOLS.stopped
    asked.act()
    assert TOOLS.stopped


def plain(value: Value | Then) -> Value:
    assert not isinstance(value, Then)
    return value


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (
            Request(id=1, command="dance"),
            f"there is no command 'dance'; known are {', '.join(COMMANDS)}",
        ),
        (Request(id=1, command="ping", arguments={"loud": True}), "ping takes no arguments"),
        (Request(id=1, command="ban_add", arguments={"reason": "x"}), "ban_add needs validator"),
        (
            Request(id=1, command="ban_remove", arguments={"validator": "a", "reason": "x"}),
            "ban_remove does not take reason",
        ),
        (
            Request(id=1, command="ban_add", arguments={"validator": 1, "reason": "x"}),
            "validator is not a text",
        ),
        (
            Request(
                id=1,
                command="ban_add",
                arguments={"validator": "a", "reason": "x", "lasts_ms": 0},
            ),
            "lasts_ms is not a whole number from 1 to 315360000000",
        ),
        (
            Request(
                id=1,
                command="ban_add",
                arguments={"validator": "a", "reason": "x", "dry_run": 1},
            ),
            "dry_run is neither true nor false",
        ),
        (Request(id=1, command="evidence_get", arguments={"id": "a"}), "id is not a byte string"),
        (
            Request(id=1, command="vertex", arguments={"hash": b"short"}),
            "hash is not a byte string of 32 bytes",
        ),
        (
            Request(id=1, command="walk", arguments={"hash": bytes(32), "vertices_max": 257}),
            "vertices_max is not a whole number from 1 to 256",
        ),
    ],
    ids=[
        "unknown",
        "arguments",
        "lacking",
        "too many",
        "no text",
        "no time",
        "no flag",
        "no id",
        "no hash",
        "too far",
    ],
)
async def test_a_refused_command_says_why(request_: Request, text: str) -> None:
    with pytest.raises(ClientError) as caught:
        await answer(request_)
    assert str(caught.value) == text
