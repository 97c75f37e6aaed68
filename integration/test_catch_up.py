"""A server that lies about final sequences is caught over real QUIC, banned, and done without."""

from pathlib import Path

import trio

from cretonode.cli.cluster import Cluster, NodeProcess
from cretonode.cli.layout import make_testnet
from cretonode.core.reputation import BANNED_BELOW, SCORE_MAX, Violation
from integration.conftest import submit_final, transactions, wait_orders
from integration.test_detection import FALSE, bans, score, until, violations

LIES = ("-m", "chaos.bad_server", "cuts")
SEQUENCES = 24  # more than closing a gap by hash allows


async def test_a_server_of_invalid_ranges_is_banned_and_its_victim_catches_up(place: Path) -> None:
    """DESIGN 2, Catch-up: a lying peer costs its score. Its votes are like any other's."""
    files = make_testnet(place, size=4)
    cluster = Cluster([NodeProcess(each) for each in files])
    cluster.nodes[FALSE].program = LIES
    *others, newcomer = cluster.nodes
    try:
        for node in others:
            node.start()
        await cluster.wait_ready(others)
        for _ in range(SEQUENCES):
            await submit_final(others[1], transactions(1))
        for node in others[1:]:
            node.ask_to_stop()
            await node.wait_stopped()
        newcomer.start()  # the liar alone is there to be asked
        await until(lambda: answers(newcomer) and violations(newcomer)[Violation.INVALID_RANGE])
        await until(lambda: any(ban.in_force for ban in bans(newcomer)))
        assert await trio.to_thread.run_sync(score, newcomer) < BANNED_BELOW / SCORE_MAX
        for node in others[1:]:
            node.start()
        await cluster.wait_ready([others[1], newcomer])
        orders = await wait_orders([others[1], newcomer], SEQUENCES)
        assert orders[0] == orders[1]
        noted = await trio.to_thread.run_sync(violations, newcomer)
        assert sum(noted.values()) == noted[Violation.INVALID_RANGE] + noted[Violation.TIMEOUT]
    finally:
        await cluster.stop()


def answers(node: NodeProcess) -> bool:
    """Return whether the node has come up."""
    return node.files.operator_socket.exists()
