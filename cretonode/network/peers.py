"""Exactly one connection to every validator of a static table.

Owns the links (`peer_link`) and the task that hands them what others dialled.
"""

from collections.abc import Callable, Mapping
from typing import Never

import trio

from cretonode.identifiers import NodeId
from cretonode.network.connection import Connection
from cretonode.network.endpoint import Endpoint
from cretonode.network.frames import Priority
from cretonode.network.peer_link import PeerEvents, PeerLink, PeerStatus
from cretonode.network.settings import PeerSettings


class Peers:
    """All peers of this node. `run` keeps them connected; the rest never blocks."""

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        addresses: Mapping[NodeId, tuple[str, int]],
        events: PeerEvents,
        jitter: Callable[[], float],
        settings: PeerSettings | None = None,
    ) -> None:
        """Shape: `addresses` may contain this node, which is passed over. `jitter` returns
        chances from 0.0 to 1.0, as `random.random` does.
        """
        self._endpoint = endpoint
        self._links = {
            peer: PeerLink(
                own=endpoint.node_id,
                peer=peer,
                address=address,
                dialler=endpoint,
                events=events,
                jitter=jitter,
                settings=settings or PeerSettings(),
            )
            for peer, address in addresses.items()
            if peer != endpoint.node_id
        }

    async def run(self) -> Never:
        """Keep every peer connected, one task for each, until cancelled."""
        async with trio.open_nursery() as nursery:
            for peer, link in self._links.items():
                nursery.start_soon(link.keep_connected, name=f"peer {peer[:4].hex()}")
            await self._accept_forever()

    def offer(self, peer: NodeId, priority: Priority, frame: bytes) -> bool:
        """Send a frame to a peer; False when it is not connected or has no room."""
        connection = self.connection_to(peer)
        return connection is not None and connection.offer(priority, frame)

    def connection_to(self, peer: NodeId) -> Connection | None:
        """Return the connection to a peer, if it stands: for its queues, silence, round trip."""
        link = self._links.get(peer)
        return None if link is None else link.connection

    def connected(self) -> tuple[NodeId, ...]:
        """Return the peers that frames can be offered to."""
        return tuple(peer for peer, link in self._links.items() if link.connection is not None)

    def ban(self, peer: NodeId, reason: str) -> None:
        """End what stands with a peer and let nothing begin, until `pardon`."""
        self._links[peer].ban(reason)

    def pardon(self, peer: NodeId) -> None:
        """Let a peer connect again."""
        self._links[peer].pardon()

    def status(self) -> tuple[PeerStatus, ...]:
        """Return how things stand with every peer, in the order of the table."""
        return tuple(link.status() for link in self._links.values())

    async def _accept_forever(self) -> Never:
        while True:
            connection = await self._endpoint.accept()
            link = self._links.get(connection.peer)
            if link is None:  # authorized, but not in this table
                connection.abandon("not in the table of peers")
            else:
                link.arrived(connection)
