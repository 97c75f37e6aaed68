"""Every route, without a socket: what it answers and how it refuses."""

import json
from dataclasses import replace

import cbor2
import httpx
import pytest
import structlog
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.api.application import make_application
from cretonode.api.problems import PROBLEMS, TYPE_PREFIX
from cretonode.api.waits import Waits
from cretonode.crypto.hashing import hash_of
from cretonode.errors import ClientError, StorageError
from tests.api.fakes import MemoryNode
from tests.api.serving import LOOPBACK, in_process

RAW = {"content-type": "application/octet-stream"}
UNKNOWN = "ab" * 32


def check_problem(response: httpx.Response, name: str, *details: str) -> None:
    """Assert that a response is the problem `name` and says `details`."""
    status, title = PROBLEMS[name]
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == TYPE_PREFIX + name
    assert problem["title"] == title
    assert problem["status"] == status
    for detail in details:
        assert detail in problem["detail"]


# --- submission


async def test_a_submission_answers_ids_in_order_and_what_was_known() -> None:
    node = MemoryNode()
    async with in_process(node) as client:
        await client.post("/v1/transactions", content=b"one", headers=RAW)
        response = await client.post(
            "/v1/transactions",
            content=cbor2.dumps([b"two", b"one"]),
            headers={"content-type": "application/cbor"},
        )
    assert response.status_code == 202
    assert response.json() == {
        "transactions": [
            {"id": hash_of(b"two").hex(), "known": False},
            {"id": hash_of(b"one").hex(), "known": True},
        ]
    }


async def test_a_submission_that_waits_answers_places_in_the_order() -> None:
    async with in_process(MemoryNode(instant=True)) as client:
        response = await client.post("/v1/transactions?wait=1000", json={"text": "hello"})
    assert response.status_code == 200
    (item,) = response.json()["transactions"]
    assert response.json()["final"] is True
    assert (item["sequence"], item["position"], item["offset"]) == (1, 0, 0)


async def test_a_wait_that_ends_too_early_answers_accepted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with in_process(MemoryNode()) as client:
        response = await client.post("/v1/transactions?wait=1000", json={"text": "hello"})
    assert trio.current_time() == pytest.approx(1.0)
    assert response.status_code == 202
    assert response.json()["final"] is False
    assert response.json()["transactions"][0]["sequence"] is None


async def test_a_wait_ends_when_the_transactions_are_final() -> None:
    node = MemoryNode()
    async with in_process(node) as client, trio.open_nursery() as nursery:

        async def finalize() -> None:
            await node.entered.wait()
            node.entered = trio.Event()
            await node.entered.wait()
            await node.finalize()

        nursery.start_soon(finalize)
        response = await client.post("/v1/transactions?wait=30000", json={"text": "hello"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "content_type", [None, "application/x-www-form-urlencoded", "text/plain", "a/" + "b" * 200]
)
async def test_another_content_type_is_refused_with_the_list(content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    async with in_process(MemoryNode()) as client:
        response = await client.post("/v1/transactions", content=b"a=b", headers=headers)
    check_problem(response, "unsupported-media-type", "application/json", "application/cbor")


async def test_a_content_type_may_have_parameters() -> None:
    async with in_process(MemoryNode()) as client:
        response = await client.post(
            "/v1/transactions",
            content=b'{"text":"a"}',
            headers={"content-type": "Application/JSON; charset=utf-8"},
        )
    assert response.status_code == 202


async def test_backpressure_is_told_with_a_time_to_retry() -> None:
    node = MemoryNode(waiting_max=1)
    async with in_process(node) as client:
        response = await client.post(
            "/v1/transactions", json={"transactions": ["YQ==", "Yg==", "Yw=="]}
        )
    check_problem(response, "backpressure", "more than 1 transactions wait")
    assert response.headers["retry-after"] == "1"
    assert not node.transactions


async def test_what_the_node_rejects_is_the_clients_fault() -> None:
    node = MemoryNode(failure=ClientError("the node is leaving"))
    async with in_process(node) as client:
        response = await client.post("/v1/transactions", json={"text": "a"})
    check_problem(response, "rejected", "the node is leaving")


async def test_an_unforeseen_error_is_logged_under_the_id_that_the_client_gets() -> None:
    node = MemoryNode(failure=StorageError("disk /data/db is full"))
    async with in_process(node) as client:
        with structlog.testing.capture_logs() as logs:
            response = await client.post("/v1/transactions", json={"text": "a"})
    check_problem(response, "internal-error")
    assert "disk" not in response.text
    assert "Traceback" not in response.text
    (event,) = [line for line in logs if line["event"] == "request_failed"]
    assert event["error_id"] == response.json()["error_id"]
    assert event["exc_info"] is node.failure


async def test_more_waits_than_allowed_are_refused_before_anything_is_taken() -> None:
    node = MemoryNode()
    async with in_process(node, replace(LOOPBACK, waits_max=0)) as client:
        response = await client.post("/v1/transactions?wait=1", json={"text": "a"})
        check_problem(response, "too-many-waits")
        response = await client.get(f"/v1/transactions/{UNKNOWN}?wait=1")
        check_problem(response, "too-many-waits")
    assert not node.transactions


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["application/json", "application/cbor"]), st.binary(max_size=200))
async def test_arbitrary_bodies_are_accepted_or_answered_with_a_problem(
    content_type: str, body: bytes
) -> None:
    async with in_process(MemoryNode()) as client:
        response = await client.post(
            "/v1/transactions", content=body, headers={"content-type": content_type}
        )
    if response.status_code == 202:
        return
    assert 400 <= response.status_code < 500
    check_problem(response, response.json()["type"].removeprefix(TYPE_PREFIX))


# --- reads


async def test_a_transaction_is_shown_before_and_after_it_is_final() -> None:
    node = MemoryNode()
    id_ = hash_of(b"hello").hex()
    async with in_process(node) as client:
        await client.post("/v1/transactions", json={"text": "hello"})
        before = (await client.get(f"/v1/transactions/{id_}")).json()
        await node.finalize()
        after = (await client.get(f"/v1/transactions/{id_.upper()}?wait=5")).json()
    assert (before["final"], before["sequence"]) == (False, None)
    assert (after["final"], after["sequence"], after["position"]) == (True, 1, 0)
    assert after["transaction"] == "aGVsbG8="


async def test_a_transaction_is_given_as_bytes_to_who_asks_for_bytes() -> None:
    node = MemoryNode()
    async with in_process(node) as client:
        await client.post("/v1/transactions", content=b"<script>", headers=RAW)
        path = f"/v1/transactions/{hash_of(b'<script>').hex()}"
        response = await client.get(path, headers={"accept": "application/octet-stream"})
        anything = await client.get(path, headers={"accept": "*/*"})
    assert response.content == b"<script>"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert anything.headers["content-type"] == "application/json"


async def test_what_is_not_known_is_not_found() -> None:
    async with in_process(MemoryNode()) as client:
        for path in ("/v1/transactions/", "/v1/vertices/"):
            check_problem(await client.get(path + UNKNOWN), "not-found", UNKNOWN)
        check_problem(await client.get("/v1/finalized/7"), "not-found", "the last that is: 0")


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/transactions/xyz", "expected 64 hexadecimal digits"),
        ("/v1/transactions/" + "g" * 64, "expected 64 hexadecimal digits"),
        ("/v1/transactions/" + "a" * 63 + "%20", "expected 64"),
        ("/v1/vertices/" + "a" * 5000, "..."),
        (f"/v1/transactions/{UNKNOWN}?wait=-1", "wait is '-1'; expected a whole number from 0"),
        (f"/v1/transactions/{UNKNOWN}?wait=30001", "to 30000 milliseconds"),
        (f"/v1/transactions/{UNKNOWN}?wait=1&wait=2", "wait is given twice"),
        (f"/v1/transactions/{UNKNOWN}?wait_ms=1", "'wait_ms' is not known here; allowed: wait"),
        ("/v1/finalized/0", "sequence is '0'; expected a whole number from 1"),
        ("/v1/finalized/1e3", "expected a whole number"),
        ("/v1/finalized/%D9%A3", "expected a whole number"),
        ("/v1/finalized/" + "9" * 5000, "expected a whole number"),
        ("/v1/finalized?first=x", "first is 'x'"),
        ("/v1/finalized?count=101", "count is '101'; expected a whole number from 1 to 100"),
        ("/v1/finalized?count=0", "count is '0'"),
        ("/v1/status?verbose=1", "'verbose' is not known here; allowed: none"),
    ],
)
async def test_a_malformed_path_or_query_is_named(path: str, detail: str) -> None:
    async with in_process(MemoryNode()) as client:
        check_problem(await client.get(path), "malformed-request", detail)


async def test_a_range_of_the_order_is_read_in_pieces_that_follow_each_other() -> None:
    node = MemoryNode(instant=True)
    for number in range(25):
        await node.submit([b"%d" % number])
    async with in_process(node) as client:
        first = (await client.get("/v1/finalized?count=20")).json()
        rest = (await client.get(f"/v1/finalized?first={first['next']}&count=20")).json()
        end = (await client.get(f"/v1/finalized?first={rest['next']}")).json()
    assert [item["sequence"] for item in first["finalized"]] == list(range(1, 21))
    assert [item["sequence"] for item in rest["finalized"]] == list(range(21, 26))
    assert end == {"finalized": [], "next": 26, "final": 25}


async def test_an_answer_stops_at_a_whole_sequence_when_it_is_full() -> None:
    node = MemoryNode(instant=True)
    for number in range(6):
        await node.submit([b"%d %d" % (number, i) for i in range(4096)])
    async with in_process(node) as client:
        answer = (await client.get("/v1/finalized?count=6")).json()
    assert [len(item["transactions"]) for item in answer["finalized"]] == [4096] * 4
    assert (answer["next"], answer["final"]) == (5, 6)


async def test_one_sequence_reads_the_same_as_in_a_range() -> None:
    node = MemoryNode(instant=True)
    await node.submit([b"a", b"b"])
    async with in_process(node) as client:
        one = (await client.get("/v1/finalized/1")).json()
        several = (await client.get("/v1/finalized")).json()
    assert several["finalized"] == [one]
    assert one["transactions"] == [hash_of(b"a").hex(), hash_of(b"b").hex()]


async def test_a_tip_reads_the_same_as_its_vertex() -> None:
    node = MemoryNode()
    await node.submit([b"a"])
    async with in_process(node) as client:
        (tip,) = (await client.get("/v1/tips")).json()["tips"]
        assert (await client.get(f"/v1/vertices/{tip['hash']}")).json() == tip


async def test_the_network_is_shown() -> None:
    async with in_process(MemoryNode()) as client:
        status = (await client.get("/v1/status")).json()
        peers = (await client.get("/v1/peers")).json()["peers"]
        validators = (await client.get("/v1/validators")).json()["validators"]
    assert (status["quorum"], status["faults"], status["name"]) == (3, 1, "node-0")
    assert [peer["connected"] for peer in peers] == [True, True, False]
    assert [validator["index"] for validator in validators] == [0, 1, 2, 3]


# --- the interface itself


async def test_a_node_that_is_not_ready_is_alive_and_says_why() -> None:
    node = MemoryNode(ready=False, reason="2 of 3 validators that a quorum needs are connected")
    async with in_process(node) as client:
        assert (await client.get("/healthz")).json() == {"alive": True}
        response = await client.get("/readyz")
        check_problem(response, "not-ready", node.reason)
        assert response.headers["retry-after"] == "1"
        node.ready = True
        assert (await client.get("/readyz?verbose")).json() == {"ready": True}


async def test_a_probe_does_not_fail_with_the_disk() -> None:
    async with in_process(MemoryNode(failure=StorageError("gone"))) as client:
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/status/", "/v1//status", "/v2/status", "/%00"])
async def test_an_unknown_path_is_not_found(path: str) -> None:
    async with in_process(MemoryNode()) as client:
        check_problem(await client.get(f"http://node{path}"), "no-such-route", "/docs")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/transactions", "OPTIONS, POST"),
        ("GET", "/v1/transactions", "OPTIONS, POST"),
        ("POST", "/v1/status", "GET, HEAD, OPTIONS"),
        ("BREW", "/docs", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_refused_with_the_right_ones(
    method: str, path: str, allow: str
) -> None:
    async with in_process(MemoryNode()) as client:
        response = await client.request(method, path)
    check_problem(response, "method-not-allowed", allow)
    assert response.headers["allow"] == allow


async def test_options_without_a_preflight_lists_the_methods() -> None:
    async with in_process(MemoryNode()) as client:
        response = await client.options("/v1/status")
    assert response.status_code == 200
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_the_page_for_people_loads_nothing_from_elsewhere() -> None:
    async with in_process(MemoryNode()) as client:
        response = await client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "src=" not in response.text
    assert "http" not in response.text
    assert "/v1/transactions/{id}" in response.text


async def test_every_answer_forbids_caches_and_guessing() -> None:
    async with in_process(MemoryNode()) as client:
        for path in ("/v1/status", "/nowhere", "/docs"):
            headers = (await client.get(path)).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers


async def test_the_application_alone_serves_quarts_test_client() -> None:
    node = MemoryNode()
    client = make_application(node, LOOPBACK, Waits(node, 1)).test_client()
    response = await client.post("/v1/transactions", json={"text": "a"})
    assert response.status_code == 202
    assert json.loads(await response.get_data(as_text=True))["transactions"][0]["known"] is False
