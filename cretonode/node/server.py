"""Serving what peers ask for from the database, one task for each peer.

Bulk goes only as fast as the peer takes it, and never in a vote's way.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final, Never, Protocol

import trio

from cretonode.core.effects import Serve
from cretonode.core.messages import CommitCertificate, VertexMessage
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from cretonode.network.frames import Priority
from cretonode.network.peers import Peers
from cretonode.node.links import Links
from cretonode.wire.messages import encode_message

REQUESTS_MAX: Final = 8  # of one peer, waiting; more are dropped, and asked again
CHUNK_MESSAGES: Final = 16  # read from the database at a time


class ServableStore(Protocol):
    """What serving needs of the database. Satisfied by `storage.store.Store`. Blocks."""

    def serve_vertices(self, hashes: tuple[VertexHash, ...]) -> Iterator[VertexMessage]:
        """Yield those of `hashes` that are stored, with their payloads."""

    def serve_slots(
        self, first: SequenceNumber, count: int
    ) -> Iterator[VertexMessage | CommitCertificate]:
        """Yield what the sequences ordered, then a certificate for the last of them."""


class SlotServer:
    """Bound: REQUESTS_MAX requests of each peer."""

    def __init__(self, links: Links, store: ServableStore, limiter: trio.CapacityLimiter) -> None:
        self._links = links
        self._store = store
        self._limiter = limiter
        self._queues: dict[ValidatorIndex, trio.MemorySendChannel[Serve]] = {}
        self._requests: dict[ValidatorIndex, trio.MemoryReceiveChannel[Serve]] = {}
        for peer in links.channels:
            self._queues[peer], self._requests[peer] = trio.open_memory_channel[Serve](REQUESTS_MAX)
        self.dropped = 0

    def serve(self, request: Serve) -> None:
        """Take a request, or drop it while the peer has enough under way."""
        try:
            self._queues[request.peer].send_nowait(request)
        except trio.WouldBlock:
            self.dropped += 1

    async def run(self, peers: Peers) -> None:
        """Own one task for each peer."""
        async with trio.open_nursery() as nursery:
            for peer in self._requests:
                nursery.start_soon(self._serve_forever, peer, peers, name=f"serve {peer}")

    async def _serve_forever(self, peer: ValidatorIndex, peers: Peers) -> Never:
        while True:
            request = await self._requests[peer].receive()
            with trio.move_on_after(60.0):  # a peer that takes nothing must not hold us
                await self._serve_one(request, peers)

    async def _serve_one(self, request: Serve, peers: Peers) -> None:
        channel = self._links.channels[request.peer]
        stored: Iterator[VertexMessage | CommitCertificate]
        if request.count:
            stored = self._store.serve_slots(request.first, request.count)
        else:
            stored = self._store.serve_vertices(request.vertices)
        while True:
            chunk = await trio.to_thread.run_sync(_read_chunk, stored, limiter=self._limiter)
            if not chunk:
                return
            for message in chunk:
                channel.send(Priority.BULK, message)
            connection = peers.connection_to(channel.node_id)
            if connection is None:
                return
            channel.flush(peers)
            await channel.wait_packed(Priority.BULK)
            await connection.wait_drained(Priority.BULK)


def _read_chunk(stored: Iterator[VertexMessage | CommitCertificate]) -> list[bytes]:
    return [encode_message(message) for message in islice(stored, CHUNK_MESSAGES)]
