"""Commands about a whole network on this machine: testnet, devnet."""

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click
import trio

from cretonode.cli.base import EXIT_SIGNAL, reported
from cretonode.cli.cluster import Cluster, NodeStopped, open_cluster
from cretonode.cli.demo import demo
from cretonode.cli.layout import GENESIS_FILE, NodeFiles, make_testnet, read_testnet
from cretonode.cli.output import complain, print_json, print_table
from cretonode.config.genesis import read, tolerance
from cretonode.errors import ConfigError

SIZE: Final = 4
SIZES_MAX: Final = 31  # real processes on one machine


@click.command()
@click.option("-n", "size", default=SIZE, show_default=True, type=click.IntRange(1, 127))
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
    _print_nodes(nodes[0].directory.parent, nodes)
    click.echo(f"start one with: cretonode start --config {nodes[0].config_path}")


@click.command()
@click.option(
    "-n",
    "size",
    type=click.IntRange(1, SIZES_MAX),
    help=f"Default: {SIZE}, or what --dir holds already.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the network here, and go on with one that is here already. Default: temporary.",
)
@click.option("--base-port", type=click.IntRange(1024, 64000), help="Default: free ports.")
@reported
def devnet(size: int | None, directory: Path | None, base_port: int | None) -> None:
    """Run a local network of N real nodes until Ctrl-C."""
    with ExitStack() as stack:
        if directory is None:
            temporary = tempfile.TemporaryDirectory(prefix="cretonode-devnet-")
            place = Path(stack.enter_context(temporary))
        else:
            place = directory
        ended_by = trio.run(_run_devnet, nodes_in(place, size=size, base_port=base_port))
        # Every node has stopped: what is left is short, and a second Ctrl-C cannot spoil it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if ended_by is not None:
        raise SystemExit(EXIT_SIGNAL + ended_by)


def nodes_in(directory: Path, *, size: int | None, base_port: int | None) -> list[NodeFiles]:
    """Return the nodes that are in a directory already, or else make them.

    Raises: ConfigError, when what is there differs from what was asked for.
    """
    if not directory.exists() or not any(directory.iterdir()):
        return make_testnet(directory, size=size or SIZE, chain_id="devnet", base_port=base_port)
    nodes = read_testnet(directory)
    if size not in (None, len(nodes)):
        raise ConfigError(
            f"{directory} holds a network of {counted(len(nodes))}, but -n asks for {size}; "
            "leave out -n, or choose another directory"
        )
    if base_port is not None and nodes[0].quic_port != base_port + 1:
        raise ConfigError(
            f"{directory} holds a network that begins at port {nodes[0].quic_port}, but "
            f"--base-port asks for {base_port + 1}; leave it out, or choose another directory"
        )
    return nodes


async def _run_devnet(nodes: list[NodeFiles]) -> int | None:
    """Run until a signal; return its number when it came before all nodes were up, else None."""
    directory = nodes[0].directory.parent
    ended_by: int | None = None
    up = False
    running = trio.CancelScope()

    async def watch_signals(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal ended_by
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:  # also while stopping: nothing cuts that short
                if not running.cancel_called:
                    ended_by = None if up else number
                    click.echo("stopping ...")
                running.cancel()

    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals, name="signals")
        with running:
            click.echo(tolerance(read(directory / GENESIS_FILE).committee()))
            click.echo(f"starting {counted(len(nodes))} ...")
            async with open_cluster(nodes) as cluster:
                _print_nodes(directory, nodes)
                click.echo(f"try: cretonode submit --url {nodes[0].url} FILE   (Ctrl-C stops)")
                up = True
                await _watch_nodes(cluster)
        nursery.cancel_scope.cancel()
    return ended_by


async def _watch_nodes(cluster: Cluster) -> None:
    """Tell of each node that ends; return never while one runs.

    Raises: NodeStopped, of the last.
    """
    while True:
        await trio.sleep(0.5)
        for node in cluster.running:
            try:
                node.check_runs()
            except NodeStopped as error:
                if len(cluster.running) == 1:
                    raise
                complain(str(error))
                node.process = None
                click.echo(f"{counted(len(cluster.running))} left   (Ctrl-C stops)")


def counted(count: int) -> str:
    """Return a number of nodes in words for people."""
    return f"{count} node{'' if count == 1 else 's'}"


def _print_nodes(directory: Path, nodes: list[NodeFiles]) -> None:
    print_table(
        f"{counted(len(nodes))} in {directory}",
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
