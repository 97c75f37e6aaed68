"""Bugs planted on purpose: each a small patch of the real code, so that the oracles prove sharp."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final
from unittest.mock import patch

from cretonode.core.committee import Committee, quorum_of
from cretonode.core.ordering import Ordering
from cretonode.dag.chain import Link
from cretonode.dag.graph import Graph
from cretonode.identifiers import SequenceNumber, VertexHash
from tests.simulation.world import World


@contextmanager
def quorum_one_short() -> Iterator[None]:
    """A certificate of q - 1 votes."""
    short = property(lambda self: max(1, quorum_of(self.size) - 1))
    unchecked = patch.object(Committee, "__post_init__", lambda self: None)
    with unchecked, patch.object(Committee, "quorum", short):
        yield


@contextmanager
def sent_before_synced() -> Iterator[None]:
    """Votes leave before the journal is on disk."""
    with patch.object(World, "_must_sync_first", lambda self: False):
        yield


@contextmanager
def parent_link_forgotten() -> Iterator[None]:
    """An anchor is accepted on top of any anchor, not only of its own first parent."""

    def fits(self: Ordering, link: Link, sequence: SequenceNumber) -> bool:
        anchor = link.anchor
        return anchor.author == self.state.leader and anchor.sequence == sequence

    with patch.object(Ordering, "_fits", fits):
        yield


@contextmanager
def parents_not_awaited() -> Iterator[None]:
    """A vertex is admitted although a parent has not arrived."""
    knows = Graph.knows

    def always(self: Graph, vertex: VertexHash) -> bool:
        return vertex not in self.orphans and (knows(self, vertex) or len(self.admitted) > 0)

    with patch.object(Graph, "knows", always):
        yield


PLANTED: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {
    "quorum one short": quorum_one_short,
    "sent before synced": sent_before_synced,
    "parent link forgotten": parent_link_forgotten,
    "parents not awaited": parents_not_awaited,
}
