"""Waiting for finality on behalf of clients: bounded, and ended when the server stops."""

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import trio

from cretonode.api.ports import Accepted, NodePort, TransactionView
from cretonode.api.problems import overloaded
from cretonode.identifiers import TransactionId

Answer = TypeVar("Answer")


class Waits:
    """Bound: `waits_max` requests wait at a time; more are refused."""

    def __init__(self, port: NodePort, waits_max: int) -> None:
        self._port = port
        self._waits_max = waits_max
        self._waiting = 0
        self._scopes: set[trio.CancelScope] = set()
        self._stopped = False

    @contextmanager
    def slot(self) -> Generator[None]:
        """Hold one of the places. Raises: Problem, when all are taken."""
        if self._waiting >= self._waits_max:
            raise overloaded(
                f"{self._waits_max} requests wait for finality; ask without `wait`, or later",
                name="too-many-waits",
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """Let every wait, also one that begins later, end with what is known now."""
        self._stopped = True
        for scope in self._scopes:
            scope.cancel()

    async def one(self, id_: TransactionId, wait_ms: int) -> TransactionView | None:
        """Return a transaction when it is final, or as it stands after `wait_ms`."""

        async def wait() -> TransactionView | None:
            return await self._port.transaction(id_, wait_ms=wait_ms)

        view = await self._until_stopped(wait)
        return view or await self._port.transaction(id_, wait_ms=0)

    async def all(self, accepted: Sequence[Accepted], wait_ms: int) -> list[TransactionView | None]:
        """Return the transactions when all are final, or as they stand after `wait_ms`.

        One after the other: those of a request become final together, so the first waits and the
        others are only read.
        """
        deadline_s = trio.current_time() + wait_ms / 1000
        found: list[TransactionView | None] = []
        for item in accepted:
            left_ms = max(0, round((deadline_s - trio.current_time()) * 1000))
            if left_ms and not self._stopped:
                found.append(await self.one(item.id, left_ms))
            else:
                found.append(await self._port.transaction(item.id, wait_ms=0))
        return found

    async def _until_stopped(self, wait: Callable[[], Awaitable[Answer]]) -> Answer | None:
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            if self._stopped:
                scope.cancel()
            try:
                return await wait()
            finally:
                self._scopes.discard(scope)
        return None
