"""More journals lost than n - q: the network stands, and `cretonode recover` restarts it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import trio
from click.testing import CliRunner

from cretonode.cli.cluster import Cluster, NodeProcess, open_cluster
from cretonode.cli.commands import cli
from cretonode.cli.layout import GENESIS_FILE, make_testnet
from cretonode.client import AsyncClient
from cretonode.errors import ClientError
from cretonode.identifiers import TransactionId
from integration.conftest import order_of, submit_final, transactions, wait_orders

REASON_S = 30.0


def run(*arguments: object, code: int = 0) -> str:
    """Run one command; return what it printed."""
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    assert result.exit_code == code, (arguments, result.output)
    return result.output


def done(*arguments: object) -> str:
    """Run one command that must succeed."""
    return run(*arguments)


def refused(*arguments: object) -> str:
    """Run one command that must refuse."""
    return run(*arguments, code=2)


async def wait_reason(node: NodeProcess, words: str) -> str:
    """Return the reason for which a node is not ready, once it has `words` in it."""
    with trio.fail_after(REASON_S):
        while True:
            node.check_runs()
            try:
                async with AsyncClient(node.files.url) as client:
                    reason = (await client.status()).reason
            except ClientError:
                reason = ""
            if words in reason:
                return reason
            await trio.sleep(0.05)


def recovered(nodes: Sequence[NodeProcess], place: Path) -> Path:
    """Propose, plan and sign on these stopped nodes; apply on them; return the recovery file."""
    genesis = place / GENESIS_FILE
    proposals = [place / f"{node.files.name}.proposal" for node in nodes]
    for node, path in zip(nodes, proposals, strict=True):
        done("recover", "propose", "--config", node.files.config_path, "--output", path)
    plan = place / "plan"
    done("recover", "plan", "--genesis", genesis, "--output", plan, *proposals)
    signed = [place / f"{node.files.name}.signed" for node in nodes]
    for node, path in zip(nodes, signed, strict=True):
        config = node.files.config_path
        done("recover", "sign", "--yes", "--config", config, "--output", path, plan)
    file = place / "recovery.json"
    for node in nodes:
        config = node.files.config_path
        done("recover", "apply", "--config", config, "--output", file, *signed)
    return file


def forget(node: NodeProcess) -> None:
    shutil.rmtree(node.files.directory / "data" / "journal")


async def load(cluster: Cluster) -> list[TransactionId]:
    """Submit to all that run, kill them while they work; return what one knew to be final."""
    await submit_final(cluster.nodes[0], transactions(50))
    async with trio.open_nursery() as nursery:
        for node in cluster.running:
            nursery.start_soon(_submit_until_dark, node)
        known: list[TransactionId] = []
        while len(known) < 300:
            known = await order_of(cluster.nodes[2])
        for node in cluster.running:
            node.kill()
    return known


async def _submit_until_dark(node: NodeProcess) -> None:
    try:
        async with AsyncClient(node.files.url) as client:
            while True:
                await client.submit(transactions(20))
    except ClientError:
        pass  # killed


async def test_a_network_that_forgot_everything_goes_on_with_all_that_was_final(
    place: Path,
) -> None:
    """DESIGN 2, Durability: offline, signed by q operators, in a new incarnation."""
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        known = await load(cluster)
        for node in cluster.nodes:
            forget(node)
        cluster.nodes[0].start()
        cluster.nodes[1].start()
        reason = await wait_reason(cluster.nodes[0], "too many")
        assert "`cretonode recover`" in reason
        config = cluster.nodes[0].files.config_path
        assert "in use by process" in refused("recover", "propose", "--config", config)
        for node in cluster.running:
            node.kill()
        recovered(cluster.nodes, place)
        for node in cluster.nodes:
            node.start()
        await cluster.wait_ready()
        after = await submit_final(cluster.nodes[3], transactions(20))
        orders = await wait_orders(cluster.nodes, len(known) + 20)
        length = min(map(len, orders))
        assert all(order[:length] == orders[0][:length] for order in orders)
        assert orders[0][: len(known)] == known
        assert len(set(orders[0])) == len(orders[0]), "once"
        assert set(after) <= set(orders[0])


async def test_who_did_not_take_part_says_so_and_applies_later(place: Path) -> None:
    """It goes on as an amnesiac, and so does one with a new disk."""
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        late = cluster.nodes[3]
        await submit_final(late, transactions(50))
        late.kill()
        # What it alone executed no recovery of the others could know: they go on for longer.
        known = await load(cluster)
        for node in cluster.nodes[:3]:
            forget(node)
        file = recovered(cluster.nodes[:3], place)
        for node in cluster.nodes:
            node.start()
        reason = await wait_reason(late, "missed a recovery")
        assert "in incarnation 0" in reason
        assert "recover apply" in reason
        config = late.files.config_path
        assert "in use by process" in refused("recover", "apply", "--config", config, file)
        late.kill()
        assert "amnesiac" in done("recover", "apply", "--config", config, file)
        late.start()
        await cluster.wait_ready()
        cluster.nodes[0].kill()
        await submit_final(late, transactions(20))  # three of four: its vote was needed
        # Back with an empty disk: it fetches what both incarnations made final.
        config = cluster.nodes[0].files.config_path
        shutil.rmtree(cluster.nodes[0].files.directory / "data")
        done("init", "--config", config)
        done("recover", "apply", "--config", config, file)
        cluster.nodes[0].start()
        await cluster.wait_ready()
        orders = await wait_orders(cluster.nodes, len(known) + 20)
        assert all(order[: len(known)] == known for order in orders)
        length = min(map(len, orders))
        assert all(order[:length] == orders[0][:length] for order in orders)
