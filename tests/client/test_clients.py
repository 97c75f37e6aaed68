"""Both clients against the real server, and what they do when it refuses or is away."""

import inspect
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio

from cretonode.client import (
    AsyncClient,
    Client,
    Failed,
    Rejected,
    RetryPolicy,
    Unavailable,
    Unreachable,
)
from cretonode.crypto.hashing import hash_of
from cretonode.errors import ClientError, StorageError
from cretonode.identifiers import TransactionId
from tests.api.fakes import START_MS, MemoryNode
from tests.api.serving import LOOPBACK, serving, url_of

METHODS = (
    "submit", "transaction", "finalized", "vertex", "tips", "status", "peers", "validators",
    "ready",
)  # fmt: skip
ONCE = RetryPolicy(attempts_max=1)


class Both:
    """One client or the other, asked in the same way."""

    def __init__(self, asked: AsyncClient | Client) -> None:
        self._asked = asked

    async def __call__(self, name: str, *arguments: object, **named: object) -> Any:
        method: Callable[..., object] = getattr(self._asked, name)
        if isinstance(self._asked, Client):
            return await trio.to_thread.run_sync(lambda: method(*arguments, **named))
        answer = method(*arguments, **named)
        assert isinstance(answer, Awaitable)
        return await answer


@pytest.fixture(params=["sync", "trio"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@asynccontextmanager
async def client_of(
    kind: str,
    url: str,
    *,
    retries: RetryPolicy = ONCE,
    pause: Callable[[float], None] = lambda delay_s: None,
) -> AsyncGenerator[Both]:
    """Return a client of the kind whose pauses are `pause`, which takes no time."""
    if kind == "sync":
        with Client(url, retries=retries, pause=pause) as client:
            yield Both(client)
        return

    async def pause_at_checkpoint(delay_s: float) -> None:
        await trio.lowlevel.checkpoint()
        pause(delay_s)

    async with AsyncClient(url, retries=retries, pause=pause_at_checkpoint) as asynchronous:
        yield Both(asynchronous)


def test_both_clients_have_the_same_methods() -> None:
    for name in METHODS:
        one, other = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(one) == inspect.signature(other)
        assert one.__doc__ == other.__doc__
        assert inspect.iscoroutinefunction(other)


async def test_every_call_returns_what_the_node_knows(kind: str) -> None:
    node = MemoryNode(instant=True)
    async with serving(node) as address, client_of(kind, url_of(address)) as ask:
        (submitted,) = await ask("submit", [b"hello"], wait_ms=1000)
        (again,) = await ask("submit", [b"hello"])
        assert (submitted.id, submitted.known) == (hash_of(b"hello"), False)
        assert (submitted.final, submitted.sequence, submitted.position) == (True, 1, 0)
        assert (again.known, again.final) == (True, False)

        transaction = await ask("transaction", submitted.id, wait_ms=0)
        expected = node.transactions[TransactionId(hash_of(b"hello"))]
        assert transaction.transaction == b"hello"
        assert (transaction.vertex, transaction.final) == (expected.vertex, True)

        found = await ask("finalized", 1, 5)
        (finalized,) = found.sequences
        assert (found.next, found.final) == (2, 1)
        assert finalized.timestamp_ms == START_MS + 1
        assert finalized.transactions == (submitted.id,)
        assert finalized.log_root == node.sequences[0].log_root

        (tip,) = await ask("tips")
        assert await ask("vertex", tip.hash) == tip
        assert (tip.hash, tip.signature) == (node.vertices[0].hash, node.vertices[0].signature)

        status = await ask("status")
        assert status.node_id == node.status().node_id
        assert (status.quorum, status.executed_transactions) == (3, 1)
        peers, validators = await ask("peers"), await ask("validators")
        assert [peer.round_trip_ms for peer in peers] == [0.5, 0.5, None]
        assert [v.public_key for v in validators] == [v.public_key for v in node.validators()]
        assert (await ask("ready")).ready


async def test_what_the_node_does_not_know_is_none(kind: str) -> None:
    async with serving(MemoryNode()) as address, client_of(kind, url_of(address)) as ask:
        assert await ask("transaction", bytes(32)) is None
        assert await ask("vertex", bytes(32)) is None


async def test_a_node_that_is_not_ready_says_why(kind: str) -> None:
    node = MemoryNode(ready=False, reason="catching up")
    async with serving(node) as address, client_of(kind, url_of(address)) as ask:
        readiness = await ask("ready")
    assert (readiness.ready, readiness.reason) == (False, "catching up")


async def test_a_refusal_carries_the_problem(kind: str) -> None:
    async with serving(MemoryNode()) as address, client_of(kind, url_of(address)) as ask:
        with pytest.raises(Rejected) as caught:
            await ask("finalized", 1, 1_000)
    assert caught.value.status == 400
    assert caught.value.problem == "urn:cretonode:problem:malformed-request"
    assert "expected a whole number from 1 to 100" in str(caught.value)


async def test_a_failure_carries_the_id_in_the_nodes_log(kind: str) -> None:
    node = MemoryNode(failure=StorageError("gone"))
    async with serving(node) as address, client_of(kind, url_of(address)) as ask:
        with pytest.raises(Failed) as caught:
            await ask("submit", [b"a"])
    assert caught.value.error_id is not None
    assert caught.value.error_id in caught.value.detail


async def test_a_submission_is_repeated_until_the_node_takes_it(kind: str) -> None:
    node = MemoryNode(waiting_max=0)
    pauses: list[float] = []

    def pause(delay_s: float) -> None:
        pauses.append(delay_s)
        node.waiting_max = len(pauses) - 1

    retries = RetryPolicy(attempts_max=4)
    async with (
        serving(node) as address,
        client_of(kind, url_of(address), retries=retries, pause=pause) as ask,
    ):
        (submitted,) = await ask("submit", [b"hello"])
    assert submitted.id in node.transactions
    assert len(pauses) == 2
    assert all(delay_s >= 1.0 for delay_s in pauses), "the node asked for a second"


async def test_backpressure_that_lasts_is_told_in_the_end(kind: str) -> None:
    node = MemoryNode(waiting_max=0)
    pauses: list[float] = []
    retries = RetryPolicy(attempts_max=3)
    async with (
        serving(node) as address,
        client_of(kind, url_of(address), retries=retries, pause=pauses.append) as ask,
    ):
        with pytest.raises(Unavailable) as caught:
            await ask("submit", [b"hello"])
    assert len(pauses) == 2
    assert caught.value.status == 503
    assert caught.value.problem == "urn:cretonode:problem:backpressure"
    assert caught.value.retry_after_s == 1.0


async def test_a_node_that_is_away_is_unreachable_after_all_attempts(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = url_of(taken.getsockname())
    pauses: list[float] = []
    retries = RetryPolicy(attempts_max=3)
    async with client_of(kind, url, retries=retries, pause=pauses.append) as ask:
        with pytest.raises(Unreachable, match=url):
            await ask("status")
    assert len(pauses) == 2


async def test_a_node_that_returns_is_reached_again(kind: str) -> None:
    node = MemoryNode()
    async with serving(node) as address:
        pass
    async with trio.open_nursery() as nursery:
        started, returned = trio.Event(), trio.Event()

        async def serve_again() -> None:
            async with serving(node, replace(LOOPBACK, port=address[1])):
                returned.set()
                await done.wait()

        def pause(delay_s: float) -> None:
            if kind == "sync":
                trio.from_thread.run_sync(nursery.start_soon, serve_again)
                trio.from_thread.run(returned.wait)
            elif not started.is_set():
                started.set()
                nursery.start_soon(serve_again)

        done = trio.Event()
        retries = RetryPolicy(attempts_max=1_000)
        async with client_of(kind, url_of(address), retries=retries, pause=pause) as ask:
            assert (await ask("status")).name == "node-0"
        done.set()


@pytest.mark.parametrize(
    ("transactions", "detail"),
    [
        (b"hello", "expected a list of bytes"),
        ([], "0 transactions"),
        ([b"a"] * 4097, "4097 transactions"),
        ([b"a", b""], "transaction 1 has 0 bytes"),
        ([b"a" * 262_145], "transaction 0 has 262145 bytes"),
    ],
    ids=["no list", "none", "too many", "empty", "too large"],
)
def test_what_no_node_takes_is_not_sent(transactions: list[bytes], detail: str) -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(ClientError, match=detail):
        client.submit(transactions)


@pytest.mark.parametrize("item", ["text", 1, None], ids=["str", "int", "NoneType"])
async def test_a_transaction_of_another_type_is_not_sent(item: object) -> None:
    given: list[Any] = [b"a", item]
    detail = f"transaction 1 is of type {type(item).__name__}; expected bytes"
    with Client("http://127.0.0.1:1") as client, pytest.raises(ClientError, match=detail):
        client.submit(given)
    async with AsyncClient("http://127.0.0.1:1") as other:
        with pytest.raises(ClientError, match=detail):
            await other.submit(given)


def test_a_hash_of_another_length_is_not_asked_for() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(ClientError, match="3 bytes"):
        client.vertex(b"abc")


@pytest.mark.parametrize("url", ["", "node", "ftp://node", "http://", "http://node:99999"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    for make in (Client, AsyncClient):
        with pytest.raises(ClientError, match="expected http://HOST:PORT"):
            make(url)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    for make in (Client, AsyncClient):
        with pytest.raises(ClientError, match="no user and no password") as caught:
            make("http://operator:secret@node:8080")
        assert "secret" not in str(caught.value)
