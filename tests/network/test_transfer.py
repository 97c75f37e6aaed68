import random
from collections import Counter

import pytest

from cretonode.errors import ConnectionLost
from cretonode.limits import FRAME_BYTES_MAX
from cretonode.network.aioquic_engine import AioquicEngine
from cretonode.network.connection import Connection
from cretonode.network.frames import Priority
from cretonode.network.inbound import CONNECTION_BYTES_MAX
from cretonode.network.outbound import Outbound
from cretonode.network.quic_engine import CloseKind, StreamId
from cretonode.network.settings import NetworkSettings
from tests.network.simulated import Weather, World

STORM = Weather(delay_ms=5, loss=0.03, doubled=0.03, jitter_ms=5)
PLENTY = NetworkSettings(outbound_bytes_max=64 * 1024 * 1024, handshake_ms_max=30_000)


class Reader:
    """Takes what has come, without waiting."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.taken: list[tuple[Priority, bytes]] = []

    def read(self) -> int:
        while (found := self.connection._inbound.take()) is not None:
            self.taken.append(found)
        return len(self.taken)


@pytest.mark.parametrize("seed", range(3))
def test_frames_of_every_size_and_class_arrive_through_a_storm(seed: int) -> None:
    world = World(seed=seed, weather=STORM, settings=PLENTY)
    near, far = world.connect()
    chance = random.Random(seed)
    sizes = [0, 1, 3, 1451, 1452, 65_536, 300_000]
    sent = {p: [chance.randbytes(s) for s in chance.sample(sizes, len(sizes))] for p in Priority}
    for priority, frames in sent.items():
        for frame in frames:
            assert near.offer(priority, frame)
            assert far.offer(priority, frame)
    for reader in (Reader(far), Reader(near)):
        assert world.run(lambda reader=reader: reader.read() == 3 * len(sizes))  # type: ignore[misc]
        for priority, frames in sent.items():
            assert [f for p, f in reader.taken if p is priority] == frames
    assert world.alice.faults == world.bob.faults == []


def test_the_longest_frames_arrive_through_loss() -> None:
    world = World(seed=4, weather=Weather(delay_ms=2, loss=0.01), settings=PLENTY)
    near, far = world.connect()
    frames = [random.Random(i).randbytes(FRAME_BYTES_MAX) for i in range(2)]
    for frame in frames:
        assert near.offer(Priority.BULK, frame)
    reader = Reader(far)
    assert world.run(lambda: reader.read() == 2)
    assert [frame for _, frame in reader.taken] == frames


def test_a_vote_overtakes_a_bulk_transfer() -> None:
    world = World(settings=PLENTY)
    near, far = world.connect()
    for _ in range(6):
        assert near.offer(Priority.BULK, bytes(FRAME_BYTES_MAX))
    reader = Reader(far)
    assert world.run(lambda: reader.read() >= 1)
    assert near.offer(Priority.VOTES, b"aye")
    offered_s = world.now_s
    assert world.run(lambda: reader.read() > 0 and (Priority.VOTES, b"aye") in reader.taken)
    assert world.now_s - offered_s < 0.05  # virtual time; one way is 10 ms, bulk takes far longer
    assert near.queued_bytes(Priority.BULK) > FRAME_BYTES_MAX


def test_a_reader_asleep_stops_the_sender_within_the_bound() -> None:
    world = World(settings=PLENTY)
    near, far = world.connect()
    for priority in Priority:
        for _ in range(5):
            near.offer(priority, bytes(FRAME_BYTES_MAX))
    world.pass_time(5.0)
    assert far.inbound_bytes <= CONNECTION_BYTES_MAX
    stalled = far.inbound_bytes
    world.pass_time(5.0)
    assert far.inbound_bytes == stalled
    assert near.is_established, "slow is not broken"
    reader = Reader(far)
    assert world.run(lambda: reader.read() == 15), "and it goes on once somebody reads"


def test_an_asleep_reader_of_bulk_does_not_stop_votes() -> None:
    world = World(settings=PLENTY)
    near, far = world.connect()
    for _ in range(5):
        near.offer(Priority.BULK, bytes(FRAME_BYTES_MAX))
    world.pass_time(5.0)
    near.offer(Priority.VOTES, b"aye")
    world.pass_time(1.0)
    assert far._inbound.take() == (Priority.VOTES, b"aye")


def test_a_frame_that_finds_no_room_is_refused_and_counted() -> None:
    world = World(settings=NetworkSettings(handshake_ms_max=30_000))
    near, _ = world.connect()
    accepted = sum(near.offer(Priority.BULK, bytes(FRAME_BYTES_MAX)) for _ in range(6))
    assert accepted == 3
    assert near.refused_frames(Priority.BULK) == 3
    named = len(Priority)  # the first byte of each stream
    assert near.backlog_bytes == 3 * (FRAME_BYTES_MAX + 4) + named


def test_idle_connections_hear_each_other_often_enough() -> None:
    """DESIGN, section 2: a leader counts as silent after 300 ms."""
    world = World()
    near, far = world.connect()
    longest_ms = 0.0
    for _ in range(300):
        world.pass_time(0.01)
        longest_ms = max(longest_ms, near.silence_ms, far.silence_ms)
    assert longest_ms < 150


def test_one_lost_keep_alive_is_no_silence_yet() -> None:
    world = World(seed=1, weather=Weather(delay_ms=5))
    near, far = world.connect()
    world.pass_time(1.0)
    world.weather = Weather(loss=1.0)
    world.pass_time(0.125)
    world.weather = Weather(delay_ms=5)
    longest_ms = 0.0
    for _ in range(50):
        world.pass_time(0.01)
        longest_ms = max(longest_ms, near.silence_ms, far.silence_ms)
    assert longest_ms < 300


def test_a_cut_link_is_noticed_and_a_short_cut_is_survived() -> None:
    world = World()
    near, far = world.connect()
    world.pass_time(1.0)
    world.weather = Weather(loss=1.0)
    world.pass_time(2.0)
    world.weather = Weather()
    world.pass_time(1.0)
    assert near.is_established
    assert far.is_established
    assert near.silence_ms < 150
    world.weather = Weather(loss=1.0)
    world.pass_time(4.0)
    assert [c.kind for c in world.alice.endings + world.bob.endings] == [CloseKind.SILENT] * 2


def test_a_standstill_of_our_own_is_not_the_peers_silence() -> None:
    """What the peer sent meanwhile waits in the socket when we look at the time."""
    world = World()
    near, _ = world.connect()
    world.pass_time(1.0)
    world.now_s += 10.0
    world.send(world.alice.address, near.process(now_s=world.now_s))
    world.pass_time(1.0)
    assert near.is_established
    assert near.silence_ms < 150


def test_queued_frames_flow_again_soon_after_a_cut() -> None:
    """The engine's own time-outs double to seconds; the keep-alives do not."""
    world = World(settings=PLENTY)
    near, far = world.connect()
    world.weather = Weather(loss=1.0)
    near.offer(Priority.VERTICES, bytes(300_000))
    world.pass_time(2.5)
    world.weather = Weather()
    healed_s = world.now_s
    reader = Reader(far)
    assert world.run(lambda: reader.read() == 1)
    assert world.now_s - healed_s < 1.0  # virtual time; SPEC N7


async def test_a_goodbye_reaches_the_other_side_with_its_reason() -> None:
    world = World()
    near, far = world.connect()
    near.close("the node stops")
    assert world.run(far.closed.is_set, limit_s=1.0)
    with pytest.raises(ConnectionLost, match="goodbye: the node stops"):
        await far.receive()
    assert world.alice.routes == world.bob.routes == {}
    assert not near.offer(Priority.VOTES, b"too late")


async def test_frames_that_came_before_a_goodbye_are_still_delivered() -> None:
    world = World()
    near, far = world.connect()
    near.offer(Priority.VOTES, b"last words")
    world.pass_time(0.1)
    near.close("done")
    assert world.run(far.closed.is_set)
    assert await far.receive() == (Priority.VOTES, b"last words")
    with pytest.raises(ConnectionLost):
        await far.receive()


@pytest.mark.parametrize(
    "payload",
    [b"\x09", b"\x01\xff\xff\xff\xff", b"\x01" + (FRAME_BYTES_MAX + 1).to_bytes(4, "big")],
    ids=["unknown class", "absurd length", "one byte too long"],
)
def test_malformed_frames_close_the_connection_they_came_on(
    payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Outbound.open_streams

    def open_streams(self: Outbound, engine: AioquicEngine) -> None:
        if engine in world.alice.engines:
            engine.write(engine.open_stream(), payload)
        honest(self, engine)

    monkeypatch.setattr(Outbound, "open_streams", open_streams)
    world = World()
    near, far = world.connect()
    assert world.run(lambda: near.closed.is_set() and far.closed.is_set())
    assert world.bob.endings[0].kind is CloseKind.MALFORMED
    assert world.alice.endings[0].kind is CloseKind.MALFORMED
    assert world.alice.endings[0].by_peer


def test_more_streams_than_classes_are_refused() -> None:
    world = World()
    near, far = world.connect()
    world.alice.engines[0]._quic._remote_max_streams_uni = 100
    world.alice.engines[0]._quic.send_stream_data(14, b"\x01")
    assert world.run(far.closed.is_set)
    assert near.closed.is_set() or world.run(near.closed.is_set)
    assert world.bob.endings[0].kind is CloseKind.MALFORMED


def test_a_stream_for_both_directions_is_refused() -> None:
    world = World()
    _, far = world.connect()
    world.alice.engines[0]._quic._remote_max_streams_bidi = 100
    world.alice.engines[0]._quic.send_stream_data(0, b"\x01")
    assert world.run(far.closed.is_set)
    assert world.bob.endings[0].reason == "Too many streams open"


def test_a_stream_that_ends_closes_the_connection() -> None:
    world = World()
    _, far = world.connect()
    world.alice.engines[0]._quic.send_stream_data(2, b"", end_stream=True)
    assert world.run(far.closed.is_set)
    assert "ended" in world.bob.endings[0].reason


def test_credit_is_not_granted_unless_frames_are_taken() -> None:
    """aioquic by itself doubles it for ever."""
    world = World(settings=PLENTY)
    near, far = world.connect()
    for _ in range(10):
        near.offer(Priority.BULK, bytes(500_000))
    world.pass_time(5.0)
    streams = Counter(
        {i: s.max_stream_data_local for i, s in world.bob.engines[0]._quic._streams.items()}
    )
    assert max(streams.values()) <= FRAME_BYTES_MAX + 4 + 1024 * 1024
    assert far.inbound_bytes <= CONNECTION_BYTES_MAX
    assert StreamId(2) in streams
