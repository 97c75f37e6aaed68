"""`cretonode demo`: four real nodes agree on the order of your files, and lose one on the way."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Final

import click
import trio
from blake3 import blake3
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cretonode.cli.base import EXIT_FAILED, reported
from cretonode.cli.cluster import Cluster, NodeProcess, open_cluster
from cretonode.cli.layout import make_testnet
from cretonode.cli.output import complain, console
from cretonode.client import AsyncClient
from cretonode.crypto.hashing import hash_of
from cretonode.errors import ConfigError, CretoError
from cretonode.identifiers import SequenceNumber, TransactionId

RECORDS_MIN: Final = 2  # some before the crash and some after
BATCH: Final = 25
SETTLE_S: Final = 30.0
PAGE: Final = 50


class OrdersDiffer(CretoError):
    """Two nodes finalized different orders. This must never happen."""


@dataclass(slots=True)
class Run:
    """What the demo has measured so far."""

    latencies_ms: list[float] = field(default_factory=list)
    submitted: list[TransactionId] = field(default_factory=list)
    began_s: float = 0.0
    busy_s: float = 0.0


@click.command()
@click.argument(
    "directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default="."
)
@click.option("-n", "size", default=4, show_default=True, type=click.IntRange(4, 13))
@reported
def demo(directory: Path, size: int) -> None:
    """Notarize every file of DIRECTORY on a network of real nodes, killing one half-way."""
    records = [record_of(directory, path) for path in files_of(directory)]
    if len(records) < RECORDS_MIN:
        raise ConfigError(f"{directory} has fewer than {RECORDS_MIN} files to notarize")
    out = console()
    with tempfile.TemporaryDirectory(prefix="cretonode-demo-") as place:
        same = trio.run(_run, Path(place), size, records, out)
    if not same:
        complain("the orders differ")
        raise SystemExit(EXIT_FAILED)


def files_of(directory: Path) -> list[Path]:
    """Return the files git tracks below `directory`; without git, every file not hidden."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"],  # noqa: S607
            cwd=directory,
            capture_output=True,
            check=True,
        ).stdout.split(b"\0")
        paths = [directory / name.decode() for name in listed if name]
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        paths = []
    if not paths:
        paths = [
            path
            for path in sorted(directory.rglob("*"))
            if not any(part.startswith(".") for part in path.relative_to(directory).parts)
        ]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def record_of(directory: Path, path: Path) -> bytes:
    """Return the notarization record of a file: {path, size, blake3} as JSON."""
    data = path.read_bytes()
    record = {
        "path": str(path.relative_to(directory)),
        "size": len(data),
        "blake3": blake3(data).hexdigest(),
    }
    return json.dumps(record, sort_keys=True).encode()


async def _run(place: Path, size: int, records: list[bytes], out: Console) -> bool:
    out.print(f"[bold]{size} nodes[/], {len(records)} files to notarize. Starting nodes ...")
    files = make_testnet(place, size=size, chain_id="demo")
    async with open_cluster(files) as cluster:
        run = Run(began_s=time.perf_counter())
        half = len(records) // 2
        await _submit(cluster, records[:half], run, out, "all nodes up")
        orders = await _orders_when_level(cluster, run)
        _check_same(orders)
        out.print(f"{len(orders)} nodes, {len(orders[0])} transactions: identical order")
        victim = await _leader(cluster)
        out.print(f"[bold red]kill -9[/] {victim.files.name}, the leader")
        victim.kill()
        await _submit(cluster, records[half:], run, out, f"{victim.files.name} dead")
        orders = await _orders_when_level(cluster, run)
        _check_same(orders)
        out.print(f"{len(orders)} nodes, {len(orders[0])} transactions: identical order")
        await _summarize(cluster, run, orders, out)
    out.print("stopped cleanly")
    return True


async def _submit(
    cluster: Cluster, records: Sequence[bytes], run: Run, out: Console, title: str
) -> None:
    """Submit to all running nodes in turn, and wait for each batch to be final there."""
    began_s = time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=out) as progress:
        task = progress.add_task(title, total=len(records))
        limiter = trio.CapacityLimiter(16)

        async def one(url: str, batch: Sequence[bytes]) -> None:
            async with limiter, AsyncClient(url) as client:
                await client.submit(batch)
                accepted_s = time.perf_counter()
                ids = [TransactionId(hash_of(transaction)) for transaction in batch]
                await _wait_final(client, ids[-1])
                run.latencies_ms.append((time.perf_counter() - accepted_s) * 1000)
                run.submitted += ids
                progress.advance(task, len(batch))

        async with trio.open_nursery() as nursery:
            running = cluster.running
            for number, batch in enumerate(_batches(records)):
                nursery.start_soon(one, running[number % len(running)].files.url, batch)
    run.busy_s += time.perf_counter() - began_s


async def _wait_final(client: AsyncClient, transaction: TransactionId) -> None:
    with trio.fail_after(SETTLE_S):
        while True:
            found = await client.transaction(transaction, wait_ms=10_000)
            if found is not None and found.sequence is not None:
                return


async def _orders_when_level(cluster: Cluster, run: Run) -> list[list[TransactionId]]:
    """Return the executed transactions in order, of every running node, once all have them all."""
    expected = len(set(run.submitted))
    with trio.move_on_after(SETTLE_S):
        while True:
            orders = [await _order_of(node) for node in cluster.running]
            if all(len(order) == expected for order in orders):
                return orders
            await trio.sleep(0.1)
    raise CretoError(
        f"after {SETTLE_S:.0f} s the nodes have {[len(order) for order in orders]} transactions, "
        f"{expected} were submitted"
    )


async def _order_of(node: NodeProcess) -> list[TransactionId]:
    order: list[TransactionId] = []
    async with AsyncClient(node.files.url) as client:
        first = SequenceNumber(1)
        while (page := await client.finalized(first, PAGE)).sequences:
            for slot in page.sequences:
                order += slot.transactions
            first = page.next
    return order


def _check_same(orders: list[list[TransactionId]]) -> None:
    for order in orders[1:]:
        for position, (mine, theirs) in enumerate(zip(orders[0], order, strict=True)):
            if mine != theirs:
                raise OrdersDiffer(f"at position {position}: {mine.hex()} and {theirs.hex()}")


async def _leader(cluster: Cluster) -> NodeProcess:
    async with AsyncClient(cluster.running[0].files.url) as client:
        return cluster.nodes[(await client.status()).leader]


async def _summarize(
    cluster: Cluster, run: Run, orders: list[list[TransactionId]], out: Console
) -> None:
    async with AsyncClient(cluster.running[0].files.url) as client:
        status = await client.status()
        first, vertices = SequenceNumber(1), 0
        while (page := await client.finalized(first, PAGE)).sequences:
            vertices += sum(len(slot.vertices) for slot in page.sequences)
            first = page.next
    cuts = quantiles(run.latencies_ms, n=100) if len(run.latencies_ms) > 1 else [0.0] * 99
    table = Table("", "", show_header=False, title="what happened")
    table.add_row("transactions", str(len(orders[0])))
    table.add_row("vertices", str(vertices))
    table.add_row("sequences", str(status.final))
    table.add_row("views", str(status.view + 1))
    table.add_row("finality p50", f"{cuts[49]:.0f} ms")
    table.add_row("finality p99", f"{cuts[98]:.0f} ms (the change of leader is in it)")
    table.add_row("rate", f"{len(orders[0]) / run.busy_s:.0f} transactions/s")
    table.add_row("identical orders", f"{len(orders)} of {len(orders)} running nodes")
    out.print(table)


def _batches(records: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(records), BATCH):
        yield records[start : start + BATCH]
