import random
import threading
from pathlib import Path

import pytest
import trio

from cretonode.errors import BadSignature, ConnectionLost, NetworkError
from cretonode.limits import FRAME_BYTES_MAX
from cretonode.network.connection import Connection
from cretonode.network.endpoint import Endpoint
from cretonode.network.frames import Priority
from cretonode.network.inbound import CONNECTION_BYTES_MAX
from cretonode.network.quic_engine import SocketAddress
from cretonode.network.settings import NetworkSettings
from cretonode.network.udp import open_udp
from tests.network.nodes import DIAL_MS, IDS, KEYS, address_of, joined, opened, pair, until

SIZES = [0, 1, 1000, 8_900, 70_000, FRAME_BYTES_MAX - 1, FRAME_BYTES_MAX]


async def send_all(connection: Connection, frames: list[tuple[Priority, bytes]]) -> None:
    for priority, frame in frames:
        while not connection.offer(priority, frame):
            assert connection.is_established
            await connection.wait_drained(priority)


async def test_frames_of_all_sizes_and_classes_cross_in_both_directions() -> None:
    chance = random.Random(1)
    frames = [(priority, chance.randbytes(size)) for size in SIZES for priority in Priority]

    async def exchange(connection: Connection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, connection, frames)
            received = [await connection.receive() for _ in frames]
        for priority in Priority:
            expected = [f for p, f in frames if p is priority]
            assert [f for p, f in received if p is priority] == expected

    async with pair() as (near, far), trio.open_nursery() as nursery:
        nursery.start_soon(exchange, near)
        nursery.start_soon(exchange, far)


async def test_a_connection_knows_both_ends() -> None:
    async with opened(0) as zero, opened(1) as one:
        near, far = await joined(zero, one)
        assert (near.peer, far.peer) == (IDS[1], IDS[0])
        assert (near.address, far.address) == (one.address, zero.address)
        assert near.is_client
        assert not far.is_client
        near.offer(Priority.VOTES, b"ping")
        assert await far.receive() == (Priority.VOTES, b"ping")
        await until(lambda: near.backlog_bytes == 0)
        assert near.round_trip_ms > 0
        assert zero.counters.handshakes_completed == one.counters.handshakes_completed == 1
        assert one.counters.retries_sent >= 1
        assert one.counters.bytes_in >= zero.counters.bytes_out > 0


async def test_votes_overtake_a_bulk_transfer() -> None:
    async with pair() as (near, far):
        for _ in range(3):
            assert near.offer(Priority.BULK, bytes(FRAME_BYTES_MAX))
        assert near.offer(Priority.VOTES, b"aye")
        assert await far.receive() == (Priority.VOTES, b"aye")
        assert near.queued_bytes(Priority.BULK) > FRAME_BYTES_MAX


async def test_a_slow_reader_is_waited_for_and_holds_a_bounded_amount() -> None:
    async with pair() as (near, far):
        sent = 0
        with trio.move_on_after(0.5):
            while True:
                sent += near.offer(Priority.BULK, bytes(500_000))
                await near.wait_drained(Priority.BULK)
        assert far.inbound_bytes <= CONNECTION_BYTES_MAX
        assert not near.closed.is_set()
        for _ in range(sent):
            assert await far.receive() == (Priority.BULK, bytes(500_000))


async def test_a_key_that_is_not_on_the_list_is_refused_and_counted() -> None:
    async with opened(0) as stranger, opened(1, authorize=lambda _: False) as server:
        with pytest.raises(BadSignature, match="key_refused"):
            await stranger.connect(address_of(server), IDS[1], dial_timeout_ms=DIAL_MS)
        assert server.counters.handshakes_refused == {"unknown_key": 1}
        assert stranger.counters.handshakes_refused == {"key_refused": 1}
        assert server.connections_open == server.routes == 0
        assert stranger.connections_open == stranger.routes == 0


async def test_another_key_than_expected_is_refused_and_both_sides_know_why() -> None:
    """Two operators have swapped their keys, or their addresses."""
    async with opened(0) as dialler, opened(1) as server:
        with pytest.raises(BadSignature, match=r"unknown_key.*not the one dialled"):
            await dialler.connect(address_of(server), IDS[2], dial_timeout_ms=DIAL_MS)
        await until(lambda: server.counters.handshakes_refused == {"key_refused": 1})


async def test_dialling_an_address_where_nobody_is_times_out() -> None:
    async with opened(0, settings=NetworkSettings(handshake_ms_max=60_000)) as dialler:
        async with opened(1) as gone:
            address = address_of(gone)
        with pytest.raises(trio.TooSlowError):
            await dialler.connect(address, IDS[1], dial_timeout_ms=100)
        await until(lambda: dialler.connections_open == 0)
        assert dialler.routes == 0
        with pytest.raises(ConnectionLost, match="no address"):
            await dialler.connect(("::1", 1), IDS[1], dial_timeout_ms=DIAL_MS)


async def test_closing_an_endpoint_says_goodbye_to_its_peers() -> None:
    async with opened(1) as server:
        async with opened(0) as client:
            near, far = await joined(client, server)
            near.offer(Priority.VOTES, b"last words")
        assert await far.receive() == (Priority.VOTES, b"last words")
        with pytest.raises(ConnectionLost, match="goodbye: the node stops"):
            await far.receive()
        with pytest.raises(ConnectionLost):
            await near.receive()


async def test_closing_an_endpoint_leaves_nothing_behind() -> None:
    """Even when it is cancelled in the middle of a transfer and of a dial."""
    silent = open_udp(("127.0.0.1", 0), buffer_bytes=1 << 16)
    files, threads = files_open(), threading.active_count()
    tasks = tasks_running()
    with trio.CancelScope() as scope:
        async with opened(1) as server, opened(0) as client, trio.open_nursery() as nursery:
            near, _ = await joined(client, server)
            near.offer(Priority.BULK, bytes(FRAME_BYTES_MAX))
            nursery.start_soon(server.accept)
            nursery.start_soon(near.receive)
            nursery.start_soon(dial_nobody, client, silent.address)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert files_open() == files
    silent.close()
    assert threading.active_count() == threads
    assert tasks_running() == tasks
    assert client.connections_open == client.routes == 0
    assert server.connections_open == server.routes == 0


async def test_the_port_is_free_again_at_once() -> None:
    async with opened(0) as first:
        port = first.address[1]
    async with opened(0, port=port) as second:
        assert second.address[1] == port
        with pytest.raises(ExceptionGroup) as raised:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(enter, port)
        assert raised.group_contains(NetworkError, match="cannot listen on")


async def test_connections_that_nobody_accepts_are_bounded() -> None:
    settings = NetworkSettings(accept_queue_max=2)
    async with opened(0) as client, opened(1, settings=settings) as server:
        for _ in range(2):
            await client.connect(address_of(server), IDS[1], dial_timeout_ms=DIAL_MS)
        for _ in range(3):
            with pytest.raises(ConnectionLost, match="nobody accepts"):
                await connect_and_receive(client, server)
        assert server.connections_open == 2
        assert (await server.accept()).is_established


async def test_inbound_connections_are_bounded() -> None:
    settings = NetworkSettings(inbound_max=2)
    async with opened(0) as client, opened(1, settings=settings) as server:
        first, _ = await joined(client, server)
        await joined(client, server)
        with pytest.raises(trio.TooSlowError):
            await client.connect(address_of(server), IDS[1], dial_timeout_ms=300)
        assert server.counters.datagrams_dropped["full"] >= 1
        first.close("making room")
        await joined(client, server)


async def test_a_connection_survives_its_neighbours_end() -> None:
    async with opened(0) as zero, opened(2) as two, opened(1) as hub:
        to_zero, _ = await joined(zero, hub)
        to_two, hub_to_two = await joined(two, hub)
        to_zero.close("enough")
        to_two.offer(Priority.VERTICES, b"still here")
        assert await hub_to_two.receive() == (Priority.VERTICES, b"still here")


async def test_without_the_kernels_batching_all_works_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cretonode.network.udp._has_gso", lambda _: False)
    monkeypatch.setattr("cretonode.network.udp._enable_gro", lambda _: False)
    async with pair() as (near, far):
        near.offer(Priority.BULK, bytes(FRAME_BYTES_MAX))
        assert await far.receive() == (Priority.BULK, bytes(FRAME_BYTES_MAX))


async def test_datagrams_of_internet_size_carry_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cretonode.network.endpoint.is_loopback", lambda _: False)
    async with pair() as (near, far):
        near.offer(Priority.BULK, bytes(FRAME_BYTES_MAX))
        assert await far.receive() == (Priority.BULK, bytes(FRAME_BYTES_MAX))


async def connect_and_receive(client: Endpoint, server: Endpoint) -> None:
    connection = await client.connect(address_of(server), IDS[1], dial_timeout_ms=DIAL_MS)
    await connection.receive()


async def dial_nobody(client: Endpoint, address: SocketAddress) -> None:
    await client.connect((address[0], address[1]), IDS[2], dial_timeout_ms=DIAL_MS)


async def enter(port: int) -> None:
    async with opened(1, port=port):
        pass


def files_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def tasks_running() -> int:
    statistics = trio.lowlevel.current_statistics()
    return statistics.tasks_living


def test_the_keys_of_these_tests_are_in_order() -> None:
    assert sorted(IDS) == IDS
    assert len(KEYS) == len(set(IDS)) == 4
