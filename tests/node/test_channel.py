"""One peer's channel: what waits goes out together, in order, behind the hello."""

import trio
import trio.testing

from cretonode.identifiers import NodeId, ValidatorIndex, View
from cretonode.limits import FRAME_BYTES_MAX
from cretonode.network.frames import Priority
from cretonode.node.channel import FRAMES_BURST, WAITING_BYTES_MAX, Channel
from cretonode.wire.frames import unpack_frame_untrusted
from cretonode.wire.hello import encode_hello, hello_of
from tests.simulation.scenario import committee_of

HELLO = hello_of(committee_of(4), "test")
VOTES = Priority.VOTES


class FakePeers:
    """Satisfies what a channel needs of `network.peers.Peers` and of a connection."""

    is_established = True

    def __init__(self) -> None:
        self.frames: list[tuple[Priority, bytes]] = []
        self.has_room = True

    def connection_to(self, peer: NodeId) -> "FakePeers":
        return self

    def offer(self, priority: Priority, frame: bytes) -> bool:
        if self.has_room:
            self.frames.append((priority, frame))
        return self.has_room

    async def wait_drained(self, priority: Priority) -> None:
        while not self.has_room:
            await trio.lowlevel.checkpoint()

    def messages(self) -> list[bytes]:
        return [m for _, frame in self.frames for m in unpack_frame_untrusted(frame)]


async def greeted_channel(peers: FakePeers, nursery: trio.Nursery) -> Channel:
    channel = Channel(ValidatorIndex(1), NodeId(bytes(32)), HELLO)
    nursery.start_soon(channel.send_forever, peers)
    channel.connected()
    await trio.testing.wait_all_tasks_blocked()
    assert peers.frames == [(VOTES, encode_hello(HELLO))]
    peers.frames.clear()
    return channel


async def test_what_one_turn_sends_leaves_at_once_in_one_frame(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    peers = FakePeers()
    channel = await greeted_channel(peers, nursery)
    channel.send(VOTES, b"one")
    channel.send(VOTES, b"two")
    assert not peers.frames
    channel.flush(peers)  # type: ignore[arg-type]
    assert len(peers.frames) == 1
    assert peers.messages() == [b"one", b"two"]


async def test_the_first_frame_of_a_class_goes_behind_its_hello(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    peers = FakePeers()
    channel = await greeted_channel(peers, nursery)
    channel.send(Priority.BULK, b"bulk")
    channel.flush(peers)  # type: ignore[arg-type]
    await trio.testing.wait_all_tasks_blocked()
    assert peers.frames[0] == (Priority.BULK, encode_hello(HELLO))
    assert unpack_frame_untrusted(peers.frames[1][1]) == [b"bulk"]


async def test_nothing_overtakes_what_waits_for_room(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    peers = FakePeers()
    channel = await greeted_channel(peers, nursery)
    peers.has_room = False
    for message in (b"one", b"two", b"three"):
        channel.send(VOTES, message)
        channel.flush(peers)  # type: ignore[arg-type]
        for _ in range(3):
            await trio.lowlevel.checkpoint()
    peers.has_room = True
    with trio.fail_after(5):
        await channel.wait_packed(VOTES)
    await trio.testing.wait_all_tasks_blocked()
    assert peers.messages() == [b"one", b"two", b"three"]


async def test_votes_of_a_view_that_was_left_are_discarded_while_they_wait(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """DESIGN 1: nothing of the old view can send afterwards; what is no vote goes on waiting."""
    peers = FakePeers()
    channel = await greeted_channel(peers, nursery)
    peers.has_room = False
    channel.send(VOTES, b"in hand", view=View(3))
    channel.flush(peers)  # type: ignore[arg-type]
    await trio.lowlevel.checkpoint()
    for view, message in ((3, b"old"), (None, b"status"), (4, b"new"), (2, b"older")):
        channel.send(VOTES, message, view=View(view) if view is not None else None)
    channel.discard_votes_below(View(4))
    assert channel.waiting_messages == 2
    peers.has_room = True
    channel.flush(peers)  # type: ignore[arg-type]
    await trio.testing.wait_all_tasks_blocked()
    assert set(peers.messages()) & {b"old", b"older"} == set()
    assert {b"status", b"new"} <= set(peers.messages())
    channel.send(VOTES, b"again", view=View(3))
    channel.discard_votes_below(View(4))
    assert channel.waiting_messages == 0
    with trio.fail_after(1):
        await channel.wait_packed(VOTES)


async def test_votes_overtake_vertices_that_wait_for_their_turn(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """SPEC N3: a backlog of bulk is not in a vote's way."""
    peers = FakePeers()
    channel = await greeted_channel(peers, nursery)
    for _ in range(FRAMES_BURST):
        channel.send(VOTES, b"vote")
        channel.flush(peers)  # type: ignore[arg-type]
    await trio.testing.wait_all_tasks_blocked()
    peers.frames.clear()
    for i in range(4):
        channel.send(Priority.BULK, bytes([i]) * (FRAME_BYTES_MAX // 2))
    channel.flush(peers)  # type: ignore[arg-type]
    await trio.testing.wait_all_tasks_blocked()
    channel.send(VOTES, b"late vote")
    channel.flush(peers)  # type: ignore[arg-type]
    await trio.sleep(1.0)
    priorities = [priority for priority, _ in peers.frames]
    assert priorities.index(VOTES) < len(priorities) - 2


async def test_a_chatty_node_keeps_below_the_rate_that_its_peer_reads(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """SPEC: the sender paces itself below the receiver's limit, in fuller frames."""
    peers = FakePeers()
    channel = await greeted_channel(peers, nursery)
    for i in range(2 * FRAMES_BURST):
        channel.send(VOTES, i.to_bytes(2, "big"))
        channel.flush(peers)  # type: ignore[arg-type]
    assert len(peers.frames) < FRAMES_BURST
    await trio.testing.wait_all_tasks_blocked()
    await trio.sleep(1.0)
    assert peers.messages() == [i.to_bytes(2, "big") for i in range(2 * FRAMES_BURST)]
    assert len(peers.frames) <= FRAMES_BURST + 1


async def test_a_peer_that_reads_nothing_costs_a_bounded_amount() -> None:
    """House style 17: past the bound what waits is dropped and counted; a Status brings it back."""
    peers = FakePeers()
    async with trio.open_nursery() as nursery:
        channel = await greeted_channel(peers, nursery)
        message = bytes(WAITING_BYTES_MAX // 64)
        for _ in range(200):
            channel.send(VOTES, message)
            assert channel.waiting_messages <= 64
        assert channel.dropped_messages == 200 - channel.waiting_messages
        nursery.cancel_scope.cancel()
