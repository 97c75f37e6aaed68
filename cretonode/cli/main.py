"""`cretonode`: the node and its tools. The entry point.

Imports next to nothing before it owns Ctrl-C: the libraries take half a second to come in.
"""

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit_now)  # nothing is open yet; a command takes it over
    from cretonode.cli.base import errors_reported
    from cretonode.cli.commands import cli

    with errors_reported():
        cli.main(prog_name="cretonode")


def _exit_now(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    main()
