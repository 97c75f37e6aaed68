"""The driver's inbox: fair, bounded for each peer, and woken for everything that waits."""

import trio
import trio.testing

from cretonode.core.events import PeerConnected, Tick
from cretonode.identifiers import ValidatorIndex
from cretonode.node.inbox import PEER_EVENTS_MAX, TURN_EVENTS_MAX, Inbox

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
