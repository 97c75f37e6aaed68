"""The command as a process: Ctrl-C at any moment, and an output that takes nothing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "cretonode.cli.main")


@pytest.mark.parametrize("delay_ms", [100, 200, 400, 800])
def test_ctrl_c_before_a_devnet_is_up_exits_with_130(tmp_path: Path, delay_ms: int) -> None:
    place = tmp_path / "network"
    with subprocess.Popen(
        [*COMMAND, "devnet", "-n", "31", "--dir", str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=60)[0]
    assert process.returncode == 130, out
    assert "Traceback" not in out
    assert "Aborted" not in out
    assert not place.exists() or (place / "genesis.json").exists(), "whole, or not there"


def test_ctrl_c_stops_a_devnet_that_is_up_however_often() -> None:
    with subprocess.Popen(
        [*COMMAND, "devnet", "-n", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        assert any("try: cretonode submit" in line for line in process.stdout)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=60)[0]
    assert process.returncode == 0, out
    assert "Traceback" not in out


@pytest.mark.parametrize("argument", ["version", "--help"])
def test_an_output_that_is_full_is_one_sentence(argument: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, argument], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "cretonode: the output: No space left on device\n"
