"""Inbound handshakes that are not finished, and which of them goes when there are too many.

Owns no connection: it remembers, and says whom to give up. A flood from few hosts pushes out its
own beginnings before anybody else's.
"""

from collections import Counter, OrderedDict
from typing import Final

from cretonode.network.connection import Connection
from cretonode.network.quic_engine import ConnectionId, Datagram, SocketAddress

LINGERING_MAX: Final = 1024
LINGER_S: Final = 3.0  # as long as a client's handshake may take
REPEATS_MAX: Final = 3  # of a goodbye


class HalfOpen:
    """At most `count_max` connections, oldest first."""

    def __init__(self, *, count_max: int) -> None:
        self._count_max = count_max
        self._connections: OrderedDict[Connection, str] = OrderedDict()
        self._hosts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Connection) -> Connection | None:
        """Remember a beginning; return the one to give up for it, or None while there is room.

        That is the oldest of the host that has begun most.
        """
        host = connection.address[0]
        victim = self._crowded_out() if len(self) >= self._count_max else None
        self._connections[connection] = host
        self._hosts[host] += 1
        return victim

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is established or over."""
        host = self._connections.pop(connection, None)
        if host is not None:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]

    def _crowded_out(self) -> Connection:
        crowd = max(self._hosts.values())
        victim = next(c for c, host in self._connections.items() if self._hosts[host] == crowd)
        self.discard(victim)
        return victim


class Lingering:
    """Connections that are over but whose peers may not know: their goodbye is repeated.

    Also keeps a late repeat of a refused client's first packet from beginning it all again.
    Source: RFC 9000, section 10.2.1.
    """

    def __init__(self) -> None:
        self._goodbyes: OrderedDict[ConnectionId, tuple[float, int, Datagram | None]] = (
            OrderedDict()
        )

    def __len__(self) -> int:
        return len(self._goodbyes)

    def add(self, ids: set[ConnectionId], goodbye: Datagram | None, *, now_s: float) -> None:
        """Remember how the connection with these ids said goodbye; None: it did not."""
        for connection_id in ids:
            self._goodbyes[connection_id] = (now_s + LINGER_S, 0, goodbye)
        self._forget_old(now_s)

    def answer(
        self, connection_id: ConnectionId, address: SocketAddress, *, now_s: float
    ) -> tuple[bool, Datagram | None]:
        """Return (whether the id is one of these, what to send for the datagram that came)."""
        found = self._goodbyes.get(connection_id)
        if found is None or found[0] <= now_s:
            return False, None
        until_s, repeats, goodbye = found
        if goodbye is None or goodbye[1] != address or repeats >= REPEATS_MAX:
            return True, None
        self._goodbyes[connection_id] = (until_s, repeats + 1, goodbye)
        return True, goodbye

    def _forget_old(self, now_s: float) -> None:
        while self._goodbyes:
            until_s, _, _ = next(iter(self._goodbyes.values()))
            if until_s > now_s and len(self._goodbyes) <= LINGERING_MAX:
                return
            self._goodbyes.popitem(last=False)
