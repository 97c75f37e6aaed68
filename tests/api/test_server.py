"""The server over loopback: real bytes, real sockets, and its end."""

import errno
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import httpx
import pytest
import structlog
import structlog.testing
import trio
import trio.testing

from cretonode.api.gate import ApiCounters
from cretonode.api.server import _Server, serve
from cretonode.crypto.hashing import hash_of
from cretonode.errors import ConfigError
from cretonode.identifiers import TransactionId
from tests.api.fakes import MemoryNode
from tests.api.serving import LOOPBACK, read_all, read_answer, serving, url_of

GET_STATUS = b"GET /v1/status HTTP/1.1\r\nhost: node\r\n\r\n"
POST = b"POST /v1/transactions HTTP/1.1\r\nhost: node\r\ncontent-type: application/octet-stream\r\n"


def problem_in(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head.lower(), answer
    type_: str = json.loads(body)["type"]
    return type_.removeprefix("urn:cretonode:problem:")


async def exchange(address: tuple[str, int], *pieces: bytes) -> bytes:
    """Send `pieces` on a connection of their own and return all that comes back."""
    async with await trio.open_tcp_stream(*address) as stream:
        try:
            for piece in pieces:
                await stream.send_all(piece)
        except trio.BrokenResourceError:
            pass
        return await read_all(stream)


async def connect_deaf(address: tuple[str, int]) -> trio.SocketStream:
    """Return a connection that takes next to nothing unless it is read."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await sock.connect(address)
    return trio.SocketStream(sock)


# --- serving


async def test_the_real_address_is_reported_and_serves() -> None:
    async with serving(MemoryNode()) as address, httpx.AsyncClient() as client:
        assert address[1] != 0
        response = await client.get(url_of(address) + "/v1/status")
    assert response.json()["chain_id"] == "docs-1"


async def test_a_connection_carries_many_requests() -> None:
    async with serving(MemoryNode()) as address, await trio.open_tcp_stream(*address) as stream:
        for _ in range(3):
            await stream.send_all(GET_STATUS)
            head, body = await read_answer(stream)
            assert head.startswith(b"HTTP/1.1 200")
            assert json.loads(body)["quorum"] == 3


async def test_a_connection_is_closed_after_the_last_request_that_it_announces() -> None:
    async with serving(MemoryNode()) as address:
        answer = await exchange(address, GET_STATUS[:-2] + b"connection: close\r\n\r\n")
        older = await exchange(address, GET_STATUS.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert older.startswith(b"HTTP/1.1 200")


async def test_an_idle_connection_is_closed_after_its_requests() -> None:
    async with serving(MemoryNode(), replace(LOOPBACK, keep_alive_ms=1)) as address:
        assert (await exchange(address, GET_STATUS)).startswith(b"HTTP/1.1 200")


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    async with serving(MemoryNode()) as address, await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(GET_STATUS + GET_STATUS.replace(b"/v1/status", b"/healthz"))
        received = b""
        while b'"alive"' not in received:
            received += await stream.receive_some()
    assert received.index(b'"quorum"') < received.index(b'"alive"')


async def test_head_answers_like_get_without_the_body() -> None:
    async with serving(MemoryNode()) as address, httpx.AsyncClient() as client:
        url = url_of(address) + "/v1/status"
        full, head = await client.get(url), await client.head(url)
    assert head.status_code == 200
    assert head.headers["content-length"] == str(len(full.content))
    assert head.content == b""


async def test_a_browsers_preflight_is_answered() -> None:
    headers = {"origin": "https://app.example", "access-control-request-method": "POST"}
    async with serving(MemoryNode()) as address, httpx.AsyncClient() as client:
        response = await client.options(url_of(address) + "/v1/transactions", headers=headers)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert "content-length" not in response.headers


async def test_a_body_in_chunks_is_taken() -> None:
    node = MemoryNode()
    async with serving(node) as address, await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(POST + b"transfer-encoding: chunked\r\n\r\n")
        await stream.send_all(b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
        head, _ = await read_answer(stream)
    assert head.startswith(b"HTTP/1.1 202")
    assert TransactionId(hash_of(b"hello")) in node.transactions


# --- hostile and unlucky clients


class ExhaustedListener:
    """A listener of a system without sockets: every third connection finds one."""

    def __init__(self) -> None:
        self.tried = 0

    async def accept(self) -> trio.SocketStream:
        self.tried += 1
        if self.tried % 3:
            raise OSError(errno.EMFILE, "Too many open files")
        ours, theirs = trio.socket.socketpair()
        theirs.close()
        return trio.SocketStream(ours)


async def test_a_system_without_sockets_is_said_once_each_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server = _Server(MemoryNode(), LOOPBACK, ApiCounters())
    listener = ExhaustedListener()
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            async with await server._accept(listener):
                pass
    assert listener.tried == 6
    assert [line["event"] for line in logs] == ["api_accept_failed"] * 2


async def test_two_framings_of_one_body_end_the_connection() -> None:
    """RFC 9112, 6.1: something between may have read the other one. What follows is not served."""
    both = POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    node = MemoryNode()
    async with serving(node) as address:
        answer = await exchange(address, both)
        smuggled = await exchange(address, both + GET_STATUS)  # a reset may overtake the answer
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in answer.lower()
    assert b"HTTP/1.1 200" not in smuggled
    assert not node.transactions


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_an_oversized_body_gets_its_answer_and_not_a_reset(framing: str) -> None:
    settings = replace(LOOPBACK, request_bytes_max=512 * 1024)
    body = b"x" * (3 * settings.request_bytes_max)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    async with serving(MemoryNode(), settings) as address, httpx.AsyncClient() as client:
        response = await client.post(
            url_of(address) + "/v1/transactions",
            content=body if framing == "length" else pieces(),
            headers={"content-type": "application/octet-stream"},
        )
    assert response.status_code == 413
    assert "524288 bytes" in response.json()["detail"]


async def test_a_client_that_stops_in_its_body_is_answered_and_let_go() -> None:
    settings = replace(LOOPBACK, body_ms_max=1, linger_ms_max=1)
    async with serving(MemoryNode(), settings) as address:
        answer = await exchange(address, POST + b"content-length: 5\r\n\r\nhel")
    assert answer.startswith(b"HTTP/1.1 408")
    assert problem_in(answer) == "body-timeout"


@pytest.mark.parametrize("begun", [b"", b"GET /v1/sta"], ids=["silent", "half a request line"])
async def test_a_client_that_sends_no_request_is_let_go(begun: bytes) -> None:
    async with serving(MemoryNode(), replace(LOOPBACK, keep_alive_ms=1)) as address:
        assert await exchange(address, begun) == b""


async def test_a_client_that_reads_nothing_is_let_go() -> None:
    node = MemoryNode(instant=True)
    await node.submit([b"%d" % i for i in range(4096)])
    node.sequences *= 100  # an answer far larger than what sockets hold
    counters = ApiCounters()
    settings = replace(LOOPBACK, write_ms_max=1)
    async with serving(node, settings, counters) as address:
        stream = await connect_deaf(address)
        async with stream:
            request = GET_STATUS.replace(b"/v1/status", b"/v1/finalized?count=100")
            await stream.send_all(request * 8)
            while counters.requests == 0 or counters.connections:
                await trio.lowlevel.checkpoint()
    assert counters.connections == 0


@pytest.mark.parametrize(
    ("garbage", "problem"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), "malformed-request"),
        (b"GET /\r\n\r\n", "malformed-request"),
        (b"\x00" * 100 + b"\r\n\r\n", "malformed-request"),
        (b"GET / HTTP/1.1\r\n\r\n", "malformed-request"),  # no host
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 100_000, "headers-too-large"),
        (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 20_000, "headers-too-large"),
        (
            b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 20_000 + b"\r\nconnection: close\r\n\r\n",
            "headers-too-large",
        ),
        (
            b"GET /?" + b"y" * 60_000 + b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            "headers-too-large",
        ),
        (
            b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: "
            + b"y" * 20_000
            + b"\r\nconnection: close\r\n\r\n",
            "headers-too-large",
        ),
        (
            POST + b"content-encoding: gzip\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx",
            "unsupported-media-type",
        ),
        (POST + b"content-length: -1\r\n\r\n", "malformed-request"),
        (POST + b"content-length: " + b"9" * 5000 + b"\r\n\r\n", "malformed-request"),
        (POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\n", "malformed-request"),
        (POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n", "malformed-request"),
        (
            POST + b"content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG",
            "malformed-request",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), "malformed-request"),
        (b"GET ?x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "malformed-request"),
        (b"GET / HTTP/1.1\r\nhost: [::\r\nconnection: close\r\n\r\n", "no-such-route"),
        (
            b"GET / HTTP/1.1\r\nhost: " + b"a" * 64 + b"\r\nconnection: close\r\n\r\n",
            "malformed-request",
        ),
        (b"GET /%ff%fe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "no-such-route"),
        (b"GET /?%ff=%zz HTTP/1.0\r\n\r\n", "no-such-route"),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else None,
)
async def test_garbage_is_refused_and_the_server_goes_on(garbage: bytes, problem: str) -> None:
    counters = ApiCounters()
    async with serving(MemoryNode(), counters=counters) as address:
        answer = await exchange(address, garbage)
        if answer:  # a reset may overtake it when much was unread
            first = answer.split(b"HTTP/1.1 4")[1]
            assert problem_in(first) == problem
        assert (await exchange(address, GET_STATUS[:-2] + b"connection: close\r\n\r\n")).startswith(
            b"HTTP/1.1 200"
        )
    assert counters.connections_failed == 0


async def test_nobody_is_switched_to_http_2() -> None:
    upgrade = GET_STATUS[:-2] + (
        b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: !\r\n\r\n"
    )
    async with serving(MemoryNode()) as address, await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(upgrade)
        head, _ = await read_answer(stream)
    assert head.startswith(b"HTTP/1.1 200")


async def test_nobody_is_switched_to_websocket() -> None:
    handshake = GET_STATUS[:-2] + (
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with serving(MemoryNode()) as address, await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(handshake)
        head, _ = await read_answer(stream)
    assert head.startswith(b"HTTP/1.1 200")


async def test_connections_over_the_bound_wait_for_one_to_end() -> None:
    settings = replace(LOOPBACK, connections_max=2, requests_max=2, waits_max=1)
    counters = ApiCounters()
    async with serving(MemoryNode(), settings, counters) as address:
        held = [await trio.open_tcp_stream(*address) for _ in range(2)]
        for stream in held:
            await stream.send_all(GET_STATUS)
            await read_answer(stream)
        async with await trio.open_tcp_stream(*address) as third:
            await third.send_all(GET_STATUS)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert counters.connections == 2
            await held[0].aclose()
            assert (await read_answer(third))[0].startswith(b"HTTP/1.1 200")
        await held[1].aclose()


async def test_a_client_that_leaves_is_no_error() -> None:
    node = MemoryNode()
    node.door = trio.Event()
    counters = ApiCounters()
    with structlog.testing.capture_logs() as logs:
        async with serving(node, counters=counters) as address:
            async with await trio.open_tcp_stream(*address) as stream:
                await stream.send_all(POST + b"content-length: 5\r\n\r\nhello")
                await node.entered.wait()
            while counters.requests_in_flight:
                await trio.lowlevel.checkpoint()
    assert [line for line in logs if line["log_level"] in ("warning", "error")] == []


# --- the end


async def test_a_port_in_use_is_the_operators_to_mend() -> None:
    async with serving(MemoryNode()) as (host, number):
        with pytest.raises(ConfigError) as caught:
            await serve(MemoryNode(), replace(LOOPBACK, host=host, port=number))
    text = str(caught.value)
    assert f"cannot listen on {host} port {number}: Address already in use" in text
    assert "api.http_port" in text
    assert "\n" not in text


async def test_an_unknown_host_is_the_operators_to_mend() -> None:
    with pytest.raises(ConfigError, match=r"api\.http_host"):
        await serve(MemoryNode(), replace(LOOPBACK, host="256.0.0.1"))


async def test_a_stop_lets_a_request_in_flight_finish() -> None:
    node = MemoryNode()
    node.door = trio.Event()
    async with trio.open_nursery() as server:
        address = await server.start(serve, node, LOOPBACK)
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(POST + b"content-length: 5\r\n\r\nhello")
            await node.entered.wait()
            server.cancel_scope.cancel()
            with trio.CancelScope(shield=True), trio.fail_after(5):
                await trio.testing.wait_all_tasks_blocked(0.01)
                with pytest.raises(OSError, match=r"refused|reset|failed"):
                    await trio.open_tcp_stream(*address)
                node.door.set()
                head, body = await read_answer(stream)
                assert await read_all(stream) == b""
    assert head.startswith(b"HTTP/1.1 202")
    assert json.loads(body)["transactions"][0]["id"] == hash_of(b"hello").hex()


async def test_a_stop_ends_waits_with_what_is_known() -> None:
    node = MemoryNode()
    async with trio.open_nursery() as server:
        address = await server.start(serve, node, LOOPBACK)
        async with await trio.open_tcp_stream(*address) as stream:
            post = POST.replace(b"transactions", b"transactions?wait=30000")
            await stream.send_all(post + b"content-length: 5\r\n\r\nhello")
            await node.entered.wait()
            await trio.testing.wait_all_tasks_blocked(0.01)
            server.cancel_scope.cancel()
            with trio.CancelScope(shield=True), trio.fail_after(5):
                head, body = await read_answer(stream)
    assert head.startswith(b"HTTP/1.1 202")
    assert json.loads(body)["final"] is False


async def test_a_stop_closes_idle_connections() -> None:
    async with trio.open_nursery() as server:
        address = await server.start(serve, MemoryNode(), LOOPBACK)
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(GET_STATUS)
            await read_answer(stream)
            server.cancel_scope.cancel()
            with trio.CancelScope(shield=True), trio.fail_after(5):
                assert await read_all(stream) == b""


async def test_a_stop_cuts_what_does_not_finish_and_leaves_nothing() -> None:
    node = MemoryNode(instant=True)
    await node.submit([b"%d" % i for i in range(4096)])
    node.sequences *= 100
    node.door = trio.Event()
    node.entered = trio.Event()
    counters = ApiCounters()
    settings = replace(LOOPBACK, stop_ms_max=50, linger_ms_max=1)
    with structlog.testing.capture_logs() as logs, trio.fail_after(5):
        async with trio.open_nursery() as server:
            start = partial(serve, node, settings, counters=counters)
            address = await server.start(start)
            hung = await trio.open_tcp_stream(*address)
            await hung.send_all(POST + b"content-length: 5\r\n\r\nhello")
            deaf = await connect_deaf(address)  # takes nothing of a large answer
            request = GET_STATUS.replace(b"/v1/status", b"/v1/finalized?count=100")
            await deaf.send_all(request * 8)
            await node.entered.wait()
            await trio.testing.wait_all_tasks_blocked(0.05)
            server.cancel_scope.cancel()
    assert counters.connections == 0
    assert counters.requests_in_flight == 0
    assert [line["event"] for line in logs] == ["api_listening", "api_requests_cut"]
    assert logs[-1]["connections"] == 2
    await hung.aclose()
    await deaf.aclose()
    with socket.create_server(address):  # nothing holds the port
        pass


async def test_nothing_is_written_to_the_standard_streams(
    capfd: pytest.CaptureFixture[str],
) -> None:
    node = MemoryNode(failure=RuntimeError("boom"))
    with structlog.testing.capture_logs() as logs:
        async with serving(node) as address, httpx.AsyncClient() as client:
            response = await client.post(url_of(address) + "/v1/transactions", json={"text": "a"})
            assert response.status_code == 500
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert "request_failed" in [line["event"] for line in logs]
