"""Commands about one node: init, start, status."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import structlog
import trio

from cretonode.cli.base import reported
from cretonode.cli.local_socket import SOCKET_OPTION, attached
from cretonode.cli.making import make_node
from cretonode.cli.output import plain, print_json, print_table
from cretonode.config.load import load
from cretonode.config.schema import Config
from cretonode.errors import ConfigError
from cretonode.node.host import bound_arenas, end_with_parent, spare_collections
from cretonode.node.node import Addresses, run_node
from cretonode.node.signals import own_signals
from cretonode.observability.logs import configure
from cretonode.observability.process import threads_at_work

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CONFIG_OPTION: Final = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The node.toml; without it the defaults and CRETO_ variables count.",
)
SET_OPTION: Final = click.option(
    "--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Override."
)


@click.command()
@CONFIG_OPTION
@click.option("--lost", is_flag=True, help="It has run before, and its data directory is lost.")
@reported
def init(config_path: Path | None, *, lost: bool) -> None:
    """Make keys, if there are none, and the data directory of a validator that genesis names.

    With --lost it starts as an amnesiac: it does not know what it voted, so it votes again only
    once enough others have said how far they are. Without, it votes at once, and one that has
    voted before might contradict itself.
    """
    node_id = make_node(config_path, environment=os.environ, lost=lost)
    click.echo(f"ready: node {node_id.hex()}")


@click.command()
@CONFIG_OPTION
@SET_OPTION
@click.option("--with-parent", is_flag=True, help="Stop when the process that started this ends.")
@reported
def start(config_path: Path | None, settings: Sequence[str], *, with_parent: bool) -> None:
    """Run the node until SIGINT or SIGTERM."""
    if with_parent:
        end_with_parent()
    bound_arenas()
    config = load(config_path, environment=os.environ, flags=flags_of(settings))
    configure(config.node.log_level, config.node.log_format)
    with own_signals():
        trio.run(_start, config)
    # After "stopped", which ends the work: the disk is closed, and trio has waited for every task.
    log.info("ended", threads_at_work=threads_at_work())


@click.command()
@CONFIG_OPTION
@SOCKET_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def status(config_path: Path | None, socket_path: Path | None, *, as_json: bool) -> None:
    """Show where a node on this machine stands, over its local socket."""
    with attached(config_path, socket_path) as client:
        stands, peers = client.status(), client.peers()
    if as_json:
        print_json({"status": plain(stands), "peers": [plain(peer) for peer in peers]})
    else:
        print_table(
            f"{stands.name}: {'ready' if stands.ready else stands.reason}",
            ["", ""],
            list(plain(stands).items()),
        )
        print_table(
            "the other validators",
            ["validator", "connected", "round trip", "view", "final", "address", "last error"],
            [
                [
                    peer.name,
                    "yes" if peer.connected else "NO",
                    f"{peer.round_trip_ms:.1f} ms" if peer.round_trip_ms is not None else "",
                    "" if peer.view is None else peer.view,
                    "" if peer.final is None else peer.final,
                    peer.address,
                    peer.last_error,
                ]
                for peer in peers
            ],
        )
    if not stands.ready:
        raise SystemExit(1)


def flags_of(settings: Sequence[str]) -> dict[str, object]:
    """Return the overrides of `--set`. Raises: ConfigError."""
    flags: dict[str, object] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or "." not in key:
            raise ConfigError(f"--set {setting}: expected SECTION.KEY=VALUE")
        flags[key] = value
    return flags


async def _start(config: Config) -> None:
    await run_node(config, on_started=_announce)


def _announce(addresses: Addresses) -> None:
    host, port = addresses.quic
    lines = [f"QUIC     {host}:{port}"]
    if addresses.http is not None:
        lines.append(f"HTTP     http://{addresses.http[0]}:{addresses.http[1]}")
    if addresses.metrics is not None:
        lines.append(f"metrics  http://{addresses.metrics[0]}:{addresses.metrics[1]}/metrics")
    click.echo("\n".join(lines))
    spare_collections()


COMMANDS: Final = (init, start, status)
