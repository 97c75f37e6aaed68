"""Whenever a second signal comes, a node ends in a way that was chosen."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cretonode.cli.layout import NodeFiles, make_testnet


def start(node: NodeFiles) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cretonode.cli.main", "start", "--config", str(node.config_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return
    raise AssertionError(f"it ended without {word!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_second_signal_changes_neither_exit_code_nor_order(
    place: Path, number: signal.Signals
) -> None:
    """SPEC L2. Also when it comes after all is done and Python itself shuts down."""
    node = make_testnet(place, size=1)[0]
    for delay_ms in (0, 5, 10, 20, 40, 80, 120):
        with start(node) as process:
            read_until(process, "metrics  ")
            process.send_signal(number)
            time.sleep(delay_ms / 1000)
            process.send_signal(number)
            out = process.communicate(timeout=30)[0]
        assert process.returncode == 0, (delay_ms, process.returncode, out)
        assert "Traceback" not in out
        assert "Aborted" not in out
        assert re.search(r"ended\s+threads_at_work=\[\]", out), out


def test_a_signal_before_the_node_runs_ends_the_process_without_a_traceback() -> None:
    """Nothing is open yet, so nothing is left behind, and the code names the signal."""
    code = (
        "import os, signal\n"
        "from cretonode.node.signals import own_signals\n"
        "with own_signals():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    signal.pause()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 128 + signal.SIGINT
    assert not done.stderr


def test_no_node_outlives_the_cluster_that_started_it(place: Path) -> None:
    """`just devnet`, `demo` and `bench` may be killed, too: then nobody is left to stop nodes."""
    node = make_testnet(place, size=1)[0]
    program = (
        "import sys, trio\n"
        "from pathlib import Path\n"
        "from cretonode.cli.cluster import open_cluster\n"
        "from cretonode.cli.layout import read_testnet\n"
        "async def main():\n"
        "    async with open_cluster(read_testnet(Path(sys.argv[1]))) as cluster:\n"
        "        print(cluster.nodes[0].process.pid, flush=True)\n"
        "        await trio.sleep_forever()\n"
        "trio.run(main)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(place)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline_s = time.monotonic() + 20
    while Path(f"/proc/{pid}/cmdline").exists() and _is_running(pid):
        assert time.monotonic() < deadline_s, f"node {pid} still runs"
        time.sleep(0.05)
    log = node.log_path.read_text()
    assert "stopped" in log, log[-2000:]


def _is_running(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"  # a zombie has ended; who adopted it has not looked yet
