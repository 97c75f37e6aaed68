"""A client of our own making, and what the served node answers it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing

from cretonode.crypto.canonical import Value
from cretonode.errors import ClientError, MalformedMessage
from cretonode.operator.commands import Then, commands_of
from cretonode.operator.protocol import (
    RESPONSE_BYTES_MAX,
    Attach,
    FrameBuffer,
    Message,
    Request,
    Response,
    decode_message_untrusted,
    encode_message,
    frame_of,
)
from tests.operator.examples import HELLO, FakeNode, FakeTools, Watched

ATTACH = Attach(software="a test")
PING = Request(id=1, command="ping")
PONG = Response(id=1, ok=True)
WATCHED = Watched()
TOOLS = FakeTools()


class Client:
    """A client of our own making, which may misbehave."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._frames = FrameBuffer(RESPONSE_BYTES_MAX)

    async def say(self, *messages: Message) -> None:
        await self.stream.send_all(b"".join(frame_of(encode_message(m)) for m in messages))

    async def hear(self) -> Message | None:
        """Return the next message, None when the node has hung up."""
        while (message := self._frames.next_untrusted()) is None:
            data = await self.stream.receive_some()
            if not data:
                return None
            self._frames.feed(data)
        return decode_message_untrusted(message)

    async def ask(self, request: Request) -> Message | None:
        await self.say(request)
        return await self.hear()


@asynccontextmanager
async def client_at(path: Path, *, attach: bool = True) -> AsyncGenerator[Client]:
    async with await trio.open_unix_socket(path) as stream:
        client = Client(stream)
        if attach:
            await client.say(ATTACH)
            assert await client.hear() == HELLO
        yield client


async def answer(request: Request) -> Value | Then:
    """A handler with a command for each thing that may happen."""
    match request.command:
        case "refuse":
            raise ClientError("not today")
        case "misread":
            raise MalformedMessage("node is not 32 bytes")
        case "sleep":
            await trio.sleep_forever()
        case "flood":
            return [bytes(60_000)] * int(str(request.arguments["parts"]))
        case _:
            pass
    return await commands_of(FakeNode(), TOOLS)(request)
