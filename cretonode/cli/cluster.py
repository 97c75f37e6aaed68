"""A network of real node processes on this machine: what `devnet`, the demo and the bench drive.

Owns the processes it started, by pid, and ends them all on the way out.
"""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from cretonode.cli.layout import NodeFiles
from cretonode.client import AsyncClient, RetryPolicy, Unreachable
from cretonode.errors import ConfigError, CretoError

START_S: Final = 30.0
STOP_S: Final = 8.0  # a node stops within 5
POLL_S: Final = 0.05


class NodeStopped(CretoError):
    """A node's process ended although nobody asked it to."""


@dataclass(slots=True)
class NodeProcess:
    """One node and, while it runs, its process."""

    files: NodeFiles
    process: subprocess.Popen[bytes] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)  # on top of our own
    program: Sequence[str] = ("-m", "cretonode.cli.main")  # what Python runs

    def start(self, *arguments: str) -> None:
        """Start the process; what it prints goes to its log file."""
        assert self.process is None, f"{self.files.name} runs already"
        with self.files.log_path.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own program and paths
                [
                    sys.executable,
                    *self.program,
                    "start",
                    "--with-parent",  # whatever ends us, no node stays behind
                    "--config",
                    str(self.files.config_path),
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for us to pass on. The same session, though: Linux
                # shares the processor among sessions first (sched_autogroup), and only within
                # one does the low priority of a node's compactions spare the other nodes.
                process_group=0,
                env=_inherited() | {"PYTHONUNBUFFERED": "1"} | dict(self.environment),
            )

    def kill(self) -> None:
        """End it at once, as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def ask_to_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal."""
        if self.process is not None:
            self.process.send_signal(number)

    async def wait_stopped(self) -> int:
        """Return its exit code."""
        assert self.process is not None
        code = await trio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)
        self.process = None
        return code

    def check_runs(self) -> None:
        """Raise NodeStopped, with the end of its log, when the process has ended."""
        if self.process is not None and self.process.poll() is not None:
            lines = self.files.log_path.read_text(errors="replace").splitlines()[-5:]
            raise NodeStopped(
                f"{self.files.name} stopped with exit code {self.process.returncode}; "
                f"the end of {self.files.log_path}:\n" + "\n".join(lines)
            )


@dataclass(slots=True)
class Cluster:
    """The nodes, by index."""

    nodes: list[NodeProcess] = field(default_factory=list)

    @property
    def running(self) -> list[NodeProcess]:
        """Those whose process was started and not ended."""
        return [node for node in self.nodes if node.process is not None]

    async def wait_ready(self, nodes: Sequence[NodeProcess] | None = None) -> None:
        """Return when all (of `nodes`) are ready for clients.

        Raises: NodeStopped; ConfigError, when that takes more than START_S.
        """
        waiting = list(self.running if nodes is None else nodes)
        reasons: dict[str, str] = {}
        with trio.move_on_after(START_S):
            while waiting:
                for node in list(waiting):
                    node.check_runs()
                    reason = await _unready(node)
                    if reason is None:
                        waiting.remove(node)
                    else:
                        reasons[node.files.name] = reason
                await trio.sleep(POLL_S)
            return
        late = ", ".join(f"{n.files.name} ({reasons.get(n.files.name, '?')})" for n in waiting)
        raise ConfigError(f"not ready after {START_S:.0f} s: {late}")

    async def stop(self) -> dict[str, int]:
        """Ask all to stop and return their exit codes; what does not stop in time is killed."""
        stopping = self.running
        for node in stopping:
            node.ask_to_stop()
        codes: dict[str, int] = {}
        with trio.move_on_after(STOP_S):
            for node in stopping:
                codes[node.files.name] = await node.wait_stopped()
        for node in self.running:
            node.kill()
            codes[node.files.name] = -signal.SIGKILL
        return codes


@asynccontextmanager
async def open_cluster(
    files: Sequence[NodeFiles],
    *,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    programs: Mapping[str, Sequence[str]] | None = None,
    later: Sequence[str] = (),
) -> AsyncGenerator[Cluster]:
    """Start a process for each node, yield when all are ready, and end them on the way out.

    By name: `programs` run instead of the node's own; those of `later` are not started here.
    """
    cluster = Cluster([NodeProcess(each, environment=environment or {}) for each in files])
    try:
        for node in cluster.nodes:
            node.program = (programs or {}).get(node.files.name, node.program)
            if node.files.name not in later:
                node.start(*arguments)
        await cluster.wait_ready()
        yield cluster
    finally:
        with trio.move_on_after(STOP_S + 2, shield=True):
            await cluster.stop()
        for node in cluster.running:
            node.kill()


def _inherited() -> dict[str, str]:
    """Return our environment but for what would change the configuration of every node alike."""
    ours = {"NODE_ID", "BOOTSTRAP_PEERS"}
    return {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("CRETO_")}


async def _unready(node: NodeProcess) -> str | None:
    try:
        async with AsyncClient(node.files.url, retries=RetryPolicy(attempts_max=1)) as client:
            status = await client.status()
    except Unreachable as error:
        return str(error)
    return None if status.ready else status.reason
