"""Whoever does not belong is refused, which is said once; the others go on as if nothing were."""

import os
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
import trio

from bench.throughput import metric
from cretonode.cli.cluster import Cluster, NodeProcess, open_cluster
from cretonode.cli.layout import GENESIS_FILE, NodeFiles, make_testnet
from cretonode.cli.making import make_node
from cretonode.cli.ports import LOOPBACK
from cretonode.client import AsyncClient, RetryPolicy, Unreachable
from cretonode.config import genesis
from cretonode.config.addresses import Address
from cretonode.identifiers import TransactionId, short
from cretonode.network.endpoint import REFUSAL_LOG_S
from cretonode.network.udp import open_udp
from integration.conftest import SETTLE_S, submit_final, transactions, wait_orders
from integration.first_flights import datagrams_lost, open_flood
from integration.strangers import (
    HOSTS,
    ClassicalClient,
    Client,
    credentials_of,
    own_client,
    refusal_of,
    thief,
    without_mlkem,
)

WARM_UP = 1_000
FLIGHTS = 10_000  # the warm-up included
GROWTH_KIB_MAX = 6 * 1024  # of the flooded node, beyond what the same work costs another
BATCHES_MIN = 4  # that become final while the flood goes on, at the flooded node as well
BATCH = 5
THIS = "integration/test_strangers.py"
POLL_S = 0.05
DROPS = {"not_quic", "other_version", "short_initial", "bad_token", "host_rate"}


@pytest.mark.parametrize("exchanged", [["keys"], ["keys", "data"]], ids=" and ".join)
async def test_two_nodes_with_exchanged_keys_say_so_and_do_not_start(
    place: Path, exchanged: list[str]
) -> None:
    """The others say what they miss, and go on once the keys are back where they belong."""
    files = make_testnet(place, size=4)
    exchange(files[1], files[2], exchanged)
    cluster = Cluster([NodeProcess(each) for each in files])
    try:
        for node in cluster.nodes:
            node.start()
        for node, name, other in (cluster.nodes[1], *"12"), (cluster.nodes[2], *"21"):
            assert await node.wait_stopped() == 2
            (complaint,) = lines_of(node.files, "cretonode: ")
            assert f"{node.files.config_path}: network.listen_addr" in complaint
            assert f'validator "node{name}", but the key in {node.files.directory}' in complaint
            assert f'is that of "node{other}"' in complaint
            assert lines_of(node.files, "Traceback") == []
        for node in cluster.running:
            await wait_reason(node, "2 of 4 validators are connected, 3 are needed")
        exchange(files[1], files[2], exchanged)
        cluster.nodes[1].start()
        cluster.nodes[2].start()
        await cluster.wait_ready()
        await submit_final(cluster.nodes[1], transactions(5))
        await wait_orders(cluster.nodes, 5)
    finally:
        await cluster.stop()


async def test_exchanged_keys_that_no_file_gives_away_are_refused_where_they_are_dialled(
    place: Path,
) -> None:
    """Genesis names hosts, so neither node can tell that its address is the other's. Only keys
    count: the two are let in where they dial, and do not find each other.
    """
    files = make_testnet(place, size=4)
    name_hosts(files)
    exchange(files[1], files[2], ["keys", "data"])
    began_s = time.monotonic()
    ids = [short(credentials_of(node).node_id) for node in files]
    async with open_cluster(files) as cluster:
        # What is in the directory of node1 is now validator node2.
        final = [*await submit_final(cluster.nodes[0], transactions(5))]
        final += await submit_final(cluster.nodes[1], transactions(5))
        orders = await wait_orders(cluster.nodes, len(final))
        assert all(sorted(order) == sorted(final) for order in orders)
        for one, missing in (1, 2), (2, 1):
            # Each dials where genesis has the other, which is where it listens itself.
            where = f"address=('localhost', {files[one].quic_port})"
            answers = f"node {ids[one]} answers, and not the one dialled"
            await wait_line(files[one], "peer_refused", f"peer={ids[missing]}", where, answers)
            await wait_missing(cluster.nodes[one], files[one].name, answers)
    for here in files:
        for there, node_id in zip(files, ids, strict=True):
            address = f"address=('localhost', {there.quic_port})"
            for line in lines_of(here, "peer_refused", address, "closed by us"):
                assert f"node {node_id} answers, and not the one dialled" in line
    for each in files:
        assert_said_once_each(each, since_s=began_s)


async def test_each_kind_of_stranger_is_refused_and_named_once(place: Path) -> None:
    """SPEC N1: no key that genesis lacks, no key of another, nothing that is not post-quantum."""
    files = make_testnet(place, size=4)
    expected: dict[str, tuple[Callable[[], Client], str]] = {
        "unknown_key": (own_client, "is not allowed here"),
        "bad_handshake": (lambda: thief(files[1], files[2]), "CertificateVerify does not verify"),
        "no_common_algorithm": (ClassicalClient, "does not offer"),
    }
    began_s = time.monotonic()
    async with open_cluster(files) as cluster:
        target = LOOPBACK, files[0].quic_port
        first: dict[str, str] = {}
        for kind, (make, reason) in expected.items():
            for attempt in range(3):
                with closing(open_udp((HOSTS[0], 0), buffer_bytes=1 << 16)) as udp:
                    if attempt == 0:
                        first[kind] = f"address={udp.address}"
                    assert reason in await refusal_of(make(), udp, target)
        with closing(open_udp((HOSTS[0], 0), buffer_bytes=1 << 16)) as udp, without_mlkem():
            reason = await refusal_of(own_client(), udp, target)
            assert reason == "the client does not offer X25519MLKEM768"
        for kind, (_, reason) in expected.items():
            line = await wait_line(files[0], "handshake_refused", f"kind={kind}")
            assert first[kind] in line
            assert reason in line
        final = await submit_final(cluster.nodes[0], transactions(5))
        assert await wait_orders(cluster.nodes, 5) == [final] * 4
    assert set(said(files[0])) == {f"handshake_refused kind={kind}" for kind in expected}
    for each in files:
        assert_said_once_each(each, since_s=began_s)


async def test_ten_thousand_spoiled_first_flights_leave_nothing_behind(place: Path) -> None:
    """Against the leader, while the network works. SEED plays the choices of another run again."""
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    say(f"seed {seed}; again: SEED={seed} just integration {THIS} -k first_flights")
    files = make_testnet(place, size=4)
    began_s = time.monotonic()
    async with open_cluster(files) as cluster:
        pids = [pid_of(node) for node in cluster.nodes]
        leader = cluster.nodes[0]
        work = Work()
        async with (
            open_flood((LOOPBACK, leader.files.quic_port), seed=seed) as flood,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(work.keep_on, cluster.nodes[:2])
            await flood.send(WARM_UP)
            await wait_connections(leader, 3)
            before = [rss_kib(pid) for pid in pids]
            final_before, flood_s = len(work.final), time.monotonic()
            await flood.send(FLIGHTS - WARM_UP)
            final_during, flood_s = len(work.final) - final_before, time.monotonic() - flood_s
            await wait_connections(leader, 3)
            after = [rss_kib(pid) for pid in pids]
            work.over = True
        orders = await wait_orders(cluster.nodes, len(work.final))
        views = [await view_of(node) for node in cluster.nodes]
        lost = datagrams_lost(leader.files.quic_port)
        assert [pid_of(node) for node in cluster.nodes] == pids
    grown = [now - then for then, now in zip(before, after, strict=True)]
    say(f"sent {sum(flood.sent.values())} flights, {lost} lost by the kernel: {dict(flood.sent)}")
    say(f"{FLIGHTS - WARM_UP} in {flood_s:.1f} s; {final_during} transactions final meanwhile,")
    say(f"the slowest batch in {work.slowest_s:.2f} s; views {views}")
    say(f"VmRSS of the leader and the others: {before} KiB, then {after}: {grown}")
    say(f"said by the leader: {dict(said(files[0]))}")
    assert final_during >= BATCHES_MIN * BATCH
    assert all(order == orders[0] for order in orders)
    assert sorted(orders[0]) == sorted(work.final)
    assert len(set(views)) == 1
    assert lost <= FLIGHTS // 100, "the node was to read them, not the kernel to drop them"
    assert grown[0] - max(grown[1:]) <= GROWTH_KIB_MAX
    assert {f"datagram_dropped kind={kind}" for kind in DROPS} <= set(said(files[0]))
    assert "handshake_refused kind=abandoned" in said(files[0])
    for line in lines_of(files[0], "handshake_refused") + lines_of(files[0], "datagram_dropped"):
        assert re.search(r"address=\('127\.66\.0\.\d', \d+\).* count=\d+", line), line
    for each in files:
        assert_said_once_each(each, since_s=began_s)


@dataclass
class Work:
    """Transactions submitted one batch after the other, and how long the slowest took."""

    final: list[TransactionId] = field(default_factory=list)
    slowest_s: float = 0.0
    over: bool = False

    async def keep_on(self, nodes: Sequence[NodeProcess]) -> None:
        while not self.over:
            for node in nodes:
                began_s = time.monotonic()
                self.final += await submit_final(node, transactions(BATCH))
                self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)


# --- exchanging


def exchange(one: NodeFiles, other: NodeFiles, names: Sequence[str]) -> None:
    """Let two nodes have each other's files."""
    for name in names:
        aside = one.directory / "aside"
        (one.directory / name).rename(aside)
        (other.directory / name).rename(one.directory / name)
        aside.rename(other.directory / name)


def name_hosts(files: Sequence[NodeFiles]) -> None:
    """Make the network anew with a genesis that has host names, as with DNS."""
    path = files[0].directory / GENESIS_FILE
    numbered = genesis.read(path)
    named = replace(
        numbered,
        validators=tuple(
            replace(validator, address=Address("localhost", validator.address.port))
            for validator in numbered.validators
        ),
    )
    for node in files:
        (node.directory / GENESIS_FILE).write_text(named.render(), encoding="utf-8")
        shutil.rmtree(node.directory / "data")
        make_node(node.config_path)


# --- what a node shows


def say(line: str) -> None:
    print(line)  # noqa: T201  for whoever runs this with -s, or sees it fail


def lines_of(node: NodeFiles, *parts: str) -> list[str]:
    """Return the lines of a node's log that contain all of these."""
    lines = node.log_path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if all(part in line for part in parts)]


async def wait_line(node: NodeFiles, *parts: str) -> str:
    async def found() -> bool:
        return bool(lines_of(node, *parts))

    await until(found)
    return lines_of(node, *parts)[0]


def said(node: NodeFiles) -> Counter[str]:
    """Return how often each kind of refusal stands in a node's log."""
    return Counter(
        f"{found[1]} {found[2]}"
        for line in lines_of(node, "[warn")
        if (found := re.search(r"(handshake_refused|datagram_dropped) .*(kind=\w+)", line))
    )


def assert_said_once_each(node: NodeFiles, *, since_s: float) -> None:
    """Once a minute, that is; and in words of our own."""
    most = 1 + (time.monotonic() - since_s) // REFUSAL_LOG_S
    dialled = Counter(line.partition(" ")[2] for line in lines_of(node, "peer_refused"))
    lines = said(node) + dialled
    assert all(count <= most for count in lines.values()), lines
    for foreign in "library_message", "Traceback", "quic_engine_fault":
        assert lines_of(node, foreign) == []


async def wait_reason(node: NodeProcess, expected: str) -> None:
    """Return when a node says this of why it is not ready."""

    async def says_so() -> bool:
        with suppress(Unreachable):  # it is starting
            async with AsyncClient(node.files.url, retries=RetryPolicy(attempts_max=1)) as client:
                return (await client.ready()).reason.startswith(expected)
        return False

    await until(says_so)


async def wait_missing(node: NodeProcess, name: str, error: str) -> None:
    """Return when a node is connected to all but one, and says of that one what is wrong."""
    async with AsyncClient(node.files.url) as client:

        async def is_alone_missing() -> bool:
            missing = [peer for peer in await client.peers() if not peer.connected]
            return [peer.name for peer in missing] == [name] and error in missing[0].last_error

        await until(is_alone_missing)


async def wait_connections(node: NodeProcess, expected: int) -> None:
    """Return when a node has so many connections, and no handshake is half-open."""
    url = f"http://{LOOPBACK}:{node.files.metrics_port}/metrics"
    async with httpx.AsyncClient() as client:

        async def are_so_many() -> bool:
            text = (await client.get(url)).text
            active = metric(text, "cretoai_quic_connections_active")
            return (active, metric(text, "cretoai_handshakes_half_open")) == (expected, 0)

        await until(are_so_many)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return when a condition that has no event of its own holds."""
    with trio.fail_after(SETTLE_S):
        while not await condition():  # noqa: ASYNC110  other processes tell nobody
            await trio.sleep(POLL_S)


async def view_of(node: NodeProcess) -> int:
    async with AsyncClient(node.files.url) as client:
        return (await client.status()).view


def pid_of(node: NodeProcess) -> int:
    """Return the id of a node's process, which runs. Raises: NodeStopped."""
    node.check_runs()
    assert node.process is not None
    return node.process.pid


def rss_kib(pid: int) -> int:
    """Return a process's resident memory. Source: proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1])
