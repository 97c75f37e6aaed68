"""What the HTTP interface needs of a node. Satisfied by `node.service`; fakes fit unpatched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cretonode.identifiers import (
    AuthorIndex,
    Height,
    NodeId,
    SequenceNumber,
    TransactionId,
    ValidatorIndex,
    VertexHash,
    View,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A transaction is on this node's disk, in a vertex, and will be ordered."""

    id: TransactionId
    known: bool  # it was accepted or executed here before: nothing was added


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionView:
    """One transaction. `sequence` and what follows are None until it is final."""

    id: TransactionId
    transaction: bytes | None  # None: not stored here (yet)
    sequence: SequenceNumber | None
    position: int | None  # of its vertex among those the sequence finalized
    offset: int | None  # of the transaction in its vertex
    vertex: VertexHash | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexView:
    """One vertex, without its payload."""

    hash: VertexHash
    author: ValidatorIndex
    index: AuthorIndex
    height: Height
    anchor_sequence: SequenceNumber  # 0 for a plain vertex
    parents: tuple[VertexHash, ...]
    timestamp_ms: int
    transaction_count: int
    payload_bytes: int
    signature: bytes
    sequence: SequenceNumber | None  # that finalized it
    position: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalizedView:
    """What one sequence finalized, in order."""

    sequence: SequenceNumber
    anchor: VertexHash
    vertices: tuple[VertexHash, ...]
    transactions: tuple[TransactionId, ...]  # executed, in order: duplicates are left out
    timestamp_ms: int  # the anchor's
    log_root: bytes  # of the Merkle log after this sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """One other validator as this node sees it."""

    index: ValidatorIndex
    name: str
    node_id: NodeId
    address: str
    connected: bool
    round_trip_ms: float | None
    silence_ms: float | None
    backlog_bytes: int
    view: View | None
    final: SequenceNumber | None
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """Where the node stands."""

    chain_id: str
    name: str
    index: ValidatorIndex
    node_id: NodeId
    version: str
    view: View
    leader: ValidatorIndex
    view_open: bool
    final: SequenceNumber
    stable: SequenceNumber
    in_flight: int
    executed_transactions: int  # since the start of the process
    waiting_transactions: int  # accepted or being accepted here, not final
    validators: int
    quorum: int
    faults: int
    connected: int  # validators, this one counted
    ready: bool
    reason: str  # why it is not ready; empty when it is
    tolerance: str  # in words
    uptime_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatorView:
    """One member of the committee."""

    index: ValidatorIndex
    name: str
    node_id: NodeId
    address: str
    public_key: bytes  # Ed25519, then ML-DSA-87


@dataclass(frozen=True, slots=True, kw_only=True)
class ViolationView:
    """A fault that this node noted."""

    at_ms: int  # Unix time
    validator: ValidatorIndex
    name: str
    type: str  # a `core.reputation.Violation`
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReputationView:
    """What this node makes of another validator."""

    validator: ValidatorIndex
    name: str
    node_id: NodeId
    score: float  # 0 to 1
    banned: bool
    violations: int  # noted and kept
    evidence: int  # pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class BanView:
    """A ban that has not run out."""

    validator: ValidatorIndex
    name: str
    node_id: NodeId
    since_ms: int
    until_ms: int | None  # None: until an operator takes it back
    by: str  # detector or operator
    reason: str
    in_force: bool  # False: a warning, because with it the node could stall


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceView:
    """Two signed statements that contradict each other, in words."""

    id: bytes  # BLAKE3 of the encoding
    author: ValidatorIndex
    name: str
    contradiction: str
    first: str
    second: str


class NodePort(Protocol):
    """The node behind the interface. Reads of the disk run in worker threads."""

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Accepted, ...]:
        """Return once all are durable here.

        Raises: Backpressure, and then none was taken; ClientError, when one is empty or too large.
        """

    async def transaction(self, id_: TransactionId, *, wait_ms: int) -> TransactionView | None:
        """Return a transaction, waiting up to `wait_ms` for it to be final. None: not known."""

    async def finalized(self, first: SequenceNumber, count: int) -> tuple[FinalizedView, ...]:
        """Return up to `count` sequences from `first`, as far as they are final here."""

    async def vertex(self, vertex: VertexHash) -> VertexView | None:
        """Return a vertex, final or not."""

    async def tips(self) -> tuple[VertexView, ...]:
        """Return the vertices that no known vertex names as a parent."""

    def status(self) -> StatusView:
        """Return where the node stands now."""

    def peers(self) -> tuple[PeerView, ...]:
        """Return the other validators."""

    def validators(self) -> tuple[ValidatorView, ...]:
        """Return the committee."""

    def violations(self) -> tuple[ViolationView, ...]:
        """Return the newest violations, the newest first."""

    def reputation(self) -> tuple[ReputationView, ...]:
        """Return what this node makes of the other validators."""

    def bans(self) -> tuple[BanView, ...]:
        """Return the bans that stand, the oldest first."""

    def evidence(self) -> tuple[EvidenceView, ...]:
        """Return the evidence kept, by author."""

    def evidence_bytes(self, id_: bytes) -> bytes | None:
        """Return a piece of evidence as it travels between nodes. None: not kept here."""
