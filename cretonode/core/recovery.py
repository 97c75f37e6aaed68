"""Recovery: a new incarnation of the network, when too many forgot what they said.

A recovery names the position on which all votes of the new incarnation stand, as genesis does for
the first. It is signed by q validators, and a signature promises silence in the old incarnation.
Source: docs/spec/durability.md, section 11; docs/decisions/0019.
"""

from dataclasses import dataclass, field

from cretonode.core.messages import Position, Signed
from cretonode.identifiers import (
    AuthorIndex,
    Digest,
    Incarnation,
    SequenceNumber,
    VertexHash,
    View,
)
from cretonode.limits import INCARNATION_INDEXES


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What q validators signed. Sequences up to `base` are of incarnation `previous` or before.

    Each of the three places is proven by a certificate of the old incarnation, or is 0.
    """

    previous: Incarnation
    incarnation: Incarnation  # above `previous`; numbers that a plan used up are left out
    final: SequenceNumber  # the highest sequence with a commit certificate
    final_anchor: VertexHash
    checkpoint: SequenceNumber  # the newest stable checkpoint; 0 for none
    digest: Digest  # log root after it
    base: SequenceNumber  # at or above `final`: the highest anchor that may have been committed
    base_anchor: VertexHash
    votes: tuple[Signed, ...] = field(default=(), compare=False)  # any q will do

    @property
    def position(self) -> Position:
        """What view 0 of the new incarnation is open on; it needs no certificate."""
        return Position(View(-1), self.base, self.base_anchor)


def incarnation_of(index: AuthorIndex) -> Incarnation:
    """Return the incarnation in which a vertex with this index was made and signed."""
    return Incarnation(index // INCARNATION_INDEXES)


def index_before(incarnation: Incarnation) -> AuthorIndex:
    """Return the index that all own vertices of `incarnation` are above.

    Each incarnation has numbers of its own, so that nobody has to know which ones were used.
    """
    return AuthorIndex(incarnation * INCARNATION_INDEXES)
