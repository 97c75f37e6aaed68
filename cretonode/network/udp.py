"""One UDP socket, with the kernel's batching where it has it.

GSO sends many datagrams of one size in a call, GRO returns many in one: both several times
cheaper than one call each. They are probed once; without them everything works the same.
Source: Linux udp(7), UDP_SEGMENT and UDP_GRO; segmentation-offloads documentation.
"""

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import trio

from cretonode.errors import AddressError, ConnectionLost, NetworkError
from cretonode.network.quic_engine import Datagram, SocketAddress

SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
SEGMENTS_MAX: Final = 64  # of one call, in every kernel that has GSO
BATCH_BYTES_MAX: Final = 64_000  # of one call: a UDP payload holds at most 65,507
RECEIVE_BYTES: Final = 65_535
ANCILLARY_BYTES: Final = socket.CMSG_SPACE(4)


@dataclass(frozen=True, slots=True)
class Received:
    """What one call returned: datagrams from one address."""

    datagrams: list[bytes]
    address: SocketAddress


class UdpSocket:
    """A bound, non-blocking socket. `gso` and `gro` say what the kernel offers."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self.family = bound.family
        self.address: SocketAddress = bound.getsockname()
        self.gso = _has_gso(bound)
        self.gro = _enable_gro(bound)

    def close(self) -> None:
        """Close it. Nobody may be waiting on it."""
        self._socket.close()

    async def wait_readable(self) -> None:
        """Return when there is something to `receive`."""
        await trio.lowlevel.wait_readable(self._socket)

    async def wait_writable(self) -> None:
        """Return when the kernel takes datagrams again."""
        await trio.lowlevel.wait_writable(self._socket)

    def receive(self) -> Received | None:
        """Return what has come, or None when nothing has.

        Raises: NetworkError, when the socket itself is unusable.
        """
        try:
            data, ancillary, _, address = self._socket.recvmsg(RECEIVE_BYTES, ANCILLARY_BYTES)
        except BlockingIOError:
            return None
        except ConnectionRefusedError:  # the kernel passing on some peer's ICMP message
            return Received([], self.address)
        except OSError as error:
            raise NetworkError(f"receiving on {self.address}: {error}") from error
        size = _segment_bytes(ancillary)
        if size is None or size >= len(data):
            return Received([data], address)
        return Received([data[i : i + size] for i in range(0, len(data), size)], address)

    def send(self, datagrams: list[Datagram]) -> int:
        """Hand datagrams to the kernel; return how many it took before it would block.

        One that cannot be sent at all (no route, too long) counts as taken: to QUIC it is lost.
        """
        sent = 0
        for batch in _batches(datagrams) if self.gso else ([d] for d in datagrams):
            try:
                self._send_batch(batch)
            except BlockingIOError:
                return sent
            except OSError:
                if len(batch) > 1:  # a device on the way that cannot: never try again
                    self.gso = False
                    return sent + self.send(datagrams[sent:])
            sent += len(batch)
        return sent

    def _send_batch(self, batch: list[Datagram]) -> None:
        first, address = batch[0]
        if len(batch) == 1:
            self._socket.sendto(first, address)
        else:
            size = struct.pack("@H", len(first))
            self._socket.sendmsg(
                [data for data, _ in batch], [(SOL_UDP, UDP_SEGMENT, size)], 0, address
            )


def open_udp(bind: tuple[str, int], *, buffer_bytes: int) -> UdpSocket:
    """Return a socket bound to `bind`, an IP address and a port (0: any free one).

    Bound to `::` it serves IPv4 as well. Raises: AddressError, naming its keys.
    """
    host, port = bind
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    except (OSError, ValueError) as error:
        raise AddressError(
            f"network.listen_addr: cannot open a UDP socket on {host} port {port}: {error}"
        ) from error
    try:
        bound.settimeout(0)  # never blocks
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        # The kernel silently gives less when its limit is lower.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        bound.bind((host, port))
        return UdpSocket(bound)
    except OSError as error:
        bound.close()
        raise AddressError(
            f"network.listen_addr and network.quic_port: cannot listen on {host} port {port}:"
            f" {error.strerror or error}"
        ) from error


async def resolve(address: tuple[str, int], *, family: socket.AddressFamily) -> SocketAddress:
    """Return where `address`, a name or an IP address and a port, is for a socket of `family`.

    Raises: ConnectionLost, when there is no such host.
    """
    host, port = address
    flags = socket.AI_V4MAPPED if family == socket.AF_INET6 else 0
    try:
        found = await trio.socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_DGRAM, flags=flags
        )
    except OSError as error:
        raise ConnectionLost(f"no address for {host}: {error}") from None
    resolved = found[0][4]
    assert isinstance(resolved[0], str), resolved
    if len(resolved) == 4:
        return resolved[0], resolved[1], resolved[2], resolved[3]
    return resolved[0], resolved[1]


def is_loopback(address: SocketAddress) -> bool:
    """Whether datagrams to `address` stay on this machine's loopback device."""
    try:
        host = ipaddress.ip_address(address[0])
    except ValueError:
        return False
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return (mapped or host).is_loopback


def _batches(datagrams: list[Datagram]) -> Iterator[list[Datagram]]:
    """Yield runs that GSO can send: one address, one size, only the last may be shorter."""
    start = 0
    while start < len(datagrams):
        first, address = datagrams[start]
        size = total = len(first)
        end = start + 1
        while end < len(datagrams) and end - start < SEGMENTS_MAX:
            data, other = datagrams[end]
            short_before = len(datagrams[end - 1][0]) < size
            if other != address or short_before or len(data) > size:
                break
            if total + len(data) > BATCH_BYTES_MAX:
                break
            total += len(data)
            end += 1
        yield datagrams[start:end]
        start = end


def _segment_bytes(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """Return the size that GRO put datagrams together at; None when it did not."""
    for level, kind, value in ancillary:
        if level == SOL_UDP and kind == UDP_GRO and len(value) >= 4:
            size: int = struct.unpack("@i", value[:4])[0]
            return size if size > 0 else None
    return None


def _has_gso(bound: socket.socket) -> bool:
    try:
        bound.getsockopt(SOL_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True


def _enable_gro(bound: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        bound.setsockopt(SOL_UDP, UDP_GRO, 1)
        return True
    return False
