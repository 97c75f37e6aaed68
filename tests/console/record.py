"""`just console-recording`: a real network, recorded for the tests and the pictures of the console.

Four nodes under a small load. The first leader begins to lie, is found out and banned, and the view
changes; then another node is killed and nothing becomes final; then it comes back.
"""

import asyncio
import os
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import trio

from chaos.liar_process import open_liar
from chaos.timeline import ENVIRONMENT
from console.contact import Contact
from console.live import LiveSource
from console.model import Model
from console.recorder import Recorder
from console.verdict import Standing, verdict_of
from cretonode.cli.cluster import Cluster, NodeProcess
from cretonode.cli.layout import NodeFiles, make_testnet
from cretonode.client import AsyncClient
from cretonode.errors import CretoError
from cretonode.operator.protocol import Delta, Hello

RECORDING = Path(__file__).parent / "recordings" / "attack.creto"
LIAR, WATCHED, KILLED = 0, 1, 3
BEHAVIOUR = "splits-anchors"
INTERVAL_MS = 500
LIMIT_S = 90.0
CALM_S = 5.0


class Watching:
    """A listener that only keeps the model, for the story to wait on."""

    def __init__(self) -> None:
        self.model = Model()

    def on_hello(self, hello: Hello) -> None:
        self.model.begin(hello)

    def on_delta(self, delta: Delta) -> None:
        self.model.apply(delta)

    def on_contact(self, contact: Contact) -> None:
        pass

    def standing(self) -> Standing:
        return verdict_of(self.model, self.model.at_ms).standing

    def bans(self) -> int:
        return len(self.model.known.bans or ())


class Recording(threading.Thread):
    """Records in a thread of its own: the console runs on asyncio, the rest here on trio."""

    def __init__(self, socket: Path, file: Path) -> None:
        super().__init__(daemon=True)
        self.watching = Watching()
        self._recorder = Recorder(file)
        self._socket = socket
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None

    def run(self) -> None:
        source = LiveSource(
            self._socket, self.watching, "recording", self._recorder, interval_ms=INTERVAL_MS
        )
        self._task = self._loop.create_task(source.run())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._recorder.close()

    def end(self) -> None:
        assert self._task is not None
        self._loop.call_soon_threadsafe(self._task.cancel)
        self.join()


async def until(what: str, condition: object) -> None:
    assert callable(condition)
    with trio.move_on_after(LIMIT_S):
        while not condition():  # noqa: ASYNC110 another thread's
            await trio.sleep(0.05)
        print(what, flush=True)  # noqa: T201
        await trio.sleep(CALM_S)
        return
    raise SystemExit(f"after {LIMIT_S:.0f} s still not: {what}")


async def load(files: NodeFiles) -> None:
    """Submit a little, again and again."""
    async with AsyncClient(files.url) as client:
        while True:
            with suppress(CretoError):
                await client.submit([os.urandom(100) for _ in range(5)])
            await trio.sleep(0.4)


async def story(files: list[NodeFiles], recording: Recording) -> None:
    watching = recording.watching
    honest = [NodeProcess(each, environment=ENVIRONMENT) for each in files if each != files[LIAR]]
    cluster = Cluster(honest)
    killed = next(node for node in honest if node.files == files[KILLED])
    try:
        async with open_liar(
            files[LIAR], BEHAVIOUR, seed=1, rate=1.0, environment=ENVIRONMENT
        ) as liar:
            for node in honest:
                node.start()
            await cluster.wait_ready(honest)
            recording.start()
            async with trio.open_nursery() as nursery:
                for index in (1, 2):
                    nursery.start_soon(load, files[index])
                await until("it is live", lambda: watching.standing() is Standing.LIVE)
                await liar.begin()
                await until("the liar is banned", lambda: watching.bans() > 0)
                killed.kill()
                await until("it stalls", lambda: watching.standing() is Standing.STALLED)
                killed.start()
                await until("it goes on", lambda: watching.standing() is Standing.DEGRADED)
                nursery.cancel_scope.cancel()
        recording.end()
    finally:
        await cluster.stop()


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDING
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="creto-recording-") as directory:
        files = make_testnet(Path(directory) / "network", size=4, chain_id="example")
        recording = Recording(files[WATCHED].operator_socket, new)
        trio.run(story, files, recording)
    new.chmod(0o644)
    new.rename(file)
    print(f"wrote {file}, {file.stat().st_size:,} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
