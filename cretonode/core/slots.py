"""The votes of one sequence in one view, and when they make a certificate.

Only the first vote of each author in each phase counts; a second, different one is evidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cretonode.core.committee import Committee
from cretonode.core.messages import (
    Commit,
    CommitCertificate,
    Prepare,
    PrepareCertificate,
    PrePrepare,
    Signed,
    Vote,
)
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash


@dataclass(slots=True)
class Slot:
    """Bound: one pre-prepare, and of each author one prepare and one commit."""

    sequence: SequenceNumber
    pre_prepare: PrePrepare | None = None
    prepares: dict[ValidatorIndex, Prepare] = field(default_factory=dict)
    commits: dict[ValidatorIndex, Commit] = field(default_factory=dict)
    prepared: PrepareCertificate | None = None
    committed: CommitCertificate | None = None
    commit_said: bool = False
    shown: set[ValidatorIndex] = field(default_factory=set)  # who was sent the pre-prepare
    refused: bool = False  # that the pre-prepared anchor broke a rule was said

    def add(self, vote: Vote) -> Vote | None:
        """Count `vote`; return an earlier one of the same author that it contradicts."""
        first: Vote
        match vote:
            case PrePrepare():
                first = self.pre_prepare = self.pre_prepare or vote
            case Prepare():
                first = self.prepares.setdefault(vote.author, vote)
            case Commit():
                first = self.commits.setdefault(vote.author, vote)
        return first if first.anchor != vote.anchor else None

    def certified(self) -> VertexHash | None:
        """Return the anchor that a certificate of this view proves, if any."""
        certificate = self.prepared or self.committed
        return certificate.anchor if certificate is not None else None

    def try_prepared(self, committee: Committee, anchor: VertexHash) -> bool:
        """Make the prepare certificate when q votes name `anchor`. True when it is new."""
        if self.prepared is not None or len(self.prepares) + 1 < committee.quorum:
            return False
        signed = {a: vote.signature for a, vote in self.prepares.items() if vote.anchor == anchor}
        proposal = self.pre_prepare
        if proposal is None or proposal.anchor != anchor:
            return False  # without the leader's word there is nothing to be prepared
        signed[proposal.author] = proposal.signature
        if len(signed) < committee.quorum:
            return False
        self.prepared = PrepareCertificate(
            view=proposal.view,
            sequence=self.sequence,
            anchor=anchor,
            votes=_first_votes(signed, committee.quorum),
        )
        return True

    def try_committed(self, committee: Committee, vote: Commit) -> bool:
        """Make the commit certificate when q commits equal `vote`. True when it is new."""
        if self.committed is not None or len(self.commits) < committee.quorum:
            return False
        signed = {
            author: commit.signature
            for author, commit in self.commits.items()
            if commit.anchor == vote.anchor
        }
        if len(signed) < committee.quorum:
            return False
        self.committed = CommitCertificate(
            view=vote.view,
            sequence=self.sequence,
            anchor=vote.anchor,
            votes=_first_votes(signed, committee.quorum),
        )
        return True


def pre_prepares_of(
    certificate: PrepareCertificate, leader: ValidatorIndex
) -> Iterator[PrePrepare]:
    """Yield the leader's pre-prepare when `certificate` has its signature."""
    for vote in certificate.votes:
        if vote.author == leader:
            yield PrePrepare(
                view=certificate.view,
                sequence=certificate.sequence,
                anchor=certificate.anchor,
                author=leader,
                signature=vote.signature,
            )


def _first_votes(signed: dict[ValidatorIndex, bytes], quorum: int) -> tuple[Signed, ...]:
    return tuple(Signed(author, signed[author]) for author in sorted(signed)[:quorum])
