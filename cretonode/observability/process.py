"""What this process takes of its machine."""

import os
import threading
import time
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_IDLE_THREAD: Final = "Trio thread "
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds() -> float:
    """Return the processor time of all threads, user and system."""
    return time.process_time()


def resident_bytes() -> int:
    """Return the memory that is in RAM now. Source: Linux proc_pid_statm(5)."""
    return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES


def threads_at_work() -> list[str]:
    """Return the names of the threads that run something; this one is left out.

    Trio keeps idle threads for the next job, and gives a thread the name of its job only while
    it has one.
    """
    here = threading.current_thread()
    names = [each.name for each in threading.enumerate() if each is not here]
    return sorted(name for name in names if not name.startswith(_IDLE_THREAD))
