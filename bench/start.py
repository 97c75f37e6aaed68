"""`just bench` and `just chaos`: the entry point of both.

Imports next to nothing before it owns Ctrl-C: the libraries take a second to come in, and nobody
who changed their mind wants to read a traceback.
"""

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Final

MODULES: Final = {"bench": "bench.throughput", "chaos": "chaos.__main__"}


def main(program: str, arguments: list[str]) -> int:
    """Run one of the programs; return its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit_now)  # nothing is open yet
    module = import_module(MODULES[program])
    if signal.getsignal(signal.SIGINT) is _exit_now:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code: int = module.main(arguments)
    return code


def _exit_now(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
