"""What each validator that takes part in a recovery has, and the one plan that follows from it.

The plan is a function of the proposals alone, so whoever signs makes it again and compares. Every
place it names is proven by a certificate; nobody's word makes anything final. Signatures have been
verified before. Source: docs/spec/durability.md, section 11.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cretonode.core.committee import Committee
from cretonode.core.messages import (
    CheckpointCertificate,
    CommitCertificate,
    Position,
    PrepareCertificate,
)
from cretonode.core.recovery import Recovery
from cretonode.dag.vertex import Vertex
from cretonode.errors import ConfigError
from cretonode.identifiers import (
    HASH_BYTES,
    Digest,
    Incarnation,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    short,
)
from cretonode.limits import INCARNATION_MAX, PROMISED_MAX, RECOVERIES_MAX


class JournalState(StrEnum):
    """What a vote journal can say of what its validator had said."""

    WHOLE = "whole"  # all of it
    EMPTY = "empty"  # nothing, as after `init`: it cannot be told from one that was lost
    LOST = "lost"  # nothing: it is missing, damaged, an old copy, or an amnesiac's


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What one validator has on its disk, in its own signed words and in others' certificates."""

    author: ValidatorIndex
    recoveries: tuple[Recovery, ...]  # that this node has applied
    promised: Incarnation  # the highest one it signed a recovery to; 0: none
    journal: JournalState
    final: SequenceNumber
    anchor: VertexHash  # of `final`
    certificate: CommitCertificate | None  # the highest one held
    checkpoint: CheckpointCertificate | None  # the newest stable one
    high: PrepareCertificate | None  # of the journal
    anchors: tuple[Vertex, ...]  # on disk with all their ancestors, from the certificate's on
    signature: bytes = b""

    @property
    def certified(self) -> SequenceNumber:
        """The highest sequence that this proposal proves to be final."""
        return self.certificate.sequence if self.certificate is not None else SequenceNumber(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The recovery that a set of proposals gives, and what it cannot know of."""

    recovery: Recovery
    proposals: tuple[Proposal, ...]  # by author
    history: tuple[Recovery, ...]  # the recoveries before
    beyond: tuple[Position, ...]  # prepared above the base, and held by nobody who takes part

    def missing(self, committee: Committee) -> list[ValidatorIndex]:
        """Return the validators that do not take part."""
        present = {proposal.author for proposal in self.proposals}
        return [ValidatorIndex(i) for i in range(committee.size) if i not in present]

    @property
    def whole(self) -> int:
        """How many took part with a journal that vouches for all it said."""
        return sum(
            p.journal is JournalState.WHOLE and p.recoveries == self.history for p in self.proposals
        )


def make_plan(committee: Committee, proposals: Sequence[Proposal]) -> Plan:
    """Return the one plan of these proposals. `committee`: as genesis has it.

    Raises: ConfigError, when they do not suffice or contradict one another.
    """
    proposals = sorted(proposals, key=lambda proposal: proposal.author)
    _check_number(committee, proposals)
    history = _history_of(proposals)
    for recovery in history:
        committee = committee.recovered(recovery)
    best = _highest_certified(proposals)
    final = Position(best.view, best.sequence, best.anchor) if best is not None else None
    origin = committee.origin
    stands = final if final is not None and final.sequence > origin.sequence else origin
    held = {vertex.hash: vertex for proposal in proposals for vertex in proposal.anchors}
    base, beyond = _highest_prepared(stands, held, proposals, history)
    _check_prefixes(base, held, proposals)
    checkpoint = _newest_stable(base, proposals)
    previous = history[-1].incarnation if history else Incarnation(0)
    number = _next_number(previous, proposals)
    if number > INCARNATION_MAX or len(history) >= RECOVERIES_MAX:
        raise ConfigError(
            f"incarnation {number} after {len(history)} recoveries: at most {RECOVERIES_MAX} are "
            "possible; this chain has to begin anew with another genesis document"
        )
    genesis = committee.genesis
    return Plan(
        recovery=Recovery(
            previous=previous,
            incarnation=Incarnation(number),
            final=final.sequence if final is not None else SequenceNumber(0),
            final_anchor=final.anchor if final is not None else genesis,
            checkpoint=checkpoint.sequence if checkpoint is not None else SequenceNumber(0),
            digest=checkpoint.digest if checkpoint is not None else Digest(bytes(HASH_BYTES)),
            base=base.sequence,
            base_anchor=base.anchor,
        ),
        proposals=tuple(proposals),
        history=history,
        beyond=beyond,
    )


def _check_number(committee: Committee, proposals: Sequence[Proposal]) -> None:
    authors = [proposal.author for proposal in proposals]
    twice = sorted({author for author in authors if authors.count(author) > 1})
    if twice:
        raise ConfigError(f"two proposals of validator {twice[0]}: give its newest one alone")
    if len(authors) < committee.quorum:
        raise ConfigError(
            f"{len(authors)} proposals; a recovery needs those of {committee.quorum} of the "
            f"{committee.size} validators"
        )


def _next_number(previous: Incarnation, proposals: Sequence[Proposal]) -> int:
    """Return the number that no plan has had. One liar must not use all of them up."""
    for proposal in proposals:
        if proposal.promised > previous + PROMISED_MAX:
            raise ConfigError(
                f"validator {proposal.author} says that it signed a recovery to incarnation "
                f"{proposal.promised}; after {previous} at most {PROMISED_MAX} plans can have been "
                "signed and given up: leave its proposal out"
            )
    return max(previous, *(proposal.promised for proposal in proposals)) + 1


def _history_of(proposals: Sequence[Proposal]) -> tuple[Recovery, ...]:
    """Return the longest line of recoveries; all others must be the beginning of it."""
    longest = max((proposal.recoveries for proposal in proposals), key=len)
    for proposal in proposals:
        if proposal.recoveries != longest[: len(proposal.recoveries)]:
            raise ConfigError(
                f"validator {proposal.author} has applied another recovery than others have: two "
                "lines of incarnations cannot be joined; leave its proposal out"
            )
        later = longest[len(proposal.recoveries) :]
        if later and proposal.final > later[0].base:
            raise ConfigError(
                f"validator {proposal.author} has final sequences up to {proposal.final} and has "
                f"missed the recovery to incarnation {later[0].incarnation}, which begins at "
                f"{later[0].base}; leave its proposal out"
            )
    return longest


def _highest_certified(proposals: Sequence[Proposal]) -> CommitCertificate | None:
    found: dict[SequenceNumber, tuple[ValidatorIndex, CommitCertificate]] = {}
    for proposal in proposals:
        certificate = proposal.certificate
        if certificate is None:
            continue
        author, first = found.setdefault(certificate.sequence, (proposal.author, certificate))
        if first.anchor != certificate.anchor:
            raise ConfigError(
                f"validators {author} and {proposal.author} hold commit certificates of sequence "
                f"{certificate.sequence} for two anchors, {short(first.anchor)} and "
                f"{short(certificate.anchor)}: more than f validators lied, and no recovery can "
                "keep what was final on both"
            )
    return found[max(found)][1] if found else None


def _highest_prepared(
    stands: Position,
    held: dict[VertexHash, Vertex],
    proposals: Sequence[Proposal],
    history: tuple[Recovery, ...],
) -> tuple[Position, tuple[Position, ...]]:
    """Return the highest prepared position above what stands final, as a new view would take it.

    Whatever was committed and is not among the certificates is below it, unless all journals that
    knew of it are lost. With it, the higher ones that nobody here holds.
    """
    beyond: list[Position] = []
    prepared = {
        proposal.high.position: proposal.author
        for proposal in proposals
        if proposal.high is not None and proposal.recoveries == history
    }
    for position in sorted(prepared, key=lambda position: position.rank, reverse=True):
        if position.rank <= stands.rank:
            break
        if position.anchor not in held:
            beyond.append(position)
            continue
        line = _line(position.anchor, held, stands.sequence)
        line[position.sequence] = position.anchor
        if line.get(stands.sequence) != stands.anchor:
            raise ConfigError(
                f"validator {prepared[position]} holds a prepare certificate of sequence "
                f"{position.sequence}, view {position.view}, whose anchor does not stand on the "
                f"certified anchor {short(stands.anchor)} of sequence {stands.sequence}: more than "
                "f validators lied. Leave its proposal out, or find out who did"
            )
        return position, tuple(beyond)
    return stands, tuple(beyond)


def _newest_stable(base: Position, proposals: Sequence[Proposal]) -> CheckpointCertificate | None:
    newest: CheckpointCertificate | None = None
    for proposal in proposals:
        found = proposal.checkpoint
        if found is not None and found.sequence > base.sequence:
            raise ConfigError(
                f"validator {proposal.author} shows that a quorum executed up to sequence "
                f"{found.sequence}, and no proposal proves more than {base.sequence}: what was "
                "final is missing here. Get the proposals of others, or leave its proposal out"
            )
        if found is not None and (newest is None or found.sequence > newest.sequence):
            newest = found
    return newest


def _check_prefixes(
    base: Position, held: dict[VertexHash, Vertex], proposals: Sequence[Proposal]
) -> None:
    """What is final on a validator that takes part must be in the plan."""
    line = _line(base.anchor, held, min(proposal.final for proposal in proposals))
    line[base.sequence] = base.anchor
    for proposal in proposals:
        if proposal.final > base.sequence:
            raise ConfigError(
                f"validator {proposal.author} has final sequences up to {proposal.final}, but its "
                f"certificates prove {proposal.certified}, and no other proposal proves more than "
                f"{base.sequence}. Add the proposal of the validator that it caught up from; if "
                "that one is gone for good, leave this one out, and let it fetch everything anew"
            )
        if line.get(proposal.final, proposal.anchor) != proposal.anchor:
            raise ConfigError(
                f"validator {proposal.author} has another final anchor of sequence "
                f"{proposal.final} than the certified chain: its database is wrong; leave its "
                "proposal out"
            )


def _line(
    anchor: VertexHash, held: dict[VertexHash, Vertex], down_to: SequenceNumber
) -> dict[SequenceNumber, VertexHash]:
    """Return the anchors from `anchor` down, by sequence, as far as headers are here."""
    line: dict[SequenceNumber, VertexHash] = {}
    while (vertex := held.get(anchor)) is not None and vertex.sequence > down_to:
        line[vertex.sequence] = anchor
        anchor = vertex.parents[0]
        line[SequenceNumber(vertex.sequence - 1)] = anchor
    return line
