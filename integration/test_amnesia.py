"""Nodes that lost their vote journals find back by themselves; a dark site needs nobody."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from cretonode.cli.cluster import NodeProcess, open_cluster
from cretonode.cli.layout import CONFIG_FILE, make_testnet
from cretonode.cli.making import make_node
from cretonode.client import AsyncClient
from cretonode.errors import ClientError
from cretonode.identifiers import TransactionId
from integration.conftest import order_of, submit_final, transactions, wait_orders


def journal_of(node: NodeProcess) -> Path:
    return node.files.directory / "data" / "journal"


def flip(journal: Path) -> None:
    segment = next(journal.glob("segment-*"))
    data = bytearray(segment.read_bytes())
    data[4096 + 300] ^= 1
    segment.write_bytes(data)


def lose_all(journal: Path) -> None:
    """As when the volume is gone, and the operator does what the node says."""
    shutil.rmtree(journal.parent)
    make_node(journal.parent.parent / CONFIG_FILE, lost=True)


@pytest.mark.parametrize(
    "damage",
    [flip, shutil.rmtree, lose_all],
    ids=["a flipped byte", "deleted", "the data directory lost"],
)
async def test_a_node_that_lost_its_journal_finds_back_and_votes(
    place: Path, damage: Callable[[Path], object]
) -> None:
    """SPEC C8: silent until three others have attested; then its vote counts again."""
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        before = await submit_final(cluster.nodes[0], transactions(50))
        victim = cluster.nodes[1]
        victim.kill()
        damage(journal_of(victim))
        victim.start()
        await cluster.wait_ready([victim])
        cluster.nodes[2].kill()
        await submit_final(victim, transactions(20))  # three of four: its vote was needed
        cluster.nodes[2].start()
        await cluster.wait_ready()
        orders = await wait_orders(cluster.nodes, 70)
    assert all(order == orders[0] for order in orders)
    assert orders[0][:50] == before
    log = victim.files.log_path.read_text(encoding="utf-8")
    assert "journal_lost" in log
    assert "rejoined" in log


async def test_an_amnesiac_says_what_it_waits_for_and_takes_nothing(place: Path) -> None:
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        await submit_final(cluster.nodes[0], transactions(5))
        victim = cluster.nodes[1]
        for node in (victim, cluster.nodes[3]):
            node.kill()
        flip(journal_of(victim))
        victim.start()
        lacking = cluster.nodes[3].files.name
        with trio.fail_after(30):
            async with AsyncClient(victim.files.url) as client:
                while not (await reason_of(client)).endswith(f"of {lacking}"):  # noqa: ASYNC110
                    await trio.sleep(0.05)
                with pytest.raises(ClientError, match=r"amnesiac.*nothing was accepted"):
                    await client.submit(transactions(1))
        cluster.nodes[3].start()
        await cluster.wait_ready()
        await submit_final(victim, transactions(5))


async def reason_of(client: AsyncClient) -> str:
    try:
        return (await client.status()).reason
    except ClientError:
        return ""


async def test_a_site_that_goes_dark_under_load_goes_on_by_itself(place: Path) -> None:
    """DESIGN 2, Durability: what was final is there on every node, payloads included."""
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        final = await submit_final(cluster.nodes[0], transactions(50))
        async with trio.open_nursery() as nursery:
            for node in cluster.nodes:
                nursery.start_soon(_submit_until_dark, node)
            await trio.sleep(0.5)
            known = await order_of(cluster.nodes[2])
            for node in cluster.running:
                node.kill()
        for node in cluster.nodes:
            node.start()
        await cluster.wait_ready()
        after = await submit_final(cluster.nodes[3], transactions(20))
        orders = await wait_orders(cluster.nodes, len(known) + 20)
        length = min(map(len, orders))
        assert all(order[:length] == orders[0][:length] for order in orders)
        assert orders[0][: len(known)] == known
        assert set(final) | set(after) <= set(orders[0])
        for node in cluster.nodes:
            await _check_payloads(node, known)


async def _submit_until_dark(node: NodeProcess) -> None:
    try:
        async with AsyncClient(node.files.url) as client:
            while True:
                await client.submit(transactions(20))
    except ClientError:
        pass  # killed


async def _check_payloads(node: NodeProcess, ids: list[TransactionId]) -> None:
    async with AsyncClient(node.files.url) as client:
        for id_ in ids[:: max(1, len(ids) // 40)]:
            found = await client.transaction(id_)
            assert found is not None
            assert found.transaction is not None
