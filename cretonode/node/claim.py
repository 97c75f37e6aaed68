"""Making sure at start that no other process works with this node's key.

Nothing is said before: two processes with one key, each with a journal of its own, would contradict
each other. The lock of the data directory keeps out a second process on the same machine; here the
other validators tell of one elsewhere. Source: docs/spec/durability.md, section 10.
"""

from collections.abc import Sequence
from typing import Final

import structlog
import trio

from cretonode.core.committee import Committee
from cretonode.errors import KeyElsewhere
from cretonode.identifiers import NodeId
from cretonode.network.peers import Peers
from cretonode.network.settings import PeerSettings
from cretonode.node.links import Links

QUIET_S: Final = 2.0  # so long without a refusal: nobody hears another process, or nobody is there
CLAIM_S: Final = 6.0  # for a refusal to be taken back, when what is heard is a dead connection
CHECK_S: Final = 0.02

# Who waits to be dialled and is not, dials itself, and has its answer after a handshake.
assert PeerSettings().fallback_dial_ms / 1000 < QUIET_S
# Who crashed and starts again at once is refused until its old connections count as silent.
assert PeerSettings().takeover_silence_ms / 1000 + PeerSettings().fallback_dial_ms / 1000 < CLAIM_S

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def claim_key(
    links: Links, peers: Peers, committee: Committee, names: Sequence[str], stop: trio.Event
) -> None:
    """Return when this process may speak for its key, or `stop` is set.

    One refusal may be a liar's: f + 1 are needed, and f + 1 that let us in are enough to go on.
    Raises: KeyElsewhere.
    """
    needed = committee.faults + 1
    began_s = trio.current_time()
    while not stop.is_set():
        refusing = _refusing(links, peers)
        passed_s = trio.current_time() - began_s
        if len(links.connected()) >= min(needed, committee.size - 1):
            return
        if not refusing and passed_s >= QUIET_S:
            return
        if passed_s >= CLAIM_S:
            _judge([names[peer] for peer in refusing], needed)
            return
        await trio.sleep(CHECK_S)


def _refusing(links: Links, peers: Peers) -> list[int]:
    said: set[NodeId] = {status.peer for status in peers.status() if status.key_in_use}
    return [
        peer
        for peer, channel in links.channels.items()
        if channel.node_id in said and not channel.greeted
    ]


def _judge(refusing: list[str], needed: int) -> None:
    who = " and ".join(refusing)
    if len(refusing) >= needed:
        raise KeyElsewhere(
            f"another process with this node's key is at work: {who} hear it and refuse this one, "
            "which does not start. Two with one key contradict each other; stop the other one first"
        )
    log.warning(
        "key_in_use", said_by=who, meaning=f"not believed: {needed} validators would have to say so"
    )
