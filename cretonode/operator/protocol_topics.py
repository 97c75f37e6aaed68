"""What a node shows to those who watch it: one dataclass for each topic's rows.

Moments are Unix milliseconds by the node's clock. A field that has one byte for each validator is
in the order of the genesis list. Pure. Source: docs/operator-socket.md, section 6.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from cretonode.identifiers import (
    AuthorIndex,
    Height,
    NodeId,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.operator.protocol import PeerSnapshot, StatusSnapshot

SILENT_MS: Final = 1_000.0  # who says nothing for longer is missing; keep-alives come each 125 ms
SYNCS_MIN: Final = 100  # before one sync in a hundred is more than the single slowest


class Mark(IntEnum):
    """What came of one validator's vote, as one byte of `SlotSnapshot.prepares` or `commits`."""

    MISSING = 0  # nothing has come
    SEEN = 1
    LATE = 2  # over 100 ms after the quorum was complete
    INVALID = 3  # a signature that was not the validator's, on its own connection
    EQUIVOCATING = 4  # two votes for one view and this sequence, in this view or an earlier one
    UNKNOWN = 5  # this node was not there: it fetched the sequence, or has just started


class Phase(StrEnum):
    """What the node waits for now."""

    IDLE = "idle"  # for clients: all that is known is final
    PRE_PREPARE = "pre_prepare"  # for the leader to propose
    PREPARE = "prepare"
    COMMIT = "commit"
    EXECUTE = "execute"  # for vertices that a commit certificate names and that are not here
    VIEW_CHANGE = "view_change"  # for others to leave the view
    NEW_VIEW = "new_view"  # for the new leader to open the view
    CATCHING_UP = "catching_up"
    AMNESIAC = "amnesiac"
    HALTED = "halted"


class VertexState(StrEnum):
    """Where a vertex stands on this node."""

    WAITING = "waiting"  # admitted, not final
    ORPHAN = "orphan"  # waits for a parent
    FINAL = "final"
    DROPPED = "dropped"  # let go: it may come again


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatorSnapshot:
    """One validator of the genesis list, this node included."""

    index: ValidatorIndex
    name: str
    node_id: NodeId
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedStatusSnapshot(StatusSnapshot):
    """Where the node stands, and what an overview needs beside it."""

    phase: str  # a Phase
    awaits: bytes  # one byte for each validator: 1 where the phase waits for it
    votes_lacking: int  # so many of the awaited would do; 0: it waits for something else
    lacking: str  # whom a quorum lacks, in words; empty with a quorum
    absent: bytes  # one byte for each validator: 1 where nothing is heard of it now
    finality_p50_ms: int | None  # of this node's newest 256 final vertices, from accepted to final
    finality_p99_ms: int | None
    final_at_ms: int | None  # when the newest sequence became final; None: before the start
    waiting_since_ms: int | None  # since when the oldest known vertex waits; None: none waits
    waiting_vertices: int  # known, complete, not final
    orphans: int  # vertices that wait for a parent
    executed_vertices: int  # on this chain, in all
    behind: int  # sequences that are certified elsewhere and not final here
    participation: float  # signers of the last commit certificate / validators
    views_entered: int  # since the start
    queue: int  # messages that wait for the replica
    cpu_seconds: float  # of the process
    resident_bytes: int
    log_level: str
    finality_timeout_ms: int
    view_change_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedPeerSnapshot(PeerSnapshot):
    """One other validator, with what is known of the connection."""

    state: str  # dialling, waiting, connected or banned
    state_ms: float  # so long already; dialling and waiting count as one
    direction: str  # out: this node dialled; in: the peer did; empty when not connected
    path: str  # direct; empty when not connected
    version: str  # the peer's software, by its own word; empty when it has said none
    inbound_bytes: int  # received and not taken up yet
    connections: int  # that stood, since the start
    failures: int  # to connect, in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSnapshot:
    """One sequence: being voted on, or final not long ago."""

    sequence: SequenceNumber
    view: View  # the newest in which it was voted on
    leader: ValidatorIndex
    since_ms: int  # when this node first heard of it in this view
    anchor: VertexHash | None  # None: not proposed yet
    pre_prepared: bool
    prepared: bool  # a quorum prepared it
    committed: bool  # a quorum committed it, or one above it
    executed: bool  # final here
    fetched: bool  # final by catch-up: nobody's vote was heard here
    prepares: bytes  # one Mark for each validator; the leader's pre-prepare is its prepare
    commits: bytes  # one Mark for each validator
    authors: int  # of the vertices that it finalized; 0 until then
    vertices: int
    transactions: int  # without those skipped
    finality_ms: int | None  # from `since_ms` to final
    views: int  # in which it was voted on, this one included


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewChangeSnapshot:
    """One view left for another by this node."""

    number: int  # counts up
    at_ms: int
    from_view: View
    from_leader: ValidatorIndex
    to_view: View
    to_leader: ValidatorIndex
    cause: str  # one word or two, as in the log
    reason: str  # in words
    voters: bytes  # one byte for each validator: 1 where its view-change for `to_view` came
    duration_ms: int | None  # until `to_view` opened; None: it is going on, or never did
    ended: bool  # it opened, or was left unopened


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexSnapshot:
    """One vertex."""

    hash: VertexHash
    author: ValidatorIndex
    index: AuthorIndex
    height: Height
    anchor: SequenceNumber  # the sequence that it was proposed for; 0: a plain vertex
    parents: bytes  # hashes, 32 bytes each
    timestamp_ms: int  # by its author's clock
    transactions: int
    payload_bytes: int
    state: str  # a VertexState
    sequence: SequenceNumber | None  # that finalized it
    missing: bytes  # of an orphan: the parents that it waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSnapshot:
    """Database, vote journal and the disk under them. Times are of this process."""

    disk_bytes: int  # of the database
    journal_bytes: int
    history_bytes: int
    free_bytes: int  # of the file system
    total_bytes: int
    cache_bytes: int
    cache_hits: int
    cache_misses: int
    write_buffer_bytes: int
    syncs: int  # of the journal
    sync_last_ms: float | None
    sync_p99_ms: float | None  # of the newest 256
    compactions_running: int
    compaction_pending_bytes: int
    compaction_ms: int  # in all
    write_stall_ms: int  # in all


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySnapshot:
    """One column family of the database."""

    family: str
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSnapshot:
    """One line of the node's log."""

    number: int  # counts up; a gap: lines were lost to the bound
    at_ms: int
    level: str  # debug, info, warn or error
    event: str
    text: str  # the other fields, `name=value` with blanks between
    view: int | None
    sequence: int | None
    peer: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSnapshot:
    """Something that an operator should do something about."""

    kind: str  # one word, the same as long as it lasts
    level: str  # warn or error
    since_ms: int
    text: str
