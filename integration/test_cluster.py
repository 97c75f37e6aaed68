"""Real nodes agree, lose members, get them back, and stop when asked."""

import signal
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from cretonode.cli.cluster import Cluster, open_cluster
from cretonode.cli.layout import make_testnet
from cretonode.client import AsyncClient
from cretonode.errors import ClientError
from integration.conftest import order_of, submit_final, transactions, wait_orders


async def leader_of(cluster: Cluster) -> int:
    async with AsyncClient(cluster.running[0].files.url) as client:
        return (await client.status()).leader


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
async def test_every_node_finalizes_the_same_order(place: Path, size: int) -> None:
    """SPEC C3."""
    async with open_cluster(make_testnet(place, size=size)) as cluster:
        async with trio.open_nursery() as nursery:
            for node in cluster.nodes:
                nursery.start_soon(submit_final, node, transactions(50))
        orders = await wait_orders(cluster.nodes, 50 * size)
    assert all(order == orders[0] for order in orders)
    assert len(set(orders[0])) == 50 * size


async def test_a_transaction_given_to_every_node_is_executed_once(place: Path) -> None:
    """SPEC C7."""
    same = transactions(20)
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        async with trio.open_nursery() as nursery:
            for node in cluster.nodes:
                nursery.start_soon(submit_final, node, same)
        last = await submit_final(cluster.nodes[0], transactions(1))
        orders = await wait_orders(cluster.nodes, 21)
    assert all(order == orders[0] for order in orders)
    assert len(orders[0]) == 21
    assert last[0] in orders[0]


@pytest.mark.parametrize("who", ["the leader", "a backup"])
async def test_a_killed_node_costs_nothing_and_catches_up(place: Path, who: str) -> None:
    """SPEC C8, C9: it contradicts nothing it said, and lacks nothing in the end."""
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        before = await submit_final(cluster.nodes[1], transactions(100))
        leader = await leader_of(cluster)
        victim = cluster.nodes[leader if who == "the leader" else (leader + 1) % 4]
        victim.kill()
        survivors = cluster.running
        during: list[bytes] = []
        for number in range(80):  # enough sequences to be fetched as ranges
            during += await submit_final(survivors[number % 3], transactions(5))
        victim.start()
        await cluster.wait_ready([victim])
        after = await submit_final(victim, transactions(10))
        orders = await wait_orders(cluster.nodes, 510)
    assert all(order == orders[0] for order in orders)
    assert set(orders[0]) == {*before, *during, *after}


async def test_all_nodes_killed_at_once_go_on_where_they_were(place: Path) -> None:
    """DESIGN 2, Durability: a whole site losing power needs no operator."""
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        before = await submit_final(cluster.nodes[0], transactions(50))
        for node in cluster.running:
            node.kill()
        for node in cluster.nodes:
            node.start()
        await cluster.wait_ready()
        after = await submit_final(cluster.nodes[2], transactions(50))
        orders = await wait_orders(cluster.nodes, 100)
    assert all(order == orders[0] for order in orders)
    assert set(orders[0]) == {*before, *after}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
async def test_a_signal_under_load_stops_every_node_in_good_order(
    place: Path, number: signal.Signals
) -> None:
    """SPEC L2: exit code 0, and nothing that was final is lost."""
    files = make_testnet(place, size=4)
    async with open_cluster(files) as cluster:
        final = await submit_final(cluster.nodes[0], transactions(100))
        async with trio.open_nursery() as nursery:
            for node in cluster.nodes:
                client = AsyncClient(node.files.url)
                nursery.start_soon(_submit_and_ignore, client, transactions(200))
            for node in cluster.nodes:
                node.ask_to_stop(number)
            codes = await cluster.stop()
    assert set(codes.values()) == {0}, codes
    async with open_cluster(files) as cluster:
        orders = [await order_of(node) for node in cluster.nodes]
    assert all(order[:100] == final for order in orders)


async def _submit_and_ignore(client: AsyncClient, batch: list[bytes]) -> None:
    # The node is stopping, which is what this is about.
    with suppress(ClientError):
        async with client:
            await client.submit(batch)
