"""A disk that keeps what was synced and, after a crash, some part of what was not.

Journal and database are two files: each keeps its own prefix, as two files on one disk do. The
journal may fill the disk up, or end in a torn record.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from cretonode.core.committee import Committee
from cretonode.core.effects import Accuse, Effect, Finalize, Persist, Retake, Say, Stable, Store
from cretonode.core.evidence import Subject, evidence_of, subject_of
from cretonode.core.merkle_log import MerkleLog
from cretonode.core.messages import (
    UNSIGNED,
    Attestation,
    Checkpoint,
    CheckpointCertificate,
    Commit,
    CommitCertificate,
    Evidence,
    NewView,
    Prepare,
    PrePrepare,
    Rejoin,
    SlotHeaders,
    Statement,
    Suspect,
    VertexMessage,
    ViewChange,
)
from cretonode.core.records import (
    Accepted,
    AmnesiaBegun,
    HighCertificate,
    OwnVertex,
    Record,
    SaidCheckpoint,
    SaidNewView,
    SaidViewChange,
    fold,
)
from cretonode.core.state import Restored
from cretonode.dag.graph import FinalVertex, genesis_vertex
from cretonode.dag.payload import each_id
from cretonode.dag.vertex import Vertex
from cretonode.errors import StorageError
from cretonode.identifiers import SequenceNumber, TransactionId, ValidatorIndex, VertexHash


class DiskFull(StorageError):
    """No room for the next record: the node stops before it says anything more."""


@dataclass(frozen=True, slots=True)
class Retaken:
    """What an own vertex carried that came too late is in newer ones: its row goes."""

    vertex: VertexHash


@dataclass(slots=True)
class Tables:
    """What the database operations so far amount to."""

    vertices: dict[VertexHash, VertexMessage] = field(default_factory=dict)
    final: dict[VertexHash, FinalVertex] = field(default_factory=dict)
    sequences: dict[SequenceNumber, Finalize] = field(default_factory=dict)
    retakes: dict[VertexHash, Retake] = field(default_factory=dict)
    checkpoints: dict[SequenceNumber, CheckpointCertificate] = field(default_factory=dict)
    evidence: dict[tuple[ValidatorIndex, Subject], Evidence] = field(default_factory=dict)

    def apply(self, effect: Effect | Retaken) -> None:
        match effect:
            case Store(message):
                self.vertices[message.vertex.hash] = message
            case Stable(certificate):
                self.checkpoints[certificate.sequence] = certificate
            case Finalize():
                self.sequences[effect.sequence] = effect
                for vertex in effect.vertices:
                    self.final[vertex.hash] = final_of(vertex, effect.sequence)
                self.retakes.update({retake.vertex: retake for retake in effect.retakes})
            case Accuse(first=first, second=second):
                evidence = evidence_of(first, second)
                assert evidence is not None, "the core accuses on evidence alone"
                self.evidence[evidence.author, subject_of(evidence)] = evidence
            case Retaken(vertex):
                self.retakes.pop(vertex, None)


@dataclass(slots=True)
class Disk:
    """The journal and the database of one node."""

    committee: Committee
    journal: list[Record] = field(default_factory=list)
    operations: list[Effect | Retaken] = field(default_factory=list)
    journal_synced: int = 0
    operations_synced: int = 0
    tables: Tables = field(default_factory=Tables)
    room: int | None = None  # records that still fit; None: as many as come
    torn: bool = False  # the last crash left a part of a record behind what was kept
    _keys: set[tuple[object, ...]] = field(default_factory=set)  # of what was synced
    _high: tuple[int, int] = (-1, 0)
    _indexed: int = 0  # records that `_keys` and `_high` account for

    def write(self, effects: Iterable[Effect]) -> bool:
        """Write without syncing; True when a sync is owed. Raises: DiskFull."""
        journal, owed = self.journal, False
        for effect in effects:
            match effect:
                case Persist(record):
                    if self.room is not None:
                        if self.room == 0:
                            raise DiskFull("no space left on device")
                        self.room -= 1
                    journal.append(record)
                    owed = True
                case Say(VertexMessage() as message):
                    self._operate(Store(message))
                    owed = True
                case Store() | Finalize() | Stable():
                    self._operate(effect)
                    owed = True
                case Accuse():
                    self._operate(effect)
        return owed

    def delete_retake(self, vertex: VertexHash) -> None:
        """As the store does: unsynced."""
        self._operate(Retaken(vertex))

    def executed_since(
        self, transactions: Sequence[TransactionId], since: SequenceNumber
    ) -> set[TransactionId]:
        """As the store's index."""
        later = [slot for s, slot in self.tables.sequences.items() if s > since]
        executed = {id_ for slot in later for id_ in each_id(executed_ids(slot))}
        return executed.intersection(transactions)

    def _operate(self, effect: Effect | Retaken) -> None:
        self.operations.append(effect)
        self.tables.apply(effect)

    def sync(self) -> None:
        self.journal_synced = len(self.journal)
        self.operations_synced = len(self.operations)

    def crash(self, rng: random.Random) -> None:
        """Lose a random tail of what was not synced, in each file."""
        kept = rng.randint(self.journal_synced, len(self.journal))
        # Part of the next record may be there: it fails its check and is dropped at the start.
        self.torn = kept < len(self.journal) and rng.random() < 0.5
        del self.journal[kept:]
        lost = len(self.operations)
        del self.operations[rng.randint(self.operations_synced, len(self.operations)) :]
        self.sync()
        self._forget_index()
        if len(self.operations) == lost:
            return
        self.tables = Tables()
        for operation in self.operations:
            self.tables.apply(operation)

    def forget(self) -> None:
        """Lose the whole journal and do not notice: a liar's way."""
        self.journal = []
        self.journal_synced = 0
        self._forget_index()

    def renew(self, records: list[Record]) -> None:
        """Begin the journal of a new incarnation, and sync what is left of the database."""
        self.journal = list(records)
        self._forget_index()
        self.sync()

    def lose_journal(self, nonce: bytes) -> None:
        """Lose the journal and notice: the next one begins with that."""
        self.journal = [AmnesiaBegun(nonce)]
        self.sync()

    def lose_database(self) -> None:
        """Lose every row."""
        self.operations, self.tables = [], Tables()
        self.operations_synced = 0

    def holds(self, statement: Statement) -> bool:
        """True when the synced journal keeps a restarted node from contradicting `statement`."""
        self._index()
        match statement:
            case PrePrepare() | Prepare():
                return (
                    Accepted,
                    statement.view,
                    statement.sequence,
                    statement.anchor,
                ) in self._keys
            case Commit():
                return self._high >= (statement.view, statement.sequence)
            case ViewChange() | NewView():
                return (type(statement), replace(statement, signature=UNSIGNED)) in self._keys
            case VertexMessage(vertex=vertex):
                return (OwnVertex, vertex.index, vertex.hash) in self._keys
            case Checkpoint():
                return (SaidCheckpoint, statement.sequence, statement.digest) in self._keys
            case Suspect() | Rejoin() | Attestation():
                return True  # revocable, or no promise

    def _forget_index(self) -> None:
        self._keys, self._high, self._indexed = set(), (-1, 0), 0

    def _index(self) -> None:
        for place in range(self._indexed, self.journal_synced):
            match self.journal[place]:
                case Accepted(view, sequence, anchor):
                    self._keys.add((Accepted, view, sequence, anchor))
                case HighCertificate(certificate):
                    self._high = max(self._high, certificate.position.rank)
                case SaidViewChange(message):
                    self._keys.add((ViewChange, message))
                case SaidNewView(message):
                    self._keys.add((NewView, message))
                case OwnVertex(index, vertex):
                    self._keys.add((OwnVertex, index, vertex))
                case SaidCheckpoint(sequence, digest):
                    self._keys.add((SaidCheckpoint, sequence, digest))
                case _:
                    pass
        self._indexed = self.journal_synced

    def restore(self) -> Restored:
        """What a node finds at start."""
        tables, parameters = self.tables, self.committee.parameters
        genesis = genesis_vertex(self.committee.genesis)
        last = max(tables.sequences, default=SequenceNumber(0))
        final = genesis
        log = MerkleLog()
        if last:
            anchor = tables.sequences[last].anchor
            final = tables.final[anchor.hash]
            log = tables.sequences[last].log
        newest: dict[ValidatorIndex, FinalVertex] = {}
        for vertex in tables.final.values():
            if vertex.author not in newest or newest[vertex.author].index < vertex.index:
                newest[vertex.author] = vertex
        recent = {v.hash: v for v in newest.values()}
        for vertex in tables.final.values():
            if vertex.finalized_by > last - parameters.window:
                recent[vertex.hash] = vertex
        pending = tuple(m for h, m in tables.vertices.items() if h not in tables.final)
        for parent in sorted({p for message in pending for p in message.vertex.parents}):
            if parent in tables.final:
                recent.setdefault(parent, tables.final[parent])
        executed = tuple(
            (s, executed_ids(f))
            for s, f in sorted(tables.sequences.items())
            if s > last - parameters.dedup_window
        )
        return Restored(
            promises=fold(self.journal),
            final=final,
            recent=tuple(recent.values()),
            pending=pending,
            executed=executed,
            log=log,
            certificate=self._highest_certificate(),
            checkpoint=tables.checkpoints[max(tables.checkpoints)] if tables.checkpoints else None,
            evidence=tuple(tables.evidence.values()),
        )

    def headers(self, first: SequenceNumber, count: int) -> SlotHeaders:
        """What answers a range request: as `storage.serving.read_headers`, without its bounds."""
        sequences = self.tables.sequences
        last = SequenceNumber(first + count - 1)
        while last >= first and last not in sequences:
            last = SequenceNumber(last - 1)
        top = last
        while top in sequences and sequences[top].certificate is None:
            top = SequenceNumber(top + 1)
        if top not in sequences:  # nothing above the range is certified
            while last >= first and sequences[last].certificate is None:
                last = SequenceNumber(last - 1)
            top = last
        certificate = sequences[top].certificate if last >= first else None
        if certificate is None:
            return SlotHeaders(
                first=first, certificate=None, checkpoint=None, headers=(), anchors=()
            )
        whole = [SequenceNumber(s) for s in range(first, last + 1)]
        stable = [self.tables.checkpoints[s] for s in whole if s in self.tables.checkpoints]
        return SlotHeaders(
            first=first,
            certificate=certificate,
            checkpoint=stable[-1] if stable else None,
            headers=tuple(vertex for s in whole for vertex in sequences[s].vertices),
            anchors=tuple(sequences[SequenceNumber(s)].anchor for s in range(last + 1, top + 1)),
        )

    def _highest_certificate(self) -> CommitCertificate | None:
        certified = [f.certificate for f in self.tables.sequences.values() if f.certificate]
        return max(certified, key=lambda c: c.sequence, default=None)


def final_of(vertex: Vertex, finalized_by: SequenceNumber) -> FinalVertex:
    return FinalVertex(
        hash=vertex.hash,
        author=vertex.author,
        index=vertex.index,
        height=vertex.height,
        sequence=vertex.sequence,
        timestamp_ms=vertex.timestamp_ms,
        finalized_by=finalized_by,
    )


def executed_ids(slot: Finalize) -> bytes:
    if not any(slot.skipped):
        return b"".join(slot.transaction_ids)
    return b"".join(
        id_
        for ids, skipped in zip(slot.transaction_ids, slot.skipped, strict=True)
        for bit, id_ in enumerate(each_id(ids))
        if not skipped >> bit & 1
    )
