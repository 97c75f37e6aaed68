"""Clients that a node must refuse: each does all but one thing as a validator does."""

import os
import ssl
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import pytest
import trio
from aioquic import tls
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from cretonode.cli.layout import NodeFiles
from cretonode.crypto import keystore
from cretonode.network.aioquic_engine import AioquicEngine, EngineSettings, make_client
from cretonode.network.certificate import Credentials, make_credentials
from cretonode.network.frames import Priority
from cretonode.network.quic_engine import Closed, Datagram, Established, SocketAddress
from cretonode.network.settings import DATAGRAM_BYTES, STREAM_WINDOW_BYTES
from cretonode.network.tls import ALPN
from cretonode.network.udp import UdpSocket

# Not the host of the nodes: a node counts the handshakes of each host, and theirs are not ours.
HOSTS: Final = ("127.66.0.1", "127.66.0.2", "127.66.0.3", "127.66.0.4")
STRANGER: Final = make_credentials(MLDSA87PrivateKey.generate())  # of no genesis
DIAL_S: Final = 20.0


class Client(Protocol):
    """A QUIC client without a socket. Satisfied by `AioquicEngine` and `ClassicalClient`."""

    def connect(self, address: SocketAddress, *, now_s: float) -> None: ...
    def receive_untrusted(
        self, datagram: bytes, address: SocketAddress, *, now_s: float
    ) -> None: ...
    def transmit(self, *, now_s: float) -> list[Datagram]: ...
    def timer_s(self) -> float | None: ...
    def handle_timer(self, *, now_s: float) -> None: ...
    def events(self) -> Sequence[object]: ...


class ClassicalClient:
    """Stock aioquic: X25519 or P-256, and Ed25519, ECDSA or RSA. It asks for our protocol."""

    def __init__(self) -> None:
        self._quic = QuicConnection(
            configuration=QuicConfiguration(
                is_client=True, alpn_protocols=[ALPN], verify_mode=ssl.CERT_NONE
            )
        )

    def connect(self, address: SocketAddress, *, now_s: float) -> None:
        self._quic.connect(address, now_s)

    def receive_untrusted(self, datagram: bytes, address: SocketAddress, *, now_s: float) -> None:
        self._quic.receive_datagram(datagram, address, now_s)

    def transmit(self, *, now_s: float) -> list[Datagram]:
        datagrams: list[Datagram] = self._quic.datagrams_to_send(now_s)
        return datagrams

    def timer_s(self) -> float | None:
        return self._quic.get_timer()

    def handle_timer(self, *, now_s: float) -> None:
        self._quic.handle_timer(now_s)

    def events(self) -> list[ConnectionTerminated]:
        # Its own event for this comes only after three more time-outs.
        return [] if self._quic._close_event is None else [self._quic._close_event]


def own_client(credentials: Credentials = STRANGER) -> AioquicEngine:
    """Return the product's own client."""

    def fail(where: str, error: Exception) -> None:
        raise AssertionError(f"the client raised in {where}") from error

    return make_client(
        EngineSettings(
            credentials=credentials,
            authorize=lambda _: True,
            datagram_bytes=DATAGRAM_BYTES,
            streams_max=len(Priority),
            stream_window_bytes=STREAM_WINDOW_BYTES,
            idle_timeout_ms=30_000,
            on_fault=fail,
        )
    )


def credentials_of(node: NodeFiles) -> Credentials:
    """Return what a node of this machine shows its peers."""
    secret = keystore.load(node.directory / "keys", None)
    return make_credentials(MLDSA87PrivateKey.from_seed_bytes(secret.reveal_mldsa_seed()))


def thief(holder: NodeFiles, named: NodeFiles) -> AioquicEngine:
    """Return a client that shows the certificate of one validator and holds another's key."""
    mine, theirs = credentials_of(holder), credentials_of(named)
    return own_client(Credentials(mine.key, theirs.certificate, theirs.node_id))


@contextmanager
def without_mlkem() -> Generator[None]:
    """Let the product's clients offer X25519 alone, and everything else as ever."""
    original = tls.push_client_hello

    def push(buf: Buffer, hello: tls.ClientHello) -> None:
        hello.key_share = [(tls.Group.X25519, os.urandom(32))]
        hello.supported_groups = [tls.Group.X25519]
        original(buf, hello)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tls, "push_client_hello", push)
        yield


async def refusal_of(client: Client, udp: UdpSocket, target: SocketAddress) -> str:
    """Dial, and return the reason that the node gives for closing the connection.

    Raises: AssertionError, when it lets the client in. trio.TooSlowError.
    """
    client.connect(target, now_s=trio.current_time())
    with trio.fail_after(DIAL_S):
        while True:
            udp.send(client.transmit(now_s=trio.current_time()))
            for event in client.events():
                match event:
                    case Established():
                        raise AssertionError("the node let a stranger in")
                    case Closed(reason=reason, by_peer=by_peer):
                        assert by_peer, f"our client ended it: {reason}"
                        return reason
                    case ConnectionTerminated(reason_phrase=reason):
                        return str(reason)
                    case _:
                        pass
            await _receive(client, udp, target)


async def _receive(client: Client, udp: UdpSocket, target: SocketAddress) -> None:
    """Take in what comes, or do what was due when nothing came in time."""
    timer_s = client.timer_s()
    with trio.CancelScope(deadline=float("inf") if timer_s is None else timer_s) as scope:
        await udp.wait_readable()
    if scope.cancelled_caught:
        client.handle_timer(now_s=trio.current_time())
        return
    received = udp.receive()
    for datagram in received.datagrams if received else ():
        client.receive_untrusted(datagram, target, now_s=trio.current_time())
