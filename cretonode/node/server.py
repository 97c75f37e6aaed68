"""Serving what peers ask for from the database, one task for each peer.

Bulk goes only as fast as the peer takes it, and never in a vote's way. Headers go before vertices
that were asked for earlier: what is asked for next hangs on them. While one chunk is on its way the
next is read.
"""

from collections import deque
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


class Waiting:
    """One peer's requests. Bound: REQUESTS_MAX."""

    def __init__(self) -> None:
        self._requests: deque[Serve] = deque()
        self._something = trio.Event()

    def put(self, request: Serve) -> bool:
        """Add a request; False when there are too many."""
        if len(self._requests) >= REQUESTS_MAX:
            return False
        if request.count:
            self._requests.appendleft(request)
        else:
            self._requests.append(request)
        self._something.set()
        return True

    async def next(self) -> Serve:
        """Remove and return the next one: headers before vertices, then the oldest."""
        while not self._requests:
            self._something = trio.Event()
            await self._something.wait()
        return self._requests.popleft()


class SlotServer:
    """Bound: REQUESTS_MAX requests of each peer."""

    def __init__(self, links: Links, store: ServableStore, limiter: trio.CapacityLimiter) -> None:
        self._links = links
        self._store = store
        self._limiter = limiter
        self._waiting = {peer: Waiting() for peer in links.channels}
        self.dropped = 0

    def serve(self, request: Serve) -> None:
        """Take a request, or drop it while the peer has enough under way."""
        if not self._waiting[request.peer].put(request):
            self.dropped += 1

    async def run(self, peers: Peers) -> None:
        """Own one task for each peer."""
        async with trio.open_nursery() as nursery:
            for peer in self._waiting:
                nursery.start_soon(self._serve_forever, peer, peers, name=f"serve {peer}")

    async def _serve_forever(self, peer: ValidatorIndex, peers: Peers) -> Never:
        while True:
            request = await self._waiting[peer].next()
            with trio.move_on_after(60.0):  # a peer that takes nothing must not hold us
                await self._serve_one(request, peers)

    async def _serve_one(self, request: Serve, peers: Peers) -> None:
        channel = self._links.channels[request.peer]
        stored = self._stored(request)
        while True:
            chunk = await trio.to_thread.run_sync(_read_chunk, stored, limiter=self._limiter)
            if not chunk:
                return
            connection = peers.connection_to(channel.node_id)
            if connection is None:
                return
            # What was read before went out while this was read.
            await channel.wait_packed(Priority.BULK)
            await connection.wait_drained(Priority.BULK)
            for message in chunk:
                channel.send(Priority.BULK, message)
            channel.flush(peers)

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
