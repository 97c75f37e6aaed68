"""Throughput and finality of a cluster of real processes: `just bench n=4 rate=10000 seconds=60`.

Finality is from acceptance (202: durable on the node) to final on the same node, as its client
sees it over HTTP; the generator's own work is in it, and its CPU time is reported apart.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import httpx
import trio
from rich.console import Console
from rich.table import Table

from bench.arguments import HELP, Number, help_of, pairs_of
from bench.circumstances import ROOT, circumstances
from bench.console import SCREENS, SETTLE_S, watch
from bench.load import Timings, offer
from bench.processes import cpu_s, peak_rss_mb
from cretonode.cli.base import errors_reported
from cretonode.cli.cluster import Cluster, open_cluster
from cretonode.cli.layout import make_testnet
from cretonode.errors import ConfigError
from cretonode.limits import PAYLOAD_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX

NUMBERS: Final = {
    "n": Number(4, 1, 31, whole=True),  # nodes
    "rate": Number(10_000, 0.1, 1_000_000),  # transactions offered a second
    "seconds": Number(60, 0.1, 86_400),  # of load
    "batch": Number(200, 1, PAYLOAD_TRANSACTIONS_MAX, whole=True),  # transactions in a request
    "bytes": Number(256, 16, TRANSACTION_BYTES_MAX, whole=True),  # of a transaction
}
WORDS: Final = {
    "profile": "small",  # of storage
    "to": "all",  # which nodes get the load: all, or an index
    "console": "",  # a screen, 1 to 7: creto-console watches node 0 for the second half
    "out": "",
}
PROFILES: Final = ("default", "small")


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """What one node used and did during the load."""

    name: str
    cpu_cores: float
    rss_peak_mb: int
    transactions_per_s: float
    network_out_mb: float


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie; NaN when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


async def measure(options: dict[str, str]) -> dict[str, object]:
    """Run one load against a fresh cluster and return its figures."""
    size = int(options["n"])
    with tempfile.TemporaryDirectory(prefix="cretonode-bench-") as directory:
        files = make_testnet(Path(directory), size=size, profile=options["profile"])
        async with open_cluster(files) as cluster:
            urls = [node.files.url for node in cluster.nodes]
            if options["to"] != "all":
                urls = [urls[int(options["to"])]]
            await trio.sleep(1.0)  # let the start settle
            before = await snapshot(cluster)
            own_cpu_s = _own_cpu_s()
            began_s = time.perf_counter()
            watched: dict[str, object] = {}
            async with trio.open_nursery() as nursery:
                if options["console"]:
                    nursery.start_soon(_watch, cluster, options, watched)
                timings = await offer(
                    urls,
                    rate_per_s=float(options["rate"]),
                    batch=int(options["batch"]),
                    transaction_bytes=int(options["bytes"]),
                    duration_s=float(options["seconds"]),
                )
            elapsed_s = time.perf_counter() - began_s
            generator_cores = (_own_cpu_s() - own_cpu_s) / elapsed_s
            await _wait_level(cluster)
            after = await snapshot(cluster)
            sequences = await _authors_per_sequence(cluster, before, after)
    return {
        **circumstances("just bench " + " ".join(f"{k}={v}" for k, v in options.items() if v)),
        "offered_per_s": float(options["rate"]),
        "elapsed_s": elapsed_s,
        "generator": {"cpu_cores": generator_cores, "late_ms": timings.late_s * 1000},
        "result": _summary(timings, elapsed_s),
        "nodes": [asdict(f) for f in _node_figures(cluster, before, after, elapsed_s)],
        **sequences,
        **watched,
    }


async def _watch(cluster: Cluster, options: dict[str, str], watched: dict[str, object]) -> None:
    seconds = float(options["seconds"])
    watched["cores"] = await watch(cluster.nodes, options["console"], seconds)


async def snapshot(cluster: Cluster) -> list[dict[str, float]]:
    """Return counters of every node."""
    found = []
    async with httpx.AsyncClient(timeout=10.0) as client:
        for node in cluster.nodes:
            assert node.process is not None
            status = (await client.get(f"{node.files.url}/v1/status")).json()
            url = f"http://127.0.0.1:{node.files.metrics_port}/metrics"
            metrics = (await client.get(url)).text
            found.append(
                {
                    "executed": status["executed_transactions"],
                    "final": status["final"],
                    "view": status["view"],
                    "bytes_out": metric(metrics, "cretoai_network_bytes_sent"),
                    "cpu_s": cpu_s(node.process.pid),
                    "rss_mb": peak_rss_mb(node.process.pid),
                }
            )
    return found


def _summary(timings: Timings, elapsed_s: float) -> dict[str, object]:
    ms = [1000 * value for value in timings.final_s]
    accepted = [1000 * value for value in timings.accepted_s]
    return {
        "transactions": timings.transactions,
        "transactions_per_s": timings.transactions / elapsed_s,
        "finality_ms": {f"p{int(s * 100)}": percentile(ms, s) for s in (0.5, 0.95, 0.99)},
        "finality_max_ms": max(ms, default=float("nan")),
        "accept_ms": {f"p{int(s * 100)}": percentile(accepted, s) for s in (0.5, 0.95, 0.99)},
        "batches_refused": timings.refused,
        "failures": timings.failed[:5],
        "failed": len(timings.failed),
    }


def _node_figures(
    cluster: Cluster,
    before: list[dict[str, float]],
    after: list[dict[str, float]],
    elapsed_s: float,
) -> list[NodeFigures]:
    return [
        NodeFigures(
            name=node.files.name,
            cpu_cores=(b["cpu_s"] - a["cpu_s"]) / elapsed_s,
            rss_peak_mb=int(b["rss_mb"]),
            transactions_per_s=(b["executed"] - a["executed"]) / elapsed_s,
            network_out_mb=(b["bytes_out"] - a["bytes_out"]) / 1e6,
        )
        for node, a, b in zip(cluster.nodes, before, after, strict=True)
    ]


async def _wait_level(cluster: Cluster) -> None:
    """Wait until every node has executed as much as the one that is furthest."""
    for _ in range(100):
        if len({int(each["executed"]) for each in await snapshot(cluster)}) == 1:
            return
        await trio.sleep(0.2)


async def _authors_per_sequence(
    cluster: Cluster, before: list[dict[str, float]], after: list[dict[str, float]]
) -> dict[str, object]:
    """Count how many authors' vertices each sequence of the run ordered, by a sample of them."""
    first, last = int(before[0]["final"]) + 1, int(after[0]["final"])
    sample = range(first, last + 1, max(1, (last - first) // 200))
    url = cluster.nodes[0].files.url
    authors: list[int] = []
    async with httpx.AsyncClient(timeout=10.0) as client:
        for sequence in sample:
            slot = (await client.get(f"{url}/v1/finalized/{sequence}")).json()
            found = set()
            for vertex in slot["vertices"]:
                found.add((await client.get(f"{url}/v1/vertices/{vertex}")).json()["author"])
            authors.append(len(found))
    return {
        "sequences": last - first + 1,
        "sequences_sampled": len(authors),
        "sequences_of_3_or_more_authors": sum(a >= 3 for a in authors) / max(1, len(authors)),
        "authors_median": median(authors) if authors else None,
    }


def metric(text: str, name: str) -> float:
    """Return a metric of a scrape; `name` has the labels with it, as the scrape has."""
    for line in text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    raise KeyError(name)


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def show(figures: dict[str, object]) -> None:
    """Print the figures for people."""
    console = Console(highlight=False)
    table = Table("node", "cores", "peak RSS", "tx/s final", "sent", title=str(figures["command"]))
    nodes = figures["nodes"]
    assert isinstance(nodes, list)
    for node in nodes:
        table.add_row(
            node["name"],
            f"{node['cpu_cores']:.2f}",
            f"{node['rss_peak_mb']} MB",
            f"{node['transactions_per_s']:.0f}",
            f"{node['network_out_mb']:.1f} MB",
        )
    console.print(table)
    console.print_json(data={k: figures[k] for k in figures if k not in ("nodes", "command")})


def parse(arguments: Sequence[str]) -> dict[str, str]:
    """Return every option, as text. Raises: ConfigError, which says what is allowed."""
    defaults = {key: f"{number.default:g}" for key, number in NUMBERS.items()} | WORDS
    options = defaults | pairs_of(arguments, defaults)
    numbers = {key: number.parse(key, options[key]) for key, number in NUMBERS.items()}
    # In one form, as 4e0 is a whole number, too.
    options |= {key: f"{value:.15g}" for key, value in numbers.items()}
    if numbers["rate"] * numbers["seconds"] < numbers["batch"]:
        raise ConfigError(
            f"rate={options['rate']} seconds={options['seconds']} offers less than one batch of "
            f"{options['batch']}; expected a smaller batch"
        )
    if options["profile"] not in PROFILES:
        raise ConfigError(f"profile is {options['profile']!r}; expected {' or '.join(PROFILES)}")
    size = int(numbers["n"])
    if options["to"] not in ("all", *map(str, range(size))):
        raise ConfigError(f"to is {options['to']!r}; expected all, or 0 to {size - 1}")
    if options["console"] not in ("", *SCREENS):
        raise ConfigError(f"console is {options['console']!r}; expected a screen, 1 to 7, or none")
    if options["console"] and numbers["seconds"] < 4 * SETTLE_S:
        raise ConfigError(
            f"console with seconds={options['seconds']}; expected at least {4 * SETTLE_S:g}"
        )
    if options["out"] and Path(options["out"]).is_dir():
        raise ConfigError(f"out is {options['out']!r}, a directory; expected a file")
    return options


def main(arguments: list[str]) -> int:
    """Parse `key=value` arguments, run, print, and write JSON below bench/results."""
    if any(argument in HELP for argument in arguments):
        print("\n".join([str(__doc__), *help_of(NUMBERS, WORDS)]))
        return 0
    with errors_reported():
        options = parse(arguments)
        figures = trio.run(measure, options)
        show(figures)
        out = Path(options["out"] or ROOT / "bench" / "results" / f"{time.time_ns() // 10**9}.json")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        print(f"written to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
