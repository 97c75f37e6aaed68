"""The HTTP endpoint that Prometheus reads: one path, GET, one request for each connection.

Anybody who reaches the port may talk to it, so a connection has a size and a time, and there are
only so many. Source: SPEC A3.
"""

from http import HTTPStatus
from typing import Final, Never

import h11
import structlog
import trio

from cretonode.errors import ConfigError
from cretonode.observability.metrics import MetricsCollector, MetricsSource

CONNECTIONS_MAX: Final = 16  # more are closed unread; a scraper uses one
HEADER_BYTES_MAX: Final = 8 * 1024
EXCHANGE_MS: Final = 5_000  # from the connection to the last byte of the answer
LINGER_MS: Final = 1_000
LINGER_BYTES_MAX: Final = 64 * 1024
RECEIVE_BYTES: Final = 4 * 1024
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PLAIN_TYPE: Final = "text/plain; charset=utf-8"

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def serve_metrics(
    source: MetricsSource,
    host: str,
    port: int,
    path: str,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> Never:
    """Serve `path` on `host` and `port` (0: any free one) until cancelled; ready with the port.

    Raises: ConfigError, when it cannot listen there.
    """
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise ConfigError(
            f"metrics.port: cannot listen on {host} port {port}: {error.strerror}"
        ) from error
    bound: int = listeners[0].socket.getsockname()[1]
    task_status.started(bound)
    await trio.serve_listeners(_Endpoint(MetricsCollector(source), path).attend, listeners)


class _Endpoint:
    def __init__(self, collector: MetricsCollector, path: str) -> None:
        self._collector = collector
        self._path = path
        self._connections = 0

    async def attend(self, stream: trio.SocketStream) -> None:
        """Answer one request; at the bound, none. The caller closes the connection."""
        if self._connections == CONNECTIONS_MAX:
            log.debug("scrape_refused", connections=self._connections)
            return
        self._connections += 1
        try:
            with trio.move_on_after(EXCHANGE_MS / 1000):
                await self._exchange(stream)
        except trio.BrokenResourceError:
            pass  # gone before its answer: nobody misses it
        finally:
            self._connections -= 1

    async def _exchange(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES_MAX)
        try:
            request = await _receive_request(stream, http)
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            await stream.send_all(_response(http, status, f"{status.phrase}\n".encode()))
        else:
            if request is None:
                return
            await stream.send_all(self._answer(http, request))
        await _linger(stream)

    def _answer(self, http: h11.Connection, request: h11.Request) -> bytes:
        if request.target.partition(b"?")[0] != self._path.encode():
            body = f"the metrics are at {self._path}\n".encode()
            return _response(http, HTTPStatus.NOT_FOUND, b"" if request.method == b"HEAD" else body)
        if request.method != b"GET":
            return _response(http, HTTPStatus.METHOD_NOT_ALLOWED, b"", [("Allow", "GET")])
        return _response(http, HTTPStatus.OK, self._collector.render(), content_type=METRICS_TYPE)


async def _receive_request(stream: trio.SocketStream, http: h11.Connection) -> h11.Request | None:
    """Return the head of the request, None when the client goes without one.

    Raises: h11.RemoteProtocolError, when it is no HTTP or too long.
    """
    while True:
        event = http.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        http.receive_data(await stream.receive_some(RECEIVE_BYTES))


def _response(
    http: h11.Connection,
    status: HTTPStatus,
    body: bytes,
    headers: list[tuple[str, str]] | None = None,
    *,
    content_type: str = PLAIN_TYPE,
) -> bytes:
    """Return the bytes of a whole response, after which the connection closes."""
    head = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        *(headers or []),
    ]
    events = [
        h11.Response(status_code=status, headers=head, reason=status.phrase),
        h11.Data(data=body),
        h11.EndOfMessage(),
    ]
    return b"".join(http.send(event) or b"" for event in events)


async def _linger(stream: trio.SocketStream) -> None:
    """Take what the client still sends: closing on it would reset the answer on its way."""
    await stream.send_eof()
    taken = 0
    with trio.move_on_after(LINGER_MS / 1000):
        while taken < LINGER_BYTES_MAX and (data := await stream.receive_some(RECEIVE_BYTES)):
            taken += len(data)
