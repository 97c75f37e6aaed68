from dataclasses import asdict

import pytest

from cretonode.errors import ClientError
from cretonode.operator.commands import commands_of
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
from tests.operator.examples import (
    BAN_VIEW,
    EVIDENCE_VIEW,
    PEER_VIEWS,
    REPUTATION_VIEW,
    STATUS_VIEW,
    VIOLATION_VIEW,
    FakeNode,
)

answer = commands_of(FakeNode())


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
    ],
    ids=["unknown", "arguments", "lacking", "too many", "no text", "no time", "no flag", "no id"],
)
async def test_a_refused_command_says_why(request_: Request, text: str) -> None:
    with pytest.raises(ClientError) as caught:
        await answer(request_)
    assert str(caught.value) == text
