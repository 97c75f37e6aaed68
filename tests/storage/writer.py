"""A child process for the crash and memory tests: writes slots, says when they are synced.

    python -m tests.storage.writer DIRECTORY SLOTS TRANSACTIONS BYTES

Prints "synced N" for each sequence and goes on; with SLOTS reached it prints its memory and waits.
"""

import sys
from pathlib import Path

from cretonode.core.records import Promises
from cretonode.storage.rocksdb import RocksBackend
from cretonode.storage.store import open_store
from tests.storage.chain import IDENTITY, PARAMETERS, ChainMaker
from tests.storage.small import small_options


def resident_bytes() -> int:
    """Return how much memory this process holds that is its own, not mapped files."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def say(line: str) -> None:
    """Tell the parent."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Write until killed or done."""
    directory, slots, transactions, size = Path(sys.argv[1]), *map(int, sys.argv[2:])
    warm = ChainMaker(transactions=transactions, transaction_bytes=size, repeat_chance=0.0)
    warm.slots(4)  # imports and pools are no memory of the database
    before = resident_bytes()
    maker = ChainMaker(transactions=transactions, transaction_bytes=size, repeat_chance=0.0)
    store = open_store(RocksBackend(directory, small_options()), IDENTITY, PARAMETERS)
    store.restore(maker.graph.genesis, Promises())
    peak = 0
    for number in range(1, slots + 1):
        store.apply(maker.slot())
        store.sync()
        say(f"synced {number}")
        maker.forget()
        peak = max(peak, resident_bytes())
        if number % 4 == 0:
            store.index_transactions()
    say(f"grown {peak - before}")
    sys.stdin.read()


if __name__ == "__main__":
    main()
