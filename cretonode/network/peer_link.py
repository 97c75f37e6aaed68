"""One peer, kept connected: who dials, which of two connections stays, when to try again.

The node with the lower id dials. The other waits to be dialled, and dials too when nothing came:
it may have restarted while its peer still believes in the old connection. Of two connections the
one that the lower id dialled stays, so both sides choose alike without a word. That is among those
of one process of the peer's: another process with its key is refused while the first is heard,
unless it comes from the first one's address. Then the first is gone: an address has one owner.
A process that has just started waits less before it dials: nobody knows yet that it is there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Never, Protocol

import structlog
import trio

from cretonode.errors import BadSignature, ConnectionLost, KeyInUse, PeerError, TurnedAway
from cretonode.identifiers import NodeId, short
from cretonode.network.connection import Connection
from cretonode.network.frames import Priority
from cretonode.network.quic_engine import CloseCode, CloseKind
from cretonode.network.rate import Seldom, TokenBucket
from cretonode.network.settings import PeerSettings

REFUSAL_LOG_S = 60.0

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class PeerEvents(Protocol):
    """What happens to peers, for the layer above.

    `on_connected` and `on_lost` alternate for each peer and must not raise.
    """

    def on_connected(self, peer: NodeId) -> None:
        """Frames can be offered to the peer. What was offered before is lost: start afresh."""

    def on_lost(self, peer: NodeId, reason: str) -> None:
        """They no longer can."""

    async def on_frame(self, peer: NodeId, priority: Priority, frame: bytes) -> None:
        """Take a frame. Nothing more is read from this peer until it returns.

        Raises: PeerError, to drop the peer, its text being the reason.
        """


class Dialler(Protocol):
    """What a link needs of the endpoint."""

    async def connect(
        self, address: tuple[str, int], expected: NodeId, *, dial_timeout_ms: int
    ) -> Connection:
        """Return an established connection. Raises: PeerError, trio.TooSlowError."""


class PeerState(Enum):
    """What a link is doing."""

    DIALLING = "dialling"
    WAITING = "waiting"  # to be dialled, or for the back-off to pass
    CONNECTED = "connected"
    BANNED = "banned"  # neither dialled nor let in


MISSING: Final = frozenset({PeerState.DIALLING, PeerState.WAITING})


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """One peer as an operator sees it. `state_ms`: so long already; dialling and waiting take turns
    and count as one, so that it says since when a peer is missing. `dialled_by_us`, the round
    trip and what follows are None or 0 unless connected. `last_error`: empty when there was none.
    `key_in_use`: the peer said last that it hears another process with our key.
    """

    peer: NodeId
    address: tuple[str, int]
    state: PeerState
    state_ms: float
    dialled_by_us: bool | None
    round_trip_ms: float | None
    silence_ms: float | None
    backlog_bytes: int
    inbound_bytes: int
    connections: int  # that stood, ever
    failures: int  # in a row
    last_error: str
    key_in_use: bool


class PeerLink:
    """One peer's place. `keep_connected` is its task; `arrived` brings what it dialled."""

    def __init__(
        self,
        *,
        own: NodeId,
        peer: NodeId,
        address: tuple[str, int],
        dialler: Dialler,
        events: PeerEvents,
        jitter: Callable[[], float],
        settings: PeerSettings,
    ) -> None:
        assert own != peer, "a node is not its own peer"
        self.peer = peer
        self.address = address
        self.connection: Connection | None = None
        self._dials_first = own < peer
        self._dialler = dialler
        self._events = events
        self._jitter = jitter
        self._settings = settings
        self._arrival: Connection | None = None
        self._arrived = trio.Event()
        self._dial_scope = trio.CancelScope()
        self._dialling_since_s = math.inf
        self._is_first = True  # nobody was waited for since this process started
        self._ban = ""  # the reason; empty when the peer is not banned
        self._pardoned = trio.Event()
        self._state = PeerState.WAITING
        self._since_s = trio.current_time()
        self._connections = 0
        self._failures = 0
        self._refused = False  # the last failure was about keys or a ban
        self._key_in_use = False  # that another process has ours, said the last failure
        self._last_error = ""
        self._heard_s = 0.0  # when the last connection that ended had been heard
        self._refusal_log = Seldom(interval_s=REFUSAL_LOG_S)

    def status(self) -> PeerStatus:
        """Return how things stand."""
        connection = self.connection
        return PeerStatus(
            peer=self.peer,
            address=self.address,
            state=self._state,
            state_ms=(trio.current_time() - self._since_s) * 1000,
            dialled_by_us=connection.is_client if connection else None,
            round_trip_ms=connection.round_trip_ms if connection else None,
            silence_ms=connection.silence_ms if connection else None,
            backlog_bytes=connection.backlog_bytes if connection else 0,
            inbound_bytes=connection.inbound_bytes if connection else 0,
            connections=self._connections,
            failures=self._failures,
            last_error=self._last_error,
            key_in_use=self._key_in_use,
        )

    def ban(self, reason: str) -> None:
        """End what stands and let nothing begin, until `pardon`. The peer is told why."""
        self._ban = reason
        self._pardoned = trio.Event()
        for connection in (self.connection, self._arrival):
            if connection is not None:
                self._turn_away(connection)
        self._dial_scope.cancel()

    def pardon(self) -> None:
        """Let the peer connect again."""
        self._ban = ""
        self._pardoned.set()

    def arrived(self, connection: Connection) -> None:
        """Take a connection that the peer dialled, or abandon it if a better one stands."""
        if self._ban:
            self._turn_away(connection)
            return
        current = self.connection
        if current is not None and current.is_established:
            if self._is_second(connection, current):
                connection.refuse_second()
                return
            if not self._is_successor(connection, current) and not self._replaces(
                connection, current
            ):
                connection.abandon("another connection stands")
                return
            current.abandon("replaced by a newer one")
        if self._arrival is not None:
            self._arrival.abandon("replaced by a newer one")
        self._arrival = connection
        self._arrived.set()
        dialling_s = trio.current_time() - self._dialling_since_s
        if self._is_preferred(connection) or dialling_s > self._settings.at_once_ms / 1000:
            # Of two that dial at once one gives way. Who has dialled for longer has dialled nobody.
            self._dial_scope.cancel()

    async def keep_connected(self) -> Never:
        """Have a connection, use it until it ends, and again."""
        while True:
            await self._wait_for_pardon()
            connection = await self._next_connection()
            if connection is not None:
                await self._converse(connection)
            await self._wait_for_arrival(self._pause_s())

    # --- getting a connection

    async def _next_connection(self) -> Connection | None:
        if not self._dials_first:
            await self._wait_for_arrival(self._fallback_s())
        if self._arrival is not None and self._is_preferred(self._arrival):
            return self._take_arrival()
        dialled = await self._dial()
        arrival = self._take_arrival()
        if dialled is None or arrival is None:
            return dialled or arrival
        kept, other = (dialled, arrival) if self._dials_first else (arrival, dialled)
        other.abandon("another connection stands")
        return kept

    def _fallback_s(self) -> float:
        """Return how long to wait to be dialled."""
        settings = self._settings
        is_first, self._is_first = self._is_first, False
        wait_ms = settings.fallback_dial_ms
        return min(wait_ms, settings.first_dial_ms) / 1000 if is_first else wait_ms / 1000

    async def _dial(self) -> Connection | None:
        """Return a connection; None when that failed, or the peer's own came first."""
        if self._arrival is not None and not self._dials_first:
            return None
        self._enter(PeerState.DIALLING)
        self._dialling_since_s = trio.current_time()
        try:
            with trio.CancelScope() as self._dial_scope:
                return await self._dialler.connect(
                    self.address, self.peer, dial_timeout_ms=self._settings.dial_timeout_ms
                )
        except (PeerError, trio.TooSlowError) as error:
            self._fail(error)
        return None

    async def _wait_for_arrival(self, wait_s: float) -> None:
        if self._arrival is None:
            self._enter(PeerState.WAITING)
            with trio.move_on_after(wait_s):
                await self._arrived.wait()
        await trio.lowlevel.checkpoint()

    def _take_arrival(self) -> Connection | None:
        arrival, self._arrival = self._arrival, None
        self._arrived = trio.Event()
        return arrival if arrival is not None and arrival.is_established else None

    def _is_preferred(self, connection: Connection) -> bool:
        """Whether the lower id dialled it."""
        return connection.is_client == self._dials_first

    def _is_second(self, newer: Connection, current: Connection) -> bool:
        """Whether the peer's key works in two processes: the one that is heard stays.

        After a crash the old one's silence lets the new one in, or the address that both have.
        """
        if newer.peer_process == current.peer_process or self._is_successor(newer, current):
            return False
        return current.silence_ms <= self._settings.takeover_silence_ms

    def _is_successor(self, newer: Connection, current: Connection) -> bool:
        """Whether the peer's process is another one at the same address: then the old one is gone.

        Both have shown the peer's key, and that they receive at that address and port.
        """
        is_same_place = newer.address[:2] == current.address[:2]
        return is_same_place and newer.peer_process != current.peer_process

    def _replaces(self, newer: Connection, current: Connection) -> bool:
        # The peer dialled anew, so it has lost the old one; unless both dialled at once, and
        # then the old one is alive and of the direction that stays.
        if self._is_preferred(newer) or not self._is_preferred(current):
            return True
        return current.silence_ms > self._settings.takeover_silence_ms

    async def _wait_for_pardon(self) -> None:
        while self._ban:
            self._enter(PeerState.BANNED)
            await self._pardoned.wait()

    def _turn_away(self, connection: Connection) -> None:
        connection.close(self._ban, code=CloseCode.BANNED, kind=CloseKind.BANNED)

    # --- using it

    async def _converse(self, connection: Connection) -> None:
        """Pass frames up until the connection ends."""
        if self._ban:  # since the dial began
            self._turn_away(connection)
            return
        self.connection = connection
        self._connections += 1
        self._enter(PeerState.CONNECTED)
        began_s = trio.current_time()
        log.info(
            "peer_connected",
            peer=short(self.peer),
            address=connection.address,
            dialled_by_us=connection.is_client,
        )
        self._events.on_connected(self.peer)
        try:
            await self._read_forever(connection)
        except PeerError as error:
            self._heard_s = trio.current_time() - connection.silence_ms / 1000
            connection.close(str(error), code=CloseCode.MALFORMED, kind=CloseKind.MALFORMED)
            if trio.current_time() - began_s >= self._settings.healthy_ms / 1000:
                self._failures = 0
            self._fail(error)
            log.info("peer_lost", peer=short(self.peer), reason=str(error))
            self._events.on_lost(self.peer, str(error))
        finally:
            self.connection = None

    async def _read_forever(self, connection: Connection) -> Never:
        settings = self._settings
        bucket = TokenBucket(
            rate_per_s=settings.frames_per_s,
            burst=settings.frames_burst,
            now_s=trio.current_time(),
        )
        while True:
            # Over its rate a peer is read slower: its credit runs out, and then it waits.
            wait_s = bucket.reserve_s(now_s=trio.current_time())
            if wait_s > 0.0:
                await trio.sleep(wait_s)
            priority, frame = await connection.receive()
            if self._ban:
                raise ConnectionLost(f"banned: {self._ban}")  # frames that were under way
            await self._events.on_frame(self.peer, priority, frame)

    # --- failing

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        if not isinstance(error, trio.TooSlowError):
            self._last_error = str(error)
        elif not self._last_error:  # why it went says more than that it is away
            self._last_error = "did not answer in time"
        self._refused = isinstance(error, BadSignature | TurnedAway)
        self._key_in_use = isinstance(error, KeyInUse)
        if self._refused and self._refusal_log.allows(self._last_error, now_s=trio.current_time()):
            log.warning(
                "peer_refused",
                peer=short(self.peer),
                address=self.address,
                reason=self._last_error,
            )

    def _pause_s(self) -> float:
        """Return how long to wait before trying again: half of it certain, half of it chance."""
        settings = self._settings
        if self._refused:
            longest_ms = settings.refused_ms
        else:
            doubled = settings.backoff_ms_first << min(self._failures, 16)
            longest_ms = min(settings.backoff_ms_max, doubled)
        return longest_ms * (0.5 + 0.5 * self._jitter()) / 1000

    def _enter(self, state: PeerState) -> None:
        if state is not self._state:
            if not {state, self._state} <= MISSING:
                lost = self._state is PeerState.CONNECTED and state in MISSING
                self._since_s = self._heard_s if lost else trio.current_time()
            self._state = state
