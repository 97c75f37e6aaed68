"""The operator socket: clients attach, ask and are answered, and are told what changes.

Each has one task that reads and one that writes. Whatever a client does costs that client its
connection and nobody anything else. Nothing runs while none is attached.
Source: docs/operator-socket.md; SPEC M3.
"""

import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Never

import structlog
import trio

from cretonode.errors import ClientError, MalformedMessage
from cretonode.network.rate import Seldom, TokenBucket
from cretonode.operator.commands import (
    Handler,
    Then,
    checked_arguments,
    interval_ms_of,
    topics_of,
)
from cretonode.operator.protocol import (
    INTERVAL_MS_MIN,
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    UNWATCH,
    WATCH,
    Attach,
    Delta,
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
from cretonode.operator.watching import Watchable, Watcher

CLIENTS_MAX: Final = 16  # more are refused, in words
FRAME_MS: Final = 5_000  # from a message's first byte to its last; to the first of an Attach
REQUEST_MS: Final = 10_000  # for the node to answer
SEND_MS: Final = 5_000  # for the client to take a message
DELTA_SEND_MS: Final = 30_000  # for it to take a delta
REQUESTS_PER_S: Final = 50.0  # of one client, after a burst; more of them wait
REQUESTS_BURST: Final = 200
RECEIVE_BYTES: Final = 16 * 1024
FAULT_LOG_S: Final = 60.0  # between two lines about the same fault of clients

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def serve_operator(
    path: Path,
    handler: Handler,
    hello: Hello,
    watchable: Watchable,
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
        await trio.serve_listeners(_Server(handler, hello, watchable).attend, [listener])


def is_allowed(uid: int, *, owner: int) -> bool:
    """Return whether user `uid` may steer a node of user `owner`."""
    return uid in (owner, 0)


class _Server:
    def __init__(self, handler: Handler, hello: Hello, watchable: Watchable) -> None:
        self._handler = handler
        self._hello = hello
        self._watchable = watchable
        self._clients = 0
        self._faults: Counter[str] = Counter()  # of clients: one of each kind
        self._fault_log = Seldom(interval_s=FAULT_LOG_S)

    async def attend(self, stream: trio.SocketStream) -> None:
        """Converse with one client. The caller closes the connection."""
        uid = peer_uid(stream.socket)
        if not is_allowed(uid, owner=os.geteuid()):
            self._note("operator_refused", kind="another user", uid=uid)
            await _say_goodbye(stream, "this socket belongs to another user")
            return
        if self._clients == CLIENTS_MAX:
            self._note("operator_refused", kind="too many clients", clients=self._clients)
            await _say_goodbye(stream, f"{CLIENTS_MAX} clients are attached; detach one")
            return
        self._clients += 1
        writer = _Writer(stream)
        try:
            await self._converse(stream, writer)
        except* MalformedMessage as group:
            cause = str(_first(group))
            self._note("operator_client_malformed", cause=cause)
            if not writer.in_message:
                await _say_goodbye(stream, cause)
        except* trio.TooSlowError:
            self._note("operator_client_too_slow")
        except* trio.BrokenResourceError:
            pass  # it went without waiting for its answer
        finally:
            self._clients -= 1

    def _note(self, event: str, **fields: str | int) -> None:
        """Count a client's fault, and say it once a minute: whoever may connect fills no disk."""
        what = f"{event} {fields.get('kind', '')}"
        self._faults[what] += 1
        if self._fault_log.allows(what, now_s=trio.current_time()):
            log.warning(event, count=self._faults[what], **fields)

    async def _converse(self, stream: trio.SocketStream, writer: "_Writer") -> None:
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
            await _send(stream, refusal, SEND_MS)
            return
        await _send(stream, self._hello, SEND_MS)
        log.debug("operator_attached", software=attach.software)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run, name="operator writer")
            pace = TokenBucket(
                rate_per_s=REQUESTS_PER_S, burst=REQUESTS_BURST, now_s=trio.current_time()
            )
            while (request := await _receive(stream, frames)) is not None:
                if not isinstance(request, Request):
                    raise MalformedMessage("a message that is not a request")
                await trio.sleep(pace.reserve_s(now_s=trio.current_time()))
                await writer.say(await self._answer(request))
            nursery.cancel_scope.cancel()

    async def _answer(self, request: Request) -> "_Answer":
        try:
            if request.command in (WATCH, UNWATCH):
                return self._watching(request)
            with trio.fail_after(REQUEST_MS / 1000):
                value = await self._handler(request)
        except (ClientError, MalformedMessage) as error:  # the latter: in its arguments
            return _Answer(Response(id=request.id, ok=False, error=str(error)))
        except trio.TooSlowError:
            text = f"{request.command} took over {REQUEST_MS // 1000} seconds"
            return _Answer(Response(id=request.id, ok=False, error=text))
        if isinstance(value, Then):
            return _Answer(Response(id=request.id, ok=True, value=value.value), then=value.act)
        return _Answer(Response(id=request.id, ok=True, value=value))

    def _watching(self, request: Request) -> "_Answer":
        """Raises: ClientError, MalformedMessage."""
        arguments = checked_arguments(request)
        watch = None
        if request.command == WATCH:
            watcher = self._watchable.watcher(topics_of(arguments))
            watch = _Watch(watcher, interval_ms_of(arguments) / 1000)
        return _Answer(Response(id=request.id, ok=True), watch=watch, watches=True)


@dataclass(frozen=True, slots=True)
class _Watch:
    watcher: Watcher
    interval_s: float


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response, and what follows when it was sent. `watches`: `watch` counts from then on."""

    response: Response
    watch: _Watch | None = None
    watches: bool = False
    then: Callable[[], None] | None = None


class _Writer:
    """All that goes to one client: responses at once, deltas when they are due.

    Nothing waits here: whoever answers waits until the client has taken the last answer, and what
    a delta tells is worked out when it can be sent.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self.in_message = False  # the client has only a part of one
        self._stream = stream
        self._put, self._answers = trio.open_memory_channel[_Answer](0)
        self._watch: _Watch | None = None
        self._due_s = math.inf
        self._told_s = -math.inf  # when the last delta went out

    async def say(self, answer: _Answer) -> None:
        """Return when the writer has taken `answer` up."""
        await self._put.send(answer)

    async def run(self) -> Never:
        """Write until cancelled. Raises: TooSlowError, BrokenResourceError."""
        while True:
            answer = None
            with trio.move_on_at(self._due_s):
                answer = await self._answers.receive()
            if answer is not None:
                await self._send_answer(answer)
            elif self._watch is not None:
                self._told_s = trio.current_time()
                self._due_s = self._told_s + self._watch.interval_s
                delta = await self._watch.watcher.delta()
                if delta is not None:
                    await self._send(delta, DELTA_SEND_MS)

    async def _send_answer(self, answer: _Answer) -> None:
        try:
            await self._send(answer.response, SEND_MS)
        finally:
            if answer.then is not None:
                answer.then()
        if answer.watches:
            self._watch = answer.watch
            # Whoever watches again and again is told everything no oftener than what changes.
            self._due_s = max(trio.current_time(), self._told_s + INTERVAL_MS_MIN / 1000)
            if answer.watch is None:
                self._due_s = math.inf

    async def _send(self, message: Response | Delta, send_ms: int) -> None:
        self.in_message = True
        await _send(self._stream, message, send_ms)
        self.in_message = False


def _first(group: BaseExceptionGroup[MalformedMessage]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


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


async def _send(stream: trio.SocketStream, message: Message, send_ms: int) -> None:
    """Raises: TooSlowError, BrokenResourceError."""
    encoded = encode_message(message)
    if len(encoded) > RESPONSE_BYTES_MAX:
        assert isinstance(message, Response), message
        error = f"the answer is {len(encoded)} bytes; at most {RESPONSE_BYTES_MAX}"
        encoded = encode_message(Response(id=message.id, ok=False, error=error))
    with trio.fail_after(send_ms / 1000):
        await stream.send_all(frame_of(encoded))


async def _say_goodbye(stream: trio.SocketStream, reason: str) -> None:
    """Tell the client why, if it listens."""
    try:
        await _send(stream, Refusal(reason=reason), SEND_MS)
    except (trio.TooSlowError, trio.BrokenResourceError):
        log.debug("operator_goodbye_unheard")
