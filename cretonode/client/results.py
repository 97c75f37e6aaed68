"""What a node answers, as values."""

from dataclasses import dataclass

from cretonode.identifiers import (
    AuthorIndex,
    Digest,
    Height,
    NodeId,
    SequenceNumber,
    TransactionId,
    ValidatorIndex,
    VertexHash,
    View,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """One transaction is durable. The place in the order is None unless waited for and final."""

    id: TransactionId
    known: bool  # the node had it before
    sequence: SequenceNumber | None = None
    position: int | None = None
    offset: int | None = None

    @property
    def final(self) -> bool:
        """True when its place in the order is fixed."""
        return self.sequence is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One transaction; `sequence` and `position` are None until it is final."""

    id: TransactionId
    sequence: SequenceNumber | None
    position: int | None  # of its vertex among those the sequence finalized
    offset: int | None  # of the transaction in its vertex
    vertex: VertexHash | None
    transaction: bytes | None  # None: not stored at that node

    @property
    def final(self) -> bool:
        """True when its place in the order is fixed."""
        return self.sequence is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalized:
    """What one sequence finalized, in order."""

    sequence: SequenceNumber
    anchor: VertexHash
    timestamp_ms: int
    vertices: tuple[VertexHash, ...]
    transactions: tuple[TransactionId, ...]  # executed: duplicates are left out
    log_root: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalizedRange:
    """Some sequences of the final order; the following ones begin at `next`."""

    sequences: tuple[Finalized, ...]
    next: SequenceNumber
    final: SequenceNumber  # the last one that is final at that node


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
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
    sequence: SequenceNumber | None  # that finalized it
    position: int | None
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a node stands."""

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
    executed_transactions: int
    waiting_transactions: int
    validators: int
    quorum: int
    faults: int
    connected: int
    ready: bool
    reason: str
    tolerance: str
    uptime_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One other validator as that node sees it."""

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
class Validator:
    """One member of the committee."""

    index: ValidatorIndex
    name: str
    node_id: NodeId
    address: str
    public_key: bytes  # Ed25519, then ML-DSA-87


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether a node can serve now, and if not, why."""

    ready: bool
    reason: str
