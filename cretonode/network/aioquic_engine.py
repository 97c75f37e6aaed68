"""The engine made of aioquic, and the wall around it: nothing that it raises gets out.

aioquic checks most of what a stranger sends, but not all: exceptions have escaped it on mutated
handshakes, and each would take the endpoint down. So every call runs under `_Guard`; an exception
ends that one connection and is reported once through `on_fault`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from aioquic import tls
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnectionState
from aioquic.quic.packet import QuicErrorCode, QuicProtocolVersion

from cretonode.identifiers import NodeId
from cretonode.network.aioquic_connection import PostQuantumConnection
from cretonode.network.certificate import Credentials
from cretonode.network.quic_engine import (
    CloseCode,
    Closed,
    CloseKind,
    ConnectionId,
    ConnectionIdIssued,
    ConnectionIdRetired,
    Datagram,
    EngineEvent,
    Established,
    PathTimes,
    SocketAddress,
    StreamBacklog,
    StreamData,
    StreamId,
)
from cretonode.network.tls import ALPN

CONNECTION_ID_BYTES: Final = 8
REASON_CHARACTERS_MAX: Final = 120

# Strangers' mistakes are counted by the endpoint; aioquic would print a line for each.
logging.getLogger("quic").setLevel(logging.CRITICAL)

_KIND_OF_ALERT: Final = {
    tls.AlertDescription.access_denied: CloseKind.UNKNOWN_KEY,
    tls.AlertDescription.certificate_required: CloseKind.NO_CERTIFICATE,
    tls.AlertDescription.handshake_failure: CloseKind.NO_COMMON_ALGORITHM,
    tls.AlertDescription.unsupported_certificate: CloseKind.NO_COMMON_ALGORITHM,
    tls.AlertDescription.protocol_version: CloseKind.NO_COMMON_ALGORITHM,
    tls.AlertDescription.no_application_protocol: CloseKind.NO_COMMON_ALGORITHM,
}
_KIND_OF_CODE: Final = {
    CloseCode.GOODBYE.value: CloseKind.GOODBYE,
    CloseCode.MALFORMED.value: CloseKind.MALFORMED,
    CloseCode.ABANDONED.value: CloseKind.ABANDONED,
    CloseCode.SILENT.value: CloseKind.SILENT,
    CloseCode.IN_USE.value: CloseKind.IN_USE,
    CloseCode.BANNED.value: CloseKind.BANNED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What both sides of a connection have in common.

    `stream_window_bytes`: what the peer may send on a stream before we grant more.
    `on_fault` is called with (where, error) when aioquic raises; it must not raise.
    """

    credentials: Credentials
    authorize: Callable[[NodeId], bool]
    datagram_bytes: int
    streams_max: int
    stream_window_bytes: int
    idle_timeout_ms: int
    on_fault: Callable[[str, Exception], None]

    def configuration(self, *, is_client: bool) -> QuicConfiguration:
        """Return the same in aioquic's words."""
        return QuicConfiguration(
            alpn_protocols=[ALPN],
            certificate=self.credentials.certificate,
            connection_id_length=CONNECTION_ID_BYTES,
            idle_timeout=self.idle_timeout_ms / 1000,
            is_client=is_client,
            max_data=self.stream_window_bytes * self.streams_max,
            max_datagram_size=self.datagram_bytes,
            max_stream_data=self.stream_window_bytes,
            private_key=self.credentials.key,
            supported_versions=[QuicProtocolVersion.VERSION_1],
        )


def make_client(settings: EngineSettings) -> "AioquicEngine":
    """Return the side that dials."""
    return AioquicEngine(settings, is_client=True)


def make_server(
    settings: EngineSettings, *, original_id: bytes, retry_id: bytes | None
) -> "AioquicEngine":
    """Return the side that was dialled.

    `original_id` is the destination of the client's very first packet; `retry_id` the source of
    our Retry, or None when there was none (RFC 9000, section 7.3).
    """
    return AioquicEngine(settings, is_client=False, original_id=original_id, retry_id=retry_id)


class _Guard:
    """Turns an exception of aioquic into the end of one connection."""

    __slots__ = ("error", "on_fault", "where")

    def __init__(self, on_fault: Callable[[str, Exception], None]) -> None:
        self.on_fault = on_fault
        self.where = ""
        self.error: Exception | None = None

    def __call__(self, where: str) -> "_Guard":
        self.where = where
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if self.error is None:
            self.error = error
            self.on_fault(self.where, error)
        return True


class AioquicEngine:
    """Satisfies `quic_engine.QuicEngine`."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        is_client: bool,
        original_id: bytes | None = None,
        retry_id: bytes | None = None,
    ) -> None:
        self._quic = PostQuantumConnection(
            configuration=settings.configuration(is_client=is_client),
            credentials=settings.credentials,
            authorize=settings.authorize,
            streams_max=settings.streams_max,
            original_destination_connection_id=original_id,
            retry_source_connection_id=retry_id,
        )
        self._guarded = _Guard(settings.on_fault)
        self._established = False
        self._over = False  # `Closed` was reported
        self._own_close: CloseKind | None = None
        self._last_times: PathTimes | None = None  # once released

    @property
    def connection_id(self) -> ConnectionId:
        """The first id that the peer addresses us by."""
        return ConnectionId(self._quic.host_cid)

    def connect(self, address: SocketAddress, *, now_s: float) -> None:
        """Start the handshake, once, on the client side."""
        with self._guarded("connect"):
            self._quic.connect(address, now_s)

    def receive_untrusted(self, datagram: bytes, address: SocketAddress, *, now_s: float) -> None:
        """Take one datagram in."""
        if self._works:
            with self._guarded("receive"):
                self._quic.receive_datagram(datagram, address, now_s)

    def transmit(self, *, now_s: float) -> list[Datagram]:
        """Return what to send now."""
        datagrams: list[Datagram] = []
        if self._works and self._quic.can_transmit:
            with self._guarded("transmit"):
                datagrams = self._quic.datagrams_to_send(now_s)
        return datagrams

    def timer_s(self) -> float | None:
        """Return when `handle_timer` wants to be called; None: not at all."""
        timer_s: float | None = None
        if self._works and self._quic.can_transmit:
            with self._guarded("timer"):
                timer_s = self._quic.get_timer()
        return timer_s

    def handle_timer(self, *, now_s: float) -> None:
        """Do what was due at `now_s`."""
        if self._works and self._quic.can_transmit:
            with self._guarded("handle timer"):
                self._quic.handle_timer(now_s)

    def events(self) -> list[EngineEvent]:
        """Return what happened since the last call, oldest first."""
        found: list[EngineEvent] = []
        if self._over or (self._established and self._is_uneventful()):
            return found
        with self._guarded("events"):
            self._established_before(found)
            while (event := self._quic.next_event()) is not None:
                translated = _translated(event)
                if translated is not None:
                    found.append(translated)
        closed = self._closed()
        if closed is not None:
            self._over = True
            found.append(closed)
        return found

    def open_stream(self) -> StreamId:
        """Return a new unidirectional stream of ours. Only after `Established`."""
        stream = StreamId(self._quic.get_next_available_stream_id(is_unidirectional=True))
        with self._guarded("open stream"):
            self._quic.send_stream_data(stream, b"")
        return stream

    def write(self, stream: StreamId, data: bytes) -> None:
        """Append to a stream of ours."""
        with self._guarded("write"):
            self._quic.send_stream_data(stream, data)

    def backlog(self, stream: StreamId) -> StreamBacklog:
        """Return what is held of a stream of ours."""
        with self._guarded("backlog"):
            acknowledged, sent, written, granted = self._quic.sent_offsets(stream)
            return StreamBacklog(
                unsent=written - sent,
                unacknowledged=written - acknowledged,
                blocked=sent >= granted,
            )
        return StreamBacklog(unsent=0, unacknowledged=0, blocked=True)

    def grant(self, stream: StreamId, byte_count: int) -> None:
        """Let the peer send so many more bytes on its stream."""
        with self._guarded("grant"):
            self._quic.raise_limit(stream, byte_count)

    def ping(self) -> None:
        """Send something that the peer has to acknowledge."""
        with self._guarded("ping"):
            self._quic.probe()

    def path_times(self) -> PathTimes:
        """Return the round trip and when the peer was last heard."""
        if self._last_times is not None:
            return self._last_times
        smoothed, variance = self._quic.round_trip_s
        return PathTimes(
            round_trip_s=smoothed, round_trip_variance_s=variance, heard_s=self._quic.heard_s
        )

    def close(self, code: CloseCode, kind: CloseKind, reason: str) -> None:
        """End the connection; the next `transmit` tells the peer."""
        if self._own_close is None:
            self._own_close = kind
        with self._guarded("close"):
            self._quic.close(error_code=code.value, reason_phrase=reason)

    def release(self) -> None:
        """Free what is held, once `Closed` was taken."""
        assert self._over, "it goes on"
        self._last_times = self.path_times()
        self._quic.release()

    @property
    def _works(self) -> bool:
        return not self._over and self._guarded.error is None

    def _is_uneventful(self) -> bool:
        quic = self._quic
        return not quic.has_events and self._guarded.error is None and quic.close_notice is None

    def _established_before(self, found: list[EngineEvent]) -> None:
        # A client that has sent its Finished may still be refused: `is_confirmed` is the
        # server's word that it was not (RFC 9001, section 4.1.2).
        if not self._established and self._quic.is_confirmed:
            peer = self._quic.tls.peer
            assert peer is not None, "the handshake ended and nobody is named"
            self._established = True
            found.append(Established(peer, self._quic.tls.peer_process))

    def _closed(self) -> Closed | None:
        if self._guarded.error is not None:
            name = type(self._guarded.error).__name__
            return Closed(CloseKind.FAULT, f"{name} in {self._guarded.where}", by_peer=False)
        notice = self._quic.close_notice
        if notice is None:
            return None
        code, by_application, reason = notice
        state = self._quic._state  # noqa: SLF001
        by_peer = state is QuicConnectionState.DRAINING
        if self._own_close is not None and not by_peer:
            return Closed(self._own_close, reason, by_peer=False)
        if code == QuicErrorCode.INTERNAL_ERROR and state is QuicConnectionState.TERMINATED:
            return Closed(CloseKind.SILENT, "nothing was heard until the idle time-out", by_peer)
        kind = _close_kind(code, by_application=by_application, by_peer=by_peer)
        return Closed(kind, _printable(reason), by_peer)


def _translated(event: events.QuicEvent) -> EngineEvent | None:
    """Return the event in our words; None when it says nothing we need."""
    match event:
        case events.StreamDataReceived():
            return StreamData(StreamId(event.stream_id), event.data, event.end_stream)
        case events.StreamReset():
            return StreamData(StreamId(event.stream_id), b"", ended=True)
        case events.ConnectionIdIssued():
            return ConnectionIdIssued(ConnectionId(event.connection_id))
        case events.ConnectionIdRetired():
            return ConnectionIdRetired(ConnectionId(event.connection_id))
        case _:
            return None


def _close_kind(code: int, *, by_application: bool, by_peer: bool) -> CloseKind:
    """Return what an error code of QUIC means to an operator (RFC 9000, section 20)."""
    if by_application:
        return _KIND_OF_CODE.get(code, CloseKind.MALFORMED)
    if code == QuicErrorCode.APPLICATION_ERROR:  # what an application's close becomes early on
        return CloseKind.ABANDONED
    if QuicErrorCode.CRYPTO_ERROR <= code <= QuicErrorCode.CRYPTO_ERROR + 0xFF:
        alert = code - QuicErrorCode.CRYPTO_ERROR
        if by_peer and alert == tls.AlertDescription.access_denied:
            return CloseKind.KEY_REFUSED
        for known, kind in _KIND_OF_ALERT.items():
            if alert == known:
                return kind
        return CloseKind.BAD_HANDSHAKE
    return CloseKind.MALFORMED


def _printable(reason: str) -> str:
    """Return a peer's text in a form that a log and a terminal survive."""
    return "".join(c if c.isprintable() else "?" for c in reason[:REASON_CHARACTERS_MAX])
