"""The bounds and times of the network, in one place, with what holds between them.

Defaults suit a committee on a LAN or WAN; the node may pass its own. What happens at each bound
stands in docs/network.md.
"""

from dataclasses import dataclass
from typing import Final

from cretonode.limits import FRAME_BYTES_MAX, VALIDATORS_MAX

DATAGRAM_BYTES: Final = 1_452  # with IPv6 and UDP headers 1,500, Ethernet's and most tunnels' MTU
DATAGRAM_BYTES_LOOPBACK: Final = 8_900  # aioquic pays per datagram; the loopback MTU is 65,536
STREAM_WINDOW_BYTES: Final = 1024 * 1024  # granted on a stream before anything is consumed
UNSENT_BYTES_MAX: Final = 256 * 1024  # of each class, in the engine and not yet sent
UNACKNOWLEDGED_BYTES_MAX: Final = 4 * 1024 * 1024  # of each class, in the engine in all
FRAME_COST_BYTES: Final = 64  # what a waiting frame counts beyond its bytes
TIMER_MS_MIN: Final = 0.5  # an engine whose timer stands in the past must not spin
SILENCE_CHECKS: Final = 2  # in a row: one alone may be our own standstill
KEEP_ALIVE_GRID_MS: Final = 25
LEADER_SILENT_MS: Final = 300  # at least, before anybody suspects a leader (DESIGN, section 2)
assert UNSENT_BYTES_MAX < UNACKNOWLEDGED_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """Times in milliseconds, sizes in bytes.

    `keep_alive_ms`: a packet goes out when none did for so long, rounded up to the next
    KEEP_ALIVE_GRID_MS, so that all idle connections wake us at the same times: 100 to 125 ms. A
    leader counts as silent after 300 ms, so one packet may be lost and the next comes in time.
    `silence_ms_max`: a connection on which nothing was heard for so long is given up.
    """

    keep_alive_ms: int = 100
    silence_ms_max: int = 3_000
    idle_timeout_ms: int = 30_000  # the engine's own, should ours fail
    handshake_ms_max: int = 3_000  # for a client to finish what it began
    goodbye_ms_max: int = 500  # to hand the last datagrams to the kernel when closing
    half_open_max: int = 64  # inbound handshakes at a time
    inbound_max: int = VALIDATORS_MAX + 50  # inbound connections at a time, besides those
    accept_queue_max: int = 16  # authenticated connections that nobody has accepted yet
    host_handshakes_per_s: float = 32.0  # that one host may begin, sustained
    host_handshakes_burst: int = 64
    outbound_bytes_max: int = 8 * 1024 * 1024  # of each class, waiting on one connection
    socket_buffer_bytes: int = 4 * 1024 * 1024

    def __post_init__(self) -> None:
        longest_ms = self.keep_alive_ms + KEEP_ALIVE_GRID_MS
        assert 2 * longest_ms < LEADER_SILENT_MS, "one keep-alive may be lost"
        assert self.silence_ms_max >= 4 * self.keep_alive_ms, self.silence_ms_max
        assert self.silence_ms_max <= self.idle_timeout_ms, self.idle_timeout_ms
        assert self.outbound_bytes_max >= FRAME_BYTES_MAX + FRAME_COST_BYTES
        assert self.half_open_max > 0, self.half_open_max
        assert self.accept_queue_max > 0, self.accept_queue_max


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """How one peer is kept connected. Times in milliseconds.

    A dial repeats its first packet after 200, 600 and 1,400 ms, so with these defaults a link
    that heals is tried again within 800 ms.
    """

    dial_timeout_ms: int = 1_500
    fallback_dial_ms: int = 1_000  # the side that is to be dialled dials itself after this
    first_dial_ms: int = 400  # the same when its process has just started, and nobody knows
    at_once_ms: int = 300  # a dial that began longer ago was not made at once with the peer's own
    backoff_ms_first: int = 50  # after a failure, doubled with each, up to:
    backoff_ms_max: int = 400
    refused_ms: int = 5_000  # after a key was refused, or a ban: people must act first
    healthy_ms: int = 5_000  # a connection that stood so long resets the back-off
    takeover_silence_ms: int = 1_000  # a silent connection yields to any newer one
    frames_per_s: float = 100.0  # read from one peer, sustained
    frames_burst: int = 200

    def __post_init__(self) -> None:
        assert 0 < self.backoff_ms_first <= self.backoff_ms_max, self.backoff_ms_first
        assert self.frames_burst >= 1, self.frames_burst
