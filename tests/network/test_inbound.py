import pytest

from cretonode.errors import MalformedMessage
from cretonode.limits import FRAME_BYTES_MAX
from cretonode.network.frames import Priority, frame_header
from cretonode.network.inbound import LANE_BYTES_MAX, Inbound
from cretonode.network.quic_engine import StreamData, StreamId
from cretonode.network.settings import STREAM_WINDOW_BYTES
from tests.network.fakes import FakeEngine

STREAM = StreamId(3)


def data(payload: bytes, *, stream: StreamId = STREAM, ended: bool = False) -> StreamData:
    return StreamData(stream, payload, ended)


def named(priority: Priority, frames: list[bytes]) -> bytes:
    return bytes([priority]) + b"".join(frame_header(f) + f for f in frames)


def test_the_most_urgent_frame_is_taken_first() -> None:
    inbound = Inbound()
    for stream, priority in enumerate((Priority.BULK, Priority.VERTICES, Priority.VOTES)):
        name = priority.name.encode()
        inbound.feed_untrusted(data(named(priority, [name, name]), stream=StreamId(stream)))
    taken = list(iter(inbound.take, None))
    assert [priority for priority, _ in taken] == [p for p in Priority for _ in range(2)]


def test_a_second_stream_of_one_class_is_refused() -> None:
    inbound = Inbound()
    inbound.feed_untrusted(data(b"\x01"))
    with pytest.raises(MalformedMessage, match="second stream"):
        inbound.feed_untrusted(data(b"\x01", stream=StreamId(7)))


@pytest.mark.parametrize("payload", [b"", b"\x01", named(Priority.VOTES, [b"x"])])
def test_a_stream_that_ends_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedMessage, match="ended"):
        Inbound().feed_untrusted(data(payload, ended=True))


def test_credit_for_whole_frames_comes_back_only_when_they_are_taken() -> None:
    inbound, engine = Inbound(), FakeEngine()
    frame = bytes(STREAM_WINDOW_BYTES // 2)
    inbound.feed_untrusted(data(named(Priority.BULK, [frame])))
    inbound.grant(engine)
    assert engine.granted == {}
    assert inbound.take() == (Priority.BULK, frame)
    assert inbound.owes_credit()
    inbound.grant(engine)
    assert engine.granted == {STREAM: 1 + 4 + len(frame)}
    assert not inbound.owes_credit()


def test_a_frame_longer_than_the_window_gets_the_credit_that_it_needs() -> None:
    inbound, engine = Inbound(), FakeEngine()
    frame = bytes(FRAME_BYTES_MAX)
    stream = named(Priority.BULK, [frame])
    sent = 0
    while sent < len(stream):
        credit = STREAM_WINDOW_BYTES + engine.granted.get(STREAM, 0) - sent
        assert credit > 0, "a peer that may not send waits for ever"
        inbound.feed_untrusted(data(stream[sent : sent + credit]))
        sent = min(len(stream), sent + credit)
        inbound.grant(engine)
    assert inbound.take() == (Priority.BULK, frame)


def test_a_greedy_peer_and_a_reader_asleep_stay_within_the_bound() -> None:
    """The peer sends all that it may, in the worst order: one byte short of a frame, then more."""
    inbound, engine = Inbound(), FakeEngine()
    long = frame_header(bytes(FRAME_BYTES_MAX)) + bytes(FRAME_BYTES_MAX)
    stream = bytes([Priority.BULK]) + long * 3
    sent = 0
    while (credit := STREAM_WINDOW_BYTES + engine.granted.get(STREAM, 0) - sent) > 0:
        step = min(credit, 60_000)
        inbound.feed_untrusted(data(stream[sent : sent + step]))
        sent += step
        inbound.grant(engine)
        assert inbound.held_bytes <= LANE_BYTES_MAX
    assert inbound.held_bytes > FRAME_BYTES_MAX
