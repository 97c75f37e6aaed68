"""The operator socket: clients attach, ask and are answered, each in a task of its own.

Whatever a client does costs that client its connection and nobody anything else. Nothing runs
while none is attached. Source: docs/operator-socket.md; SPEC M3.
"""

import os
from pathlib import Path
from typing import Final, Never

import structlog
import trio

from cretonode.errors import ClientError, MalformedMessage
from cretonode.operator.commands import Handler
from cretonode.operator.protocol import (
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    Attach,
    FrameBuffer,
    Hello,
    Message,
    Refusal,
    Request,
    Response,
    decode_message_untrusted,
    encode_message,
    frame_of,
    refusal_of,
)
from cretonode.operator.unix_socket import listening_at, peer_uid

CLIENTS_MAX: Final = 16  # more are refused, in words
FRAME_MS: Final = 5_000  # from a message's first byte to its last; to the first of an Attach
REQUEST_MS: Final = 10_000  # for the node to answer
SEND_MS: Final = 5_000  # for the client to take a message
RECEIVE_BYTES: Final = 16 * 1024

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def serve_operator(
    path: Path,
    handler: Handler,
    hello: Hello,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> Never:
    """Serve `path` until cancelled, then remove it. A ClientError of `handler` is an answer.

    Raises: ConfigError, when it cannot listen there.
    """
    async with listening_at(path) as bound:
        # A duplicate, because `serve_listeners` closes its own: see `listening_at`.
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(bound.dup()))
        task_status.started()
        await trio.serve_listeners(_Server(handler, hello).attend, [listener])


def is_allowed(uid: int, *, owner: int) -> bool:
    """Return whether user `uid` may steer a node of user `owner`."""
    return uid in (owner, 0)


class _Server:
    def __init__(self, handler: Handler, hello: Hello) -> None:
        self._handler = handler
        self._hello = hello
        self._clients = 0

    async def attend(self, stream: trio.SocketStream) -> None:
        """Converse with one client. The caller closes the connection."""
        uid = peer_uid(stream.socket)
        if not is_allowed(uid, owner=os.geteuid()):
            log.warning("operator_refused", uid=uid)
            await _say_goodbye(stream, "this socket belongs to another user")
            return
        if self._clients == CLIENTS_MAX:
            log.warning("operator_refused", clients=self._clients)
            await _say_goodbye(stream, f"{CLIENTS_MAX} clients are attached; detach one")
            return
        self._clients += 1
        try:
            await self._converse(stream)
        except MalformedMessage as error:
            log.warning("operator_client_malformed", cause=str(error))
            await _say_goodbye(stream, str(error))
        except trio.TooSlowError:
            log.warning("operator_client_too_slow")
        except trio.BrokenResourceError:
            pass  # it went without waiting for its answer
        finally:
            self._clients -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        """Raises: MalformedMessage, TooSlowError, BrokenResourceError."""
        frames = FrameBuffer(REQUEST_BYTES_MAX)
        with trio.fail_after(FRAME_MS / 1000):
            attach = await _receive(stream, frames)
        if attach is None:
            return
        if not isinstance(attach, Attach):
            raise MalformedMessage("the first message is not an attach")
        refusal = refusal_of(attach, self._hello.software)
        if refusal is not None:
            await _send(stream, refusal)
            return
        await _send(stream, self._hello)
        log.debug("operator_attached", software=attach.software)
        while (request := await _receive(stream, frames)) is not None:
            if not isinstance(request, Request):
                raise MalformedMessage("a message that is not a request")
            await _send(stream, await self._answer(request))

    async def _answer(self, request: Request) -> Response:
        try:
            with trio.fail_after(REQUEST_MS / 1000):
                value = await self._handler(request)
        except (ClientError, MalformedMessage) as error:  # the latter: in its arguments
            return Response(id=request.id, ok=False, error=str(error))
        except trio.TooSlowError:
            text = f"{request.command} took over {REQUEST_MS // 1000} seconds"
            return Response(id=request.id, ok=False, error=text)
        return Response(id=request.id, ok=True, value=value)


async def _receive(stream: trio.SocketStream, frames: FrameBuffer) -> Message | None:
    """Return the next message, None when the client has gone; waits for ever for its first byte.

    Raises: MalformedMessage, TooSlowError, BrokenResourceError.
    """
    message = frames.next_untrusted()
    if message is None and len(frames) == 0:
        frames.feed(await stream.receive_some(RECEIVE_BYTES))
        if len(frames) == 0:
            return None
        message = frames.next_untrusted()
    with trio.fail_after(FRAME_MS / 1000):
        while message is None:
            data = await stream.receive_some(RECEIVE_BYTES)
            if not data:
                return None
            frames.feed(data)
            message = frames.next_untrusted()
    return decode_message_untrusted(message)


async def _send(stream: trio.SocketStream, message: Message) -> None:
    """Raises: TooSlowError, BrokenResourceError."""
    encoded = encode_message(message)
    if len(encoded) > RESPONSE_BYTES_MAX:
        assert isinstance(message, Response), message
        error = f"the answer is {len(encoded)} bytes; at most {RESPONSE_BYTES_MAX}"
        encoded = encode_message(Response(id=message.id, ok=False, error=error))
    with trio.fail_after(SEND_MS / 1000):
        await stream.send_all(frame_of(encoded))


async def _say_goodbye(stream: trio.SocketStream, reason: str) -> None:
    """Tell the client why, if it listens."""
    try:
        await _send(stream, Refusal(reason=reason))
    except (trio.TooSlowError, trio.BrokenResourceError):
        log.debug("operator_goodbye_unheard")
