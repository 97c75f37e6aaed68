"""One client's connection: Hypercorn's HTTP/1.1, with its open ends closed.

Hypercorn 0.18 lets a client that reads nothing hold a shielded write for ever, speaks HTTP/2 and
WebSocket to whoever asks, and answers garbage with an empty body. The only module that knows its
classes.
"""

from collections.abc import Awaitable, Callable
from typing import Final, cast

import h11
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Event
from hypercorn.logging import Logger
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, ResponseSummary, WWWScope
from hypercorn.utils import parse_socket_addr

from cretonode.api.problems import Problem, headers_too_large
from cretonode.api.settings import HEADER_BYTES_MAX, ApiSettings

PIECE_BYTES: Final = 64 * 1024  # written under one deadline

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class ClientStream(trio.abc.HalfCloseableStream):
    """A socket whose writes end: done, or the client took too little in time.

    A failed write ends the connection's `life`. Hypercorn would not: while requests wait that were
    sent ahead, its reader waits for an event that nobody sets any more.
    """

    def __init__(self, stream: trio.SocketStream, *, write_ms_max: int) -> None:
        self.socket = stream.socket
        self.life = trio.CancelScope()
        self._stream = stream
        self._write_s_max = write_ms_max / 1000

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`. Raises: trio.BrokenResourceError, when the client takes too long."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE_BYTES):
            try:
                with trio.fail_after(self._write_s_max):
                    await self._stream.send_all(view[start : start + PIECE_BYTES])
            except (
                trio.TooSlowError,
                trio.BrokenResourceError,
                trio.BusyResourceError,  # Hypercorn is closing in another task meanwhile
            ) as error:
                self.cut()
                raise trio.BrokenResourceError("the client does not take its answer") from error

    async def wait_send_all_might_not_block(self) -> None:
        """Return when sending might not block."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Return some bytes, none at the end."""
        return await self._stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        """Say that no more is sent."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    def cut(self) -> None:
        """End the connection at once; shielded users of the stream get an error."""
        self.life.cancel()
        self.socket.close()


class HttpConnection(TCPServer):
    """Hypercorn's connection over a ClientStream, without TLS and without HTTP/2."""

    def __init__(
        self, application: AppWrapper, config: Config, context: WorkerContext, stream: ClientStream
    ) -> None:
        # Hypercorn asks for a TLS stream and then uses it as any stream.
        tls = cast("trio.SSLStream[trio.SocketStream]", stream)
        super().__init__(application, config, context, ConnectionState({}), tls)
        self._socket = stream.socket

    async def run(self) -> None:
        """Serve requests until either side ends. The caller closes the stream."""
        try:
            client = parse_socket_addr(self._socket.family, self._socket.getpeername())
            server = parse_socket_addr(self._socket.family, self._socket.getsockname())
        except OSError:  # the client is gone again
            return
        async with TaskGroup() as task_group:
            self._task_group = task_group
            self.protocol = Http1Only(
                self.app, self.config, self.context, task_group, ConnectionState({}),
                False, client, server, self.protocol_send,  # noqa: FBT003  Hypercorn's signature
            )  # fmt: skip
            await self.protocol.initiate()
            await self.idle_task.restart(task_group, self._idle_timeout)
            await self._read_data()
            await self.idle_task.stop()  # or the task would outlive its client by the idle time


class Http1Only(ProtocolWrapper):
    """What Hypercorn lets choose between versions, with the choice made."""

    def __init__(
        self, app: AppWrapper, config: Config, context: WorkerContext, task_group: TaskGroup,
        state: ConnectionState, ssl: bool, client: tuple[str, int] | None,  # noqa: FBT001
        server: tuple[str, int] | None, send: Callable[[Event], Awaitable[None]],
    ) -> None:  # fmt: skip
        super().__init__(
            app, config, context, task_group, state, ssl, client, server, send, "http/1.1"
        )
        self.protocol = Http1(app, config, context, task_group, state, ssl, client, server, send)


class Http1(H11Protocol):
    """HTTP/1.1 whose every refusal is a problem document."""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Stay with HTTP/1.1 when asked for HTTP/2."""

    async def _create_stream(self, request: h11.Request) -> None:
        # RFC 9110 7.8: an upgrade may be ignored. No route takes a WebSocket, and for some bytes
        # after its handshake Hypercorn raises what ends a whole server.
        # Renamed, not dropped: the gate counts the bytes of all headers.
        headers = [
            (b"ignored" if name == b"upgrade" else name, value) for name, value in request.headers
        ]
        await super()._create_stream(
            h11.Request(
                method=request.method,
                target=request.target,
                headers=headers,
                http_version=request.http_version,
            )
            if headers != list(request.headers)
            else request
        )

    async def _send_error_response(self, status_code: int) -> None:
        if status_code == 431:
            problem = headers_too_large()
        else:
            problem = Problem("malformed-request", "these bytes are not an HTTP/1.1 request")
        body = problem.body()
        headers = {**problem.headers(), "content-length": str(len(body)), "connection": "close"}
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        encoded += self.config.response_headers("h11")
        await self._send_h11_event(h11.Response(status_code=problem.status, headers=encoded))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


class StructuredLogger(Logger):
    """Hypercorn's log as events of ours; no access log."""

    def __init__(self, config: Config) -> None:
        """Make no handlers and open no files, unlike the original."""

    async def access(
        self, request: WWWScope, response: ResponseSummary, request_time: float
    ) -> None:
        """Say nothing."""

    async def critical(self, message: str, *values: object, **_: object) -> None:
        """Log as an error."""
        log.error("hypercorn", message=message, values=values)

    async def error(self, message: str, *values: object, **_: object) -> None:
        """Log as an error."""
        log.error("hypercorn", message=message, values=values)

    async def exception(self, message: str, *values: object, **_: object) -> None:
        """Log as an error, with the exception being handled."""
        log.error("hypercorn", message=message, values=values, exc_info=True)

    async def warning(self, message: str, *values: object, **_: object) -> None:
        """Log as a warning."""
        log.warning("hypercorn", message=message, values=values)

    async def info(self, message: str, *values: object, **_: object) -> None:
        """Log for whoever looks closely."""
        log.debug("hypercorn", message=message, values=values)

    async def debug(self, message: str, *values: object, **_: object) -> None:
        """Log for whoever looks closely."""
        log.debug("hypercorn", message=message, values=values)


def hypercorn_config(settings: ApiSettings) -> Config:
    """Return what Hypercorn's connections go by."""
    config = Config()
    config.logger_class = StructuredLogger
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = HEADER_BYTES_MAX
    config.keep_alive_timeout = settings.keep_alive_ms / 1000
    return config
