"""One lying validator as a process: started beside the honest nodes, set lying, kept alive.

What its lies do to its own core ends it, as any bug would. Then it starts afresh, without memory,
and goes on lying: that is one more lie.
"""

import json
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Never

import trio

from bench.load import random_transactions
from chaos.liar import BEGIN, KNOWN, program
from chaos.watch import until
from cretonode.cli.cluster import NodeProcess
from cretonode.cli.layout import NodeFiles
from cretonode.cli.making import make_node
from cretonode.client import AsyncClient, RetryPolicy, Timeouts
from cretonode.errors import ClientError

READY_S: Final = 30.0
LOOK_S: Final = 0.2
RUNNING: Final = '"event": "running"'
FRAMES: Final = "long-frames"  # the one that is no node at all: `chaos.frames`
FEED_S: Final = 0.1
FEED_TRANSACTIONS: Final = 5
MEMORY_S: Final = 4.0  # of one that forgets: from start to start
TIMEOUTS: Final = Timeouts(connect_ms=500, answer_ms=2_000)


@dataclass(slots=True)
class Liar:
    """The process, and how often it was started."""

    node: NodeProcess
    behaviour: str
    deaths: int = 0  # that its own lies brought about
    forgot: int = 0  # times it was made to forget
    answers: bool = False
    _begun: bool = False
    _runs: int = 0  # that its log tells of

    async def begin(self) -> None:
        """Let it lie from now on, in every life. Raises: Overdue."""
        await until(lambda: self.answers, limit_s=READY_S, what="the liar's first answer")
        self._begun = True
        self.node.ask_to_stop(BEGIN)

    async def keep_alive(self) -> Never:
        """Start it again whenever it has ended, and when it is time for it to forget."""
        await self._wait_answer()
        since_s = trio.current_time()
        while True:
            await trio.sleep(LOOK_S)
            process = self.node.process
            if process is None:
                await trio.sleep_forever()  # it was ended
            forgets = self._begun and self.behaviour != FRAMES and KNOWN[self.behaviour].forgets
            if process.poll() is not None:
                self.deaths += 1
                self.node.process = None
            elif forgets and trio.current_time() > since_s + MEMORY_S:
                self.forgot += 1
                self.node.kill()
            else:
                continue
            await self._start_afresh()
            since_s = trio.current_time()

    async def feed(self) -> Never:
        """Be its clients: some lies need vertices of its own."""
        async with AsyncClient(
            self.node.files.url, retries=RetryPolicy(attempts_max=1), timeouts=TIMEOUTS
        ) as client:
            while True:
                await trio.sleep(FEED_S)
                if self.answers:
                    with suppress(ClientError):
                        await client.submit(random_transactions(FEED_TRANSACTIONS, 100))

    def end(self) -> None:
        """Kill it."""
        if self.node.process is not None:
            self.node.kill()

    def acts(self) -> int:
        """Return how often it did what no honest validator does, as far as its log says."""
        total = last = 0
        for line in self.node.files.log_path.read_text(errors="replace").splitlines():
            event = _event(line)
            if event.get("event") == "running":
                total, last = total + last, 0
            elif event.get("event") == "lied":
                acts = event["acts"]
                assert isinstance(acts, int), acts
                last = acts
        return total + last + self.forgot

    async def _start_afresh(self) -> None:
        files = self.node.files
        self.answers = False
        shutil.rmtree(files.directory / "data")
        await trio.to_thread.run_sync(make_node, files.config_path)
        self.node.start()
        await self._wait_answer()
        if self._begun:
            self.node.ask_to_stop(BEGIN)

    async def _wait_answer(self) -> None:
        """Return when it runs, or has ended. It may never become ready: the others shun it."""
        log = self.node.files.log_path
        while self.node.process is not None and self.node.process.poll() is None:
            runs = log.read_text(errors="replace").count(RUNNING)
            if runs > self._runs:
                self._runs = runs
                self.answers = True
                return
            await trio.sleep(LOOK_S)


@asynccontextmanager
async def open_liar(
    files: NodeFiles,
    behaviour: str,
    *,
    seed: int,
    rate: float | None = None,
    environment: Mapping[str, str],
) -> AsyncGenerator[Liar]:
    """Start a liar, honest at first, and keep it alive; kill it on the way out."""
    runs = (
        ("-m", "chaos.frames") if behaviour == FRAMES else program(behaviour, seed=seed, rate=rate)
    )
    node = NodeProcess(files, environment=environment, program=runs)
    liar = Liar(node, behaviour)
    node.start()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(liar.keep_alive, name="liar")
            nursery.start_soon(liar.feed, name="clients of the liar")
            yield liar
            nursery.cancel_scope.cancel()
    finally:
        liar.end()


def _event(line: str) -> dict[str, object]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
