"""Serving from the database: so many requests of one peer, and no more."""

import trio

from cretonode.core.effects import Serve
from cretonode.identifiers import NodeId, SequenceNumber, ValidatorIndex, VertexHash
from cretonode.node.channel import Channel
from cretonode.node.server import REQUESTS_MAX, SlotServer, Waiting
from tests.node.test_channel import HELLO


class FakeLinks:
    """Satisfies what a server needs of `node.links.Links`: whom there is."""

    def __init__(self) -> None:
        self.channels = {
            ValidatorIndex(i): Channel(ValidatorIndex(i), NodeId(bytes(32)), HELLO) for i in (1, 2)
        }


async def test_requests_past_the_bound_are_dropped() -> None:
    """House style 17: the peer asks again."""
    server = SlotServer(FakeLinks(), None, trio.CapacityLimiter(1))
    for _ in range(REQUESTS_MAX + 5):
        server.serve(Serve(ValidatorIndex(1), first=SequenceNumber(1), count=64))
    assert server.dropped == 5
    server.serve(Serve(ValidatorIndex(2), first=SequenceNumber(1), count=64))
    assert server.dropped == 5, "another peer has its own"


async def test_headers_go_before_vertices_that_were_asked_for_earlier() -> None:
    """What a peer asks for next hangs on them; of each kind the oldest goes first."""
    waiting = Waiting()
    vertices = [Serve(ValidatorIndex(1), vertices=(VertexHash(bytes([i]) * 32),)) for i in (1, 2)]
    headers = Serve(ValidatorIndex(1), first=SequenceNumber(1), count=64)
    assert all(waiting.put(request) for request in (*vertices, headers))
    assert [await waiting.next() for _ in range(3)] == [headers, *vertices]
