"""Acknowledgements ride with what is sent anyway, and never come too late (RFC 9000, 13.2)."""

from cretonode.network.aioquic_connection import ACK_DELAY_S
from cretonode.network.connection import Connection
from cretonode.network.frames import Priority
from tests.network.simulated import Weather, World


def settled_world(**weather: float) -> tuple[World, Connection, Connection]:
    world = World(weather=Weather(**weather))
    near, far = world.connect()
    world.pass_time(1.0)
    return world, near, far


def receive(connection: Connection) -> bytes | None:
    found = connection._inbound.take()
    return None if found is None else found[1]


def test_question_and_answer_take_two_datagrams() -> None:
    world, near, far = settled_world(delay_ms=1.0)
    began = world.datagrams
    for _ in range(20):
        assert near.offer(Priority.VOTES, b"question")
        assert world.run(lambda: receive(far) is not None)
        assert far.offer(Priority.VOTES, b"answer")
        assert world.run(lambda: receive(near) is not None)
    assert world.datagrams - began <= 2 * 20 + 4  # now and then a keep-alive


def test_what_is_not_answered_is_acknowledged_within_the_delay_we_promise() -> None:
    world, near, far = settled_world(delay_ms=1.0)
    assert near.offer(Priority.VOTES, b"statement")
    assert world.run(lambda: receive(far) is not None)
    arrived_s = world.now_s
    assert world.run(lambda: near.backlog_bytes == 0)
    assert world.now_s - arrived_s <= ACK_DELAY_S + 0.003  # the way back, and the timer's tick


def test_a_stream_of_packets_is_acknowledged_every_few() -> None:
    """Else the sender's window would stand still for 20 ms at a time."""
    world, near, far = settled_world(delay_ms=1.0)
    began_s = world.now_s
    assert near.offer(Priority.BULK, bytes(400 * 1_400))
    assert world.run(lambda: receive(far) is not None)
    assert world.now_s - began_s < 3 * ACK_DELAY_S  # slow start takes six round trips of 2 ms


def test_a_missing_packet_is_reported_at_once() -> None:
    """A delayed report would delay the repair."""
    world, near, far = settled_world(delay_ms=1.0)
    world.weather = Weather(delay_ms=1.0, loss=1.0)
    assert near.offer(Priority.VOTES, b"lost")
    world.pass_time(0.0)
    world.weather = Weather(delay_ms=1.0)
    began_s = world.now_s
    for _ in range(4):  # by then the first counts as lost (RFC 9002, 6.1.1)
        assert near.offer(Priority.VOTES, b"not lost")
        world.pass_time(0.001)
    assert world.run(lambda: receive(far) == b"lost")
    assert world.now_s - began_s < ACK_DELAY_S
