"""Leaving a view ends all that was under way in it, in the driver's real parts.

Nothing of the shell is a task of one view: what the core would do later hangs on its deadlines,
which go with the view; what it has said waits in the channels, from where it is discarded.
"""

from dataclasses import dataclass, replace
from typing import cast

import pytest
import trio
import trio.testing

from cretonode.core.dedup import Dedup
from cretonode.core.effects import Effect, Say
from cretonode.core.events import PeerConnected, Received
from cretonode.core.messages import Message, Prepare, PrePrepare, ViewChange
from cretonode.core.replica import Replica
from cretonode.core.state import NEVER_MS, Restored, Timing
from cretonode.identifiers import ValidatorIndex
from cretonode.network.frames import Priority
from cretonode.node.bans import Bans, reputation_of
from cretonode.node.batcher import Batcher
from cretonode.node.chronicle import Chronicle
from cretonode.node.clock import Clock
from cretonode.node.driver import Driver, FinalVertices
from cretonode.node.finality import Finality
from cretonode.node.inbox import Inbox
from cretonode.node.links import Links
from cretonode.node.performer import Performer
from cretonode.node.retaker import Retaker, TransactionStore
from cretonode.node.server import SlotServer
from cretonode.wire.messages import decode_message_untrusted
from tests.core.replicas import (
    COMMITTEE,
    ROOT,
    START_MS,
    anchor,
    anchors,
    named,
    plain,
    pre_prepare,
    signature_of,
    view_change,
)
from tests.node.test_bans import Doors, Rows
from tests.node.test_verification import SECRETS, verification

A = anchors(0, 3)


class VirtualClock:
    """Satisfies `node.clock.Clock`, on trio's clock."""

    def now_ms(self) -> int:
        return START_MS + int(trio.current_time() * 1000)


@dataclass
class SigningPerformer:
    """Satisfies what the driver needs of `node.performer.Performer`: a disk that costs nothing."""

    me: int

    async def make_durable(self, effects: list[Effect]) -> list[Effect]:
        await trio.lowlevel.checkpoint()
        return [
            Say(replace(e.statement, signature=signature_of(self.me))) if isinstance(e, Say) else e
            for e in effects
        ]


def make_driver(me: int) -> Driver:
    index = ValidatorIndex(me)
    peers = [ValidatorIndex(i) for i in range(4) if i != me]
    inbox = Inbox(peers)
    links = Links(
        committee=COMMITTEE,
        me=index,
        node_ids=tuple(secret.node_id for secret in SECRETS),
        software="test",
        inbox=inbox,
        verification=verification(),
        on_violation=lambda _peer, _violation, _detail: None,
    )
    for channel in links.channels.values():
        channel.connected()
    batcher = Batcher(
        executed=Dedup(COMMITTEE.parameters.dedup_window),
        wake=inbox.wake,
        pending_max=100,
        interval_ms=0,
        transactions_max=100,
    )
    replica = Replica(COMMITTEE, index, Timing(), Restored(final=ROOT))
    clock = cast("Clock", VirtualClock())
    return Driver(
        replica=replica,
        clock=clock,
        chronicle=Chronicle(replica=replica, names=("zero", "one", "two", "three"), clock=clock),
        inbox=inbox,
        performer=cast("Performer", SigningPerformer(me)),
        links=links,
        database=cast("FinalVertices", None),
        server=cast("SlotServer", None),
        batcher=batcher,
        finality=Finality(batcher),
        retaker=Retaker(batcher, cast("TransactionStore", None), trio.CapacityLimiter(1)),
        bans=Bans(
            reputation=reputation_of(COMMITTEE, index, window_ms=600_000, ban_ms=60_000),
            node_ids=tuple(secret.node_id for secret in SECRETS),
            names=("zero", "one", "two", "three"),
            doors=Doors(),
            store=cast("Rows", None),  # nothing is written: its task does not run
            clock=cast("Clock", VirtualClock()),
            writer=trio.CapacityLimiter(1),
        ),
    )


def waiting(driver: Driver) -> list[Message]:
    """Return what waits in the channels to be sent, decoded."""
    found = []
    for channel in driver.links.channels.values():
        found += [decode_message_untrusted(m) for m in channel._waiting[Priority.VOTES]]
    return found


async def tell(driver: Driver, *messages: Message, sender: int) -> None:
    peer = ValidatorIndex(sender)
    await driver.inbox.put(peer, [Received(peer, message) for message in messages])
    await trio.testing.wait_all_tasks_blocked()


async def running(driver: Driver, nursery: trio.Nursery) -> None:
    await nursery.start(driver.run)
    for peer in driver.links.channels:
        driver.inbox.put_own(PeerConnected(peer))
    await trio.testing.wait_all_tasks_blocked()


async def test_a_backup_that_enters_a_view_stops_all_of_the_last(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """DESIGN 1: leaving the view cancels its proposer, timers and fetches at once, and nothing of
    the old view can send afterwards."""
    driver = make_driver(2)
    core = driver.replica
    await running(driver, nursery)
    tip = plain(3, 1)
    await tell(driver, A[0], pre_prepare(0, A[0]), pre_prepare(0, A[1]), sender=0)
    await tell(driver, tip, sender=3)
    assert [m for m in waiting(driver) if isinstance(m, Prepare)], "queued"
    assert named(A[1]) in core.intake._wants, "a fetch is parked"
    assert core.views.next_deadline_ms() < NEVER_MS, "a timer is parked"
    old_ms = core.views._deadline_ms()
    await trio.sleep(1.0)
    await tell(driver, view_change(1, 1), sender=1)
    await tell(driver, view_change(1, 3), sender=3)
    assert core.state.view == 1
    assert not [m for m in waiting(driver) if isinstance(m, Prepare | PrePrepare)], "discarded"
    assert [m.view for m in waiting(driver) if isinstance(m, ViewChange)] == [1, 1, 1]
    assert named(A[1]) not in core.intake._wants
    assert core.views._deadline_ms() == old_ms + 1_000, "what is timed now is the new view"
    assert not core.ordering.slots
    assert not core.ordering.accepted
    await trio.sleep(2.0)
    assert not [m for m in waiting(driver) if isinstance(m, Prepare | PrePrepare)]


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
async def test_a_leader_that_leaves_its_view_proposes_nothing_more(
    leaves: bool, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(0)
    core = driver.replica
    await running(driver, nursery)
    await driver.batcher.submit([b"one"])
    await trio.testing.wait_all_tasks_blocked()
    proposed = [m for m in waiting(driver) if isinstance(m, PrePrepare)]
    assert [m.sequence for m in proposed] == [1, 1, 1]
    await tell(driver, plain(3, 1), sender=3)
    due_ms = core.proposer.next_deadline_ms()
    assert due_ms < NEVER_MS, "the next proposal is parked"
    if leaves:
        await tell(driver, view_change(1, 1), sender=1)
        await tell(driver, view_change(1, 3), sender=3)
        assert core.proposer.next_deadline_ms() == NEVER_MS
    await trio.sleep(1.0)
    sequences = {m.sequence for m in waiting(driver) if isinstance(m, PrePrepare)}
    assert sequences == (set() if leaves else {1, 2})


async def test_an_anchor_that_was_asked_for_in_an_old_view_is_not_asked_for_again(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    driver = make_driver(2)
    await running(driver, nursery)
    ghost = anchor(0, 50)
    await tell(driver, pre_prepare(0, ghost), sender=0)
    await tell(driver, view_change(1, 1), sender=1)
    await tell(driver, view_change(1, 3), sender=3)
    before = len(waiting(driver))
    asked = [m for m in waiting(driver) if type(m).__name__ == "FetchVertices"]
    await trio.sleep(3.0)
    again = [m for m in waiting(driver)[before:] if type(m).__name__ == "FetchVertices"]
    assert not asked
    assert not again
