"""A client that watches a node over its operator socket, on trio."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from cretonode.crypto.canonical import Value
from cretonode.operator.protocol import (
    RESPONSE_BYTES_MAX,
    WATCH,
    Attach,
    Delta,
    FrameBuffer,
    Hello,
    Request,
    Response,
    decode_message_untrusted,
    encode_message,
    frame_of,
)
from cretonode.operator.protocol_deltas import NOTHING, Changes, changes_untrusted, merged
from cretonode.operator.protocol_topics import WatchedStatusSnapshot
from integration.conftest import SETTLE_S


@dataclass
class Watching:
    """What the deltas so far add up to."""

    stream: trio.SocketStream
    hello: Hello | None = None
    known: Changes = NOTHING
    deltas: int = 0
    bytes: int = 0
    _frames: FrameBuffer = field(default_factory=lambda: FrameBuffer(RESPONSE_BYTES_MAX))
    _last_id: int = 0

    @property
    def status(self) -> WatchedStatusSnapshot:
        assert self.known.status is not None
        (status,) = self.known.status
        return status

    async def ask(self, command: str, **arguments: Value) -> Response:
        """Return the answer; deltas that come meanwhile are taken in."""
        self._last_id += 1
        request = Request(id=self._last_id, command=command, arguments=arguments)
        await self.stream.send_all(frame_of(encode_message(request)))
        with trio.fail_after(SETTLE_S):
            while (answer := await self.hear()) is None or answer.id != self._last_id:
                pass
        return answer

    async def until(self, holds: Callable[["Watching"], bool]) -> None:
        """Return when what is known is as wanted."""
        with trio.fail_after(SETTLE_S):
            while not (self.deltas and holds(self)):
                await self.hear()

    async def hear(self) -> Response | None:
        """Take one message in; return it when it is an answer."""
        while (data := self._frames.next_untrusted()) is None:
            received = await self.stream.receive_some()
            assert received, "the node hung up"
            self._frames.feed(received)
        match decode_message_untrusted(data):
            case Delta() as delta:
                self.known = merged(self.known, changes_untrusted(delta), fresh=delta.fresh)
                self.deltas += 1
                self.bytes += len(data)
            case Response() as response:
                return response
            case Hello() as hello:
                self.hello = hello
            case other:
                raise AssertionError(other)
        return None


@asynccontextmanager
async def open_watching(path: Path, *, interval_ms: int = 100) -> AsyncGenerator[Watching]:
    async with await trio.open_unix_socket(path) as stream:
        watching = Watching(stream)
        await stream.send_all(frame_of(encode_message(Attach(software="a test"))))
        answer = await watching.ask(WATCH, interval_ms=interval_ms)
        assert answer.ok, answer.error
        yield watching
