"""Violations over real QUIC move scores, prove themselves and ban; bans outlive a restart."""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from bench.throughput import metric
from cretonode.cli.cluster import Cluster, NodeProcess
from cretonode.cli.layout import GENESIS_FILE, make_testnet
from cretonode.core.messages import Prepare, PrePrepare, Suspect, ViewChange, genesis_position
from cretonode.core.reputation import Violation
from cretonode.errors import ClientError, NetworkError
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash, View
from cretonode.node import conduct
from cretonode.operator.client import connect
from cretonode.operator.protocol import (
    BAN_ADD,
    BAN_REMOVE,
    BANS,
    REPUTATION,
    VIOLATIONS,
    BanSnapshot,
    ReputationSnapshot,
    ViolationSnapshot,
    records_untrusted,
)
from cretonode.wire.messages import encode_message
from integration.conftest import SETTLE_S, submit_final, transactions, wait_orders
from integration.false_peer import FalsePeer, open_false_peer

FALSE = 0  # the leader of view 0
VOTE = Prepare(
    view=View(0), sequence=SequenceNumber(1), anchor=VertexHash(bytes(32)), author=ValidatorIndex(0)
)


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cretonode.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


async def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return await trio.to_thread.run_sync(command, *arguments)


def violations(node: NodeProcess) -> dict[Violation, int]:
    """Return how many violations of the false peer's a node has noted, by type."""
    with connect(node.files.operator_socket) as client:
        noted = records_untrusted(ViolationSnapshot, client.request(VIOLATIONS))
    return {
        kind: sum(v.type == kind.value and v.validator == FALSE for v in noted)
        for kind in Violation
    }


def score(node: NodeProcess) -> float:
    with connect(node.files.operator_socket) as client:
        scores = records_untrusted(ReputationSnapshot, client.request(REPUTATION))
    return next(s.score for s in scores if s.validator == FALSE)


def bans(node: NodeProcess) -> list[BanSnapshot]:
    with connect(node.files.operator_socket) as client:
        return list(records_untrusted(BanSnapshot, client.request(BANS)))


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(SETTLE_S):
        while not await trio.to_thread.run_sync(condition):  # noqa: ASYNC110 another process's
            await trio.sleep(0.05)


async def aside(work: Callable[..., Awaitable[object]], *arguments: object) -> None:
    """Do it in a thread: an HTTP client that comes up would make the false peer fall silent."""
    await trio.to_thread.run_sync(partial(trio.run, work, *arguments))


async def lower(node: NodeProcess, kind: Violation) -> None:
    """Return once a violation of this kind was noted, and has lowered the score."""
    await until(lambda: violations(node)[kind] > 0)
    assert await trio.to_thread.run_sync(score, node) < 1.0


async def test_each_violation_lowers_the_score_and_a_proof_bans_everywhere(place: Path) -> None:
    """SPEC B1-B4."""
    files = make_testnet(place, size=4)
    cluster = Cluster([NodeProcess(each) for each in files])
    honest = cluster.nodes[1:]
    one, two, three = honest
    try:
        # The leader of the first view is there first: one that is missing is replaced at once.
        async with open_false_peer(files[FALSE], place) as false:
            for node in honest:
                node.start()
            await false.wait_connected(1, 2, 3)
            await aside(cluster.wait_ready, honest)
            await timeout(false, honest)
            await invalid_signature(false, one)
            await replay(false, two)
            await view_change_spam(false, three)
            assert await trio.to_thread.run_sync(bans, two) == []
            await equivocation(false, honest)
            await operators(false, one, place)
            await restart(false, two)
            await aside(submit_final, three, transactions(5))
            orders = await wait_orders(honest, 6)
            assert orders[0] == orders[1] == orders[2]
    finally:
        await cluster.stop()


async def timeout(false: FalsePeer, honest: list[NodeProcess]) -> None:
    """The leader is there, and orders nothing.

    The client is a process of its own: one that comes up in this process can keep the false leader
    silent for so long that it is replaced for that, before its time to order has run out.
    """
    assert false.me == FALSE
    submit = [sys.executable, "-m", "cretonode.cli.main", "submit", "--wait", "20000"]
    await trio.run_process(
        [*submit, "--url", honest[0].files.url, __file__], capture_stdout=True, check=True
    )
    for node in honest:
        await lower(node, Violation.TIMEOUT)


async def invalid_signature(false: FalsePeer, node: NodeProcess) -> None:
    """In somebody else's name. A vote would do only while it is needed: others go unverified."""
    true = false.signed(Suspect(view=View(0), author=false.me))
    await false.say(1, [encode_message(replace(true, author=ValidatorIndex(2)))])
    await lower(node, Violation.INVALID_SIGNATURE)
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{node.files.metrics_port}/metrics")).text
    name = 'cretoai_byzantine_violations_total{type="invalid_signature"}'
    assert metric(text, name) >= 1


async def replay(false: FalsePeer, node: NodeProcess) -> None:
    """In portions, until it is too much: each status of the node allows for an answer."""
    vote = encode_message(false.signed(VOTE))
    await false.say(2, [vote] * (1 + conduct.REPEATS_AT_FIRST))
    with trio.fail_after(SETTLE_S):
        while not (await trio.to_thread.run_sync(violations, node))[Violation.REPLAY]:
            await false.say(2, [vote] * (conduct.REPEATS_A_VIOLATION // 4))
    await lower(node, Violation.REPLAY)


async def view_change_spam(false: FalsePeer, node: NodeProcess) -> None:
    count = conduct.VIEW_CHANGES_BURST * 2 + conduct.VIEW_CHANGES_A_VIOLATION
    moves = [
        ViewChange(
            view=View(100 + i),
            high=genesis_position(false.genesis.committee().genesis),
            certificate=None,
            author=false.me,
        )
        for i in range(count)
    ]
    await false.say(3, [encode_message(false.signed(move)) for move in moves])
    await lower(node, Violation.VIEW_CHANGE_SPAM)


async def equivocation(false: FalsePeer, honest: list[NodeProcess]) -> None:
    """Told to one node, it is known to all: each bans on the same proof."""
    proposals = [
        PrePrepare(
            view=View(0),
            sequence=SequenceNumber(1),
            anchor=VertexHash(bytes([i]) * 32),
            author=false.me,
        )
        for i in (1, 2)
    ]
    await false.say(1, [encode_message(false.signed(proposal)) for proposal in proposals])
    for index, node in enumerate(honest, start=1):
        await until(lambda node=node: any(b.in_force for b in bans(node)))
        await lower(node, Violation.EQUIVOCATION)
        await false.wait_lost(index, "banned: ")
        assert await trio.to_thread.run_sync(score, node) < 0.3


async def operators(false: FalsePeer, node: NodeProcess, place: Path) -> None:
    """What an operator sees and does, and what an auditor checks."""
    socket = ("--socket", node.files.operator_socket)
    listed = json.loads((await run("evidence", "list", "--json", *socket)).stdout)
    assert {piece["name"] for piece in listed} == {"node0"}
    proof = place / "proof.json"
    done = await run("evidence", "export", listed[0]["id"], "--output", proof, *socket)
    assert done.returncode == 0, done.stderr
    done = await run("evidence", "verify", "--genesis", place / GENESIS_FILE, proof)
    assert done.returncode == 0, done.stderr
    assert "PROVEN: node0 signed both" in done.stdout
    async with httpx.AsyncClient() as client:
        shown = (await client.get(f"{node.files.url}/v1/evidence/{listed[0]['id']}")).json()
    assert shown == json.loads(proof.read_text())
    done = await run("bans", "add", "node2", "--reason", "test", *socket)
    assert done.returncode == 1
    assert "at most 1 can be banned; banned now: 0" in done.stderr
    done = await run("bans", "remove", "node0", "--dry-run", *socket)
    assert "could connect again" in done.stdout
    assert (await trio.to_thread.run_sync(bans, node))[0].in_force
    done = await run("bans", "remove", "node0", *socket)
    assert "may connect again" in done.stdout
    await false.wait_connected(1)
    done = await run("bans", "add", "0", "--reason", "a short one", "--for", "1s", *socket)
    assert done.returncode == 0, done.stderr
    await false.wait_lost(1, "banned: a short one")
    await until(lambda: bans(node) == [])  # it has run out by itself
    await false.wait_connected(1)


async def restart(false: FalsePeer, node: NodeProcess) -> None:
    """A ban survives kill -9."""
    before = await trio.to_thread.run_sync(bans, node)
    node.kill()
    false.lost.clear()
    node.start()

    def answers() -> bool:
        with suppress(NetworkError):
            return bans(node) == before
        return False

    await until(answers)
    await false.wait_lost(2, "banned: ")  # each time it comes back, once its key is known
    assert violations(node)[Violation.EQUIVOCATION] >= 1


async def test_an_operator_cannot_ban_where_no_liar_is_survived(place: Path) -> None:
    files = make_testnet(place, size=3)
    cluster = Cluster([NodeProcess(each) for each in files])
    try:
        for node in cluster.nodes:
            node.start()
        await cluster.wait_ready()
        with connect(files[0].operator_socket) as client:
            arguments = {"validator": "node1", "reason": "x"}
            with pytest.raises(ClientError, match="nobody can be banned"):
                client.request(BAN_ADD, arguments)
            with pytest.raises(ClientError, match="node1 is not banned"):
                client.request(BAN_REMOVE, {"validator": "node1"})
            with pytest.raises(ClientError, match="there is no validator 'nobody'"):
                client.request(BAN_REMOVE, {"validator": "nobody"})
    finally:
        await cluster.stop()
