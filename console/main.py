"""The entry point of `creto-console`. The dashboard itself is not built yet, and it says so."""

import sys


def main() -> None:
    """Refuse clearly: no screen exists so far."""
    sys.exit(
        "creto-console: the dashboard is not built yet. "
        "`cretonode status` shows where a node stands, over the same local socket."
    )
