"""A validator's key in hostile hands below the protocol: streams of frames that no node sends.

`python -m chaos.frames start --config node.toml` dials every other validator of its genesis, says
hello and, from SIGUSR1 on, floods: frames over the limit, whole ones of garbage, more small ones
than the rate allows, ones that never end. When a node closes the connection it dials again.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Final, Never

import click
import structlog
import trio
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from cretonode.cli.base import reported
from cretonode.config.load import load
from cretonode.config.schema import Config
from cretonode.core.messages import Status
from cretonode.identifiers import AuthorIndex, SequenceNumber, View
from cretonode.limits import FRAME_BYTES_MAX
from cretonode.network.aioquic_engine import AioquicEngine, EngineSettings, make_client
from cretonode.network.certificate import make_credentials
from cretonode.network.frames import LENGTH_BYTES, Priority, frame_header
from cretonode.network.quic_engine import Closed, Established, SocketAddress
from cretonode.network.settings import DATAGRAM_BYTES_LOOPBACK, STREAM_WINDOW_BYTES
from cretonode.network.udp import UdpSocket, open_udp
from cretonode.node.host import end_with_parent
from cretonode.node.node import Identity, identify
from cretonode.observability.logs import configure
from cretonode.wire.frames import pack_frames
from cretonode.wire.hello import encode_hello, hello_of
from cretonode.wire.messages import encode_message

BEGIN: Final = signal.SIGUSR1
UNSENT_BYTES_MAX: Final = 512 * 1024
PAUSE_S: Final = 0.01
REDIAL_S: Final = 0.2
REPORT_S: Final = 1.0
LIFE_S: Final = 5.0  # of a connection that the node does not close

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

Flood = Iterator[bytes]  # what goes on the stream of votes, piece by piece, for ever


def over_the_limit() -> Flood:
    """Announce a frame of more than the most bytes."""
    while True:
        yield (FRAME_BYTES_MAX + 1).to_bytes(LENGTH_BYTES, "big") + bytes(65_536)


def garbage() -> Flood:
    """Send frames of as many bytes as are allowed, with nothing in them that can be read."""
    while True:
        yield frame_header(bytes(FRAME_BYTES_MAX))
        for _ in range(FRAME_BYTES_MAX // 65_536):
            yield bytes(65_536)


def empty() -> Flood:
    """Send as many frames as bytes allow: without any content."""
    while True:
        yield bytes(LENGTH_BYTES) * 1_024


def endless() -> Flood:
    """Announce a long frame, send nearly all of it, and never the rest."""
    yield FRAME_BYTES_MAX.to_bytes(LENGTH_BYTES, "big")
    for _ in range(FRAME_BYTES_MAX // 65_536 - 1):
        yield bytes(65_536)
    while True:
        yield b""


def too_many(identity: Identity) -> Flood:
    """Send what every node sends, a status, a hundred times as often."""
    status = Status(
        view=View(0),
        has_base=True,
        final=SequenceNumber(0),
        stable=SequenceNumber(0),
        slots=(),
        newest=tuple(AuthorIndex(0) for _ in range(identity.committee.size)),
    )
    (frame,) = pack_frames([encode_message(status)], FRAME_BYTES_MAX)
    while True:
        yield (frame_header(frame) + frame) * 100


class Attack:
    """One flooder; counts what it sent, and how often it was thrown out."""

    def __init__(self, config: Config) -> None:
        """Take the validator's key."""
        self.identity = identify(config)
        self.acts = 0
        self.closed = 0
        self._credentials = make_credentials(
            MLDSA87PrivateKey.from_seed_bytes(self.identity.secret.reveal_mldsa_seed())
        )
        self._hello = encode_hello(hello_of(self.identity.committee, "cretonode frames"))

    async def run(self) -> Never:
        """Flood every other validator from the signal on."""
        with trio.open_signal_receiver(BEGIN) as signals:
            log.info("running", meaning="waits for its signal")
            await anext(aiter(signals))
            async with trio.open_nursery() as nursery:
                for index, validator in enumerate(self.identity.genesis.validators):
                    if index != self.identity.me:
                        address = validator.address
                        nursery.start_soon(self._flood, (address.host, address.port))
                while True:
                    await trio.sleep(REPORT_S)
                    log.info("lied", acts=self.acts, closed=self.closed)

    async def _flood(self, target: SocketAddress) -> Never:
        kinds: tuple[Callable[[], Flood], ...] = (
            over_the_limit,
            garbage,
            empty,
            endless,
            lambda: too_many(self.identity),
        )
        for kind in cycle(kinds):
            with closing(open_udp(("127.0.0.1", 0), buffer_bytes=1 << 20)) as udp:
                with trio.move_on_after(LIFE_S):
                    await self._one(udp, target, kind())
            await trio.sleep(REDIAL_S)
        raise AssertionError("a cycle has no end")

    async def _one(self, udp: UdpSocket, target: SocketAddress, flood: Flood) -> None:
        """Flood one connection until the node closes it."""
        engine = make_client(
            EngineSettings(
                credentials=self._credentials,
                authorize=lambda _: True,
                datagram_bytes=DATAGRAM_BYTES_LOOPBACK,
                streams_max=len(Priority),
                stream_window_bytes=STREAM_WINDOW_BYTES,
                idle_timeout_ms=30_000,
                on_fault=lambda where, error: log.warning("fault", where=where, error=repr(error)),
            )
        )
        engine.connect(target, now_s=trio.current_time())
        stream = None
        while True:
            for event in engine.events():
                match event:
                    case Established():
                        stream = engine.open_stream()
                        hello = frame_header(self._hello) + self._hello
                        engine.write(stream, bytes([Priority.VOTES]) + hello)
                    case Closed():
                        self.closed += 1
                        return
                    case _:
                        pass
            if stream is not None:
                while engine.backlog(stream).unsent < UNSENT_BYTES_MAX and (piece := next(flood)):
                    engine.write(stream, piece)
                    self.acts += 1
            await _pump(engine, udp, target)


async def _pump(engine: AioquicEngine, udp: UdpSocket, target: SocketAddress) -> None:
    """Send what the engine wants sent; take in what comes within a moment."""
    udp.send(engine.transmit(now_s=trio.current_time()))
    with trio.move_on_after(PAUSE_S):
        await udp.wait_readable()
    while (received := udp.receive()) is not None:
        for datagram in received.datagrams:
            engine.receive_untrusted(datagram, target, now_s=trio.current_time())
    timer_s = engine.timer_s()
    if timer_s is not None and timer_s <= trio.current_time():
        engine.handle_timer(now_s=trio.current_time())


@click.command()
@click.argument("command", type=click.Choice(["start"]))
@click.option("--with-parent", is_flag=True, help="Stop when the process that started this ends.")
@click.option("--config", "config_path", type=click.Path(path_type=Path, dir_okay=False))
@reported
def main(
    command: str,  # noqa: ARG001  so that its command line ends as that of a node
    config_path: Path | None,
    *,
    with_parent: bool,
) -> None:
    """Flood the other validators with frames from SIGUSR1 on."""
    if with_parent:
        end_with_parent()
    config = load(config_path, environment=os.environ, flags={})
    configure(config.node.log_level, config.node.log_format)
    trio.run(Attack(config).run)


if __name__ == "__main__":
    main()
