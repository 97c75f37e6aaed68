"""The links' own bounds."""

import trio.testing

from cretonode.identifiers import ValidatorIndex
from cretonode.node.inbox import Inbox
from cretonode.node.links import (
    SMALL_FRAME_BYTES,
    SMALL_FRAMES_BURST,
    SMALL_FRAMES_PER_S,
    Links,
)
from tests.node.test_verification import COMMITTEE, SECRETS, verification


def links() -> Links:
    return Links(
        committee=COMMITTEE,
        me=ValidatorIndex(0),
        node_ids=tuple(secret.node_id for secret in SECRETS),
        software="test",
        inbox=Inbox([ValidatorIndex(i) for i in (1, 2, 3)]),
        verification=verification(),
        on_violation=lambda _peer, _violation, _detail: None,
    )


async def test_the_event_loop_verifies_only_so_many_small_frames(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What peers send must not take the event loop from everything else."""
    mine = links()
    assert not mine._is_small(bytes(SMALL_FRAME_BYTES + 1))
    small = sum(mine._is_small(bytes(SMALL_FRAME_BYTES)) for _ in range(1_000))
    assert small == SMALL_FRAMES_BURST
    await trio.sleep(1.0)
    assert sum(mine._is_small(b"") for _ in range(1_000)) <= SMALL_FRAMES_PER_S
