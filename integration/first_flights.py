"""A flood of spoiled first flights, at the pace at which a node reads them.

They are made from flights of the product's own client. A seed fixes each choice and each change;
keys, ids and tokens are of the moment.
"""

import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

import trio
from aioquic.buffer import Buffer, encode_uint_var  # type: ignore[attr-defined]
from aioquic.quic.packet import pull_quic_header

from cretonode.network.admission import INITIAL_DATAGRAM_BYTES_MIN, destination_untrusted
from cretonode.network.aioquic_engine import CONNECTION_ID_BYTES, AioquicEngine
from cretonode.network.quic_engine import SocketAddress
from cretonode.network.settings import DATAGRAM_BYTES
from cretonode.network.udp import UdpSocket, open_udp
from integration.strangers import HOSTS, own_client

SOCKETS: Final = 64  # source ports
SOCKET_BUFFER_BYTES: Final = 64 * 1024
BURST: Final = 40  # datagrams before the node has to have read them
CROWD: Final = 240  # clients that begin at once: more than the bounds for a host and for all
CROWD_HOSTS: Final = 2
TOKENS: Final = 20  # genuine ones to spoil, at a time
TOKENS_FOR: Final = 1_000  # datagrams: a token is worth something for 30 s
ANSWER_S: Final = 0.5
PATIENCE_S: Final = 20.0
VERSION_1: Final = b"\0\0\0\1"
OTHER_VERSIONS: Final = (0, 2, 0x6B3343CF, 0xFF00001D, 0xBABABABA)  # negotiation, v2, a draft

Flight: TypeAlias = tuple[UdpSocket, bytes]


@asynccontextmanager
async def open_flood(target: SocketAddress, *, seed: int) -> AsyncGenerator["Flood"]:
    """Yield a flood on `target`, and close its sockets in the end."""
    sockets: list[UdpSocket] = []
    try:
        for number in range(SOCKETS):
            host = HOSTS[number % len(HOSTS)]
            sockets.append(open_udp((host, 0), buffer_bytes=SOCKET_BUFFER_BYTES))
        yield Flood(target, sockets, random.Random(seed))
    finally:
        for each in sockets:
            each.close()


class Flood:
    """`sent` counts what was sent, by kind."""

    def __init__(
        self, target: SocketAddress, sockets: Sequence[UdpSocket], chance: random.Random
    ) -> None:
        self.sent: Counter[str] = Counter()
        self._target = target
        self._sentry, *self._sockets = sockets
        self._chance = chance
        self._plain = [first_flight(target)[1] for _ in range(TOKENS)]  # without a token
        self._answered: list[Flight] = []  # from where they must come: with a valid token
        self._kinds = (
            self._noise,
            self._noise_like_an_initial,
            self._genuine_and_never_answered,
            self._genuine_and_spoiled,
            self._of_another_version,
            self._with_a_made_up_token,
            self._with_a_spoiled_token,
            self._with_the_token_of_another_port,
            self._with_the_token_of_another_id,
            self._with_its_token_again_and_again,
            self._with_its_token_and_spoiled,
        )

    async def send(self, count: int) -> None:
        """Send so many, a crowd of them at once; return when the node has read the last."""
        assert count > CROWD, count
        await self._send_crowd()
        for number in range(count - CROWD):
            if number % TOKENS_FOR == 0:
                self._answered = [await self._answer(self._anywhere()) for _ in range(TOKENS)]
            kind = self._chance.choice(self._kinds)
            self._send_one(kind.__name__.strip("_"), kind())
            if number % BURST == BURST - 1:
                await self._until_read()
        await self._until_read()

    async def _send_crowd(self) -> None:
        """Begin as many handshakes as the node lets us, and finish none."""
        near = [udp for udp in self._sockets if udp.address[0] in HOSTS[:CROWD_HOSTS]]
        crowd = [await self._answer(self._chance.choice(near)) for _ in range(CROWD)]
        for flight in crowd:
            self._send_one("with_its_token", flight)
        await self._until_read()

    def _send_one(self, kind: str, flight: Flight) -> None:
        udp, datagram = flight
        udp.send([(datagram, self._target)])
        self.sent[kind] += 1

    # --- kinds

    def _noise(self) -> Flight:
        return self._anywhere(), self._chance.randbytes(self._chance.randrange(1, DATAGRAM_BYTES))

    def _noise_like_an_initial(self) -> Flight:
        first = bytes([0xC0 | self._chance.randrange(16)])
        size = self._chance.randrange(INITIAL_DATAGRAM_BYTES_MIN, DATAGRAM_BYTES)
        return self._anywhere(), first + VERSION_1 + self._chance.randbytes(size)

    def _genuine_and_never_answered(self) -> Flight:
        return self._anywhere(), self._some_plain()

    def _genuine_and_spoiled(self) -> Flight:
        return self._anywhere(), spoiled(self._some_plain(), self._chance)

    def _of_another_version(self) -> Flight:
        plain = self._some_plain()
        version = self._chance.choice((*OTHER_VERSIONS, self._chance.randrange(3, 1 << 32)))
        return self._anywhere(), plain[:1] + version.to_bytes(4, "big") + plain[5:]

    def _with_a_made_up_token(self) -> Flight:
        token = self._chance.randbytes(self._chance.randrange(1, 120))
        return self._anywhere(), with_token(self._some_plain(), token)

    def _with_a_spoiled_token(self) -> Flight:
        udp, datagram = self._some_answered()
        token = pull_quic_header(Buffer(data=datagram), CONNECTION_ID_BYTES).token
        return udp, with_token(self._some_plain(), spoiled(token, self._chance))

    def _with_the_token_of_another_port(self) -> Flight:
        return self._anywhere(), self._some_answered()[1]

    def _with_the_token_of_another_id(self) -> Flight:
        udp, datagram = self._some_answered()
        return udp, datagram[:6] + self._chance.randbytes(8) + datagram[14:]

    def _with_its_token_again_and_again(self) -> Flight:
        return self._some_answered()

    def _with_its_token_and_spoiled(self) -> Flight:
        udp, datagram = self._some_answered()
        return udp, spoiled(datagram, self._chance)

    def _anywhere(self) -> UdpSocket:
        return self._chance.choice(self._sockets)

    def _some_plain(self) -> bytes:
        return self._chance.choice(self._plain)

    def _some_answered(self) -> Flight:
        return self._chance.choice(self._answered)

    # --- what the node says

    async def _answer(self, udp: UdpSocket) -> Flight:
        """Return the first datagram of a client that has got a Retry and bears its token."""
        client, plain = first_flight(self._target)
        with trio.fail_after(PATIENCE_S):
            client.receive_untrusted(
                await self._retry_for(udp, plain), self._target, now_s=trio.current_time()
            )
        return udp, client.transmit(now_s=trio.current_time())[0][0]

    async def _until_read(self) -> None:
        """Return when the node has read all so far: it answers what comes after."""
        with trio.fail_after(PATIENCE_S):
            await self._retry_for(self._sentry, first_flight(self._target)[1])

    async def _retry_for(self, udp: UdpSocket, plain: bytes) -> bytes:
        """Send a flight that is in order until its Retry comes, and return that."""
        ours = pull_quic_header(Buffer(data=plain), CONNECTION_ID_BYTES).source_cid
        while True:
            udp.send([(plain, self._target)])
            with trio.move_on_after(ANSWER_S):
                while True:
                    await udp.wait_readable()
                    received = udp.receive()
                    for datagram in received.datagrams if received else ():
                        # Answers to the flood come here too; an id is of one client.
                        if destination_untrusted(datagram) == ours:
                            return datagram


def first_flight(target: SocketAddress) -> tuple[AioquicEngine, bytes]:
    """Return a new client of ours and the first datagram that it sends."""
    client = own_client()
    client.connect(target, now_s=trio.current_time())
    return client, client.transmit(now_s=trio.current_time())[0][0]


def with_token(plain: bytes, token: bytes) -> bytes:
    """Return a first packet that bears `token`. Source: RFC 9000, section 17.2.2."""
    scid_at = 6 + plain[5]
    token_at = scid_at + 1 + plain[scid_at]
    assert plain[token_at] == 0, "it bears one already"
    return plain[:token_at] + encode_uint_var(len(token)) + token + plain[token_at + 1 :]


def spoiled(data: bytes, chance: random.Random) -> bytes:
    """Return `data` with a few bytes changed, cut short, grown, or with a part of it twice."""
    spot = chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            changed = bytearray(data)
            for _ in range(chance.choice((1, 1, 2, 8))):
                near_the_front = chance.random() < 0.5
                at = chance.randrange(min(len(data), 60) if near_the_front else len(data))
                changed[at] ^= chance.randrange(1, 256)
            return bytes(changed)
        case 1:
            return data[: spot + 1]
        case 2:
            return data + chance.randbytes(chance.randrange(1, 400))
        case _:
            return data[: spot + 1] + data[max(0, spot - 40) :]


def datagrams_lost(port: int) -> int:
    """Return how many datagrams the kernel has dropped at a bound port. Source: proc(5)."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            return int(fields[-1])
    raise AssertionError(f"nothing is bound to UDP port {port}")
