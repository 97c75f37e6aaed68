"""What the endpoint needs of a QUIC implementation: one connection, no socket, no clock.

Satisfied by `aioquic_engine.AioquicEngine`. An engine never raises on bytes from the network:
whatever goes wrong ends the connection with a `Closed` event. Times are seconds on the caller's
clock, as in trio. Source: RFC 9000; RFC 9001; RFC 9002.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NewType, Protocol, TypeAlias

from cretonode.identifiers import NodeId

# As the kernel writes it: (host, port) for IPv4, (host, port, flow, scope) for IPv6.
SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
Datagram: TypeAlias = tuple[bytes, SocketAddress]
StreamId = NewType("StreamId", int)
ConnectionId = NewType("ConnectionId", bytes)  # 8 bytes when it is ours


class CloseKind(Enum):
    """Why a connection ended. The values are labels of a metric: few, and fixed."""

    GOODBYE = "goodbye"  # one side was done, and said so
    UNKNOWN_KEY = "unknown_key"  # we do not expect the key that the peer has
    KEY_REFUSED = "key_refused"  # the peer does not expect ours
    NO_CERTIFICATE = "no_certificate"  # the peer did not say who it is
    NO_COMMON_ALGORITHM = "no_common_algorithm"  # it is not post-quantum, or not one of us
    BAD_HANDSHAKE = "bad_handshake"  # any other alert
    MALFORMED = "malformed"  # frames of ours or QUIC's that no honest peer sends
    SILENT = "silent"  # nothing was heard for too long
    ABANDONED = "abandoned"  # we gave it up: time-out, eviction, replaced by another
    IN_USE = "in_use"  # another process with the newcomer's key is connected
    BANNED = "banned"  # one side has banned the other
    FAULT = "fault"  # the engine raised: a bug of it or of ours


class CloseCode(Enum):
    """The application error code in CONNECTION_CLOSE (RFC 9000, section 19.19)."""

    GOODBYE = 0
    MALFORMED = 1
    ABANDONED = 2
    SILENT = 3
    IN_USE = 4
    BANNED = 5


@dataclass(frozen=True, slots=True)
class Established:
    """Both sides have proven their keys, and both know it."""

    peer: NodeId
    process: int = 0  # which process of the peer's: drawn anew at each start


@dataclass(frozen=True, slots=True)
class StreamData:
    """The next bytes of a stream, in order. `ended`: the peer will send no more on it."""

    stream: StreamId
    data: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class ConnectionIdIssued:
    """Datagrams to this id are for this connection."""

    connection_id: ConnectionId


@dataclass(frozen=True, slots=True)
class ConnectionIdRetired:
    """Datagrams to this id no longer come."""

    connection_id: ConnectionId


@dataclass(frozen=True, slots=True)
class Closed:
    """The last event of a connection."""

    kind: CloseKind
    reason: str
    by_peer: bool


EngineEvent: TypeAlias = (
    Established | StreamData | ConnectionIdIssued | ConnectionIdRetired | Closed
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTimes:
    """What the engine knows of the path, in seconds. `heard_s` is the time of the newest packet
    that only the peer can have made; None before the first.
    """

    round_trip_s: float
    round_trip_variance_s: float
    heard_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamBacklog:
    """What the engine holds of a stream that we send, in bytes.

    `blocked`: all that the peer has granted was used.
    """

    unsent: int
    unacknowledged: int
    blocked: bool


class QuicEngine(Protocol):
    """One QUIC connection as a state machine."""

    @property
    def connection_id(self) -> ConnectionId:
        """The first id that the peer addresses us by."""

    def connect(self, address: SocketAddress, *, now_s: float) -> None:
        """Start the handshake, once, on the client side."""

    def receive_untrusted(self, datagram: bytes, address: SocketAddress, *, now_s: float) -> None:
        """Take one datagram in."""

    def transmit(self, *, now_s: float) -> list[Datagram]:
        """Return what to send now. Size, congestion and pacing are the engine's."""

    def timer_s(self) -> float | None:
        """Return when `handle_timer` wants to be called; None: not at all."""

    def handle_timer(self, *, now_s: float) -> None:
        """Do what was due at `now_s`."""

    def events(self) -> list[EngineEvent]:
        """Return what happened since the last call, oldest first."""

    def open_stream(self) -> StreamId:
        """Return a new unidirectional stream of ours. Only after `Established`."""

    def write(self, stream: StreamId, data: bytes) -> None:
        """Append to a stream of ours. The engine holds the bytes until they are acknowledged."""

    def backlog(self, stream: StreamId) -> StreamBacklog:
        """Return what is held of a stream of ours."""

    def grant(self, stream: StreamId, byte_count: int) -> None:
        """Let the peer send so many more bytes on its stream (RFC 9000, section 4.1)."""

    def ping(self) -> None:
        """Send something that the peer has to acknowledge, whatever else is under way."""

    def path_times(self) -> PathTimes:
        """Return the round trip and when the peer was last heard."""

    def release(self) -> None:
        """Free what is held, once `Closed` was taken. Only `path_times` may be asked after that."""

    def close(self, code: CloseCode, kind: CloseKind, reason: str) -> None:
        """End the connection; the next `transmit` tells the peer."""
