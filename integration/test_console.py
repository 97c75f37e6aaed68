"""The real console in a terminal, attached to real nodes: what an operator sees and does."""

import re
import signal
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import trio

from chaos.liar_process import open_liar
from chaos.timeline import ENVIRONMENT
from console.replay import Recording
from cretonode.cli.cluster import Cluster, NodeProcess, open_cluster
from cretonode.cli.layout import make_testnet
from cretonode.client import AsyncClient
from cretonode.errors import CretoError
from integration.conftest import transactions
from integration.terminal import Terminal, open_console
from integration.tmux import is_installed, open_in_tmux

LIAR = 0
SECOND_SCREEN, WRAPPING, CURSOR = 1049, 7, 25  # private modes of xterm; the latter are on at first


def open_watching(place: Path, *arguments: object) -> AbstractAsyncContextManager[Terminal]:
    """Run the console in tmux where there is one, else in a bare terminal."""
    return open_in_tmux(place, *arguments) if is_installed() else open_console(*arguments)


def ends_with_a_stop(path: Path) -> bool:
    """True when the last word of a node's own history is that it was stopped."""
    recording = Recording(path)
    list(recording.load())
    recording.close()
    return bool(recording.gaps) and recording.gaps[-1].to_ms is None


async def keep_submitting(url: str, scope: trio.CancelScope) -> None:
    with scope:
        async with AsyncClient(url) as client:
            while True:
                with suppress(CretoError):  # refused while there is no quorum
                    await client.submit(transactions(1))
                await trio.sleep(0.05)


async def test_it_waits_for_a_node_and_names_those_that_are_lost(place: Path) -> None:
    files = make_testnet(place, size=4)
    async with open_watching(place, "--socket", files[1].operator_socket) as terminal:
        await terminal.until_text("WAITING", "waiting for a node")
        async with open_cluster(files) as cluster, trio.open_nursery() as nursery:
            clients = trio.CancelScope()
            await terminal.until_text(" LIVE ", "all 4 validators reachable", "1 more may fail")
            nursery.start_soon(keep_submitting, files[1].url, clients)
            await terminal.press("2")
            await terminal.until_text("Sequence", "final")
            cluster.nodes[3].kill()
            await terminal.until_text(" DEGRADED  node3 not reachable", "none to spare")
            await terminal.press("3")
            await terminal.until(lambda text: "node3 missing since " in text)  # and why
            cluster.nodes[2].kill()
            await terminal.until_text(" STALLED  missing node2 and node3: 2 of 4 reachable")
            await terminal.press("2")
            # Of either phase: it may have died between its prepare and its commit.
            waits = re.compile("waits for 1 (prepare|commit) of node2 or node3")
            await terminal.until(waits.search)
            clients.cancel()
            await terminal.press("1")
            await terminal.until_text("do: bring back node2 or node3")
            cluster.nodes[3].start()
            await terminal.until_text(" DEGRADED  node2 not reachable")
            cluster.nodes[2].start()
            await terminal.until_text(" LIVE ")
            night = place / "night.creto"
            command = ("history", "--socket", files[1].operator_socket, night)
            async with open_console(*command) as fetching:
                await fetching.until_text("wrote", "creto-console replay")
        assert ends_with_a_stop(max((files[1].directory / "data" / "history").iterdir()))
        await terminal.until_text(" STALE ", "trying again")
        await terminal.press("q")
        assert await terminal.wait_ended() == 0
    async with open_console("replay", night) as replaying:
        await replaying.until_text("replay")
        await replaying.press(")")  # the stall, by the node's own history
        await replaying.until_text(" STALLED ", "node2")


async def test_a_console_that_is_told_to_end_leaves_the_terminal_as_it_was(place: Path) -> None:
    async with open_console("--socket", place / "x.sock") as terminal:
        before = terminal.settings
        await terminal.until_text("WAITING", "waiting for a node")
        assert terminal.settings != before
        assert SECOND_SCREEN in terminal.modes
        terminal.process.terminate()
        assert await terminal.wait_ended() == 128 + signal.SIGTERM
        await terminal.until(lambda _: SECOND_SCREEN not in terminal.modes)
        assert terminal.modes <= {WRAPPING, CURSOR}
        assert terminal.settings == before


async def test_an_equivocating_leader_is_shown_proven_and_let_in_again(place: Path) -> None:
    """SPEC B4: both statements, checked with the auditors' own command, three keys away."""
    files = make_testnet(place, size=4)
    honest = [NodeProcess(each, environment=ENVIRONMENT) for each in files if each != files[LIAR]]
    cluster = Cluster(honest)
    try:
        async with open_liar(
            files[LIAR], "splits-anchors", seed=1, rate=1.0, environment=ENVIRONMENT
        ) as liar:
            for node in honest:
                node.start()
            await cluster.wait_ready(honest)
            socket = files[1].operator_socket
            async with open_watching(place, "--socket", socket, "--write") as terminal:
                await terminal.until_text(" LIVE ")
                await liar.begin()
                await terminal.until_text(" DEGRADED  node0 banned")
                await terminal.press("7", "v")
                await terminal.until_text("node0", "two pre-prepares for view 0")
                await terminal.press("Enter")
                await terminal.until_text("first statement, signed", "PROVEN: node0 signed both")
                await terminal.press("Esc")  # alone: Esc and a key at once is another key
                await terminal.until(lambda text: "first statement" not in text)
                await terminal.press("4", "v")
                await terminal.until_text("in force", "detector", "equivocation: two pre-prepares")
                liar.end()
                await terminal.press("u")
                await terminal.until_text("Take back the ban of node0?", "y do it")
                await terminal.press("n")
                await terminal.until(lambda text: "y do it" not in text)
                await terminal.until_text("in force")
                await terminal.press("u")
                await terminal.until_text("Take back the ban of node0?", "y do it")
                await terminal.press("y")
                await terminal.until_text("nobody is banned")
    finally:
        await cluster.stop()
