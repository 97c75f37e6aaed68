from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import TypeAlias

import h11
import pytest
import trio
import trio.testing

from cretonode.errors import ConfigError
from cretonode.observability.metrics import MetricsCollector
from cretonode.observability.scrape import (
    CONNECTIONS_MAX,
    EXCHANGE_MS,
    HEADER_BYTES_MAX,
    serve_metrics,
)
from tests.observability.samples import FULL, FakeSource

HOST = "127.0.0.1"
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
Ask: TypeAlias = Callable[[bytes], Awaitable[tuple[int, dict[bytes, bytes], bytes]]]


@pytest.fixture
async def port(nursery: trio.Nursery) -> AsyncGenerator[int]:
    serve = partial(serve_metrics, FakeSource(FULL), HOST, 0, "/metrics")
    yield await nursery.start(serve)
    nursery.cancel_scope.cancel()


async def read_all(stream: trio.SocketStream) -> bytes:
    return b"".join([part async for part in stream])


async def ask(port: int, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return status, headers and body; the server has closed the connection."""
    async with await trio.open_tcp_stream(HOST, port) as stream:
        await stream.send_all(request)
        return parse(request, await read_all(stream))


def parse(request: bytes, answer: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    http = h11.Connection(h11.CLIENT)
    method = b"HEAD" if request.startswith(b"HEAD") else b"GET"
    http.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    http.send(h11.EndOfMessage())
    http.receive_data(answer)
    http.receive_data(b"")
    response = http.next_event()
    assert isinstance(response, h11.Response), response
    body = b""
    while isinstance(event := http.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    return response.status_code, dict(response.headers), body


@pytest.mark.parametrize("target", ["/metrics", "/metrics?name=x"])
async def test_a_scrape_gets_the_text_format(port: int, target: str) -> None:
    status, headers, body = await ask(port, GET.replace(b"/metrics", target.encode()))
    assert status == 200
    assert headers[b"content-type"] == b"text/plain; version=0.0.4; charset=utf-8"
    assert headers[b"connection"] == b"close"
    assert body == MetricsCollector(FakeSource(FULL)).render()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"HEAD /other HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (GET.replace(b"GET", b"POST")[:-2] + b"Content-Length: 40000\r\n\r\n" + bytes(40_000), 405),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * (HEADER_BYTES_MAX + 4096), 431),
    ],
    ids=[
        "the root", "a longer path", "head of another path", "head", "a body", "no host", "TLS",
        "a header without end",
    ],
)  # fmt: skip
async def test_anything_else_is_refused_in_http(port: int, request_: bytes, status: int) -> None:
    assert (await ask(port, request_))[0] == status
    assert (await ask(port, GET))[0] == 200


async def test_a_refused_method_names_the_allowed_one(port: int) -> None:
    _, headers, body = await ask(port, GET.replace(b"GET", b"DELETE"))
    assert headers[b"allow"] == b"GET"
    assert body == b""


async def test_a_client_that_goes_early_hurts_nobody(port: int) -> None:
    for beginning in (b"", b"GET /met"):
        stream = await trio.open_tcp_stream(HOST, port)
        await stream.send_all(beginning)
        await stream.aclose()
    assert (await ask(port, GET))[0] == 200


async def test_connections_are_bounded_and_come_free_again(
    port: int, autojump_clock: trio.testing.MockClock
) -> None:
    idle = [await trio.open_tcp_stream(HOST, port) for _ in range(CONNECTIONS_MAX)]
    begun = trio.current_time()
    one_more = await trio.open_tcp_stream(HOST, port)
    assert await one_more.receive_some() == b""
    assert trio.current_time() == begun
    await one_more.aclose()
    for stream in idle:
        assert await stream.receive_some() == b""
        await stream.aclose()
    assert trio.current_time() == begun + EXCHANGE_MS / 1000
    assert (await ask(port, GET))[0] == 200


async def test_a_port_in_use_is_a_config_error_that_names_it(port: int) -> None:
    with pytest.raises(ConfigError) as caught:
        await serve_metrics(FakeSource(FULL), HOST, port, "/metrics")
    assert str(caught.value) == (
        f"metrics.port: cannot listen on {HOST} port {port}: Address already in use"
    )


async def test_a_host_that_is_not_ours_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"metrics\.port: cannot listen on 192\.0\.2\.1 port 9"):
        await serve_metrics(FakeSource(FULL), "192.0.2.1", 9, "/metrics")


async def test_nothing_is_collected_without_a_scrape() -> None:
    source = FakeSource(FULL)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_metrics, source, HOST, 0, "/metrics")
        assert source.asked == 0
        await ask(port, GET)
        assert source.asked == 1
        nursery.cancel_scope.cancel()
