"""A node's socket for tests of the live source: says what the test tells it to, byte by byte."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from cretonode.operator.protocol import (
    REQUEST_BYTES_MAX,
    WATCH,
    Attach,
    Delta,
    FrameBuffer,
    Message,
    Request,
    Response,
    Value,
    decode_message_untrusted,
    encode_message,
    frame_of,
)
from tests.console.examples import HELLO, deltas


class ScriptedNode:
    """What is attached, what it asked, and what it is answered by command."""

    def __init__(self) -> None:
        self.hello = HELLO
        self.requests: list[Request] = []
        self.answers: Mapping[str, Callable[[Request], Response]] = {}
        self.writers: list[asyncio.StreamWriter] = []
        self.first = next(deltas(1))
        self.attached = 0
        self.silent = (
            False  # else it says each half second that nothing has changed, as a node does
        )
        self._at_ms = self.first.at_ms

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            if not self.silent:
                self.say(Delta(at_ms=self._at_ms, fresh=False, topics={}))

    def say(self, message: Message) -> None:
        """Send to all that are attached."""
        if isinstance(message, Delta):
            self._at_ms = message.at_ms
        for writer in self.writers:
            writer.write(frame_of(encode_message(message)))

    def say_bytes(self, data: bytes) -> None:
        for writer in self.writers:
            writer.write(data)

    def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()
        self.writers.clear()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameBuffer(REQUEST_BYTES_MAX)
        self.writers.append(writer)
        while data := await reader.read(65_536):
            frames.feed(data)
            while (encoded := frames.next_untrusted()) is not None:
                for answer in self.answer(decode_message_untrusted(encoded)):
                    writer.write(frame_of(encode_message(answer)))
        writer.close()

    def answer(self, message: Message) -> list[Message]:
        match message:
            case Attach():
                self.attached += 1
                return [self.hello]
            case Request(id=id_, command=command) if command == WATCH:
                return [Response(id=id_, ok=True), self.first]
            case Request():
                self.requests.append(message)
                return [self.answers[message.command](message)]
            case _:
                raise AssertionError(message)


def says(value: Value) -> Callable[[Request], Response]:
    return lambda request: Response(id=request.id, ok=True, value=value)


def refuses(error: str) -> Callable[[Request], Response]:
    return lambda request: Response(id=request.id, ok=False, error=error)


@asynccontextmanager
async def listening(path: Path, node: ScriptedNode) -> AsyncGenerator[ScriptedNode]:
    server = await asyncio.start_unix_server(node.converse, str(path))
    beat = asyncio.create_task(node.beat())
    try:
        yield node
    finally:
        beat.cancel()
        server.close()
        node.hang_up()
