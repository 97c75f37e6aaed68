"""Ways to reach the interface from a test: without sockets, over loopback, and byte by byte."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import trio

from cretonode.api.application import make_application
from cretonode.api.gate import ApiCounters, Gate
from cretonode.api.ports import NodePort
from cretonode.api.server import serve
from cretonode.api.settings import ApiSettings
from cretonode.api.waits import Waits

LOOPBACK = ApiSettings(host="127.0.0.1", port=0)


def make_gate(node: NodePort, settings: ApiSettings, counters: ApiCounters | None = None) -> Gate:
    waits = Waits(node, settings.waits_max)
    application = make_application(node, settings, waits)
    return Gate(application, settings, counters or ApiCounters())


def in_process(node: NodePort, settings: ApiSettings = LOOPBACK) -> httpx.AsyncClient:
    """Return a client that calls the gate and the application behind it directly."""
    transport = httpx.ASGITransport(make_gate(node, settings))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://node")


@asynccontextmanager
async def serving(
    node: NodePort, settings: ApiSettings = LOOPBACK, counters: ApiCounters | None = None
) -> AsyncGenerator[tuple[str, int]]:
    """Serve on loopback until the block ends, then stop in good order."""
    async with trio.open_nursery() as nursery:
        start = partial(serve, node, settings, counters=counters)
        address: tuple[str, int] = await nursery.start(start)
        with trio.fail_after(10):
            yield address
        nursery.cancel_scope.cancel()


def url_of(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"


async def read_all(stream: trio.SocketStream) -> bytes:
    """Return what comes until the other side closes; a reset counts as closing."""
    received = b""
    try:
        while chunk := await stream.receive_some():
            received += chunk
    except trio.BrokenResourceError:
        pass
    return received


async def read_answer(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    """Return the head and the body of one answer, whose length must be declared."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = await stream.receive_some()
        assert chunk, received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length:
        chunk = await stream.receive_some()
        assert chunk, received
        body += chunk
    return head, body
