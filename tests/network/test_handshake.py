import gc
import random
import weakref
from collections.abc import Callable
from typing import cast

import pytest
from aioquic import tls
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.rangeset import RangeSet

from cretonode.errors import BadSignature, ConnectionLost
from cretonode.network import aioquic_connection
from cretonode.network.admission import destination_untrusted
from cretonode.network.aioquic_engine import make_client, make_server
from cretonode.network.quic_engine import Closed, CloseKind
from cretonode.network.settings import NetworkSettings
from cretonode.network.tls import CIPHER_SUITE, MLDSA87, PostQuantumContext
from tests.network.simulated import ALICE, BOB, Weather, World, engine_settings, new_credentials

INITIAL = tls.Epoch.INITIAL
STORM = Weather(delay_ms=20, loss=0.15, doubled=0.1, jitter_ms=30)


def test_both_sides_learn_each_others_key() -> None:
    world = World()
    near, far = world.connect()
    assert near.peer == world.bob.credentials.node_id
    assert far.peer == world.alice.credentials.node_id
    assert near.is_client
    assert not far.is_client


def test_the_only_algorithms_are_post_quantum() -> None:
    """SPEC N1: X25519MLKEM768 and ML-DSA-87, nothing to negotiate down to."""
    offered: list[tls.ClientHello] = []
    original = tls.push_client_hello

    def record(buf: Buffer, hello: tls.ClientHello) -> None:
        offered.append(hello)
        original(buf, hello)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tls, "push_client_hello", record)
        World().connect()
    (hello, _) = offered  # before and after the Retry
    assert hello.supported_groups == [0x11EC]
    assert [group for group, _ in hello.key_share or ()] == [0x11EC]
    assert hello.signature_algorithms == [0x0906]
    assert hello.cipher_suites == [CIPHER_SUITE]
    assert hello.supported_versions == [tls.TLS_VERSION_1_3]
    assert MLDSA87 == 0x0906


def test_nothing_is_kept_for_a_client_before_it_answers_a_retry() -> None:
    """RFC 9000, section 8.1.2."""
    world = World()
    world.alice.dial(BOB, world.bob.credentials.node_id)
    assert world.run(lambda: world.bob.retries > 0)
    assert world.bob.connections == []
    assert world.bob.routes == {}


def test_the_handshake_takes_three_and_a_half_round_trips_at_most() -> None:
    """Retry, hello, and the certificates; the rest is HANDSHAKE_DONE."""
    world = World(weather=Weather(delay_ms=50))
    began_s = world.now_s
    world.connect()
    assert world.now_s - began_s < 0.351  # virtual time


@pytest.mark.parametrize("seed", range(12))
def test_a_storm_delays_the_handshake_but_does_not_break_it(seed: int) -> None:
    world = World(seed=seed, weather=STORM)
    near, far = world.connect()
    assert (near.peer, far.peer) == (
        world.bob.credentials.node_id,
        world.alice.credentials.node_id,
    )
    assert world.alice.faults == world.bob.faults == []


def test_what_was_kept_for_a_refused_client_is_freed_at_once() -> None:
    """Not when the garbage collector comes to it: a flood makes hundreds in that time."""
    world = World(bob_allows=lambda _: False)
    gc.collect()
    gc.disable()
    try:
        world.alice.dial(BOB, world.bob.credentials.node_id)
        assert world.run(lambda: bool(world.bob.connections))
        quic = world.bob.engines[0]._quic
        kept = [weakref.ref(part) for part in (quic.tls, quic._loss, quic._spaces[INITIAL])]
        assert world.run(lambda: bool(world.bob.endings))
        assert [part() for part in kept] == [None] * 3
        assert world.bob.connections[0].silence_ms >= 0
    finally:
        gc.enable()


async def test_a_client_whose_key_is_not_allowed_is_told_so() -> None:
    world = World(bob_allows=lambda _: False)
    near = world.alice.dial(BOB, world.bob.credentials.node_id)
    assert world.run(lambda: len(world.alice.endings) + len(world.bob.endings) == 2)
    assert world.bob.endings[0].kind is CloseKind.UNKNOWN_KEY
    assert world.alice.endings[0].kind is CloseKind.KEY_REFUSED
    assert world.alice.completed == world.bob.completed == 0
    with pytest.raises(BadSignature, match="key_refused"):
        await near.wait_established()


async def test_a_server_with_another_key_than_expected_is_refused() -> None:
    world = World()
    near = world.alice.dial(BOB, new_credentials().node_id)
    assert world.run(lambda: len(world.alice.endings) + len(world.bob.endings) == 2)
    assert world.alice.endings[0].kind is CloseKind.UNKNOWN_KEY
    assert world.bob.endings[0].kind is CloseKind.KEY_REFUSED
    with pytest.raises(BadSignature, match="not the one dialled"):
        await near.wait_established()


def test_a_client_without_a_certificate_is_refused() -> None:
    class Nameless(PostQuantumContext):
        def _push_own_certificate(self, buf: Buffer, signer: bytes, request_context: bytes) -> None:
            with tls.push_message(self._schedule(), buf):
                tls.push_certificate(buf, tls.Certificate(request_context=request_context))

    world = World()
    dial_with(world, Nameless)
    assert world.run(lambda: len(world.bob.endings) == 1)
    assert world.bob.endings[0].kind is CloseKind.NO_CERTIFICATE
    assert world.bob.completed == 0


def test_a_client_that_does_not_hold_the_key_it_shows_is_refused() -> None:
    """The certificate is Bob's friend's; the signature is not."""
    friend = new_credentials()

    class Thief(PostQuantumContext):
        def _push_own_certificate(self, buf: Buffer, signer: bytes, request_context: bytes) -> None:
            own = self._credentials
            self._credentials = type(own)(own.key, friend.certificate, friend.node_id)
            super()._push_own_certificate(buf, signer, request_context)

    world = World(bob_allows=lambda node_id: node_id == friend.node_id)
    dial_with(world, Thief)
    assert world.run(lambda: len(world.bob.endings) == 1)
    assert world.bob.endings[0].kind is CloseKind.BAD_HANDSHAKE
    assert world.bob.completed == 0


def test_a_client_that_signs_by_another_algorithm_is_refused() -> None:
    """draft-ietf-tls-mldsa: 0x0906 alone; 0x0905 is ML-DSA-65."""

    class Other(PostQuantumContext):
        def _push_own_certificate(self, buf: Buffer, signer: bytes, request_context: bytes) -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("cretonode.network.tls.MLDSA87", 0x0905)
                super()._push_own_certificate(buf, signer, request_context)

    world = World()
    dial_with(world, Other)
    assert world.run(lambda: len(world.bob.endings) == 1)
    assert world.bob.endings[0].kind is CloseKind.BAD_HANDSHAKE


def test_a_client_whose_finished_is_wrong_is_refused() -> None:
    world = World()
    dial_with(world, WrongFinished)
    assert world.run(lambda: len(world.bob.endings) == 1)
    assert world.bob.endings[0].kind is CloseKind.BAD_HANDSHAKE
    assert world.bob.completed == 0


def test_a_server_whose_finished_is_wrong_is_refused() -> None:
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        only_on(patch, WrongFinished, is_client=False)
        world.alice.dial(BOB, world.bob.credentials.node_id)
        assert world.run(lambda: len(world.alice.endings) == 1)
    assert world.alice.endings[0].kind is CloseKind.BAD_HANDSHAKE
    assert "Finished" in world.alice.endings[0].reason


def test_a_server_that_does_not_ask_who_we_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "push_certificate_request", lambda *_: None)
    world = World()
    world.alice.dial(BOB, world.bob.credentials.node_id)
    assert world.run(lambda: len(world.alice.endings) == 1)
    assert "did not ask" in world.alice.endings[0].reason
    assert world.alice.faults == []


def test_handshake_bytes_far_out_of_order_are_refused() -> None:
    """aioquic would keep half a megabyte of them for each space of each stranger."""
    client = make_client(engine_settings(new_credentials()))
    client.connect(BOB, now_s=0.0)
    sender = client._quic._crypto_streams[tls.Epoch.INITIAL].sender
    sender._buffer_start += 40_000
    sender._buffer_stop += 40_000
    sender._pending = RangeSet([range(40_000, sender._buffer_stop)])
    datagram = client.transmit(now_s=0.0)[0][0]
    original_id = destination_untrusted(datagram)
    assert original_id is not None
    settings = engine_settings(new_credentials())
    server = make_server(settings, original_id=original_id, retry_id=None)
    server.receive_untrusted(datagram, ALICE, now_s=0.0)
    server.transmit(now_s=0.0)
    reason = "too many handshake bytes out of order"
    assert server.events() == [Closed(CloseKind.MALFORMED, reason, by_peer=False)]


def test_a_retry_leaves_no_packet_counted_as_under_way() -> None:
    """aioquic forgets the first flight but not its bytes, and would send so much less for ever."""
    world = World()
    near, _ = world.connect()
    for _ in range(100):
        world.pass_time(0.01)
        if (under_way := world.alice.engines[0]._quic._loss.bytes_in_flight) == 0:
            break
    assert under_way == 0
    assert near.is_established


def test_a_handshake_message_longer_than_any_honest_one_is_refused() -> None:
    """aioquic would gather the 16 MiB that its length may declare."""

    context = PostQuantumContext(
        is_client=False, credentials=new_credentials(), authorize=lambda _: True
    )
    output = {epoch: Buffer(capacity=1024) for epoch in tls.Epoch}
    context.handle_message(bytes([tls.HandshakeType.CLIENT_HELLO, 0xFF, 0xFF, 0xFF]), output)
    for _ in range(16):
        context.handle_message(bytes(1000), output)
    with pytest.raises(tls.AlertDecodeError, match="too long"):
        context.handle_message(bytes(1000), output)


async def test_a_handshake_that_stalls_is_given_up_after_its_time() -> None:
    world = World(settings=NetworkSettings(handshake_ms_max=3_000))
    near = world.alice.dial(BOB, world.bob.credentials.node_id)
    world.run(lambda: bool(world.bob.connections))
    world.weather = Weather(loss=1.0)
    began_s = world.now_s
    assert world.run(lambda: bool(world.bob.endings))
    assert world.bob.endings[0].kind is CloseKind.ABANDONED
    assert world.now_s - began_s < 3.1  # virtual time
    assert world.bob.routes == {}
    with pytest.raises(ConnectionLost, match="took too long"):
        await near.wait_established()


@pytest.mark.parametrize(
    "message",
    ["_client_send_hello", "_client_handle_finished"],
    ids=["hello", "certificate to finished"],
)
def test_a_clients_mutated_flight_ends_its_connection_and_nothing_else(message: str) -> None:
    """Mutated before encryption, so that the bytes reach the server's TLS."""
    chance = random.Random(message)
    world = World()
    for _ in range(80):
        dial_with(world, mutating(message, chance))
        world.pass_time(0.2)
    assert len(world.bob.endings) > 20
    assert world.bob.faults == []
    assert world.bob.completed < 5, "a mutation may put back the byte that was there"
    near = world.alice.dial(BOB, world.bob.credentials.node_id)
    assert world.run(lambda: near.is_established), "the same door lets an honest client in"


def test_a_servers_mutated_flight_ends_its_connection_and_nothing_else() -> None:
    chance = random.Random(1)
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        only_on(patch, mutating("_server_handle_hello", chance), is_client=False)
        for _ in range(80):
            world.alice.dial(BOB, world.bob.credentials.node_id)
            world.pass_time(0.2)
    assert len(world.alice.endings) > 20
    assert world.alice.faults == []
    assert world.alice.completed < 5
    near = world.alice.dial(BOB, world.bob.credentials.node_id)
    assert world.run(lambda: near.is_established)


def test_what_escapes_the_engine_is_counted_and_ends_the_connection() -> None:
    def burst(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    world = World()
    world.alice.dial(BOB, world.bob.credentials.node_id)
    assert world.run(lambda: bool(world.bob.connections))
    vars(world.bob.engines[0]._quic)["receive_datagram"] = burst
    assert world.run(lambda: bool(world.bob.endings))
    assert [type(error) for error in world.bob.faults] == [ZeroDivisionError]
    assert world.bob.endings[0].kind is CloseKind.FAULT
    assert world.bob.routes == {}


class WrongFinished(PostQuantumContext):
    """Everything is right but the last message."""

    def _push_own_finished(self, buf: Buffer) -> None:
        with tls.push_message(self._schedule(), buf):
            tls.push_finished(buf, tls.Finished(verify_data=bytes(48)))


def dial_with(world: World, context: type[PostQuantumContext]) -> None:
    """Let Alice dial with another TLS than ours, up to where Bob knows her."""
    before = len(world.bob.connections)
    with pytest.MonkeyPatch.context() as patch:
        only_on(patch, context, is_client=True)
        world.alice.dial(BOB, world.bob.credentials.node_id)
        # The context is made once more when the Retry comes.
        assert world.run(lambda: len(world.bob.connections) > before, limit_s=5.0)


def only_on(
    patch: pytest.MonkeyPatch, context: type[PostQuantumContext], *, is_client: bool
) -> None:
    original = PostQuantumContext

    def choose(**arguments: object) -> PostQuantumContext:
        made = context if arguments["is_client"] is is_client else original
        return cast(Callable[..., PostQuantumContext], made)(**arguments)

    patch.setattr(aioquic_connection, "PostQuantumContext", choose)


def mutating(method: str, chance: random.Random) -> type[PostQuantumContext]:
    """Return a context that spoils what `method` writes into its last buffer."""
    honest = getattr(PostQuantumContext, method)

    def write(self: PostQuantumContext, *buffers: Buffer) -> None:
        honest(self, *buffers)
        out = buffers[-1]
        spoiled = mutated(out.data, chance)
        out.seek(0)
        out.push_bytes(spoiled)

    return type("Mutating", (PostQuantumContext,), {method: write})


def mutated(data: bytes, chance: random.Random) -> bytes:
    spoiled = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        near_the_front = chance.random() < 0.5
        position = chance.randrange(min(len(spoiled), 200) if near_the_front else len(spoiled))
        spoiled[position] = chance.randrange(256)
    if chance.random() < 0.2:
        del spoiled[chance.randrange(4, len(spoiled)) :]
    return bytes(spoiled)
