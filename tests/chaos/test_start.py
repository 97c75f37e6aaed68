"""The entry point of bench and chaos: help is no error, and Ctrl-C is never a traceback."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("program", ["bench", "chaos"])
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_printed(program: str, word: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.start", program, word],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "rate=" in done.stdout
    assert f"just {program}" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("program", ["bench", "chaos"])
def test_ctrl_c_before_the_libraries_are_in_prints_nothing(program: str) -> None:
    """The signal comes at the very first import of a library."""
    code = (
        "import builtins, os, signal\n"
        "from bench import start\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "imported = builtins.__import__\n"
        "def interrupt(name, *rest):\n"
        "    if name == 'trio':\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return imported(name, *rest)\n"
        "builtins.__import__ = interrupt\n"
        f"start.main('{program}', ['--help'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 128 + signal.SIGINT
    assert not done.stderr
    assert not done.stdout
