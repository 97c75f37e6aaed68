"""What a replica wants done, in the order it must happen.

The shell makes every Persist and Store of a turn durable before it signs, sends or reports
anything of that turn (SPEC C8).
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from cretonode.core.merkle_log import MerkleLog
from cretonode.core.messages import (
    CheckpointCertificate,
    CommitCertificate,
    Message,
    Statement,
    VertexMessage,
)
from cretonode.core.records import Record
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash, View


class Reason(Enum):
    """Why something a peer sent was refused. A name here is a label in logs and metrics."""

    OLD_VIEW = auto()
    OTHER_VIEW = auto()
    OUTSIDE_WATERMARKS = auto()
    NOT_THE_LEADER = auto()
    EQUIVOCATION = auto()
    INVALID_VERTEX = auto()
    INVALID_ANCHOR = auto()
    UNTIMELY_ANCHOR = auto()  # too far from the own clock: see `ordering.Ordering.untimely`
    TOO_MANY_HELD = auto()
    TOO_MANY_ORPHANS = auto()
    TOO_EARLY = auto()
    INVALID_RANGE = auto()  # an answer to a range request that hashes do not bear out
    TOO_SLOW = auto()  # no whole answer to a request in its time


@dataclass(frozen=True, slots=True)
class Persist:
    """Append to the vote journal."""

    record: Record


@dataclass(frozen=True, slots=True)
class Store:
    """Keep this vertex with its payload: parents were stored before it."""

    message: VertexMessage


@dataclass(frozen=True, slots=True)
class Say:
    """Sign this own statement, send it to every validator, and give it back as Received.

    A vertex is also stored, signed, with the Persists of its turn: before anybody hears of it.
    """

    statement: Statement
    to: ValidatorIndex | None = None  # only to this one


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one validator."""

    peer: ValidatorIndex
    message: Message


@dataclass(frozen=True, slots=True)
class Serve:
    """Send what storage holds: `vertices` by hash, or `count` sequences from `first`."""

    peer: ValidatorIndex
    vertices: tuple[VertexHash, ...] = ()
    first: SequenceNumber = SequenceNumber(0)
    count: int = 0


@dataclass(frozen=True, slots=True)
class Lookup:
    """Ask storage which of these are final; the answer is a LookedUp event."""

    hashes: tuple[VertexHash, ...]


@dataclass(frozen=True, slots=True)
class Retake:
    """An own vertex came too late and executed nothing: its transactions are taken up again.

    Not those that were executed in a sequence above `since`.
    """

    vertex: VertexHash
    since: SequenceNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalize:
    """A sequence is final: its history in order, and which transactions to skip.

    Bit i of `skipped[p]` is set when transaction i of the p-th vertex was executed before.
    """

    sequence: SequenceNumber
    anchor: Vertex
    vertices: tuple[Vertex, ...]
    skipped: tuple[int, ...]
    transaction_ids: tuple[bytes, ...]  # of each vertex, 32 bytes each, skipped ones included
    log: MerkleLog  # a copy, after this sequence
    certificate: CommitCertificate | None  # None: the hash chain from a later one covers it
    retakes: tuple[Retake, ...] = ()


@dataclass(frozen=True, slots=True)
class Stable:
    """A quorum stated one digest: the journal may rotate, certificates in between may go."""

    certificate: CheckpointCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A view began: what the shell still does for an older one is cancelled."""

    view: View
    leader: ValidatorIndex
    cause: str


@dataclass(frozen=True, slots=True)
class Rejoined:
    """The amnesia is over: this replica speaks again, from `view` on."""

    view: View


@dataclass(frozen=True, slots=True)
class Refuse:
    """Something from `peer` was refused."""

    peer: ValidatorIndex
    reason: Reason


@dataclass(frozen=True, slots=True)
class Accuse:
    """Two signed statements of `author` contradict each other: evidence, once for each subject."""

    author: ValidatorIndex
    first: Statement
    second: Statement


@dataclass(frozen=True, slots=True)
class Late:
    """The leader lets a vertex wait for longer than `finality_timeout_ms`: a fault, no proof."""

    leader: ValidatorIndex
    waited_ms: int


@dataclass(frozen=True, slots=True)
class Halt:
    """The replica will do nothing more: going on would mean to lie.

    `certificates` are those that contradict each other, when that is the cause.
    """

    cause: str
    certificates: tuple[CommitCertificate | CheckpointCertificate, ...] = ()


Effect: TypeAlias = (
    Persist
    | Store
    | Say
    | Send
    | Serve
    | Lookup
    | Finalize
    | Stable
    | Entered
    | Rejoined
    | Refuse
    | Accuse
    | Late
    | Halt
)
