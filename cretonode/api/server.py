"""Serving the HTTP interface: listening, accepting, and stopping in good order.

Owns every socket and task of the interface. A cancel is an orderly end: nothing more is accepted,
idle connections close, waits for finality end with what is known, requests in flight finish
within `stop_ms_max`, and what is left then is cut.
"""

import errno
from typing import Final, Never

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.worker_context import WorkerContext

from cretonode.api.application import make_application
from cretonode.api.gate import ApiCounters, Gate
from cretonode.api.http1 import ClientStream, HttpConnection, hypercorn_config
from cretonode.api.ports import NodePort
from cretonode.api.settings import ApiSettings
from cretonode.api.waits import Waits
from cretonode.errors import ConfigError

EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
EXHAUSTED_PAUSE_S: Final = 0.1

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def serve(
    port: NodePort,
    settings: ApiSettings,
    *,
    counters: ApiCounters | None = None,
    task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
) -> Never:
    """Serve `port` over HTTP until cancelled; then end in good order.

    `task_status` gets the host and port that are listened on.
    Raises: ConfigError, when the address cannot be bound.
    """
    listeners = await _listen(settings)
    server = _Server(port, settings, counters or ApiCounters())
    try:
        async with trio.open_nursery() as nursery:
            # The connections live in a task of their own, because they outlast a cancel.
            connections = await nursery.start(server.keep, name="api connections")
            try:
                host, number = listeners[0].socket.getsockname()[:2]
                log.info("api_listening", host=host, port=number)
                task_status.started((host, number))
                async with trio.open_nursery() as accepting:
                    for listener in listeners:
                        accepting.start_soon(
                            server.accept_forever, listener, connections, name="api accept"
                        )
            finally:
                _close(listeners)
                server.stopping.set()
    finally:
        _close(listeners)
    raise AssertionError("accepting ends only by a cancel")


class _Server:
    """The connections, how many there may be, and their end."""

    def __init__(self, port: NodePort, settings: ApiSettings, counters: ApiCounters) -> None:
        self.stopping = trio.Event()
        self._settings = settings
        self._counters = counters
        self._waits = Waits(port, settings.waits_max)
        application = make_application(port, settings, self._waits)
        self._application = ASGIWrapper(Gate(application, settings, counters))
        self._config = hypercorn_config(settings)
        self._context = WorkerContext(None)
        self._free = trio.Semaphore(settings.connections_max)
        self._streams: set[ClientStream] = set()
        self._exhausted = False  # the system had no socket for the last connection

    async def keep(
        self, *, task_status: trio.TaskStatus[trio.Nursery] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Own the connections, and end them after `stopping`, the last ones by force."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as keeper:
                async with trio.open_nursery() as connections:
                    task_status.started(connections)
                    await self.stopping.wait()
                    self._waits.stop()
                    await self._context.terminated.set()  # idle ones close, others after this
                    keeper.start_soon(self._cut_later, connections)
                keeper.cancel_scope.cancel()

    async def _cut_later(self, connections: trio.Nursery) -> None:
        await trio.sleep(self._settings.stop_ms_max / 1000)
        log.warning("api_requests_cut", connections=len(self._streams))
        connections.cancel_scope.cancel()
        for stream in self._streams:
            stream.cut()  # Hypercorn shields its writes: a cancel alone would not end them

    async def accept_forever(
        self, listener: trio.SocketListener, connections: trio.Nursery
    ) -> Never:
        """Hand each connection to a task of its own; at the bound, wait for one to end."""
        while True:
            await self._free.acquire()
            try:
                stream = await self._accept(listener)
            except BaseException:
                self._free.release()
                raise
            connections.start_soon(self._converse, stream, name="api connection")

    async def _accept(self, listener: trio.SocketListener) -> trio.SocketStream:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                # The system has no more sockets; connections that end will free some.
                if not self._exhausted:
                    self._exhausted = True  # said once, until one is accepted again
                    log.warning("api_accept_failed", cause=error.strerror)
                await trio.sleep(EXHAUSTED_PAUSE_S)
            else:
                self._exhausted = False
                return stream

    async def _converse(self, socket_stream: trio.SocketStream) -> None:
        stream = ClientStream(socket_stream, write_ms_max=self._settings.write_ms_max)
        self._streams.add(stream)
        self._counters.connections += 1
        try:
            with stream.life:
                await HttpConnection(self._application, self._config, self._context, stream).run()
        except* Exception as group:
            # A stranger's bytes may find a bug in the libraries below; it must end here, with
            # this connection, and not take the validator down.
            self._counters.connections_failed += 1
            log.error("api_connection_failed", exc_info=group)
        finally:
            stream.cut()
            self._streams.discard(stream)
            self._counters.connections -= 1
            self._free.release()


async def _listen(settings: ApiSettings) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(
            settings.port, host=settings.host, backlog=settings.backlog
        )
    except OSError as error:
        raise ConfigError(
            f"api.http_host and api.http_port: cannot listen on {settings.host} port"
            f" {settings.port}: {error.strerror or error}"
        ) from error


def _close(listeners: list[trio.SocketListener]) -> None:
    for listener in listeners:
        listener.socket.close()
