"""The client for trio. The same methods as `synchronous`, in the same order."""

import random
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType

import httpx
import trio

from cretonode.client import calls
from cretonode.client.calls import Answer, Call, Reply
from cretonode.client.errors import Unavailable, Unreachable
from cretonode.client.results import (
    FinalizedRange,
    Peer,
    Readiness,
    Status,
    Submitted,
    Transaction,
    Validator,
    Vertex,
)
from cretonode.client.retries import RetryPolicy
from cretonode.client.transport import (
    Timeouts,
    add_bounded,
    headers_of,
    reply_of,
    settings_for,
    transport_errors,
)


class AsyncClient:
    """A node at `url`, such as "http://127.0.0.1:8080". Tasks may share one.

    Raises: ClientError, when `url` cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
        pause: Callable[[float], Awaitable[None]] = trio.sleep,
    ) -> None:
        self.url = url
        self._timeouts = timeouts or Timeouts()
        self._retries = retries or RetryPolicy()
        self._pause = pause
        self._http = httpx.AsyncClient(**settings_for(url))

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(
        self, transactions: Sequence[bytes], *, wait_ms: int | None = None
    ) -> tuple[Submitted, ...]:
        """Return once all transactions are durable at the node, or final, when `wait_ms` suffices.

        Raises: Rejected, Unavailable, Unreachable; in the first two cases none was taken.
        """
        return await self._perform(calls.submit(transactions, wait_ms))

    async def transaction(
        self, transaction_id: bytes, *, wait_ms: int | None = None
    ) -> Transaction | None:
        """Return a transaction, waiting up to `wait_ms` for it to be final. None: not known."""
        return await self._perform(calls.transaction(transaction_id, wait_ms))

    async def finalized(self, first: int = 1, count: int = 10) -> FinalizedRange:
        """Return up to `count` sequences from `first`, and where to go on."""
        return await self._perform(calls.finalized(first, count))

    async def vertex(self, vertex_hash: bytes) -> Vertex | None:
        """Return a vertex, final or not. None: not known."""
        return await self._perform(calls.vertex(vertex_hash))

    async def tips(self) -> tuple[Vertex, ...]:
        """Return the vertices without a child."""
        return await self._perform(calls.tips())

    async def status(self) -> Status:
        """Return where the node stands."""
        return await self._perform(calls.status())

    async def peers(self) -> tuple[Peer, ...]:
        """Return how the node sees the other validators."""
        return await self._perform(calls.peers())

    async def validators(self) -> tuple[Validator, ...]:
        """Return the committee."""
        return await self._perform(calls.validators())

    async def ready(self) -> Readiness:
        """Return whether the node can serve now. Raises: Unreachable, when it does not answer."""
        return await self._perform(calls.ready())

    async def _perform(self, call: Call[Answer]) -> Answer:
        attempt = 1
        while True:
            try:
                return call.read(await self._exchange(call))
            except (Unavailable, Unreachable) as error:
                delay_s = self._retries.delay_s(
                    error,
                    attempt=attempt,
                    chance=random.random(),  # noqa: S311  jitter
                )
                if delay_s is None:
                    raise
            await self._pause(delay_s)
            attempt += 1

    async def _exchange(self, call: Call[Answer]) -> Reply:
        body = bytearray()
        with transport_errors(self.url):
            request = self._http.build_request(
                call.method,
                call.path,
                params=call.query,
                content=call.content,
                headers=headers_of(call),
                timeout=self._timeouts.of(call),
            )
            request.stream = _Body(call.content or b"")
            response = await self._http.send(request, stream=True)
            try:
                async for chunk in response.aiter_bytes():
                    add_bounded(body, chunk)
            finally:
                await response.aclose()
        return reply_of(response, body)


class _Body(httpx.AsyncByteStream):
    """A request's content, without the generator that httpx leaves behind when sending fails.

    Trio warns of such a generator when it is collected, long after and far from the failure.
    """

    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()
