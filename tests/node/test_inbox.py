"""The driver's inbox: fair, bounded for each peer, and woken for everything that waits."""

from dataclasses import replace

import trio
import trio.testing

from cretonode.core.events import PeerConnected, Received, Tick
from cretonode.identifiers import ValidatorIndex
from cretonode.limits import PAYLOAD_BYTES_MAX
from cretonode.node.inbox import PEER_BYTES_MAX, PEER_EVENTS_MAX, TURN_EVENTS_MAX, Inbox
from tests.node.test_performer import VERTEX

ONE, TWO = ValidatorIndex(1), ValidatorIndex(2)


async def test_own_events_go_first_then_peers_take_turns() -> None:
    inbox = Inbox([ONE, TWO])
    first, second = PeerConnected(ONE), PeerConnected(TWO)
    await inbox.put(ONE, [first] * 3)
    await inbox.put(TWO, [second])
    inbox.put_own(Tick())
    assert await inbox.next_turn(0) == [Tick(), first, second, first, first]


async def test_a_flooding_peer_waits_and_another_does_not() -> None:
    """House style 17: every queue has a bound, and a plan for reaching it."""
    inbox = Inbox([ONE, TWO])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.put, ONE, [Tick()] * (2 * PEER_EVENTS_MAX))
        await trio.testing.wait_all_tasks_blocked()
        assert len(inbox) == PEER_EVENTS_MAX
        await inbox.put(TWO, [PeerConnected(TWO)])
        turn = await inbox.next_turn(0)
        assert PeerConnected(TWO) in turn
        assert len(turn) <= TURN_EVENTS_MAX
        await trio.testing.wait_all_tasks_blocked()
        assert len(await inbox.next_turn(0)) == PEER_EVENTS_MAX


async def test_payloads_count_by_their_bytes() -> None:
    """256 vertices of one peer could hold 160 MiB otherwise, while the disk is slow."""
    payload = bytes(PAYLOAD_BYTES_MAX)
    vertex = replace(VERTEX, payload=payload)
    inbox = Inbox([ONE, TWO])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.put, ONE, [Received(ONE, vertex)] * PEER_EVENTS_MAX)
        await trio.testing.wait_all_tasks_blocked()
        assert PEER_BYTES_MAX - len(payload) < len(inbox) * len(payload) <= PEER_BYTES_MAX
        await inbox.put(TWO, [PeerConnected(TWO)])
        taken = 0
        while taken < PEER_EVENTS_MAX + 1:
            taken += len(await inbox.next_turn(0))
            await trio.testing.wait_all_tasks_blocked()
            assert len(inbox) * len(payload) <= PEER_BYTES_MAX
    assert not len(inbox)


async def test_nothing_to_do_is_an_empty_turn_after_the_timeout(
    autojump_clock: trio.testing.MockClock,
) -> None:
    inbox = Inbox([ONE])
    assert await inbox.next_turn(5.0) == []
    assert trio.current_time() >= 5.0


async def test_a_wake_without_an_event_ends_the_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    inbox = Inbox([ONE])
    async with trio.open_nursery() as nursery:

        async def client() -> None:
            await trio.sleep(1)
            inbox.wake()

        nursery.start_soon(client)
        assert await inbox.next_turn(1000) == []
    assert trio.current_time() < 2
