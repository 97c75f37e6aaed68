"""What this process takes of its machine."""

import os
import time
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds() -> float:
    """Return the processor time of all threads, user and system."""
    return time.process_time()


def resident_bytes() -> int:
    """Return the memory that is in RAM now. Source: Linux proc_pid_statm(5)."""
    return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES
