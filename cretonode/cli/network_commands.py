"""Commands about a whole network on this machine: testnet, devnet."""

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click
import trio

from cretonode.cli.base import reported
from cretonode.cli.cluster import open_cluster
from cretonode.cli.demo import demo
from cretonode.cli.layout import NodeFiles, make_testnet, read_testnet
from cretonode.cli.output import print_json, print_table
from cretonode.config.genesis import read, tolerance

SIZES_MAX: Final = 31  # real processes on one machine


@click.command()
@click.option("-n", "size", default=4, show_default=True, type=click.IntRange(1, 127))
@click.option("--chain-id", default="testnet", show_default=True)
@click.option("--base-port", type=click.IntRange(1024, 64000), help="Default: free ports.")
@click.option(
    "--profile", type=click.Choice(["default", "small"]), default="small", show_default=True
)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def testnet(
    directory: Path, size: int, chain_id: str, base_port: int | None, profile: str, *, as_json: bool
) -> None:
    """Write keys, genesis and configuration of an N-node network below DIRECTORY."""
    nodes = make_testnet(
        directory, size=size, chain_id=chain_id, base_port=base_port, profile=profile
    )
    if as_json:
        print_json([_as_json(node) for node in nodes])
        return
    _print_nodes(directory, nodes)
    click.echo(f"start one with: cretonode start --config {nodes[0].config_path}")


@click.command()
@click.option("-n", "size", default=4, show_default=True, type=click.IntRange(1, SIZES_MAX))
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the network here, and go on with one that is here already. Default: temporary.",
)
@click.option("--base-port", type=click.IntRange(1024, 64000), help="Default: free ports.")
@reported
def devnet(size: int, directory: Path | None, base_port: int | None) -> None:
    """Run a local network of N real nodes until Ctrl-C."""
    with ExitStack() as stack:
        if directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="cretonode-devnet-")
            place = Path(stack.enter_context(temporary))
        else:
            place = directory
        if directory is not None and directory.exists() and any(directory.iterdir()):
            nodes = read_testnet(directory)
        else:
            nodes = make_testnet(place, size=size, chain_id="devnet", base_port=base_port)
        trio.run(_run_devnet, place, nodes)


async def _run_devnet(directory: Path, nodes: list[NodeFiles]) -> None:
    committee = read(directory / "genesis.json").committee()
    click.echo(tolerance(committee))
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def stop_on_signal() -> None:
                async for _ in signals:
                    click.echo("stopping ...")
                    nursery.cancel_scope.cancel()
                    return

            nursery.start_soon(stop_on_signal, name="signals")
            click.echo(f"starting {len(nodes)} nodes ...")
            async with open_cluster(nodes) as cluster:
                _print_nodes(directory, nodes)
                click.echo(f"try: cretonode submit --url {nodes[0].url} FILE   (Ctrl-C stops)")
                while True:
                    await trio.sleep(0.5)
                    for node in cluster.nodes:
                        node.check_runs()


def _print_nodes(directory: Path, nodes: list[NodeFiles]) -> None:
    print_table(
        f"{len(nodes)} nodes in {directory}",
        ["node", "HTTP", "QUIC (UDP)", "metrics", "log"],
        [
            [n.name, n.url, n.quic_port, n.metrics_port, n.log_path.relative_to(directory)]
            for n in nodes
        ],
    )


def _as_json(node: NodeFiles) -> dict[str, object]:
    return {
        "name": node.name,
        "config": str(node.config_path),
        "url": node.url,
        "quic_port": node.quic_port,
        "metrics_port": node.metrics_port,
        "operator_socket": str(node.operator_socket),
    }


COMMANDS: Final = (testnet, devnet, demo)
