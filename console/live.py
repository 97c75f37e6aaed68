"""The live source: attaches to a node's socket, watches, and attaches again when it is lost."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from console.contact import Contact, Link, Listener, RequestFailed, back_off_ms
from console.recorder import Recorder
from console.session import Refused, Session
from console.sockets import what_is_there
from cretonode.operator.protocol import (
    SOCKET_PATH_BYTES_MAX,
    Delta,
    Hello,
    MalformedMessage,
    Response,
    Value,
)

INTERVAL_MS: Final = 200  # between two deltas
RECEIVE_BYTES: Final = 256 * 1024
CONNECT_MS: Final = 5_000
SILENCE_MS_MAX: Final = 10_000  # of a node that says something each second
REQUEST_MS: Final = 12_000  # longer than the node takes to give up on its own answer
REQUESTS_MAX: Final = 16  # that wait for an answer


class LiveSource:
    """One node's socket. `run` it in a task; cancel the task to detach."""

    def __init__(
        self,
        path: Path,
        listener: Listener,
        software: str,
        recorder: Recorder | None = None,
        interval_ms: int = INTERVAL_MS,
    ) -> None:
        self.path = path
        self._listener = listener
        self._software = software
        self._recorder = recorder
        self._interval_ms = interval_ms
        self._session: Session | None = None
        self._writer: StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._link = Link.SEEKING

    async def run(self) -> None:
        """Attach again and again, until cancelled."""
        failures = 0
        while True:
            try:
                await self._converse()
            except (OSError, EOFError, MalformedMessage, Refused, TimeoutError) as error:
                if self._link is Link.ATTACHED:
                    failures = 0
                    self._link = Link.LOST
                failures += 1
                self._listener.on_contact(Contact(self._link, self._words(error)))
            finally:
                self._forget()
            await asyncio.sleep(back_off_ms(failures) / 1000)

    async def request(self, command: str, arguments: Mapping[str, Value]) -> Value:
        """Return the node's answer. Raises: RequestFailed."""
        session, writer = self._session, self._writer
        if session is None or writer is None:
            raise RequestFailed("not attached to a node")
        if len(self._waiting) >= REQUESTS_MAX:
            raise RequestFailed(f"{REQUESTS_MAX} requests wait for their answers already")
        id_, encoded = session.request(command, arguments)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[id_] = answer
        try:
            writer.write(encoded)
            async with asyncio.timeout(REQUEST_MS / 1000):
                await writer.drain()
                response = await answer
        except TimeoutError:
            raise RequestFailed(f"the node did not answer {command} in time") from None
        except OSError as error:
            raise RequestFailed(f"the connection ended: {error}") from error
        finally:
            self._waiting.pop(id_, None)
        if not response.ok:
            raise RequestFailed(response.error)
        return response.value

    async def _converse(self) -> None:
        """Raises: OSError, EOFError, MalformedMessage, Refused, TimeoutError."""
        if len(bytes(self.path)) > SOCKET_PATH_BYTES_MAX:
            raise OSError(f"the path is longer than {SOCKET_PATH_BYTES_MAX} bytes")
        async with asyncio.timeout(CONNECT_MS / 1000):
            reader, writer = await asyncio.open_unix_connection(str(self.path))
        try:
            session = Session(self._software, self._interval_ms)
            writer.write(session.opening())
            await self._listen(session, reader, writer)
        finally:
            writer.close()

    async def _listen(self, session: Session, reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            async with asyncio.timeout(SILENCE_MS_MAX / 1000):
                data = await reader.read(RECEIVE_BYTES)
            if not data:
                raise EOFError("the node closed the connection")
            for heard in session.feed_untrusted(data):
                match heard.message:
                    case Hello():
                        writer.write(session.watching())
                        self._attached(session, writer, heard.message)
                    case Delta():
                        self._listener.on_delta(heard.message)
                        if self._recorder is not None:
                            self._recorder.write_delta(heard.encoded, fresh=heard.message.fresh)
                    case Response(id=id_):
                        answer = self._waiting.get(id_)
                        if answer is not None and not answer.done():
                            answer.set_result(heard.message)
                        elif not heard.message.ok:  # nobody waits for the watch's but us
                            raise Refused(heard.message.error)

    def _attached(self, session: Session, writer: StreamWriter, hello: Hello) -> None:
        self._session, self._writer = session, writer
        self._link = Link.ATTACHED
        self._listener.on_hello(hello)
        self._listener.on_contact(Contact(Link.ATTACHED))
        if self._recorder is not None:
            self._recorder.begin(hello)

    def _forget(self) -> None:
        self._session = self._writer = None
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(RequestFailed("the connection ended before the answer"))
        self._waiting.clear()

    def _words(self, error: Exception) -> str:
        match error:
            case FileNotFoundError() | ConnectionRefusedError():
                what = what_is_there(self.path)
                return f"{self.path} is {what}" if what else f"no node listens at {self.path}"
            case PermissionError():
                return f"{self.path} belongs to another user: run this as them or root"
            case TimeoutError():
                return f"the node at {self.path} says nothing"
            case OSError() if error.strerror:
                return f"{self.path}: {error.strerror}"
            case EOFError():
                return str(error)
            case _:
                return f"{self.path}: {error}"
