"""Walking the whole database to find what is wrong with it.

Every row is read, so every checksum is checked. Then vertices against their hashes, payloads
against their roots, edges and indexes against headers, finality against the order that the anchors
give, skip bitmaps and Merkle log against a new execution. Blocks for as long as the disk takes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cretonode.core.committee import Parameters
from cretonode.core.dedup import Dedup, all_skipped, reference_of
from cretonode.core.execution import log_leaf
from cretonode.core.merkle_log import MerkleLog
from cretonode.core.messages import CheckpointCertificate, CommitCertificate, VertexMessage
from cretonode.dag.payload import each_id
from cretonode.dag.vertex import Vertex
from cretonode.errors import CorruptionError
from cretonode.identifiers import HASH_BYTES, Digest, SequenceNumber, VertexHash, short
from cretonode.storage.reader import Reader
from cretonode.storage.schema import (
    Family,
    Place,
    Slot,
    decode_edge,
    decode_finality,
    decode_index_key,
    decode_place,
    decode_slot,
    edges_of,
    encode_number,
    index_key,
)
from cretonode.wire.stored import decode_certificate

PROBLEMS_MAX: Final = 1_000  # one cause can break millions of rows; so many show what it is


class ProblemKind(StrEnum):
    """What is wrong. A name here is what an operator looks up."""

    UNREADABLE = "unreadable"  # the database's own checksum fails
    DAMAGED = "damaged"  # a row does not parse, or hashes to something else
    MISSING = "missing"  # something is named and not there
    SIGNATURE = "signature"
    EDGE = "edge"
    INDEX = "index"
    ORDER = "order"
    EXECUTION = "execution"  # skip bitmaps or Merkle log
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    kind: ProblemKind
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.what}"


SignatureCheck = Callable[[VertexMessage | CommitCertificate | CheckpointCertificate], bool]


def verify_database(
    reader: Reader,
    *,
    genesis: VertexHash,
    parameters: Parameters,
    is_signed: SignatureCheck | None = None,
    progress: Callable[[Family, int], None] | None = None,
) -> Iterator[Problem]:
    """Yield what is wrong, at most PROBLEMS_MAX times; nothing when all is well.

    `is_signed`: whether all signatures of a vertex or certificate verify; None leaves them out.
    `progress`: told each family and its rows so far, now and then.
    Raises: StorageError, when the disk fails.
    """
    walk = _Walk(reader, genesis, parameters, is_signed, progress)
    for count, problem in enumerate(walk.problems(), start=1):
        yield problem
        if count == PROBLEMS_MAX:
            return


@dataclass(slots=True)
class _Walk:
    reader: Reader
    genesis: VertexHash
    parameters: Parameters
    is_signed: SignatureCheck | None
    progress: Callable[[Family, int], None] | None
    log: MerkleLog = field(default_factory=MerkleLog)
    digests: dict[SequenceNumber, Digest] = field(default_factory=dict)  # at checkpoints
    indexed: int = 0  # executed transactions that the index has at the right place
    rows: int = 0  # of the index

    def problems(self) -> Iterator[Problem]:
        """Yield all problems, family by family."""
        walks = {
            Family.VERTICES: self._vertex,
            Family.PAYLOADS: self._payload,
            Family.EDGES: self._edge,
            Family.METADATA: self._finality,
            Family.INDEX_HEIGHT: self._height,
            Family.INDEX_TIMESTAMP: self._timestamp,
            Family.UNFINAL: self._unfinal,
        }
        for family, check in walks.items():
            yield from self._rows(family, check)
        yield from self._order()
        for family, check in {
            Family.CERTIFICATES: self._certificate,
            Family.CHECKPOINTS: self._checkpoint,
            Family.TRANSACTIONS: self._transaction,
        }.items():
            yield from self._rows(family, check)
        if self.rows != self.indexed:
            what = f"{self.rows} rows for {self.indexed} executed transactions"
            yield Problem(ProblemKind.INDEX, Family.TRANSACTIONS, what)
        for family in (Family.STATE, Family.EVIDENCE, Family.PEERS):
            yield from self._rows(family, _nothing)

    def _rows(
        self, family: Family, check: Callable[[bytes, bytes], Iterator[Problem]]
    ) -> Iterator[Problem]:
        rows = self.reader.backend.scan(family)
        count = 0
        while True:
            try:
                row = next(rows, None)
            except CorruptionError as error:
                yield Problem(ProblemKind.UNREADABLE, f"{family} after {count} rows", str(error))
                return
            if row is None:
                break
            try:
                yield from check(*row)
            except CorruptionError as error:
                yield Problem(ProblemKind.DAMAGED, _row(family, row[0]), str(error))
            count += 1
            if self.progress is not None and count % 1_000 == 0:
                self.progress(family, count)
        if self.progress is not None:
            self.progress(family, count)

    # --- single rows

    def _vertex(self, key: bytes, _value: bytes) -> Iterator[Problem]:
        name = VertexHash(key)
        where = _row(Family.VERTICES, key)
        message = self.reader.get_checked(name)  # hash, payload and root
        vertex = message.vertex
        for parent in vertex.parents:
            if parent != self.genesis and not self._has(Family.VERTICES, parent):
                yield Problem(ProblemKind.MISSING, where, f"its parent {parent.hex()}")
        for edge, weight in edges_of(vertex):
            if self.reader.backend.get(Family.EDGES, edge) != weight:
                yield Problem(ProblemKind.EDGE, where, f"no right edge from {edge[:32].hex()}")
        if not self._has(Family.INDEX_HEIGHT, index_key(vertex.height, name)):
            yield Problem(ProblemKind.INDEX, where, "not found by its height")
        if not self._has(Family.INDEX_TIMESTAMP, index_key(vertex.timestamp_ms, name)):
            yield Problem(ProblemKind.INDEX, where, "not found by its timestamp")
        if self._has(Family.UNFINAL, name) == self._has(Family.METADATA, name):
            yield Problem(ProblemKind.ORDER, where, "it is final and unfinal, or neither")
        if self.is_signed is not None and not self.is_signed(message):
            yield Problem(ProblemKind.SIGNATURE, where, "its signature does not verify")

    def _payload(self, key: bytes, _value: bytes) -> Iterator[Problem]:
        if not self._has(Family.VERTICES, key):
            yield Problem(ProblemKind.MISSING, _row(Family.PAYLOADS, key), "its vertex")

    def _edge(self, key: bytes, value: bytes) -> Iterator[Problem]:
        edge = decode_edge(key, value)
        child = self.reader.get_vertex(edge.child)
        if child is None:
            yield Problem(ProblemKind.MISSING, _row(Family.EDGES, key), "its child")
        elif (key, value) not in edges_of(child.vertex):
            yield Problem(ProblemKind.EDGE, _row(Family.EDGES, key), "the child says otherwise")

    def _finality(self, key: bytes, value: bytes) -> Iterator[Problem]:
        finality = decode_finality(VertexHash(key), value)
        where = _row(Family.METADATA, key)
        stored = self.reader.get_vertex(VertexHash(key))
        slot = self.reader.get_finalized(finality.vertex.finalized_by)
        if stored is None:
            yield Problem(ProblemKind.MISSING, where, "its vertex")
        elif _facts(stored.vertex) != _facts(finality.vertex):
            yield Problem(ProblemKind.DAMAGED, where, "the header says otherwise")
        at = finality.position
        if slot is None or at >= len(slot.vertices) or slot.vertices[at] != key:
            yield Problem(ProblemKind.ORDER, where, "it is not where it says it is final")

    def _height(self, key: bytes, _value: bytes) -> Iterator[Problem]:
        number, name = decode_index_key(Family.INDEX_HEIGHT, key)
        stored = self.reader.get_vertex(name)
        if stored is None or stored.vertex.height != number:
            yield Problem(ProblemKind.INDEX, _row(Family.INDEX_HEIGHT, key), "no such vertex")

    def _timestamp(self, key: bytes, _value: bytes) -> Iterator[Problem]:
        number, name = decode_index_key(Family.INDEX_TIMESTAMP, key)
        stored = self.reader.get_vertex(name)
        if stored is None or stored.vertex.timestamp_ms != number:
            yield Problem(ProblemKind.INDEX, _row(Family.INDEX_TIMESTAMP, key), "no such vertex")

    def _unfinal(self, key: bytes, _value: bytes) -> Iterator[Problem]:
        if not self._has(Family.VERTICES, key):
            yield Problem(ProblemKind.MISSING, _row(Family.UNFINAL, key), "its vertex")

    def _certificate(self, key: bytes, value: bytes) -> Iterator[Problem]:
        where = _row(Family.CERTIFICATES, key)
        certificate = decode_certificate(value)
        if not isinstance(certificate, CommitCertificate):
            yield Problem(ProblemKind.CERTIFICATE, where, "it is of another kind")
            return
        slot = self.reader.get_finalized(certificate.sequence)
        if encode_number(certificate.sequence) != key:
            yield Problem(ProblemKind.CERTIFICATE, where, f"it is of {certificate.sequence}")
        elif slot is None or slot.anchor != certificate.anchor:
            yield Problem(ProblemKind.CERTIFICATE, where, "it certifies another anchor")
        if self.is_signed is not None and not self.is_signed(certificate):
            yield Problem(ProblemKind.SIGNATURE, where, "a signature in it does not verify")

    def _checkpoint(self, key: bytes, value: bytes) -> Iterator[Problem]:
        where = _row(Family.CHECKPOINTS, key)
        certificate = decode_certificate(value)
        if not isinstance(certificate, CheckpointCertificate):
            yield Problem(ProblemKind.CERTIFICATE, where, "it is of another kind")
            return
        if encode_number(certificate.sequence) != key:
            yield Problem(ProblemKind.CERTIFICATE, where, f"it is of {certificate.sequence}")
        elif self.digests.get(certificate.sequence) != certificate.digest:
            yield Problem(ProblemKind.EXECUTION, where, "what is stored has another digest")
        if self.is_signed is not None and not self.is_signed(certificate):
            yield Problem(ProblemKind.SIGNATURE, where, "a signature in it does not verify")

    def _transaction(self, key: bytes, value: bytes) -> Iterator[Problem]:
        place = decode_place(key, value)
        if place.sequence <= self.reader.indexed_sequence():
            self.rows += 1  # `_places` has seen to these
        elif not self._is_at(key, place):
            yield Problem(ProblemKind.INDEX, _row(Family.TRANSACTIONS, key), "it is not there")

    # --- the order

    def _order(self) -> Iterator[Problem]:
        """Execute everything again, in order, and compare."""
        dedup = Dedup(self.parameters.dedup_window)
        expected, anchor = 1, self.genesis

        def check(key: bytes, value: bytes) -> Iterator[Problem]:
            nonlocal expected, anchor
            slot = decode_slot(key, value)
            where = f"{Family.FINALIZED} {slot.sequence}"
            if slot.sequence != expected:
                yield Problem(ProblemKind.MISSING, where, f"sequence {expected} before it")
            expected = slot.sequence + 1
            dedup.begin(slot.sequence)
            yield from self._slot(slot, anchor, dedup, where)
            anchor = slot.anchor
            if slot.sequence % self.parameters.checkpoint_interval == 0:
                self.digests[slot.sequence] = self.log.root()

        yield from self._rows(Family.FINALIZED, check)
        state = f"{Family.STATE}"
        if self.reader.final_sequence() != expected - 1:
            yield Problem(ProblemKind.ORDER, state, f"the newest sequence is {expected - 1}")
        if self.reader.merkle_log() != self.log:
            yield Problem(ProblemKind.EXECUTION, state, "the Merkle log is another")

    def _slot(self, slot: Slot, before: VertexHash, dedup: Dedup, where: str) -> Iterator[Problem]:
        vertices: list[Vertex] = []
        is_indexed = slot.sequence <= self.reader.indexed_sequence()
        for position, name in enumerate(slot.vertices):
            message = self.reader.get_checked(name)
            vertices.append(message.vertex)
            if self._skips(message, dedup) != slot.skipped[position]:
                yield Problem(
                    ProblemKind.EXECUTION, where, f"vertex {position} skips other transactions"
                )
            self.log.append(log_leaf(slot.sequence, position, name, slot.skipped[position]))
            finality = self.reader.get_finality(name)
            if finality is None or (finality.vertex.finalized_by, finality.position) != (
                slot.sequence,
                position,
            ):
                yield Problem(ProblemKind.ORDER, where, f"{short(name)} does not say so")
            if is_indexed:
                yield from self._places(slot, position, message.transaction_ids)
        if self.log.root() != slot.log_root:
            yield Problem(ProblemKind.EXECUTION, where, "the root of the Merkle log is another")
        anchor = vertices[-1]
        if anchor.sequence != slot.sequence or anchor.parents[0] != before:
            yield Problem(ProblemKind.ORDER, where, "its anchor does not follow the one before")
        if vertices != sorted(vertices, key=lambda vertex: vertex.order_key):
            yield Problem(ProblemKind.ORDER, where, "its vertices are not in order")
        yield from self._history(slot, vertices, where)

    def _skips(self, message: VertexMessage, dedup: Dedup) -> int:
        """Execute one vertex as a replica does."""
        named = self.reader.get_finality(message.vertex.parents[-1])  # genesis has no row
        sequence = named.vertex.sequence if named is not None else SequenceNumber(0)
        if dedup.reaches(reference_of(message.vertex, sequence, self.parameters)):
            return dedup.execute(message.transaction_ids)
        return all_skipped(message.vertex.transaction_count)

    def _places(self, slot: Slot, position: int, ids: bytes) -> Iterator[Problem]:
        """Each executed transaction is indexed here, or where it was executed again later."""
        all_ids = list(each_id(ids))
        rows = self.reader.backend.multi_get(Family.TRANSACTIONS, all_ids) if all_ids else []
        for offset, (transaction, row) in enumerate(zip(all_ids, rows, strict=True)):
            if slot.skipped[position] >> offset & 1:
                continue
            place = decode_place(transaction, row) if row is not None else None
            if place == Place(slot.sequence, position, offset):
                self.indexed += 1
            elif (
                place is None
                or place.sequence <= slot.sequence
                or not self._is_at(transaction, place)
            ):
                where = _row(Family.TRANSACTIONS, transaction)
                yield Problem(ProblemKind.INDEX, where, f"not found at {slot.sequence}")

    def _is_at(self, transaction: bytes, place: Place) -> bool:
        """True when the transaction was executed there."""
        slot = self.reader.get_finalized(place.sequence)
        if slot is None or place.position >= len(slot.vertices):
            return False
        ids = self.reader.get_checked(slot.vertices[place.position]).transaction_ids
        at = place.offset * HASH_BYTES
        is_skipped = slot.skipped[place.position] >> place.offset & 1
        return ids[at : at + HASH_BYTES] == transaction and not is_skipped

    def _history(self, slot: Slot, vertices: list[Vertex], where: str) -> Iterator[Problem]:
        """The slot holds the anchor's whole history above the slots before it, and no more."""
        here = {vertex.hash: vertex for vertex in vertices}
        reached = {slot.anchor}
        stack = [slot.anchor]
        while stack:
            for parent in here[stack.pop()].parents:
                if parent in here:
                    if parent not in reached:
                        reached.add(parent)
                        stack.append(parent)
                elif parent != self.genesis:
                    finality = self.reader.get_finality(parent)
                    if finality is None or finality.vertex.finalized_by >= slot.sequence:
                        yield Problem(ProblemKind.ORDER, where, f"it lacks {parent.hex()}")
        if len(reached) != len(here):
            yield Problem(ProblemKind.ORDER, where, "a vertex is not in the anchor's history")

    def _has(self, family: Family, key: bytes) -> bool:
        return self.reader.backend.get(family, key) is not None


def _nothing(_key: bytes, _value: bytes) -> Iterator[Problem]:
    """Check nothing: that the row could be read is all there is to know."""
    yield from ()


def _facts(vertex: object) -> tuple[object, ...]:
    names = ("hash", "author", "index", "height", "sequence", "timestamp_ms")
    return tuple(getattr(vertex, name) for name in names)


def _row(family: Family, key: bytes) -> str:
    return f"{family} {key.hex()}"
