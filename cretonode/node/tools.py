"""The operator's tools: looking at single vertices and at the past, and the levers.

Satisfies `operator.commands.OperatorTools`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import trio

from cretonode.errors import ClientError
from cretonode.identifiers import VertexHash
from cretonode.node.history import History
from cretonode.node.steering import Steering
from cretonode.node.vertex_book import snapshot_of
from cretonode.operator.protocol_recording import HistoryPiece
from cretonode.operator.protocol_topics import VertexSnapshot, VertexState
from cretonode.storage.store import Store

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Reads of the disk run in worker threads."""

    store: Store
    steering: Steering
    past: History | None  # None: none is kept
    limiter: trio.CapacityLimiter

    async def vertex(self, vertex: VertexHash) -> VertexSnapshot | None:
        """Return a vertex that is stored."""
        return await self._read(lambda: self._stored(vertex))

    async def walk(
        self, vertex: VertexHash, *, descendants: bool, vertices_max: int
    ) -> tuple[VertexSnapshot, ...]:
        """Return ancestors or descendants, nearest first."""
        walk = self.store.descendants if descendants else self.store.ancestors

        def read(hashes: Iterable[VertexHash]) -> tuple[VertexSnapshot, ...]:
            return tuple(v for hash_ in hashes if (v := self._stored(hash_)) is not None)

        return await self._read(lambda: read(walk(vertex, count_max=vertices_max)))

    async def history(self, *, from_ms: int | None, cursor: int | None) -> HistoryPiece:
        """Return a piece of what operators saw. Raises: ClientError."""
        if self.past is None:
            raise ClientError("this node keeps no history: node.history_mb is 0")
        return await self.past.piece(from_ms=from_ms, cursor=cursor)

    def log_level(self, level: str, *, dry_run: bool) -> str:
        """See `Steering.set_log_level`."""
        return self.steering.set_log_level(level, dry_run=dry_run)

    def step_down(self, *, dry_run: bool) -> str:
        """See `Steering.step_down`."""
        return self.steering.step_down(dry_run=dry_run)

    def stop_effect(self, *, dry_run: bool) -> str:
        """See `Steering.stop_effect`."""
        return self.steering.stop_effect(dry_run=dry_run)

    def stop(self) -> None:
        """Stop the node in good order."""
        self.steering.stop()

    def _stored(self, vertex: VertexHash) -> VertexSnapshot | None:
        stored = self.store.get_vertex(vertex)
        if stored is None:
            return None
        finality = self.store.get_finality(vertex)
        if finality is None:
            return snapshot_of(stored.vertex, VertexState.WAITING, None)
        return snapshot_of(stored.vertex, VertexState.FINAL, finality.vertex.finalized_by)

    async def _read(self, read: Callable[[], Answer]) -> Answer:
        return await trio.to_thread.run_sync(read, limiter=self.limiter)
