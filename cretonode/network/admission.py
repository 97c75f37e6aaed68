"""Who may begin a handshake: what a stranger's datagram gets before anything is kept for it.

A client first has to show, with the token of a Retry, that it receives at the address it claims;
the token is sealed and carries all that is needed, so the answer costs no memory. Then each host
may begin so many handshakes a second. Source: RFC 9000, sections 8.1.2, 14.1 and 17.2.5.
"""

import os
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler

from cretonode.network.aioquic_engine import CONNECTION_ID_BYTES
from cretonode.network.quic_engine import ConnectionId, SocketAddress
from cretonode.network.rate import TokenBucket

INITIAL_DATAGRAM_BYTES_MIN: Final = 1200
HOSTS_MAX: Final = 1024  # whose rate is remembered; a full bucket is forgotten first
LONG_HEADER: Final = 0x80


class Drop(Enum):
    """Why a datagram was thrown away unanswered. The values are labels of a metric."""

    NO_ROUTE = "no_route"  # of no connection of ours, and no beginning of one
    NOT_QUIC = "not_quic"
    OTHER_VERSION = "other_version"
    SHORT_INITIAL = "short_initial"
    BAD_TOKEN = "bad_token"  # noqa: S105
    HOST_RATE = "host_rate"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Retry:
    """Answer with this datagram, and forget."""

    datagram: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """Begin a handshake. `original_id` and `retry_id` are for the engine."""

    original_id: bytes
    retry_id: ConnectionId


class Admission:
    """The door. `admit_untrusted` keeps nothing but rates; `now_s` is any clock that only grows."""

    def __init__(self, *, host_handshakes_per_s: float, host_handshakes_burst: int) -> None:
        self._tokens = QuicRetryTokenHandler()
        self._rate_per_s = host_handshakes_per_s
        self._burst = host_handshakes_burst
        self._hosts: OrderedDict[str, TokenBucket] = OrderedDict()

    def admit_untrusted(
        self, datagram: bytes, address: SocketAddress, *, now_s: float
    ) -> Retry | Admit | Drop:
        """Return what to do with a datagram that belongs to no connection."""
        header = _read_initial_untrusted(datagram)
        if isinstance(header, Drop):
            return header
        if not header.token:
            return Retry(self._retry(header, address, now_s))
        try:
            original_id = self._tokens.validate_token(
                address=address,
                destination_cid=header.destination_cid,
                token=header.token,
                now=now_s,
            )
        except ValueError:
            return Drop.BAD_TOKEN
        if not self._host_may_begin(address[0], now_s):
            return Drop.HOST_RATE
        return Admit(original_id=original_id, retry_id=ConnectionId(header.destination_cid))

    def _retry(self, header: QuicHeader, address: SocketAddress, now_s: float) -> bytes:
        retry_id = os.urandom(CONNECTION_ID_BYTES)
        token = self._tokens.create_token(
            address=address,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=retry_id,
            now=now_s,
        )
        return encode_quic_retry(
            version=QuicProtocolVersion.VERSION_1,
            source_cid=retry_id,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )

    def _host_may_begin(self, host: str, now_s: float) -> bool:
        bucket = self._hosts.get(host)
        if bucket is None:
            if len(self._hosts) >= HOSTS_MAX and not self._forget_a_host(now_s):
                return False
            bucket = self._hosts[host] = TokenBucket(
                rate_per_s=self._rate_per_s, burst=self._burst, now_s=now_s
            )
        self._hosts.move_to_end(host)
        return bucket.take(now_s=now_s)

    def _forget_a_host(self, now_s: float) -> bool:
        """Make room by forgetting the host unused for longest, if that gives it nothing."""
        host, bucket = next(iter(self._hosts.items()))
        if not bucket.is_full(now_s=now_s):
            return False
        del self._hosts[host]
        return True


def destination_untrusted(datagram: bytes) -> ConnectionId | None:
    """Return the connection id that a datagram is addressed to; None when it has none.

    Source: RFC 8999, section 5: the same in every version of QUIC.
    """
    if not datagram:
        return None
    if not datagram[0] & LONG_HEADER:
        end = 1 + CONNECTION_ID_BYTES
        return ConnectionId(datagram[1:end]) if len(datagram) >= end else None
    if len(datagram) < 6:
        return None
    end = 6 + datagram[5]
    return ConnectionId(datagram[6:end]) if len(datagram) >= end else None


def _read_initial_untrusted(datagram: bytes) -> QuicHeader | Drop:
    """Return the header of a client's Initial packet, or why the datagram is none."""
    if not datagram or not datagram[0] & LONG_HEADER:
        return Drop.NO_ROUTE
    if int.from_bytes(datagram[1:5], "big") != QuicProtocolVersion.VERSION_1:
        return Drop.OTHER_VERSION
    if len(datagram) < INITIAL_DATAGRAM_BYTES_MIN:
        return Drop.SHORT_INITIAL
    try:
        header = pull_quic_header(Buffer(data=datagram), host_cid_length=CONNECTION_ID_BYTES)
    except ValueError:
        return Drop.NOT_QUIC
    if header.packet_type is not QuicPacketType.INITIAL:
        return Drop.NO_ROUTE
    # RFC 9000, section 7.2: at least 8 bytes, so that nobody guesses it.
    return header if len(header.destination_cid) >= 8 else Drop.NOT_QUIC
