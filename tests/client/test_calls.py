"""Reading answers, and deciding what to repeat: no sockets, no time."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cretonode.client import BadAnswer, Rejected, RetryPolicy, Unavailable, Unreachable, calls
from cretonode.client.calls import Call, Reply
from cretonode.errors import ClientError

CALLS: dict[str, Call[Any]] = {
    "submit": calls.submit([b"a"], None),
    "transaction": calls.transaction(bytes(32), None),
    "finalized": calls.finalized(1, 1),
    "vertex": calls.vertex(bytes(32)),
    "tips": calls.tips(),
    "status": calls.status(),
    "peers": calls.peers(),
    "validators": calls.validators(),
    "ready": calls.ready(),
}
LIMITED = Unavailable("busy", status=503, problem="p", retry_after_s=2.0)
AWAY = Unreachable("away")


def reply(status: int, document: object) -> Reply:
    return Reply(status=status, body=json.dumps(document).encode(), retry_after_s=None)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b"{}", b"<html>", b"[" * 100_000, b"1" * 5_000],
    ids=["nothing", "no text", "an array", "an empty object", "a page", "deep", "a long number"],
)
def test_an_answer_of_another_program_is_told_apart(name: str, body: bytes) -> None:
    with pytest.raises(BadAnswer):
        CALLS[name].read(Reply(status=200, body=body, retry_after_s=None))


@pytest.mark.parametrize(
    ("item", "detail"),
    [
        ({"id": "ab" * 31, "known": True}, "'id' is 'abab"),
        ({"id": "  " * 32, "known": True}, "64 hexadecimal digits"),
        ({"id": "ab" * 32, "known": 1}, "true or false"),
        ({"id": "ab" * 32}, "lacks 'known'"),
        ({"id": "ab" * 32, "known": True, "sequence": True}, "a whole number"),
        ({"id": "ab" * 32, "known": True, "sequence": -1}, "a whole number from 0"),
        (7, "an object was expected"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(item: object, detail: str) -> None:
    with pytest.raises(BadAnswer, match=detail):
        CALLS["submit"].read(reply(202, {"transactions": [item]}))


@given(st.integers(100, 599), st.binary(max_size=60))
def test_any_answer_is_a_value_or_a_client_error(status: int, body: bytes) -> None:
    for call in CALLS.values():
        with pytest.raises(ClientError):
            call.read(Reply(status=status, body=body, retry_after_s=None))


def test_a_proxys_error_page_is_no_problem_document() -> None:
    with pytest.raises(Unavailable) as caught:
        CALLS["status"].read(Reply(status=502, body=b"<html>", retry_after_s=None))
    assert (caught.value.problem, caught.value.detail) == ("about:blank", "HTTP status 502")


def test_a_path_that_a_node_does_not_have_is_not_taken_for_an_unknown_vertex() -> None:
    problem = {"type": "urn:cretonode:problem:no-such-route", "detail": "no path"}
    with pytest.raises(Rejected, match="no path"):
        CALLS["vertex"].read(reply(404, problem))


def test_delays_grow_to_a_bound_and_then_the_call_is_given_up() -> None:
    policy = RetryPolicy(attempts_max=6, delay_ms_first=100, delay_ms_max=500)
    delays = [policy.delay_s(AWAY, attempt=attempt, chance=1.0) for attempt in range(1, 7)]
    assert delays == [0.1, 0.2, 0.4, 0.5, 0.5, None]


def test_chance_spreads_the_attempts_of_many_clients() -> None:
    policy = RetryPolicy()
    assert policy.delay_s(AWAY, attempt=1, chance=0.0) == 0.0
    assert policy.delay_s(AWAY, attempt=1, chance=0.25) == pytest.approx(0.025)


def test_no_attempt_comes_before_the_node_asked_for_it() -> None:
    assert RetryPolicy().delay_s(LIMITED, attempt=1, chance=0.5) == pytest.approx(2.05)
    assert RetryPolicy(delay_ms_max=1_000).delay_s(LIMITED, attempt=1, chance=0.0) is None
