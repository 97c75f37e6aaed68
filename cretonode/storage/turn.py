"""One turn of the replica as one write: its vertices, what became final, what became stable.

The rows go into one batch; what memory must learn of it is handed over only once it is written.
"""

from dataclasses import dataclass, field

from cretonode.core.effects import Finalize, Stable, Store
from cretonode.dag.graph import FinalVertex
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import AuthorIndex, SequenceNumber, ValidatorIndex, VertexHash
from cretonode.storage.backend import Batch
from cretonode.storage.journal import JournalMarker
from cretonode.storage.reader import Reader
from cretonode.storage.schema import (
    MARKER,
    Family,
    StateKey,
    edges_of,
    encode_finality,
    encode_log,
    encode_number,
    encode_slot,
    encode_vertex,
    index_key,
    newest_key,
    retake_key,
)
from cretonode.storage.transactions import VertexIds
from cretonode.wire.stored import encode_certificate


@dataclass(slots=True)
class Memory:
    """What a store knows without reading. Bound: the core's bounds on unfinal vertices."""

    final: SequenceNumber
    pending: dict[VertexHash, bytes | None]  # unfinal -> transaction ids; None: not read yet
    newest: dict[ValidatorIndex, AuthorIndex]  # each author's highest final index
    certificates: list[SequenceNumber]  # that have one and are not thinned out, rising


@dataclass(slots=True)
class Turn:
    """Collects the rows of one turn in `batch`. `memory` changes in `settle`, not before."""

    reader: Reader
    memory: Memory
    checkpoint_interval: int
    batch: Batch
    slots: list[tuple[SequenceNumber, tuple[VertexIds, ...]]] = field(default_factory=list)
    _stored: dict[VertexHash, bytes] = field(default_factory=dict)
    _finalized: set[VertexHash] = field(default_factory=set)
    _newest: dict[ValidatorIndex, AuthorIndex] = field(default_factory=dict)
    _certificates: list[SequenceNumber] = field(default_factory=list)
    _last: Finalize | None = None

    def __post_init__(self) -> None:
        self._certificates = list(self.memory.certificates)

    def store(self, effect: Store) -> None:
        """Add a vertex, unless it is stored: a stored vertex is never altered."""
        message = effect.message
        vertex = message.vertex
        key = vertex.hash
        if key in self.memory.pending or key in self._stored or key in self._finalized:
            return
        if self.reader.get_finality(key) is not None:
            return
        batch = self.batch
        batch.put(Family.VERTICES, key, encode_vertex(vertex, message.signature))
        batch.put(Family.PAYLOADS, key, message.payload)
        for edge, value in edges_of(vertex):
            batch.put(Family.EDGES, edge, value)
        batch.put(Family.INDEX_HEIGHT, index_key(vertex.height, key), b"")
        batch.put(Family.INDEX_TIMESTAMP, index_key(vertex.timestamp_ms, key), b"")
        batch.put(Family.UNFINAL, key, b"")
        self._stored[key] = message.transaction_ids

    def finalize(self, effect: Finalize) -> None:
        """Add what a sequence finalized. Its vertices were stored in this turn or before."""
        sequence = effect.sequence
        before = self._last.sequence if self._last is not None else self.memory.final
        assert sequence == before + 1, (sequence, before)
        assert effect.vertices[-1].hash == effect.anchor.hash, effect.anchor
        for position, vertex in enumerate(effect.vertices):
            self._finalize_vertex(vertex, sequence, position)
        hashes = [vertex.hash for vertex in effect.vertices]
        self.batch.put(
            Family.FINALIZED,
            encode_number(sequence),
            encode_slot(hashes, effect.skipped, effect.log.root()),
        )
        if effect.certificate is not None:
            value = encode_certificate(effect.certificate)
            self.batch.put(Family.CERTIFICATES, encode_number(sequence), value)
            self._certificates.append(sequence)
        for retake in effect.retakes:
            self.batch.put(Family.STATE, retake_key(retake.vertex), encode_number(retake.since))
        ids = zip(effect.transaction_ids, effect.skipped, strict=True)
        self.slots.append((sequence, tuple(ids)))
        self._last = effect

    def stable(self, effect: Stable) -> None:
        """Add a stable checkpoint and drop the certificates that it makes superfluous."""
        sequence = effect.certificate.sequence
        value = encode_certificate(effect.certificate)
        self.batch.put(Family.CHECKPOINTS, encode_number(sequence), value)
        for dropped in superfluous(self._certificates, sequence, self.checkpoint_interval):
            self.batch.delete(Family.CERTIFICATES, encode_number(dropped))
        self._certificates = [s for s in self._certificates if s >= sequence]
        self.batch.put(Family.STATE, StateKey.THINNED.encode(), encode_number(sequence))

    def mark_journal(self, marker: JournalMarker) -> None:
        """Add a place that the journal must contain from now on."""
        value = MARKER.pack(marker.groups, marker.chain)
        self.batch.put(Family.STATE, StateKey.JOURNAL.encode(), value)

    def close(self) -> None:
        """Add the single values as they are after the last sequence of the turn."""
        if self._last is not None:
            final = encode_number(self._last.sequence)
            self.batch.put(Family.STATE, StateKey.FINAL.encode(), final)
            self.batch.put(Family.STATE, StateKey.LOG.encode(), encode_log(self._last.log))

    def settle(self) -> None:
        """Let memory know, after the batch was written and the slots were noted elsewhere."""
        memory = self.memory
        memory.pending.update(self._stored)
        for vertex in self._finalized:
            del memory.pending[vertex]
        memory.newest.update(self._newest)
        memory.certificates = self._certificates
        if self._last is not None:
            memory.final = self._last.sequence

    def _finalize_vertex(self, vertex: Vertex, sequence: SequenceNumber, position: int) -> None:
        is_stored = vertex.hash in self._stored or vertex.hash in self.memory.pending
        assert is_stored, f"{vertex.hash.hex()} became final and was never stored"
        final = FinalVertex(
            hash=vertex.hash,
            author=vertex.author,
            index=vertex.index,
            height=vertex.height,
            sequence=vertex.sequence,
            timestamp_ms=vertex.timestamp_ms,
            finalized_by=sequence,
        )
        self.batch.put(Family.METADATA, vertex.hash, encode_finality(final, position))
        self.batch.delete(Family.UNFINAL, vertex.hash)
        self._finalized.add(vertex.hash)
        newest = self._newest.get(vertex.author, self.memory.newest.get(vertex.author))
        if newest is None or vertex.index > newest:
            self._newest[vertex.author] = vertex.index
            self.batch.put(Family.STATE, newest_key(vertex.author), vertex.hash)


def superfluous(
    certificates: list[SequenceNumber], stable: SequenceNumber, interval: int
) -> list[SequenceNumber]:
    """Return the sequences below `stable` whose certificates may go.

    Of every `interval` sequences the first certificate stays, so that ranges can be served up to
    it; the newest of all stays, too. `certificates` rises.
    """
    dropped: list[SequenceNumber] = []
    kept = -1
    for sequence in certificates[:-1]:
        if sequence >= stable:
            break
        if sequence // interval == kept:
            dropped.append(sequence)
        kept = sequence // interval
    # The newest is not even looked at.
    return dropped
