"""Real endpoints on the loopback device, and what happened at them."""

import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import trio
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from cretonode.identifiers import NodeId
from cretonode.network.certificate import node_id_of
from cretonode.network.connection import Connection
from cretonode.network.endpoint import Endpoint, open_endpoint
from cretonode.network.frames import Priority
from cretonode.network.peers import Peers
from cretonode.network.settings import NetworkSettings, PeerSettings

LOOPBACK = ("127.0.0.1", 0)
DIAL_MS = 10_000
KEYS = sorted(
    (MLDSA87PrivateKey.generate() for _ in range(4)), key=lambda k: node_id_of(k.public_key())
)
IDS = [node_id_of(key.public_key()) for key in KEYS]  # ascending: 0 dials 1


def opened(
    index: int,
    *,
    authorize: Callable[[NodeId], bool] = IDS.__contains__,
    settings: NetworkSettings | None = None,
    port: int = 0,
) -> AbstractAsyncContextManager[Endpoint]:
    """Return the endpoint of the key with this index, to be entered."""
    return open_endpoint(
        bind=("127.0.0.1", port), key=KEYS[index], authorize=authorize, settings=settings
    )


@asynccontextmanager
async def several(count: int) -> AsyncGenerator[list[Endpoint]]:
    """Yield endpoints of the first `count` keys."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(i)) for i in range(count)]


def address_of(endpoint: Endpoint) -> tuple[str, int]:
    return endpoint.address[0], endpoint.address[1]


@asynccontextmanager
async def pair(
    *, settings: NetworkSettings | None = None
) -> AsyncGenerator[tuple[Connection, Connection]]:
    """Yield both ends of a connection from node 0 to node 1."""
    async with opened(0, settings=settings) as near, opened(1, settings=settings) as far:
        yield await joined(near, far)


async def joined(near: Endpoint, far: Endpoint) -> tuple[Connection, Connection]:
    dialled = await near.connect(address_of(far), far.node_id, dial_timeout_ms=DIAL_MS)
    return dialled, await far.accept()


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition that has no event of its own holds."""
    with trio.fail_after(20):
        while not condition():  # noqa: ASYNC110 counters tell nobody when they change
            await trio.sleep(0.005)


class Record:
    """Satisfies PeerEvents: remembers all, and lets a test wait for it."""

    def __init__(self) -> None:
        self.connected: list[NodeId] = []
        self.lost: list[tuple[NodeId, str]] = []
        self.frames: list[tuple[NodeId, Priority, bytes]] = []
        self.refuse: Exception | None = None
        self._changed = trio.Event()

    def on_connected(self, peer: NodeId) -> None:
        self.connected.append(peer)
        self._change()

    def on_lost(self, peer: NodeId, reason: str) -> None:
        self.lost.append((peer, reason))
        self._change()

    async def on_frame(self, peer: NodeId, priority: Priority, frame: bytes) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.frames.append((peer, priority, frame))
        self._change()

    async def until(self, condition: Callable[["Record"], bool]) -> None:
        with trio.fail_after(20):
            while not condition(self):
                await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


QUICK = PeerSettings(
    fallback_dial_ms=100, backoff_ms_first=1, backoff_ms_max=20, takeover_silence_ms=200
)


def new_peers(
    endpoint: Endpoint,
    addresses: Mapping[NodeId, tuple[str, int]],
    record: Record,
    settings: PeerSettings = QUICK,
) -> Peers:
    return Peers(
        endpoint=endpoint,
        addresses=addresses,
        events=record,
        jitter=random.Random(7).random,
        settings=settings,
    )
