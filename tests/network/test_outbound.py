import pytest
import trio

from cretonode.limits import FRAME_BYTES_MAX
from cretonode.network.frames import Priority, frame_header
from cretonode.network.outbound import Outbound
from cretonode.network.quic_engine import StreamId
from cretonode.network.settings import FRAME_COST_BYTES, UNSENT_BYTES_MAX
from tests.network.fakes import FakeEngine

BYTES_MAX = 4 * 1024 * 1024
VOTES, VERTICES, BULK = StreamId(2), StreamId(6), StreamId(10)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def outbound(engine: FakeEngine) -> Outbound:
    made = Outbound(bytes_max=BYTES_MAX)
    made.open_streams(engine)
    for stream in (VOTES, VERTICES, BULK):
        engine.sent[stream] = 1  # the byte that names the class
    return made


def test_each_stream_begins_with_its_class(outbound: Outbound, engine: FakeEngine) -> None:
    assert engine.written == {VOTES: b"\x01", VERTICES: b"\x02", BULK: b"\x03"}


def test_the_engine_is_given_little_at_a_time(outbound: Outbound, engine: FakeEngine) -> None:
    assert outbound.offer(Priority.BULK, bytes(FRAME_BYTES_MAX))
    outbound.feed(engine)
    assert len(engine.written[BULK]) == 1 + UNSENT_BYTES_MAX
    assert outbound.queued_bytes(Priority.BULK) == FRAME_BYTES_MAX + 4 - UNSENT_BYTES_MAX


def test_all_bytes_come_out_in_order(outbound: Outbound, engine: FakeEngine) -> None:
    frames = [bytes([i]) * (i * 20_000) for i in range(20)]
    for frame in frames:
        assert outbound.offer(Priority.VERTICES, frame)
    while outbound.queued_bytes(Priority.VERTICES):
        outbound.feed(engine)
        engine.sent[VERTICES] = len(engine.written[VERTICES])
    assert engine.written[VERTICES] == b"\x02" + b"".join(frame_header(f) + f for f in frames)


def test_a_vote_goes_to_the_engine_while_bulk_waits(outbound: Outbound, engine: FakeEngine) -> None:
    outbound.offer(Priority.BULK, bytes(FRAME_BYTES_MAX))
    outbound.feed(engine)
    outbound.offer(Priority.VOTES, b"aye")
    outbound.feed(engine)
    assert engine.written[VOTES] == b"\x01" + frame_header(b"aye") + b"aye"


def test_bulk_waits_while_vertices_have_more_than_the_engine_takes(
    outbound: Outbound, engine: FakeEngine
) -> None:
    outbound.offer(Priority.BULK, b"later")
    outbound.offer(Priority.VERTICES, bytes(2 * UNSENT_BYTES_MAX))
    outbound.feed(engine)
    assert engine.written[BULK] == b"\x03"


def test_bulk_does_not_wait_for_a_class_that_the_peer_does_not_read(
    outbound: Outbound, engine: FakeEngine
) -> None:
    outbound.offer(Priority.BULK, b"now")
    outbound.offer(Priority.VERTICES, bytes(2 * UNSENT_BYTES_MAX))
    engine.blocked.add(VERTICES)
    outbound.feed(engine)
    assert engine.written[BULK].endswith(b"now")


def test_a_full_class_refuses_and_counts_and_holds_up_nobody(outbound: Outbound) -> None:
    offered = 0
    while outbound.offer(Priority.BULK, bytes(100_000)):
        offered += 1
    assert offered == BYTES_MAX // (100_000 + FRAME_COST_BYTES)
    assert outbound.refused[Priority.BULK] == 1
    assert outbound.offer(Priority.VOTES, bytes(100_000))


def test_empty_frames_are_bounded_as_well(outbound: Outbound) -> None:
    offered = 0
    while outbound.offer(Priority.VOTES, b""):
        offered += 1
    assert offered == BYTES_MAX // FRAME_COST_BYTES


def test_room_comes_back_as_the_engine_takes_frames(outbound: Outbound, engine: FakeEngine) -> None:
    while outbound.offer(Priority.BULK, bytes(UNSENT_BYTES_MAX - 4)):
        pass
    outbound.feed(engine)
    assert outbound.offer(Priority.BULK, bytes(UNSENT_BYTES_MAX - 4))


async def test_whoever_waits_for_a_class_to_drain_is_woken(
    outbound: Outbound, engine: FakeEngine, autojump_clock: trio.testing.MockClock
) -> None:
    outbound.offer(Priority.VOTES, bytes(2 * UNSENT_BYTES_MAX))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbound.wait_drained, Priority.VOTES)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            outbound.feed(engine)
            engine.sent[VOTES] = len(engine.written[VOTES])
    assert outbound.queued_bytes(Priority.VOTES) == 0
