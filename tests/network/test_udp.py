import socket
from collections.abc import Generator

import pytest
import trio

from cretonode.errors import ConfigError, ConnectionLost, NetworkError
from cretonode.network.quic_engine import Datagram, SocketAddress
from cretonode.network.udp import UdpSocket, _batches, is_loopback, open_udp, resolve


@pytest.fixture
def sockets() -> Generator[tuple[UdpSocket, UdpSocket]]:
    near, far = (open_udp(("127.0.0.1", 0), buffer_bytes=1 << 20) for _ in range(2))
    yield near, far
    near.close()
    far.close()


@pytest.mark.parametrize("gso", [True, False], ids=["batched", "one by one"])
async def test_datagrams_of_any_sizes_arrive_as_they_were_sent(
    sockets: tuple[UdpSocket, UdpSocket], gso: bool
) -> None:
    near, far = sockets
    near.gso = near.gso and gso
    sizes = [1200, 1200, 1200, 700, 1200, 1300, 1300, 1, 8900, 8900, 8900, 8900] + [1452] * 130
    datagrams: list[Datagram] = [(bytes([i % 256]) * s, far.address) for i, s in enumerate(sizes)]
    assert near.send(datagrams) == len(datagrams)
    received: list[bytes] = []
    with trio.fail_after(10):
        while len(received) < len(datagrams):
            await far.wait_readable()
            while (some := far.receive()) is not None:
                assert some.address == near.address
                received += some.datagrams
    assert received == [data for data, _ in datagrams]


def test_batches_have_one_address_and_one_size_but_for_the_last() -> None:
    one: SocketAddress = ("10.0.0.1", 1)
    other: SocketAddress = ("10.0.0.2", 1)
    datagrams: list[Datagram] = [(bytes(s), one) for s in (9, 9, 5, 9, 9, 10)]
    datagrams += [(bytes(10), other), (bytes(10), other)]
    datagrams += [(bytes(1452), one) for _ in range(70)]
    batches = list(_batches(datagrams))
    assert [d for batch in batches for d in batch] == datagrams
    assert [len(batch) for batch in batches] == [3, 2, 1, 2, 44, 26]


def test_a_destination_without_a_route_loses_its_datagrams_only(
    sockets: tuple[UdpSocket, UdpSocket],
) -> None:
    near, far = sockets
    nowhere: SocketAddress = ("255.255.255.255", 9)  # broadcast, which is not allowed
    assert near.send([(b"x", nowhere), (b"y", far.address)]) == 2


def test_an_address_in_use_is_named() -> None:
    taken = open_udp(("127.0.0.1", 0), buffer_bytes=1 << 16)
    try:
        text = f"network.quic_port: cannot listen on 127.0.0.1 port {taken.address[1]}: Address"
        with pytest.raises(ConfigError, match=text):
            open_udp(("127.0.0.1", taken.address[1]), buffer_bytes=1 << 16)
    finally:
        taken.close()


@pytest.mark.parametrize("host", ["nonsense", "300.1.1.1", ""])
def test_a_bind_address_that_is_none_is_named(host: str) -> None:
    with pytest.raises(NetworkError, match="cannot open"):
        open_udp((host, 0), buffer_bytes=1 << 16)


async def test_addresses_resolve_for_the_family_of_the_socket() -> None:
    assert await resolve(("127.0.0.1", 7), family=socket.AF_INET) == ("127.0.0.1", 7)
    assert await resolve(("::1", 7), family=socket.AF_INET6) == ("::1", 7, 0, 0)
    mapped = await resolve(("127.0.0.1", 7), family=socket.AF_INET6)
    assert mapped == ("::ffff:127.0.0.1", 7, 0, 0)
    with pytest.raises(ConnectionLost, match="no address"):
        await resolve(("::1", 7), family=socket.AF_INET)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("127.0.0.1", 1), True),
        (("127.9.9.9", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("10.0.0.1", 1), False),
        (("fe80::1%3", 1, 0, 3), False),
    ],
)
def test_loopback_is_told_from_elsewhere(address: SocketAddress, expected: bool) -> None:
    assert is_loopback(address) is expected
