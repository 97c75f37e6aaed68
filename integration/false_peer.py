"""A validator that says whatever the test wants: its real key, real QUIC, and no node behind it."""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import trio
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from cretonode.cli.layout import GENESIS_FILE, NodeFiles
from cretonode.cli.ports import LOOPBACK
from cretonode.config.genesis import Genesis, read
from cretonode.core.messages import Statement
from cretonode.core.statements import statement_of
from cretonode.crypto import keystore
from cretonode.crypto.signatures import SecretKey, Signer
from cretonode.identifiers import NodeId, ValidatorIndex
from cretonode.limits import FRAME_BYTES_MAX
from cretonode.network.endpoint import open_endpoint
from cretonode.network.frames import Priority
from cretonode.network.peers import Peers
from cretonode.network.settings import PeerSettings
from cretonode.wire.frames import pack_frames
from cretonode.wire.hello import encode_hello, hello_of

S = TypeVar("S", bound=Statement)
PATIENCE_S = 20.0
# It comes back at once, whatever it was told.
EAGER = PeerSettings(fallback_dial_ms=100, backoff_ms_first=20, backoff_ms_max=100, refused_ms=200)


@dataclass
class FalsePeer:
    """Satisfies `network.peers.PeerEvents`. Made by `open_false_peer`."""

    genesis: Genesis
    me: ValidatorIndex
    secret: SecretKey
    peers: Peers | None = None
    connected: set[NodeId] = field(default_factory=set)
    lost: list[tuple[NodeId, str]] = field(default_factory=list)
    _changed: trio.Event = field(default_factory=trio.Event)

    def on_connected(self, peer: NodeId) -> None:
        assert self.peers is not None
        hello = encode_hello(hello_of(self.genesis.committee(), "a false peer"))
        self.peers.offer(peer, Priority.VOTES, hello)
        self.connected.add(peer)
        self._change()

    def on_lost(self, peer: NodeId, reason: str) -> None:
        self.connected.discard(peer)
        self.lost.append((peer, reason))
        self._change()

    async def on_frame(self, peer: NodeId, priority: Priority, frame: bytes) -> None:
        """Listen to nobody."""

    def id_of(self, index: int) -> NodeId:
        return self.genesis.validators[index].public_key.node_id

    def signed(self, statement: S) -> S:
        """Return `statement` with a true signature."""
        signer = Signer(self.genesis.crypto_mode, self.secret)
        signature = signer.sign(statement_of(self.genesis.committee(), statement))
        return replace(statement, signature=signature)

    async def say(self, to: int, messages: Sequence[bytes]) -> None:
        """Send messages to a validator, as soon as it is connected."""
        assert self.peers is not None
        peer = self.id_of(to)
        for frame in pack_frames(messages, FRAME_BYTES_MAX):
            await self.wait_connected(to)
            with trio.fail_after(PATIENCE_S):
                while not self.peers.offer(peer, Priority.VOTES, frame):  # noqa: ASYNC110
                    await trio.sleep(0.01)

    async def wait_connected(self, *to: int) -> None:
        wanted = {self.id_of(index) for index in to}
        with trio.fail_after(PATIENCE_S):
            while not wanted <= self.connected:
                await self._changed.wait()

    async def wait_lost(self, by: int, reason: str) -> None:
        """Return once a validator has ended the connection with words that begin so."""
        peer = self.id_of(by)
        with trio.fail_after(PATIENCE_S):
            while not any(p == peer and text.startswith(reason) for p, text in self.lost):
                await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def open_false_peer(files: NodeFiles, place: Path) -> AsyncGenerator[FalsePeer]:
    """Take the place of one validator of a network whose own process does not run."""
    genesis = read(place / GENESIS_FILE)
    secret = keystore.load(files.directory / "keys", None)
    me = genesis.index_of(secret.node_id)
    assert me is not None
    false = FalsePeer(genesis, me, secret)
    known = {v.public_key.node_id for v in genesis.validators}
    async with open_endpoint(
        bind=(LOOPBACK, files.quic_port),
        key=MLDSA87PrivateKey.from_seed_bytes(secret.reveal_mldsa_seed()),
        authorize=known.__contains__,
    ) as endpoint:
        false.peers = Peers(
            endpoint=endpoint,
            addresses={
                v.public_key.node_id: (v.address.host, v.address.port) for v in genesis.validators
            },
            events=false,
            jitter=random.Random(7).random,
            settings=EAGER,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(false.peers.run)
            yield false
            nursery.cancel_scope.cancel()
