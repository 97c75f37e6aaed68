"""What waits to be stepped through: bounded for each peer, and taken from them in turn.

A peer that sends faster than the core steps waits on its own connection; it takes nothing from
the others. The node's own events are bounded by what it has under way.
"""

from collections import deque
from typing import Final

import trio

from cretonode.core.events import Event, Received
from cretonode.core.messages import VertexMessage
from cretonode.identifiers import ValidatorIndex

PEER_EVENTS_MAX: Final = 256  # of one peer, waiting
PEER_BYTES_MAX: Final = 8 * 1024 * 1024  # of payloads among them; more only if one alone is larger
TURN_EVENTS_MAX: Final = 512  # stepped through before the effects are carried out


class Inbox:
    """One consumer, the driver; many producers."""

    def __init__(self, peers: list[ValidatorIndex]) -> None:
        self._own: deque[Event] = deque()
        self._peers: dict[ValidatorIndex, deque[Event]] = {peer: deque() for peer in peers}
        self._bytes = dict.fromkeys(peers, 0)  # of payloads that wait
        self._room: dict[ValidatorIndex, trio.Event] = {}
        self._something = trio.Event()

    def __len__(self) -> int:
        return len(self._own) + sum(map(len, self._peers.values()))

    def put_own(self, event: Event) -> None:
        """Add an event of the node itself."""
        self._own.append(event)
        self._something.set()

    async def put(self, peer: ValidatorIndex, events: list[Event]) -> None:
        """Add what `peer` sent; waits while too much of it is here already."""
        waiting = self._peers[peer]
        for event in events:
            size = _payload_bytes(event)
            while waiting and not self._fits(peer, size):
                await self._room.setdefault(peer, trio.Event()).wait()
            waiting.append(event)
            self._bytes[peer] += size
            self._something.set()

    def wake(self) -> None:
        """Make the driver look, although no event came: clients did."""
        self._something.set()

    async def next_turn(self, timeout_s: float) -> list[Event]:
        """Return what waits, own events first, then one of each peer in turn; [] on timeout."""
        if self._something.is_set():
            await trio.lowlevel.checkpoint()
        else:
            with trio.move_on_after(max(0.0, timeout_s)):
                await self._something.wait()
        self._something = trio.Event()
        turn = list(self._own)
        self._own.clear()
        before = -1
        while before < len(turn) < TURN_EVENTS_MAX:
            before = len(turn)
            turn += [self._pop(peer) for peer, waiting in self._peers.items() if waiting]
        for peer, room in list(self._room.items()):
            if self._fits(peer, 0):  # whoever waits looks for itself whether this is enough
                room.set()
                del self._room[peer]
        if any(self._peers.values()):
            self._something.set()
        return turn

    def _fits(self, peer: ValidatorIndex, size: int) -> bool:
        few = len(self._peers[peer]) < PEER_EVENTS_MAX
        return few and self._bytes[peer] + size <= PEER_BYTES_MAX

    def _pop(self, peer: ValidatorIndex) -> Event:
        event = self._peers[peer].popleft()
        self._bytes[peer] -= _payload_bytes(event)
        return event


def _payload_bytes(event: Event) -> int:
    """Return what an event holds beyond a few kilobytes of signatures."""
    if isinstance(event, Received) and isinstance(event.message, VertexMessage):
        return len(event.message.payload) + len(event.message.transaction_ids)
    return 0
