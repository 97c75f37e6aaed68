"""One node from start to stop: the nursery tree, in the order in which it must end.

Nesting is stop order: the database outlives the endpoint, the endpoint outlives the peers, the
peers outlive the work. SPEC L1, L2.
"""

import random
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import structlog
import trio
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from cretonode import __version__
from cretonode.config.genesis import Genesis, check_address, check_against, read, tolerance
from cretonode.config.schema import KEYS, Config
from cretonode.core.committee import Committee
from cretonode.core.events import StepDown
from cretonode.core.replica import Replica
from cretonode.crypto import keystore
from cretonode.crypto.signatures import SecretKey, Signer, VerifyingKey
from cretonode.errors import ConfigError
from cretonode.identifiers import ValidatorIndex, short
from cretonode.network.endpoint import Endpoint, open_endpoint
from cretonode.network.peers import Peers
from cretonode.network.settings import NetworkSettings
from cretonode.node.bans import Bans, reputation_of
from cretonode.node.batcher import Batcher
from cretonode.node.chronicle import Chronicle
from cretonode.node.claim import claim_key
from cretonode.node.clock import Clock
from cretonode.node.disk import Disk, open_disk
from cretonode.node.driver import Driver
from cretonode.node.finality import Finality
from cretonode.node.inbox import Inbox
from cretonode.node.links import Links
from cretonode.node.performer import Performer
from cretonode.node.progress import Progress
from cretonode.node.retaker import Retaker
from cretonode.node.server import SlotServer
from cretonode.node.service import READ_THREADS, Service
from cretonode.node.signals import watch_signals
from cretonode.node.verification import Verification, still_valid
from cretonode.node.watch import watch_finality, watch_quorum
from cretonode.wire.judgements import read_judgements

DRAIN_S: Final = 1.5  # for transactions taken in to reach the disk when the node stops
VOTE_FIRST_S: Final = 1.0  # for something to become final before the interfaces take time
STEP_DOWN_S: Final = 0.3  # for the word that this leader leaves to reach the others

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a started node listens. None: switched off."""

    quic: tuple[str, int]
    http: tuple[str, int] | None
    metrics: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is on which chain."""

    genesis: Genesis
    committee: Committee
    me: ValidatorIndex
    secret: SecretKey

    @property
    def name(self) -> str:
        """What genesis calls this validator."""
        return self.genesis.validators[self.me].name


async def run_node(
    config: Config,
    *,
    on_started: Callable[[Addresses], None] = lambda addresses: None,  # noqa: ARG005
    join: "Join | None" = None,
) -> None:
    """Run until a signal stops it. `join` joins the parts: `assemble`, unless told otherwise.

    Raises: ConfigError, StorageError, NetworkError, ForkError.
    """
    async with trio.open_nursery() as root:
        stop = trio.Event()
        await root.start(watch_signals, stop, root.cancel_scope, name="signals")
        identity = await trio.to_thread.run_sync(identify, config)
        log.info(
            "identity",
            node=short(identity.secret.node_id),
            name=identity.name,
            chain=identity.committee.chain_id,
            tolerance=tolerance(identity.committee),
        )
        for key in config.without_effect():
            log.info("no_effect_yet", key=key, reason=KEYS[key].about.effect)
        began_s = time.monotonic()
        node_id = identity.secret.node_id
        async with open_disk(config, identity.committee, identity.me, node_id) as disk:
            _log_step("storage", began_s)
            identity = replace(identity, committee=disk.committee)
            log.info("incarnation", number=max(disk.committee.incarnations))
            await _run_on_network(config, identity, disk, stop, on_started, join or assemble)
        root.cancel_scope.cancel()


def identify(
    config: Config, *, step: Callable[[str], AbstractContextManager[object]] | None = None
) -> Identity:
    """Read genesis and keys and find this node among the validators. Blocks.

    `step`: what each part runs in; one that logs it, unless told otherwise.
    Raises: ConfigError, KeyStoreError.
    """
    step = step or _step
    with step("config"):
        genesis = read(Path(config.node.genesis_path))
        check_against(config, genesis)
    with step("keys"):
        secret = keystore.load(Path(config.crypto.key_path), _passphrase(config))
    me = genesis.index_of(secret.node_id)
    if me is None:
        raise ConfigError(
            f"the key in {config.crypto.key_path} (node {short(secret.node_id)}) is not one of the "
            f"{len(genesis.validators)} validators of chain {genesis.chain_id!r} in "
            f"{config.node.genesis_path}"
        )
    check_address(config, genesis, me)
    return Identity(genesis, genesis.committee(), me, secret)


async def _run_on_network(
    config: Config,
    identity: Identity,
    disk: Disk,
    stop: trio.Event,
    on_started: Callable[[Addresses], None],
    join: "Join",
) -> None:
    validators = {v.public_key.node_id for v in identity.genesis.validators}
    address = config.network.quic_address
    began_s = time.monotonic()
    async with open_endpoint(
        bind=(address.host, address.port),
        key=MLDSA87PrivateKey.from_seed_bytes(identity.secret.reveal_mldsa_seed()),
        authorize=validators.__contains__,
        settings=NetworkSettings(keep_alive_ms=config.network.keepalive_ms),
    ) as endpoint:
        _log_step("network", began_s)
        with _step("consensus"):
            parts = join(config, identity, disk, endpoint)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(parts.peers.run, name="peers")
            nursery.start_soon(parts.links.run, parts.peers, name="links")
            nursery.start_soon(parts.server.run, parts.peers, name="server")
            nursery.start_soon(parts.driver.bans.run, name="bans")
            names = list(identity.genesis.names)
            await claim_key(parts.links, parts.peers, identity.committee, names, stop)
            await _work(config, parts, endpoint, stop, on_started)
            nursery.cancel_scope.cancel()


async def _work(
    config: Config,
    parts: "Parts",
    endpoint: Endpoint,
    stop: trio.Event,
    on_started: Callable[[Addresses], None],
) -> None:
    """Drive, serve people and programs, and drain when asked to stop."""
    async with trio.open_nursery() as work:
        await work.start(parts.driver.run, name="driver")
        work.start_soon(parts.driver.retaker.run, name="retaker")
        work.start_soon(watch_quorum, parts.service, name="quorum watch")
        work.start_soon(watch_finality, parts.service, name="finality watch")
        work.start_soon(parts.service.progress.run, name="catch-up progress")
        async with trio.open_nursery() as faces:
            await _vote_first(parts)
            with _step("api"):
                serve_faces = await trio.to_thread.run_sync(_import_faces)
                http, metrics = await serve_faces(
                    faces, config, parts.driver, parts.service, endpoint
                )
            state = parts.driver.replica.state
            log.info("running", view=state.view, final=state.final, leader=state.leader)
            on_started(Addresses(endpoint.address[:2], http, metrics))
            await stop.wait()
            log.info("stopping", intake="closed")
            parts.batcher.closed = True
            faces.cancel_scope.cancel()
        await _drain(parts)
        work.cancel_scope.cancel()
    log.info("stopped", final=parts.driver.replica.state.final)


async def _vote_first(parts: "Parts") -> None:
    """After a restart, let the vote that others may wait for go before what people ask for."""
    if parts.driver.replica.state.final > 0:
        with trio.move_on_after(VOTE_FIRST_S):
            await parts.driver.finality.began.wait()


def _import_faces() -> "ServeFaces":
    # A quarter of what a node imports; the validators wait for the rest alone.
    from cretonode.node.faces import serve_faces

    return serve_faces


async def _drain(parts: "Parts") -> None:
    """Let what was taken in reach the disk, and let a leader say that it leaves."""
    state = parts.driver.replica.state
    if state.leads and state.committee.size > 1:
        parts.inbox.put_own(StepDown())
        await trio.sleep(STEP_DOWN_S)
    with trio.move_on_after(DRAIN_S):
        await parts.batcher.wait_durable()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of, joined and not yet running."""

    inbox: Inbox
    batcher: Batcher
    links: Links
    peers: Peers
    server: SlotServer
    driver: Driver
    service: Service


def assemble(config: Config, identity: Identity, disk: Disk, endpoint: Endpoint) -> Parts:
    """Join the parts. Nothing runs yet."""
    genesis, committee, me = identity.genesis, identity.committee, identity.me
    clock = Clock()
    provider = config.crypto.provider
    keys = tuple(VerifyingKey(v.public_key, provider=provider) for v in genesis.validators)
    node_ids = tuple(v.public_key.node_id for v in genesis.validators)
    kept = read_judgements(list(disk.store.evidence()))
    kept.evidence = still_valid(committee, keys, genesis.crypto_mode, kept.evidence)
    restored = replace(disk.take_restored(), evidence=tuple(kept.evidence))
    replica = Replica(committee, me, config.consensus.timing, restored)
    names = genesis.names
    chronicle = Chronicle(replica=replica, names=names, clock=clock)
    inbox = Inbox(replica.state.peers)
    batcher = Batcher(
        executed=replica.state.dedup,
        wake=inbox.wake,
        pending_max=config.consensus.max_pending_vertices,
        interval_ms=config.consensus.batch_interval_ms,
        transactions_max=config.consensus.batch_transactions_max,
    )
    links = Links(
        committee=committee,
        me=me,
        node_ids=node_ids,
        software=f"cretonode {__version__}",
        inbox=inbox,
        verification=Verification(committee, keys, genesis.crypto_mode, replica.ordering.needs),
        on_violation=lambda peer, violation, detail: bans.note(peer, violation, detail),
        on_unbelieved=chronicle.heard_unbelieved,
    )
    peers = Peers(
        endpoint=endpoint,
        addresses={
            v.public_key.node_id: (v.address.host, v.address.port) for v in genesis.validators
        },
        events=links,
        jitter=random.random,
    )
    readers = trio.CapacityLimiter(READ_THREADS)
    server = SlotServer(links, disk.store, readers)
    finality = Finality(batcher)
    writer = trio.CapacityLimiter(1)
    bans = Bans(
        reputation=reputation_of(
            committee,
            me,
            window_ms=config.consensus.detection_window_ms,
            ban_ms=config.consensus.ban_ms,
        ),
        node_ids=node_ids,
        names=names,
        doors=peers,
        store=disk.store,
        clock=clock,
        writer=writer,
    )
    bans.restore(kept)
    performer = Performer(
        committee=committee,
        signer=Signer(genesis.crypto_mode, identity.secret, provider=provider),
        journal=disk.journal,
        store=disk.store,
        promises=disk.promises,
        limiter=writer,
    )
    driver = Driver(
        replica=replica,
        clock=clock,
        inbox=inbox,
        performer=performer,
        links=links,
        database=disk.store,
        server=server,
        batcher=batcher,
        finality=finality,
        retaker=Retaker(batcher, disk.store, readers),
        bans=bans,
        chronicle=chronicle,
    )
    service = Service(
        genesis=genesis,
        name=identity.name,
        node_id=identity.secret.node_id,
        replica=replica,
        store=disk.store,
        batcher=batcher,
        finality=finality,
        links=links,
        peer_links=peers,
        judgement=bans,
        progress=Progress(replica, finality),
        clock=clock,
        limiter=readers,
    )
    return Parts(inbox, batcher, links, peers, server, driver, service)


Join: TypeAlias = Callable[[Config, Identity, Disk, Endpoint], Parts]
ServeFaces: TypeAlias = Callable[
    [trio.Nursery, Config, Driver, Service, Endpoint],
    Awaitable[tuple[tuple[str, int] | None, tuple[str, int] | None]],
]


def _passphrase(config: Config) -> bytes | None:
    if not config.crypto.passphrase_file:
        return None
    path = Path(config.crypto.passphrase_file)
    try:
        return path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ConfigError(f"crypto.passphrase_file {path}: {error.strerror}") from None


@contextmanager
def _step(name: str) -> Generator[None]:
    """Log a step of the start and how long it took."""
    began_s = time.monotonic()
    yield
    _log_step(name, began_s)


def _log_step(name: str, began_s: float) -> None:
    log.info("started", step=name, elapsed_ms=round((time.monotonic() - began_s) * 1000))
