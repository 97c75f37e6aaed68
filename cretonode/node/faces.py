"""What a node shows to the outside: HTTP interface, metrics, operator socket."""

from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import trio

from cretonode import __version__
from cretonode.api.gate import ApiCounters
from cretonode.api.server import serve
from cretonode.api.settings import ApiSettings
from cretonode.config.schema import Config
from cretonode.network.endpoint import Endpoint
from cretonode.node.driver import Driver
from cretonode.node.history import History
from cretonode.node.metrics_source import NodeMetrics
from cretonode.node.service import Service
from cretonode.node.steering import Steering
from cretonode.node.storage_gauge import StorageGauge
from cretonode.node.tools import Tools
from cretonode.node.watcher import NodeWatcher, WatchSource
from cretonode.observability.scrape import serve_metrics
from cretonode.operator.commands import commands_of
from cretonode.operator.protocol import Hello
from cretonode.operator.server import serve_operator

HISTORY_DIRECTORY: Final = "history"  # in the data directory
MEGABYTE: Final = 1024 * 1024

SocketAddress: TypeAlias = tuple[str, int]


async def serve_faces(
    nursery: trio.Nursery, config: Config, driver: Driver, service: Service, endpoint: Endpoint
) -> tuple[SocketAddress | None, SocketAddress | None]:
    """Start them in `nursery`; return where HTTP and metrics listen, None where switched off.

    Raises: ConfigError, when an address or path cannot be used.
    """
    counters = ApiCounters()
    http: SocketAddress | None = None
    metrics: SocketAddress | None = None
    if config.api.http_enabled:
        settings = ApiSettings(
            host=config.api.http_host,
            port=config.api.http_port,
            cors_enabled=config.api.cors_enabled,
            cors_origins=config.api.cors_origins,
            request_bytes_max=config.api.request_bytes_max,
            wait_ms_max=config.api.wait_ms_max,
        )
        http = await nursery.start(
            partial(serve, service, settings, counters=counters), name="http"
        )
    if config.metrics.enabled:
        host = config.api.http_host
        source = NodeMetrics(driver, service, endpoint, counters)
        port: int = await nursery.start(
            serve_metrics,
            source,
            host,
            config.metrics.port,
            config.metrics.endpoint,
            name="metrics",
        )
        metrics = (host, port)
    await _serve_operator(nursery, config, driver, service)
    return http, metrics


async def _serve_operator(
    nursery: trio.Nursery, config: Config, driver: Driver, service: Service
) -> None:
    """Start the operator socket, and the history when one is kept."""
    data_dir = Path(config.node.data_dir)
    hello = Hello(
        software=f"cretonode {__version__}",
        chain_id=service.status().chain_id,
        name=service.name,
        node_id=service.node_id,
    )
    steering = Steering(
        replica=driver.replica,
        audible=service.audible,
        put_own=driver.inbox.put_own,
        names=driver.chronicle.names,
        log_level=config.node.log_level,
        log_format=config.node.log_format,
    )
    past: History | None = None
    if config.node.history_mb:
        past = History(
            directory=data_dir / HISTORY_DIRECTORY,
            bytes_max=config.node.history_mb * MEGABYTE,
            hello=hello,
        )
    gauge = StorageGauge(performer=driver.performer, data_dir=data_dir, past=past)
    source = WatchSource(service=service, driver=driver, gauge=gauge, steering=steering)
    tools = Tools(store=service.store, steering=steering, past=past, limiter=service.limiter)
    if past is not None:
        nursery.start_soon(past.run, partial(NodeWatcher, source), name="history")
    await nursery.start(
        serve_operator,
        Path(config.node.operator_socket),
        commands_of(service, tools),
        hello,
        source,
        name="operator socket",
    )
