"""What validators say to each other.

Every statement carries its author's signature, so that any vote can become evidence; requests,
status and certificates are vouched for by the connection they came on or by the signatures
within. An empty signature means "not said yet": the shell signs once the statement is durable.
Source: docs/spec/wire.md.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from cretonode.dag.vertex import Vertex
from cretonode.identifiers import (
    AuthorIndex,
    Digest,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)

UNSIGNED: Final = b""


@dataclass(frozen=True, slots=True)
class Position:
    """An anchor that was proposed in a view. Compared by (view, sequence)."""

    view: View  # -1 for genesis, which ranks below all
    sequence: SequenceNumber
    anchor: VertexHash

    @property
    def rank(self) -> tuple[int, int]:
        """What positions are compared by."""
        return (self.view, self.sequence)


def genesis_position(genesis: VertexHash) -> Position:
    """Return the position that needs no certificate."""
    return Position(View(-1), SequenceNumber(0), genesis)


@dataclass(frozen=True, slots=True)
class Signed:
    """One author's signature on a statement that the surrounding message spells out."""

    author: ValidatorIndex
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareCertificate:
    """q matching prepares, the leader's pre-prepare counting as its own (PBFT 4.2)."""

    view: View
    sequence: SequenceNumber
    anchor: VertexHash
    votes: tuple[Signed, ...]

    @property
    def position(self) -> Position:
        """What this certificate proves."""
        return Position(self.view, self.sequence, self.anchor)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitCertificate:
    """q matching commits: the anchor and, through first parents, all before it are final."""

    view: View
    sequence: SequenceNumber
    anchor: VertexHash
    votes: tuple[Signed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointCertificate:
    """q matching checkpoints: the stable low watermark (PBFT 4.3)."""

    sequence: SequenceNumber
    digest: Digest
    votes: tuple[Signed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexMessage:
    """A vertex with its payload.

    `transaction_ids` does not travel: the receiver computes it while it checks the payload.
    """

    vertex: Vertex
    payload: bytes
    transaction_ids: bytes
    signature: bytes = UNSIGNED

    @property
    def author(self) -> ValidatorIndex:
        """Whose statement this is."""
        return self.vertex.author


@dataclass(frozen=True, slots=True, kw_only=True)
class PrePrepare:
    """The leader's proposal of an anchor for (view, sequence); also its prepare."""

    view: View
    sequence: SequenceNumber
    anchor: VertexHash
    author: ValidatorIndex
    signature: bytes = UNSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """A backup's promise to the pre-prepare of (view, sequence)."""

    view: View
    sequence: SequenceNumber
    anchor: VertexHash
    author: ValidatorIndex
    signature: bytes = UNSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The author holds a prepare certificate for this anchor."""

    view: View
    sequence: SequenceNumber
    anchor: VertexHash
    author: ValidatorIndex
    signature: bytes = UNSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewChange:
    """The author left every view below `view`; its highest certified position is `high`."""

    view: View
    high: Position
    certificate: PrepareCertificate | None  # proves `high`; None only for genesis; not signed over
    author: ValidatorIndex
    signature: bytes = UNSIGNED


@dataclass(frozen=True, slots=True)
class ViewChangeVote:
    """A ViewChange without its certificate, as a timeout certificate carries it."""

    author: ValidatorIndex
    high: Position
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewView:
    """The leader's opening of `view`: a timeout certificate and the highest position in it."""

    view: View
    base: Position
    timeouts: tuple[ViewChangeVote, ...]  # q of them: the timeout certificate
    certificate: PrepareCertificate | None  # proves `base`; None only for genesis
    author: ValidatorIndex
    signature: bytes = UNSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """The author would leave `view` if enough others would. Revocable, never journaled."""

    view: View
    author: ValidatorIndex
    signature: bytes = UNSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The author's Merkle log root after executing `sequence`."""

    sequence: SequenceNumber
    digest: Digest
    author: ValidatorIndex
    signature: bytes = UNSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejoin:
    """The author does not know what it said before `nonce` was drawn, and asks for the way back.

    `until`: the lowest view whose prepare certificate brings it back; 0 while it is not known.
    """

    nonce: bytes  # 32 bytes: answers to an earlier loss are not taken for answers to this one
    until: View
    author: ValidatorIndex
    signature: bytes = UNSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """The answer to a Rejoin of `about`: how far the author has come and has seen `about` come."""

    about: ValidatorIndex
    nonce: bytes
    view: View  # the highest one that the author entered
    index: AuthorIndex  # the highest of a vertex of `about` that the author holds; 0: none
    author: ValidatorIndex
    signature: bytes = UNSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Two statements of one author that no honest validator would sign both.

    They hold what their signatures cover and no more (`core.evidence`): no payload, no
    certificates. `first` stands before `second` in one fixed order.
    """

    first: "Statement"
    second: "Statement"

    @property
    def author(self) -> ValidatorIndex:
        """Who signed both."""
        return self.first.author


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotStatus:
    """What the sender holds of one sequence of its view. Bit i stands for validator i."""

    accepted: bool
    prepares: int
    commits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the sender has and lacks; the receiver sends the difference.

    `slots` starts at sequence final + 1; `newest` is the highest admitted or final vertex index of
    each author, 0 for none.
    """

    view: View
    has_base: bool
    final: SequenceNumber
    stable: SequenceNumber
    slots: tuple[SlotStatus, ...]
    newest: tuple[AuthorIndex, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchVertices:
    """Please send these vertices."""

    hashes: tuple[VertexHash, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSlots:
    """Please send what `count` finalized sequences from `first` ordered, and a certificate."""

    first: SequenceNumber
    count: int


Vote: TypeAlias = PrePrepare | Prepare | Commit
Statement: TypeAlias = (
    VertexMessage | Vote | ViewChange | NewView | Suspect | Checkpoint | Rejoin | Attestation
)
Certificate: TypeAlias = PrepareCertificate | CommitCertificate | CheckpointCertificate
Request: TypeAlias = FetchVertices | FetchSlots
Message: TypeAlias = Statement | Certificate | Status | Request | Evidence
