"""Strangers at a live endpoint: it goes on serving a good peer, and keeps nothing of theirs."""

import random
import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from cretonode.network import aioquic_connection
from cretonode.network.aioquic_engine import AioquicEngine, make_client
from cretonode.network.certificate import make_credentials
from cretonode.network.connection import Connection
from cretonode.network.endpoint import Endpoint
from cretonode.network.frames import Priority
from cretonode.network.quic_engine import Datagram, SocketAddress
from cretonode.network.settings import NetworkSettings
from cretonode.network.tls import ALPN
from cretonode.network.udp import UdpSocket, open_udp
from tests.network.nodes import joined, opened, until
from tests.network.simulated import engine_settings
from tests.network.test_handshake import mutated, mutating, only_on

PATIENT = NetworkSettings(
    handshake_ms_max=2_000,
    half_open_max=16,
    host_handshakes_per_s=100_000.0,
    host_handshakes_burst=100_000,
)
STRANGER = make_credentials(MLDSA87PrivateKey.generate())
MEMORY_BYTES_MAX = 24 * 1024 * 1024  # what a flood may add; the engines of one are far more


class Stranger:
    """A socket of somebody who is not one of us."""

    def __init__(self, udp: UdpSocket, target: SocketAddress) -> None:
        self.udp = udp
        self.target = target

    def send(self, *datagrams: bytes) -> None:
        self.udp.send([(data, self.target) for data in datagrams])

    async def answers(self) -> list[bytes]:
        with trio.fail_after(20):
            await self.udp.wait_readable()
        received = self.udp.receive()
        return [] if received is None else received.datagrams

    async def converse(self, client: "AioquicEngine | QuicConnection", *, rounds: int) -> None:
        """Carry datagrams of a client's engine until it is over or `rounds` have passed."""
        send_out(self, client)
        for _ in range(rounds):
            if is_over(client):
                return
            for data in await self.answers():
                take_in(client, data, self.target)
            send_out(self, client)


def send_out(stranger: Stranger, client: "AioquicEngine | QuicConnection") -> None:
    now_s = trio.current_time()
    datagrams: list[Datagram]
    if isinstance(client, AioquicEngine):
        datagrams = client.transmit(now_s=now_s)
    else:
        datagrams = client.datagrams_to_send(now_s)
    stranger.send(*(data for data, _ in datagrams))


def take_in(client: "AioquicEngine | QuicConnection", data: bytes, address: SocketAddress) -> None:
    now_s = trio.current_time()
    if isinstance(client, AioquicEngine):
        client.receive_untrusted(data, address, now_s=now_s)
    else:
        client.receive_datagram(data, address, now_s)


def is_over(client: "AioquicEngine | QuicConnection") -> bool:
    quic = client._quic if isinstance(client, AioquicEngine) else client
    return quic._close_event is not None


@asynccontextmanager
async def besieged() -> AsyncGenerator[tuple[Endpoint, Endpoint, Connection, Connection, Stranger]]:
    """Yield (endpoint, a good one, both ends of their connection, a stranger)."""
    async with opened(1, settings=PATIENT) as server, opened(0) as good:
        near, far = await joined(good, server)
        udp = open_udp(("127.0.0.1", 0), buffer_bytes=4 << 20)
        try:
            yield server, good, near, far, Stranger(udp, server.address)
        finally:
            udp.close()


async def assert_served(
    server: Endpoint, good: Endpoint, near: Connection, far: Connection
) -> None:
    """The good peer is still heard, can connect again, and nothing of others is left."""
    near.offer(Priority.VOTES, b"aye")
    with trio.fail_after(20):
        assert await far.receive() == (Priority.VOTES, b"aye")
    again, _ = await joined(good, server)
    again.close("only to see")
    await until(lambda: server.connections_open == 1)
    assert server.half_open == 0
    assert server.routes <= 9, "eight ids of the engine's, and the Retry's"
    assert server.counters.engine_faults == {}


def a_client() -> AioquicEngine:
    return make_client(engine_settings(STRANGER, datagram_bytes=1452))


async def test_a_classical_client_is_refused() -> None:
    """Stock aioquic, with X25519 and ECDSA."""
    async with besieged() as (server, good, near, far, stranger):
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=[ALPN], verify_mode=ssl.CERT_NONE
        )
        client = QuicConnection(configuration=configuration)
        client.connect(server.address, trio.current_time())
        await stranger.converse(client, rounds=20)
        assert server.counters.handshakes_refused == {"no_common_algorithm": 1}
        await assert_served(server, good, near, far)


async def test_a_client_that_does_not_answer_for_its_name_is_refused() -> None:
    """It is post-quantum, but no node of ours: another ALPN."""
    async with besieged() as (server, good, near, far, stranger):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cretonode.network.tls.ALPN", "h3")
            client = a_client()
            client.connect(server.address, now_s=trio.current_time())
            send_out(stranger, client)
            (retry,) = await stranger.answers()
            take_in(client, retry, server.address)
        await stranger.converse(client, rounds=20)
        assert server.counters.handshakes_refused == {"no_common_algorithm": 1}
        await assert_served(server, good, near, far)


async def test_an_unknown_key_is_refused_before_it_costs_more() -> None:
    async with besieged() as (server, good, near, far, stranger):
        client = a_client()
        client.connect(server.address, now_s=trio.current_time())
        await stranger.converse(client, rounds=30)
        assert server.counters.handshakes_refused == {"unknown_key": 1}
        await assert_served(server, good, near, far)


async def test_ten_thousand_spoiled_first_flights_leave_the_endpoint_serving() -> None:
    chance = random.Random(11)
    async with besieged() as (server, good, near, far, stranger):
        with_token = await answered_flights(stranger, server, count=12)
        flood = spoiled_flights(chance, with_token)
        await send_flood(stranger, server, flood, count=2_000)
        warm_bytes = memory_bytes()
        await send_flood(stranger, server, flood, count=8_000)
        assert memory_bytes() - warm_bytes < MEMORY_BYTES_MAX
        assert server.counters.datagrams_in > 9_000, "most did arrive"
        assert server.half_open <= PATIENT.half_open_max
        assert server.connections_open <= PATIENT.half_open_max + 2
        await assert_served(server, good, near, far)


async def test_hundreds_of_handshakes_spoiled_inside_leave_the_endpoint_serving() -> None:
    """Validly encrypted and with a valid token, so that the server's TLS reads them."""
    chance = random.Random(12)
    async with besieged() as (server, good, near, far, stranger):
        for i in range(150):
            method = ("_client_send_hello", "_client_handle_finished")[i % 2]
            with pytest.MonkeyPatch.context() as patch:
                only_on(patch, mutating(method, chance), is_client=True)
                client = a_client()
                client.connect(server.address, now_s=trio.current_time())
                await stranger.converse(client, rounds=2 + i % 4)
        assert server.counters.handshakes_begun > 100
        await assert_served(server, good, near, far)


async def test_a_flood_of_beginnings_crowds_out_itself_and_not_the_good_peer() -> None:
    async with besieged() as (server, good, near, far, stranger):
        flights = await answered_flights(stranger, server, count=100)
        stranger.send(*(datagram for flight in flights for datagram in flight))
        await until(lambda: server.counters.handshakes_begun > 100)
        await trio.testing.wait_all_tasks_blocked()
        assert server.half_open <= PATIENT.half_open_max
        assert server.connections_open <= PATIENT.half_open_max + 1, "at once, not in time"
        again, _ = await joined(good, server)
        again.close("only to see")
        await assert_served(server, good, near, far)


async def test_a_refused_client_that_repeats_itself_does_not_begin_again() -> None:
    async with besieged() as (server, good, near, far, stranger):
        client = a_client()
        client.connect(server.address, now_s=trio.current_time())
        send_out(stranger, client)
        (retry,) = await stranger.answers()
        take_in(client, retry, server.address)
        flight = [data for data, _ in client.transmit(now_s=trio.current_time())]
        stranger.send(*flight)
        await stranger.converse(client, rounds=30)
        begun = server.counters.handshakes_begun
        stranger.send(*flight * 5)
        await until(lambda: server.counters.datagrams_dropped["no_route"] >= 5)
        assert server.counters.handshakes_begun == begun
        await assert_served(server, good, near, far)


async def test_what_the_engine_raises_is_logged_once_and_ends_one_connection(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def burst(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    async with besieged() as (server, good, near, far, stranger):
        flights = await answered_flights(stranger, server, count=5)
        with monkeypatch.context() as patch:
            patch.setattr(aioquic_connection.PostQuantumConnection, "_initialize", burst)
            stranger.send(*(flight[0] for flight in flights))
            await until(lambda: server.counters.engine_faults["receive"] == 5)
        assert server.counters.handshakes_refused == {"fault": 5}
        assert capsys.readouterr().out.count("quic_engine_fault") == 1
        server.counters.engine_faults.clear()
        await assert_served(server, good, near, far)


async def test_strangers_are_logged_once_for_each_kind_with_their_address(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A log that each stranger may lengthen is a disk that strangers fill."""
    async with besieged() as (server, good, near, far, stranger):
        flight = (await answered_flights(stranger, server, count=1))[0][0]
        for _ in range(3):
            client = a_client()
            client.connect(server.address, now_s=trio.current_time())
            await stranger.converse(client, rounds=30)
            stranger.send(flight[:1000], flight[:6] + bytes(8) + flight[14:], flight[:1] * 1200)
        await until(lambda: server.counters.datagrams_dropped["other_version"] == 3)
        lines = [line for line in capsys.readouterr().out.splitlines() if "[warn" in line]
        await assert_served(server, good, near, far)
    address = f"address={stranger.udp.address}"
    assert all(address in line for line in lines), lines
    for event, kind in (
        ("handshake_refused", "unknown_key"),
        ("datagram_dropped", "short_initial"),
        ("datagram_dropped", "bad_token"),
        ("datagram_dropped", "other_version"),
    ):
        assert len([line for line in lines if event in line and f"kind={kind}" in line]) == 1
    assert len(lines) == 4


async def answered_flights(
    stranger: Stranger, server: Endpoint, *, count: int
) -> list[list[bytes]]:
    """Return first flights that bear valid tokens, each of another client."""
    flights = []
    for _ in range(count):
        client = a_client()
        client.connect(server.address, now_s=trio.current_time())
        send_out(stranger, client)
        retry = (await stranger.answers())[0]
        take_in(client, retry, server.address)
        flights.append([data for data, _ in client.transmit(now_s=trio.current_time())])
        # The second datagram of the first flight has got a Retry of its own: leave it.
        while stranger.udp.receive() is not None:
            pass
    return flights


def spoiled_flights(chance: random.Random, with_token: list[list[bytes]]) -> Iterator[bytes]:
    """Yield garbage, and real first packets cut, spoiled, repeated, with tokens and without."""
    client = a_client()
    client.connect(("127.0.0.1", 9), now_s=0.0)
    without_token = client.transmit(now_s=0.0)[0][0]
    while True:
        base = chance.choice((without_token, *chance.choice(with_token)))
        match chance.randrange(6):
            case 0:
                yield chance.randbytes(chance.randrange(1, 1452))
            case 1:
                yield bytes([0xC0 | chance.randrange(64)]) + b"\0\0\0\1" + chance.randbytes(1400)
            case 2:
                yield base[: chance.randrange(1, len(base))]
            case 3:
                yield mutated(base, chance)
            case 4:  # another connection id each time: a new beginning, if the token held for it
                yield base[:6] + chance.randbytes(8) + base[14:]
            case _:
                yield base


async def send_flood(
    stranger: Stranger, server: Endpoint, flood: Iterator[bytes], *, count: int
) -> None:
    """Send so many, at a pace at which the kernel drops few."""
    for sent in range(count):
        stranger.send(next(flood))
        if sent % 50 == 49:
            expected = server.counters.datagrams_in + 1
            await until(lambda expected=expected: server.counters.datagrams_in >= expected)  # type: ignore[misc]


def memory_bytes() -> int:
    """Return the resident memory of this process (proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
