"""What the operator socket needs of a node that can be watched."""

from typing import Protocol

from cretonode.operator.protocol import Delta


class Watcher(Protocol):
    """Knows what one client was told. Satisfied by `node.watcher.NodeWatcher`."""

    async def delta(self) -> Delta | None:
        """Return what changed since the last one; the first is fresh. None: nothing did."""


class Watchable(Protocol):
    """A node. Satisfied by `node.watcher.WatchSource`."""

    def watcher(self, topics: frozenset[str]) -> Watcher:
        """Return a watcher for one client that wants these topics."""
