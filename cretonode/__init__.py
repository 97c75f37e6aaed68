"""A permissioned Byzantine-fault-tolerant node: post-quantum end to end, provable offline."""

import sys

__version__ = "0.1.0"

if sys.flags.optimize:  # assertions hold the invariants of the core: never run without them
    raise SystemExit("cretonode does not run under 'python -O': its assertions are its safety net")
