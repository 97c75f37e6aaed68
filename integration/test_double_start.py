"""One key, one process: a second one elsewhere does not start, and the first goes on."""

import shutil
from pathlib import Path

import trio

from cretonode.cli.cluster import NodeProcess, open_cluster
from cretonode.cli.layout import NodeFiles, make_testnet
from integration.conftest import submit_final, transactions, wait_orders

ELSEWHERE = "127.0.0.2"  # another machine, as far as the others can tell


def copied(files: NodeFiles, directory: Path) -> NodeProcess:
    """Return the same node with its keys and data, as an operator's copy on another machine."""
    shutil.copytree(files.directory, directory, ignore=shutil.ignore_patterns("*.sock", "lock"))
    config = directory / "node.toml"
    text = config.read_text(encoding="utf-8").replace(str(files.directory), str(directory))
    config.write_text(text, encoding="utf-8")
    return NodeProcess(
        NodeFiles(
            name=files.name,
            directory=directory,
            quic_port=files.quic_port,
            http_port=files.http_port,
            metrics_port=files.metrics_port,
        ),
        environment={
            "CRETO_NETWORK_LISTEN_ADDR": f"{ELSEWHERE}:{files.quic_port}",
            "CRETO_API_HTTP_HOST": ELSEWHERE,
        },
    )


async def test_a_second_process_with_the_same_key_does_not_start(place: Path) -> None:
    """SPEC C8; with the lowest id, which dials, and with the highest, which is dialled."""
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        before = await submit_final(cluster.nodes[0], transactions(20))
        for number in (0, 3):
            first = cluster.nodes[number]
            second = copied(first.files, place.parent / f"copy-{number}")
            second.start()
            with trio.fail_after(30):
                assert await second.wait_stopped() == 2
            log = second.files.log_path.read_text(encoding="utf-8")
            assert "another process with this node's key is at work" in log
            assert "view_entered" not in log.rsplit("step=storage", 1)[-1]
            first.check_runs()
            await submit_final(first, transactions(5))  # undisturbed
        orders = await wait_orders(cluster.nodes, 30)
    assert all(order == orders[0] for order in orders)
    assert orders[0][:20] == before


async def test_who_crashed_and_starts_again_at_once_is_let_in(place: Path) -> None:
    """The old connections are dead and not yet known to be."""
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        for number in (0, 3):
            victim = cluster.nodes[number]
            victim.kill()
            victim.start()
            await cluster.wait_ready([victim])
            await submit_final(victim, transactions(5))


async def test_the_first_to_start_does_not_wait_for_the_others(place: Path) -> None:
    files = make_testnet(place, size=4)
    async with open_cluster(files):
        pass
    alone = NodeProcess(files[0])
    alone.start()
    try:
        with trio.fail_after(20):
            while "running" not in alone.files.log_path.read_text(encoding="utf-8"):
                alone.check_runs()
                await trio.sleep(0.05)
    finally:
        alone.kill()
