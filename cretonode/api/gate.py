"""The gate before the application: bounds requests and bodies before anything costs much.

Reads each body whole, so the application never waits for a slow client, and lingers after a
refusal: a connection closed upon unread bytes is reset, and the reset can overtake the answer.
"""

from dataclasses import dataclass
from typing import Final

import trio
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
    Scope,
)

from cretonode.api.cors import Cors, Headers, header, is_preflight
from cretonode.api.problems import (
    Problem,
    framed_twice,
    headers_too_large,
    overloaded,
    problem_of,
)
from cretonode.api.settings import DRAIN_BODIES_MAX, HEADER_BYTES_MAX, PROBES_MAX, ApiSettings

PROBE_PATHS: Final = ("/healthz", "/readyz")
# A browser must neither guess that a transaction is a page nor keep what may be outdated.
EVERY_ANSWER: Final[Headers] = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


@dataclass(slots=True)
class ApiCounters:
    """What the interface has counted since it started. Read by the metrics; never reset."""

    requests: int = 0
    requests_refused: int = 0  # at the gate: too many, too large, too slow
    requests_in_flight: int = 0
    connections: int = 0  # open now
    connections_failed: int = 0  # ended by an error of ours or of a library


class Disconnected(Exception):
    """The client went away before its request was complete."""


class Gate:
    """An ASGI application around another one."""

    def __init__(
        self, application: ASGIFramework, settings: ApiSettings, counters: ApiCounters
    ) -> None:
        self._application = application
        self._settings = settings
        self._counters = counters
        self._cors = Cors(settings)
        self._bodies_bytes = 0

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        assert scope["type"] == "http", scope["type"]
        self._counters.requests += 1
        request = _Request(scope, receive, send, self._cors)
        try:
            # The parser bounds only what it waits with: a request that came at once may be larger.
            if _head_bytes(scope) > HEADER_BYTES_MAX:
                raise headers_too_large()
            if _is_framed_twice(scope):
                raise framed_twice()
            if is_preflight(scope["method"], scope["headers"]):
                headers = self._cors.preflight_headers(request.origin)
                await self._answer_early(request, 204, headers, b"")
            else:
                await self._serve(request)
        except Problem as problem:
            self._counters.requests_refused += 1
            await self._refuse(request, problem)
        except Disconnected:
            pass
        except Exception as error:
            # The application answers its own errors; what comes here is a bug in it or below it.
            answer = problem_of(error, method=scope["method"], path=scope["path"])
            await self._refuse(request, answer)

    async def _serve(self, request: "_Request") -> None:
        scope = request.scope
        probes = PROBES_MAX if scope["path"] in PROBE_PATHS else 0
        if self._counters.requests_in_flight >= self._settings.requests_max + probes:
            raise overloaded(
                f"{self._settings.requests_max} requests are being served; no more at a time"
            )
        if not scope["path"].startswith("/"):
            raise Problem("malformed-request", "the request target is not a path")
        self._counters.requests_in_flight += 1
        body = bytearray()
        try:
            await self._read_body(request, body)
            await self._application(scope, request.replaying(bytes(body)), request.send)
        finally:
            self._counters.requests_in_flight -= 1
            self._bodies_bytes -= len(body)

    async def _read_body(self, request: "_Request", body: bytearray) -> None:
        """Fill `body`, whose bytes count against the sum of all bodies from when they arrive."""
        settings = self._settings
        declared = int(header(request.scope["headers"], b"content-length") or 0)
        if declared > settings.request_bytes_max:
            raise _too_large(settings.request_bytes_max)
        with trio.move_on_after(settings.body_ms_max / 1000) as deadline:
            while not request.complete:
                chunk = await request.receive_body()
                if len(body) + len(chunk) > settings.request_bytes_max:
                    raise _too_large(settings.request_bytes_max)
                if self._bodies_bytes + len(chunk) > settings.bodies_bytes_max:
                    raise overloaded(
                        f"{settings.bodies_bytes_max} bytes of requests are being served;"
                        " no more at a time"
                    )
                body += chunk
                self._bodies_bytes += len(chunk)
        if deadline.cancelled_caught:
            raise Problem(
                "body-timeout",
                f"{len(body)} bytes came in {settings.body_ms_max} milliseconds; the whole body"
                " must",
            )

    async def _refuse(self, request: "_Request", problem: Problem) -> None:
        if request.answered:
            return
        headers = [(name.encode(), value.encode()) for name, value in problem.headers().items()]
        headers += self._cors.headers(request.origin)
        await self._answer_early(request, problem.status, headers, problem.body())

    async def _answer_early(
        self, request: "_Request", status: int, headers: Headers, body: bytes
    ) -> None:
        """Answer, and let the client finish its body for a while before the exchange ends."""
        await request.begin(status, headers, body)
        async with trio.open_nursery() as nursery:
            # Somebody must read until the end: Hypercorn's queue is short, and waits for us.
            nursery.start_soon(request.drain, DRAIN_BODIES_MAX * self._settings.request_bytes_max)
            with trio.move_on_after(self._settings.linger_ms_max / 1000):
                await request.drained.wait()
            await request.end()
            nursery.cancel_scope.cancel()


class _Request:
    """One request: its receiving end, and its answer with what every answer carries."""

    def __init__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable, cors: Cors
    ) -> None:
        self.scope = scope
        self.origin = header(scope["headers"], b"origin")
        self.complete = False  # the body has arrived
        self.answered = False
        self.finished = False  # the last piece of the answer is being sent
        self.drained = trio.Event()
        self._receive = receive
        self._send = send
        self._cors = cors

    async def receive_body(self) -> bytes:
        """Return what comes next of the body. Raises: Disconnected."""
        event = await self._receive()
        if event["type"] != "http.request":
            raise Disconnected
        self.complete = not event.get("more_body", False)
        return event.get("body", b"")

    async def drain(self, bytes_max: int) -> None:
        """Read and forget; `drained` is set at the end of the body or after `bytes_max`."""
        try:
            while True:
                if self.complete or bytes_max <= 0:
                    self.drained.set()
                bytes_max -= len(await self.receive_body())
        except Disconnected:
            self.drained.set()

    def replaying(self, body: bytes) -> ASGIReceiveCallable:
        """Return a `receive` that gives the body at once, then what the client does later."""
        replayed = False

        async def receive() -> ASGIReceiveEvent:
            nonlocal replayed
            if replayed:
                event = await self._receive()
                if self.finished:
                    # Hypercorn reports a disconnect at the end of every answer, too. Quart would
                    # cancel its request upon that, and with it Hypercorn's own clean-up, which
                    # runs inside our last send: the connection would never close nor time out.
                    await trio.sleep_forever()
                return event
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        return receive

    async def send(self, event: ASGISendEvent) -> None:
        """Send an event, the first with the headers that every answer carries."""
        if event["type"] == "http.response.start":
            self.answered = True
            cors = self._cors.headers(self.origin)
            event = {**event, "headers": [*event["headers"], *EVERY_ANSWER, *cors]}
        elif event["type"] == "http.response.body" and not event.get("more_body", False):
            self.finished = True
        await self._send(event)

    async def begin(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer and keep the exchange open."""
        self.answered = True
        headers = [*headers, *EVERY_ANSWER]
        if status != 204:  # RFC 9110 8.6: that one has no length
            headers.append((b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        """Close the exchange that `begin` left open."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _head_bytes(scope: HTTPScope) -> int:
    """Return the size of the request line and the headers, as their shortest form on the wire."""
    target = len(scope["raw_path"]) + len(scope["query_string"]) + bool(scope["query_string"])
    line = len(scope["method"]) + 1 + target + len(" HTTP/1.1\r\n")
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"]) + 2


def _is_framed_twice(scope: HTTPScope) -> bool:
    names = {name.lower() for name, _ in scope["headers"]}
    return {b"content-length", b"transfer-encoding"} <= names


def _too_large(request_bytes_max: int) -> Problem:
    return Problem(
        "body-too-large", f"the body is larger than {request_bytes_max} bytes; send fewer at a time"
    )
