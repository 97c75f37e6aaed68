"""What a node asks of the operating system for its own process. Linux; elsewhere nothing happens.

Called before there are threads: both settings hold for what comes after.
"""

import ctypes
import gc
import os
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # <sys/prctl.h>
M_ARENA_MAX: Final = -8  # <malloc.h>
ARENAS_MAX: Final = 1
YOUNG_OBJECTS_MAX: Final = 20_000  # a slot makes thousands, and nearly all die by themselves


def end_with_parent() -> None:
    """Get SIGTERM when the thread that started this process ends, however it ends.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before we asked
        os.kill(os.getpid(), signal.SIGTERM)


def bound_arenas() -> None:
    """Let all threads share glibc's heap, instead of up to eight heaps for each core.

    A dozen threads of the database and of ours each kept what they had freed: a node grew by
    tens of MiB an hour and gave nothing back. Source: mallopt(3), M_ARENA_MAX.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # musl has none, and one heap anyway
        mallopt(M_ARENA_MAX, ARENAS_MAX)


def spare_collections() -> None:
    """Look for cyclic garbage less often, and never again among what is here now.

    To be called once the node has started: what was imported and opened stays until the end, so a
    full collection need not walk it. Source: gc.freeze, gc.set_threshold.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, 10, 10)
