"""Serving what peers ask for from the database, one task for each peer.

Bulk goes only as fast as the peer takes it, and never in a vote's way.
"""

from collections.abc import Iterator
from typing import Final, Never, Protocol

import trio

from cretonode.core.effects import Serve
from cretonode.core.messages import Message, SlotHeaders, VertexMessage
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from cretonode.network.frames import Priority
from cretonode.network.peers import Peers
from cretonode.node.links import Links
from cretonode.wire.messages import encode_message

REQUESTS_MAX: Final = 8  # of one peer, waiting; more are dropped, and asked again
CHUNK_MESSAGES: Final = 64  # read from the database at a time
CHUNK_BYTES: Final = 512 * 1024  # or so many, and the message that exceeds them


class ServableStore(Protocol):
    """What serving needs of the database. Satisfied by `storage.store.Store`. Blocks."""

    def serve_vertices(self, hashes: tuple[VertexHash, ...]) -> Iterator[VertexMessage]:
        """Yield those of `hashes` that are stored, with their payloads."""

    def serve_headers(self, first: SequenceNumber, count: int) -> SlotHeaders:
        """Return the headers of what the sequences ordered, and what proves them."""


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
        stored = self._stored(request)
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

    def _stored(self, request: Serve) -> Iterator[Message]:
        """Yield the answer, each message read when it is asked for."""
        if request.count:
            yield self._store.serve_headers(request.first, request.count)
        yield from self._store.serve_vertices(request.vertices)


def _read_chunk(stored: Iterator[Message]) -> list[bytes]:
    chunk: list[bytes] = []
    size = 0
    for message in stored:
        chunk.append(encode_message(message))
        size += len(chunk[-1])
        if len(chunk) >= CHUNK_MESSAGES or size >= CHUNK_BYTES:
            break
    return chunk
