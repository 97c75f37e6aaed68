"""aioquic's connection with our TLS in it, and our bounds where aioquic has none.

Every method here overrides a private one of aioquic 1.7.2 (the version is pinned); each says
what it changes. Nothing outside `aioquic_engine` uses this.
"""

from collections.abc import Callable
from typing import Final

from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    MAX_STREAM_DATA_FRAME_CAPACITY,
    Limit,
    QuicConnection,
    QuicConnectionError,
    QuicNetworkPath,
    QuicReceiveContext,
)
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketSpace
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from cretonode.identifiers import NodeId
from cretonode.network.certificate import Credentials
from cretonode.network.quic_engine import Datagram, SocketAddress
from cretonode.network.tls import PostQuantumContext

TIMER_TICK_S: Final = 0.002  # epoll counts whole milliseconds, and rounds up
BURST_PACKETS_MAX: Final = 32  # about 2 ms of our own time to make
CRYPTO_BYTES_MAX: Final = 32_768  # handshake bytes that came out of order, for each packet space
ACK_DELAY_S: Final = 0.020  # aioquic tells the peer 25 ms (RFC 9000, section 18.2)
ACK_PACKETS_MAX: Final = 8  # received and not acknowledged before we do so at once

# aioquic looks packet spaces up by this enum, whose hash is that of its name, made in Python.
Epoch.__hash__ = object.__hash__  # type: ignore[method-assign]


class BurstPacer(QuicPacketPacer):
    """Lets out as much at once as the rate allows between two ticks of the event loop's timer.

    aioquic stops after 16 packets and asks to be called microseconds later; the kernel wakes us
    after a millisecond or two, so 16 packets each time would be the rate, whatever the window.
    Source: RFC 9002, section 7.7.
    """

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        """Set the rate to that of the window, and the burst to what fits between two ticks."""
        super().update_rate(congestion_window, smoothed_rtt)
        assert self.packet_time is not None
        burst_s = min(TIMER_TICK_S, BURST_PACKETS_MAX * self.packet_time)
        self.bucket_max = max(self.bucket_max, burst_s)


class PostQuantumConnection(QuicConnection):
    """A QuicConnection whose handshake is `PostQuantumContext`, and whose credit we grant."""

    tls: PostQuantumContext

    def __init__(
        self,
        *,
        configuration: QuicConfiguration,
        credentials: Credentials,
        authorize: Callable[[NodeId], bool],
        streams_max: int,
        original_destination_connection_id: bytes | None = None,
        retry_source_connection_id: bytes | None = None,
    ) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_destination_connection_id,
            retry_source_connection_id=retry_source_connection_id,
        )
        self._credentials = credentials
        self._authorize = authorize
        self._acknowledged = -1  # the newest packet that our last acknowledgement covered
        self._loss._pacer = BurstPacer(max_datagram_size=configuration.max_datagram_size)  # noqa: SLF001
        self._loss._cc.on_rtt_measurement = self._on_round_trip  # type: ignore[method-assign]  # noqa: SLF001
        self._limit_streams(self._local_max_streams_bidi, 0)
        self._limit_streams(self._local_max_streams_uni, streams_max)

    def _on_round_trip(self, *, now: float, rtt: float) -> None:  # noqa: ARG002
        # aioquic's congestion control is told the time with the peer's delay in it, would take
        # a delayed acknowledgement for a queue that fills, and would leave slow start.
        control = self._loss._cc  # noqa: SLF001
        type(control).on_rtt_measurement(control, now=now, rtt=self._loss._rtt_latest)  # noqa: SLF001

    @staticmethod
    def _limit_streams(limit: Limit, value: int) -> None:
        limit.value = limit.sent = value  # aioquic's own is 128 of each kind

    def _initialize(self, peer_cid: bytes) -> None:
        # After a Retry aioquic forgets the packets of the first flight, but keeps counting their
        # bytes as in flight, and would never send again the stream data that was in them.
        for space in self._spaces.values():
            if space.sent_packets:
                self._loss._on_packets_lost(  # noqa: SLF001
                    congestion_event=False,
                    now=0.0,
                    packets=tuple(space.sent_packets.values()),
                    space=space,
                )
        super()._initialize(peer_cid)
        classical = self.tls
        self.tls = PostQuantumContext(
            is_client=self._is_client, credentials=self._credentials, authorize=self._authorize
        )
        self.tls.handshake_extensions = classical.handshake_extensions
        self.tls.alpn_cb = self._alpn_handler
        self.tls.update_traffic_key_cb = self._update_traffic_key

    def _find_network_path(self, addr: SocketAddress) -> QuicNetworkPath:
        # A Retry token has shown that the client receives at its address, so it is not subject
        # to the threefold limit (RFC 9000, section 8.1); aioquic waits for the handshake.
        path = super()._find_network_path(addr)
        first = not self._is_client and not self._network_paths
        if first and self._retry_source_connection_id is not None:
            path.is_validated = True
        return path

    def _handle_crypto_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        # aioquic keeps up to half a megabyte in each space, for a stranger.
        super()._handle_crypto_frame(context, frame_type, buf)
        gathered = len(self._crypto_streams[context.epoch].receiver._buffer)  # noqa: SLF001
        if gathered > CRYPTO_BYTES_MAX:
            raise QuicConnectionError(
                error_code=QuicErrorCode.CRYPTO_BUFFER_EXCEEDED,
                frame_type=frame_type,
                reason_phrase="too many handshake bytes out of order",
            )

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Return what to send, an acknowledgement in it when there is something to send anyway.

        aioquic acknowledges each packet after a millisecond, in a datagram of its own. Between
        nodes nearly every packet is answered by another one soon, so we wait for that.
        Source: RFC 9000, sections 13.2.1 and 13.2.2.
        """
        if self._handshake_confirmed and not self._close_pending:
            self._ack_delay = ACK_DELAY_S
            space = self._spaces[Epoch.ONE_RTT]
            says_something = self._has_something_to_say()
            if space.ack_at is not None and (says_something or self._acknowledges_now(space)):
                space.ack_at = now
            if not says_something and (space.ack_at is None or space.ack_at > now):
                self._pacing_at = None
                return []  # as aioquic would, after building a packet for it
        datagrams: list[Datagram] = super().datagrams_to_send(now)
        return datagrams

    def _has_something_to_say(self) -> bool:
        """Whether aioquic has a frame to send other than an acknowledgement."""
        for stream in self._streams_queue:
            if not stream.sender.buffer_is_empty:
                return True
            if stream.max_stream_data_local_sent != stream.max_stream_data_local:
                return True
        path = self._network_paths[0]
        max_data = self._local_max_data
        return (
            self._probe_pending
            or bool(self._ping_pending)
            or max_data.used * 2 > max_data.value
            or max_data.sent != max_data.value
            or len(self._network_paths) > 1
            or not path.is_validated
            or bool(path.remote_challenges)
            or self._handshake_done_pending
            or bool(self._retire_connection_ids)
            or any(not issued.was_sent for issued in self._host_cids)
            or self._streams_blocked_pending
            or not self._crypto_streams[Epoch.ONE_RTT].sender.buffer_is_empty
        )

    def _acknowledges_now(self, space: QuicPacketSpace) -> bool:
        newest = space.ack_queue[-1]
        missing_before = newest.start > self._acknowledged + 1  # say so early
        return missing_before or newest.stop > self._acknowledged + ACK_PACKETS_MAX

    def _write_ack_frame(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, now: float
    ) -> None:
        super()._write_ack_frame(builder, space, now)
        if space.is_application_data:
            self._acknowledged = space.largest_received_packet

    def _write_stream_limits(
        self,
        builder: QuicPacketBuilder,
        space: QuicPacketSpace,  # noqa: ARG002
        stream: QuicStream,
    ) -> None:
        # aioquic doubles the credit whenever half of it is used, whether or not anybody reads.
        # It does so for the connection as well; that we let be, as there are few streams.
        if stream.max_stream_data_local_sent != stream.max_stream_data_local:
            buf = builder.start_frame(
                QuicFrameType.MAX_STREAM_DATA,
                capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
                handler=self._on_max_stream_data_delivery,
                handler_args=(stream,),
            )
            buf.push_uint_var(_stream_id(stream))
            buf.push_uint_var(stream.max_stream_data_local)
            stream.max_stream_data_local_sent = stream.max_stream_data_local

    # --- what the engine reads and aioquic does not offer

    @property
    def is_confirmed(self) -> bool:
        """Both sides have finished, and know it (RFC 9001, section 4.1.2)."""
        return self._handshake_confirmed

    @property
    def has_events(self) -> bool:
        """Whether `next_event` would return one."""
        return bool(self._events)

    @property
    def can_transmit(self) -> bool:
        """False until a server has seen its first Initial packet: aioquic would raise."""
        return bool(self._network_paths)

    @property
    def close_notice(self) -> tuple[int, bool, str] | None:
        """(error code, whether it is an application's, reason) once there is no more to send.

        aioquic's own event comes only after three more time-outs.
        """
        event = self._close_event
        if event is None or (self._close_pending and self.can_transmit):
            return None
        return event.error_code, event.frame_type is None, event.reason_phrase

    @property
    def heard_s(self) -> float | None:
        """When the newest packet came that decrypted with the connection's own keys."""
        for space in self._spaces.values():
            if space.is_application_data:
                return space.largest_received_time
        return None

    @property
    def round_trip_s(self) -> tuple[float, float]:
        """(smoothed, variance), as RFC 9002, section 5.3 smooths them."""
        return self._loss._rtt_smoothed, self._loss._rtt_variance  # noqa: SLF001

    def sent_offsets(self, stream_id: int) -> tuple[int, int, int, int]:
        """Of a stream of ours: (acknowledged up to, sent up to, written up to, granted up to)."""
        stream = self._streams[stream_id]
        sender = stream.sender
        return (
            sender._buffer_start,  # noqa: SLF001
            sender.highest_offset,
            sender._buffer_stop,  # noqa: SLF001
            stream.max_stream_data_remote,
        )

    def release(self) -> None:
        """Let go of everything; nothing may be asked of the connection after that.

        Its parts refer to one another, so that they would wait for the garbage collector: some
        80 KiB for each stranger refused, and hundreds of them before it looks.
        """
        vars(self).clear()

    def raise_limit(self, stream_id: int, byte_count: int) -> None:
        """Grant the peer so many more bytes on its stream."""
        self._streams[stream_id].max_stream_data_local += byte_count

    def probe(self) -> None:
        """Send a PING, over the congestion window if need be (RFC 9002, section 7.5).

        After a cut the window is full of lost packets and the engine's own probes are seconds
        apart; the acknowledgement of this one shows it at once what was lost.
        """
        self._send_probe()


def _stream_id(stream: QuicStream) -> int:
    assert stream.stream_id is not None
    return stream.stream_id
