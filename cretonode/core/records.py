"""What a replica writes to its vote journal before anybody may hear of it.

Folding the records of a journal, in order, gives back everything that the replica has promised.
Source: docs/spec/durability.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from cretonode.core.messages import (
    CheckpointCertificate,
    NewView,
    Position,
    PrepareCertificate,
    ViewChange,
)
from cretonode.identifiers import AuthorIndex, Digest, SequenceNumber, VertexHash, View
from cretonode.limits import CHECKPOINTS_SAID_MAX


@dataclass(frozen=True, slots=True)
class ViewEntered:
    """Nothing is voted below `view` any more."""

    view: View


@dataclass(frozen=True, slots=True)
class BaseAdopted:
    """The one base of `view`."""

    view: View
    base: Position


@dataclass(frozen=True, slots=True)
class OwnVertex:
    """The index is taken, by this vertex."""

    index: AuthorIndex
    vertex: VertexHash


@dataclass(frozen=True, slots=True)
class Accepted:
    """The one anchor pre-prepared or prepared at (view, sequence)."""

    view: View
    sequence: SequenceNumber
    anchor: VertexHash


@dataclass(frozen=True, slots=True)
class HighCertificate:
    """The highest prepare certificate held; only ever rises."""

    certificate: PrepareCertificate


@dataclass(frozen=True, slots=True)
class SaidViewChange:
    """The exact view-change, unsigned."""

    message: ViewChange


@dataclass(frozen=True, slots=True)
class SaidNewView:
    """The exact new-view, unsigned."""

    message: NewView


@dataclass(frozen=True, slots=True)
class SaidCheckpoint:
    """The one digest stated for `sequence`."""

    sequence: SequenceNumber
    digest: Digest


@dataclass(frozen=True, slots=True)
class StableCheckpoint:
    """The low watermark; records it makes superfluous may be dropped at rotation."""

    certificate: CheckpointCertificate


@dataclass(frozen=True, slots=True)
class AmnesiaBegun:
    """What was said before this journal began is not known: nothing may be said yet."""

    nonce: bytes  # of the Rejoin requests, 32 bytes


@dataclass(frozen=True, slots=True)
class AmnesiaEnded:
    """The high certificate is above all that was ever said; own indexes up to `index` are taken."""

    index: AuthorIndex


Record: TypeAlias = (
    ViewEntered
    | BaseAdopted
    | OwnVertex
    | Accepted
    | HighCertificate
    | SaidViewChange
    | SaidNewView
    | SaidCheckpoint
    | StableCheckpoint
    | AmnesiaBegun
    | AmnesiaEnded
)


@dataclass(slots=True)
class Promises:
    """The live values of a journal: what this replica must never contradict."""

    amnesia: bytes | None = None  # what was said before is not known; the nonce of the requests
    view: View = View(0)
    base: Position | None = None  # of `view`
    own_index: AuthorIndex = AuthorIndex(0)
    own_vertex: VertexHash | None = None
    accepted: dict[SequenceNumber, VertexHash] = field(default_factory=dict)  # in `view`
    high: PrepareCertificate | None = None
    view_change: ViewChange | None = None  # for `view`
    new_view: NewView | None = None  # for `view`
    checkpoints: dict[SequenceNumber, Digest] = field(default_factory=dict)  # the newest
    stable: CheckpointCertificate | None = None

    def apply(self, record: Record) -> None:
        """Fold one record in."""
        match record:
            case ViewEntered(view):
                assert view > self.view, (view, self.view)
                self.view = view
                self.base, self.view_change, self.new_view = None, None, None
                self.accepted = {}
            case BaseAdopted(view, base):
                assert view == self.view, (view, self.view)
                assert self.base in (None, base), (self.base, base)
                self.base = base
            case OwnVertex(index, vertex):
                assert index > self.own_index, (index, self.own_index)
                self.own_index, self.own_vertex = index, vertex
            case Accepted(view, sequence, anchor):
                assert view == self.view, (view, self.view)
                assert self.accepted.get(sequence, anchor) == anchor, (sequence, anchor)
                self.accepted[sequence] = anchor
            case HighCertificate(certificate):
                assert self.high is None or certificate.position.rank > self.high.position.rank
                self.high = certificate
            case SaidViewChange(message):
                self.view_change = message
            case SaidNewView(message):
                self.new_view = message
            case SaidCheckpoint(sequence, digest):
                assert self.checkpoints.get(sequence, digest) == digest, (sequence, digest)
                self.checkpoints[sequence] = digest
                if len(self.checkpoints) > CHECKPOINTS_SAID_MAX:
                    del self.checkpoints[min(self.checkpoints)]
            case StableCheckpoint(certificate):
                self._settle(certificate)
            case AmnesiaBegun(nonce):
                self.amnesia = nonce
            case AmnesiaEnded(index):
                assert index > self.own_index, (index, self.own_index)
                self.amnesia = None
                self.own_index, self.own_vertex = index, None
            case _:
                assert_never(record)

    def records(self) -> list[Record]:
        """Return the shortest journal that folds to these values: what rotation copies."""
        found: list[Record] = []
        if self.amnesia is not None:
            found.append(AmnesiaBegun(self.amnesia))
        if self.view > 0:
            found.append(ViewEntered(self.view))
        if self.base is not None:
            found.append(BaseAdopted(self.view, self.base))
        if self.own_vertex is not None:
            found.append(OwnVertex(self.own_index, self.own_vertex))
        elif self.own_index > 0:
            found.append(AmnesiaEnded(self.own_index))  # no own vertex since
        found += [Accepted(self.view, s, anchor) for s, anchor in sorted(self.accepted.items())]
        if self.high is not None:
            found.append(HighCertificate(self.high))
        if self.view_change is not None:
            found.append(SaidViewChange(self.view_change))
        if self.new_view is not None:
            found.append(SaidNewView(self.new_view))
        if self.stable is not None:
            found.append(StableCheckpoint(self.stable))
        found += [SaidCheckpoint(s, digest) for s, digest in sorted(self.checkpoints.items())]
        return found

    def _settle(self, certificate: CheckpointCertificate) -> None:
        low = certificate.sequence
        self.stable = certificate
        self.accepted = {s: anchor for s, anchor in self.accepted.items() if s > low}
        self.checkpoints = {s: digest for s, digest in self.checkpoints.items() if s >= low}


def fold(records: Iterable[Record]) -> Promises:
    """Return the live values of a journal."""
    promises = Promises()
    for record in records:
        promises.apply(record)
    return promises
