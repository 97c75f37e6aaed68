"""The gate, driven event by event: what a slow, large or crowding client meets."""

import json
from dataclasses import replace

import pytest
import structlog
import trio
import trio.testing
from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent, ConnectionState, HTTPScope, Scope

from cretonode.api.gate import ApiCounters, Gate
from cretonode.api.settings import DRAIN_BODIES_MAX, PROBES_MAX, ApiSettings
from tests.api.fakes import MemoryNode
from tests.api.serving import LOOPBACK, make_gate

PIECE = b"x" * 64 * 1024
DISCONNECT: ASGIReceiveEvent = {"type": "http.disconnect"}


class Exchange:
    """One request as the server below would put it to the gate."""

    def __init__(self, method: str, path: str, *, length: int | None = None) -> None:
        headers = [(b"content-type", b"application/octet-stream")]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        self.scope: HTTPScope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "headers": headers, "client": None, "server": None,
            "state": ConnectionState({}), "extensions": {},
        }  # fmt: skip
        # As short as Hypercorn's, so that a gate that stops reading is noticed.
        self.to_gate, self._from_client = trio.open_memory_channel[ASGIReceiveEvent](10)
        self.status: int | None = None
        self.body = b""
        self.answered = trio.Event()
        self.ended = trio.Event()

    async def receive(self) -> ASGIReceiveEvent:
        return await self._from_client.receive()

    async def send(self, event: ASGISendEvent) -> None:
        await trio.lowlevel.checkpoint()
        if event["type"] == "http.response.start":
            self.status = event["status"]
        elif event["type"] == "http.response.body":
            self.body += event["body"]
            self.answered.set()
            if not event["more_body"]:
                self.ended.set()

    async def put(self, piece: bytes, *, more: bool) -> None:
        await self.to_gate.send({"type": "http.request", "body": piece, "more_body": more})

    @property
    def problem(self) -> str:
        type_: str = json.loads(self.body)["type"]
        return type_.removeprefix("urn:cretonode:problem:")


async def test_a_body_that_does_not_arrive_in_time_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = replace(LOOPBACK, body_ms_max=5_000, linger_ms_max=1_000)
    exchange = Exchange("POST", "/v1/transactions")
    await exchange.put(b"x", more=True)
    await make_gate(MemoryNode(), settings)(exchange.scope, exchange.receive, exchange.send)
    assert exchange.problem == "body-timeout"
    assert trio.current_time() == pytest.approx(6.0)  # it lingers for the client to read that


async def test_a_declared_length_over_the_limit_is_refused_before_it_is_read(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = Exchange("POST", "/v1/transactions", length=LOOPBACK.request_bytes_max + 1)
    await make_gate(MemoryNode(), LOOPBACK)(exchange.scope, exchange.receive, exchange.send)
    assert (exchange.status, exchange.problem) == (413, "body-too-large")


async def test_an_endless_body_is_read_only_so_far(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    settings = replace(LOOPBACK, request_bytes_max=512 * 1024)
    gate = make_gate(MemoryNode(), settings)
    exchange = Exchange("POST", "/v1/transactions")
    sent = 0

    async def send_for_ever() -> None:
        nonlocal sent
        while True:
            await exchange.put(PIECE, more=True)
            sent += len(PIECE)

    nursery.start_soon(send_for_ever)
    await gate(exchange.scope, exchange.receive, exchange.send)
    nursery.cancel_scope.cancel()
    assert exchange.problem == "body-too-large"
    # Beyond the drain, only what fits the queue and a few turns of the loop.
    assert sent <= (1 + DRAIN_BODIES_MAX) * settings.request_bytes_max + 20 * len(PIECE)


async def test_all_bodies_together_are_bounded(nursery: trio.Nursery) -> None:
    settings = replace(LOOPBACK, request_bytes_max=512 * 1024, bodies_bytes_max=768 * 1024)
    gate = make_gate(MemoryNode(), settings)
    slow, other, later = (Exchange("POST", "/v1/transactions") for _ in range(3))
    nursery.start_soon(gate, slow.scope, slow.receive, slow.send)
    for _ in range(7):
        await slow.put(PIECE, more=True)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(gate, other.scope, other.receive, other.send)
    for _ in range(6):
        await other.put(PIECE, more=True)
    await other.answered.wait()
    assert (other.status, other.problem) == (503, "overloaded")
    for exchange in (slow, other):
        await exchange.to_gate.send(DISCONNECT)
    await trio.testing.wait_all_tasks_blocked()
    await later.put(b"x" * 100, more=False)
    await gate(later.scope, later.receive, later.send)
    assert later.status == 202, "what the others held is free again"


async def test_a_client_that_leaves_with_half_a_body_leaves_nothing() -> None:
    counters = ApiCounters()
    node = MemoryNode()
    exchange = Exchange("POST", "/v1/transactions")
    await exchange.put(b"x", more=True)
    await exchange.to_gate.send(DISCONNECT)
    gate = make_gate(node, LOOPBACK, counters)
    await gate(exchange.scope, exchange.receive, exchange.send)
    assert exchange.status is None
    assert counters.requests_in_flight == 0
    assert not node.transactions


async def test_a_client_that_leaves_while_it_is_served_ends_the_call(
    nursery: trio.Nursery,
) -> None:
    counters = ApiCounters()
    node = MemoryNode(door=trio.Event())
    exchange = Exchange("POST", "/v1/transactions")
    node.door = trio.Event()
    gate = make_gate(node, LOOPBACK, counters)
    nursery.start_soon(gate, exchange.scope, exchange.receive, exchange.send)
    await exchange.put(b"x", more=False)
    await node.entered.wait()
    await exchange.to_gate.send(DISCONNECT)
    await trio.testing.wait_all_tasks_blocked()
    assert counters.requests_in_flight == 0
    assert exchange.status is None


async def test_requests_over_the_bound_are_refused_and_probes_are_not(
    nursery: trio.Nursery,
) -> None:
    counters = ApiCounters()
    node = MemoryNode()
    node.door = trio.Event()
    settings = replace(LOOPBACK, requests_max=2, waits_max=1)
    gate = make_gate(node, settings, counters)

    async def ask(method: str, path: str) -> Exchange:
        exchange = Exchange(method, path)
        await exchange.put(b"x" if method == "POST" else b"", more=False)
        await gate(exchange.scope, exchange.receive, exchange.send)
        return exchange

    for _ in range(2):
        nursery.start_soon(ask, "POST", "/v1/transactions")
    await trio.testing.wait_all_tasks_blocked()
    refused = await ask("GET", "/v1/status")
    assert (refused.status, refused.problem) == (503, "overloaded")
    assert (await ask("GET", "/healthz")).status == 200
    assert (await ask("GET", "/readyz")).status == 200
    counters.requests_in_flight += PROBES_MAX
    assert (await ask("GET", "/healthz")).status == 503, "probes are bounded, too"
    counters.requests_in_flight -= PROBES_MAX
    node.door.set()
    await trio.testing.wait_all_tasks_blocked()
    assert (await ask("GET", "/v1/status")).status == 200
    assert counters.requests_in_flight == 0
    assert counters.requests_refused == 2


async def test_a_preflight_with_a_body_does_not_stop_the_connection(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    exchange = Exchange("OPTIONS", "/v1/status")
    exchange.scope["headers"] = [(b"access-control-request-method", b"GET")]

    async def send_all() -> None:
        for _ in range(30):
            await exchange.put(PIECE, more=True)
        await exchange.put(b"", more=False)

    nursery.start_soon(send_all)
    await make_gate(MemoryNode(), LOOPBACK)(exchange.scope, exchange.receive, exchange.send)
    assert exchange.status == 204


@pytest.mark.parametrize("path", ["", "*", "status"])
async def test_a_target_that_is_no_path_is_refused(path: str) -> None:
    exchange = Exchange("GET", path)
    await exchange.put(b"", more=False)
    await make_gate(MemoryNode(), LOOPBACK)(exchange.scope, exchange.receive, exchange.send)
    assert exchange.problem == "malformed-request"


async def test_an_error_below_the_application_is_answered_and_logged() -> None:
    async def broken(scope: Scope, receive: object, send: object) -> None:
        raise OSError("unforeseen")

    exchange = Exchange("GET", "/v1/status")
    await exchange.put(b"", more=False)
    with structlog.testing.capture_logs() as logs:
        gate = Gate(broken, LOOPBACK, ApiCounters())
        await gate(exchange.scope, exchange.receive, exchange.send)
    assert exchange.problem == "internal-error"
    assert logs[0]["event"] == "request_failed"


@pytest.mark.parametrize(
    "change",
    [
        {"port": -1},
        {"request_bytes_max": 1},
        {"waits_max": 512},
        {"stop_ms_max": 5_000},
        {"bodies_bytes_max": 1},
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        replace(ApiSettings(), **change)  # type: ignore[arg-type]
