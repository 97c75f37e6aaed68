"""The client for threads and scripts. The same methods as `asynchronous`, in the same order."""

import random
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import httpx

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


class Client:
    """A node at `url`, such as "http://127.0.0.1:8080". Threads may share one.

    Raises: ClientError, when `url` cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url
        self._timeouts = timeouts or Timeouts()
        self._retries = retries or RetryPolicy()
        self._pause = pause
        self._http = httpx.Client(**settings_for(url))

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self, transactions: Sequence[bytes], *, wait_ms: int | None = None
    ) -> tuple[Submitted, ...]:
        """Return once all transactions are durable at the node, or final, when `wait_ms` suffices.

        Raises: Rejected, Unavailable, Unreachable; in the first two cases none was taken.
        """
        return self._perform(calls.submit(transactions, wait_ms))

    def transaction(
        self, transaction_id: bytes, *, wait_ms: int | None = None
    ) -> Transaction | None:
        """Return a transaction, waiting up to `wait_ms` for it to be final. None: not known."""
        return self._perform(calls.transaction(transaction_id, wait_ms))

    def finalized(self, first: int = 1, count: int = 10) -> FinalizedRange:
        """Return up to `count` sequences from `first`, and where to go on."""
        return self._perform(calls.finalized(first, count))

    def vertex(self, vertex_hash: bytes) -> Vertex | None:
        """Return a vertex, final or not. None: not known."""
        return self._perform(calls.vertex(vertex_hash))

    def tips(self) -> tuple[Vertex, ...]:
        """Return the vertices without a child."""
        return self._perform(calls.tips())

    def status(self) -> Status:
        """Return where the node stands."""
        return self._perform(calls.status())

    def peers(self) -> tuple[Peer, ...]:
        """Return how the node sees the other validators."""
        return self._perform(calls.peers())

    def validators(self) -> tuple[Validator, ...]:
        """Return the committee."""
        return self._perform(calls.validators())

    def ready(self) -> Readiness:
        """Return whether the node can serve now. Raises: Unreachable, when it does not answer."""
        return self._perform(calls.ready())

    def _perform(self, call: Call[Answer]) -> Answer:
        attempt = 1
        while True:
            try:
                return call.read(self._exchange(call))
            except (Unavailable, Unreachable) as error:
                delay_s = self._retries.delay_s(
                    error,
                    attempt=attempt,
                    chance=random.random(),  # noqa: S311  jitter
                )
                if delay_s is None:
                    raise
            self._pause(delay_s)
            attempt += 1

    def _exchange(self, call: Call[Answer]) -> Reply:
        body = bytearray()
        with (
            transport_errors(self.url),
            self._http.stream(
                call.method,
                call.path,
                params=call.query,
                content=call.content,
                headers=headers_of(call),
                timeout=self._timeouts.of(call),
            ) as response,
        ):
            for chunk in response.iter_bytes():
                add_bounded(body, chunk)
        return reply_of(response, body)
