"""Reading the database in the words of the domain: vertices, slots, tips, finality.

Changes nothing. Every call may wait for the disk; iterators hold a consistent view of their family
and must be finished or dropped before the database is closed.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from cretonode.core.effects import Retake
from cretonode.core.merkle_log import MerkleLog
from cretonode.core.messages import CheckpointCertificate, CommitCertificate, VertexMessage
from cretonode.core.recovery import Recovery
from cretonode.dag.graph import FinalVertex
from cretonode.dag.payload import checked_ids_untrusted
from cretonode.errors import CorruptionError, MalformedMessage
from cretonode.identifiers import (
    HASH_BYTES,
    Digest,
    Height,
    Incarnation,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    short,
)
from cretonode.storage.backend import Backend
from cretonode.storage.journal import JournalMarker
from cretonode.storage.schema import (
    MARKER,
    NEWEST_PREFIX,
    NUMBER,
    RETAKE_PREFIX,
    Edge,
    Family,
    Finality,
    Slot,
    StateKey,
    StoredVertex,
    decode_edge,
    decode_finality,
    decode_index_key,
    decode_log,
    decode_number,
    decode_slot,
    decode_vertex,
    encode_number,
)
from cretonode.wire.recovery import decode_recoveries_untrusted
from cretonode.wire.stored import decode_certificate

WALK_VERTICES_MAX: Final = 10_000  # of one walk along the edges, unless the caller says less
CertificateKind = TypeVar("CertificateKind", CommitCertificate, CheckpointCertificate)


class Reader:
    """Read access to one node's database. Raises: CorruptionError, StorageError, from any call."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    # --- vertices

    def get_vertex(self, vertex: VertexHash) -> StoredVertex | None:
        """Return a vertex and its signature; its bytes hash to `vertex`."""
        value = self.backend.get(Family.VERTICES, vertex)
        return None if value is None else decode_vertex(vertex, value)

    def get_payload(self, vertex: VertexHash) -> bytes | None:
        """Return the blob of a vertex."""
        return self.backend.get(Family.PAYLOADS, vertex)

    def get_message(self, vertex: VertexHash) -> VertexMessage | None:
        """Return a vertex as it is sent: `transaction_ids`, which do not travel, are empty."""
        stored = self.get_vertex(vertex)
        payload = self.get_payload(vertex) if stored is not None else None
        if stored is None or payload is None:
            return None
        return VertexMessage(
            vertex=stored.vertex, payload=payload, transaction_ids=b"", signature=stored.signature
        )

    def get_checked(self, vertex: VertexHash) -> VertexMessage:
        """Return a vertex that must be here, payload checked against its root, with its ids."""
        message = self.get_message(vertex)
        if message is None:
            raise CorruptionError(f"{self._where}: vertex {vertex.hex()} or its payload is missing")
        try:
            ids = checked_ids_untrusted(message.vertex, message.payload)
        except MalformedMessage as error:
            raise CorruptionError(f"{self._where}: vertex {vertex.hex()}: {error}") from None
        return VertexMessage(
            vertex=message.vertex,
            payload=message.payload,
            transaction_ids=ids,
            signature=message.signature,
        )

    def vertices_at_height(self, height: Height) -> Iterator[VertexHash]:
        """Yield the vertices of one height, by hash."""
        prefix = encode_number(height)
        for key, _ in self.backend.scan_prefix(Family.INDEX_HEIGHT, prefix):
            yield decode_index_key(Family.INDEX_HEIGHT, key)[1]

    def vertices_between(self, first_ms: int, last_ms: int) -> Iterator[VertexHash]:
        """Yield the vertices with first_ms <= timestamp <= last_ms, by timestamp and hash."""
        low, high = encode_number(first_ms), encode_number(last_ms + 1)
        for key, _ in self.backend.scan(Family.INDEX_TIMESTAMP, low, high):
            yield decode_index_key(Family.INDEX_TIMESTAMP, key)[1]

    def unfinal(self) -> Iterator[VertexHash]:
        """Yield the vertices that are stored and not final, by hash."""
        for key, _ in self.backend.scan(Family.UNFINAL):
            yield VertexHash(key)

    # --- the graph

    def tips(self) -> list[VertexHash]:
        """Return the vertices that no stored vertex names as parent, by hash.

        Final ones are ancestors of the newest final anchor, so only it and the others can be.
        """
        candidates = set(self.unfinal())
        newest = self.get_finalized(self.final_sequence())
        if newest is not None:
            candidates.add(newest.anchor)
        return sorted(vertex for vertex in candidates if self._is_tip(vertex))

    def edges_to_children(self, vertex: VertexHash) -> Iterator[Edge]:
        """Yield the edges from a vertex to those that name it as parent, by child's hash."""
        for key, value in self.backend.scan_prefix(Family.EDGES, vertex):
            yield decode_edge(key, value)

    def ancestors(
        self, vertex: VertexHash, *, count_max: int = WALK_VERTICES_MAX
    ) -> Iterator[VertexHash]:
        """Yield at most `count_max` ancestors, nearest first. Genesis, not stored, is not one."""

        def parents(of: VertexHash) -> Sequence[VertexHash]:
            stored = self.get_vertex(of)
            return stored.vertex.parents if stored is not None else ()

        for found in _walk(vertex, parents, count_max):
            if self.backend.get(Family.VERTICES, found) is not None:
                yield found

    def descendants(
        self, vertex: VertexHash, *, count_max: int = WALK_VERTICES_MAX
    ) -> Iterator[VertexHash]:
        """Yield at most `count_max` descendants, nearest first."""

        def children(of: VertexHash) -> Sequence[VertexHash]:
            return [edge.child for edge in self.edges_to_children(of)]

        yield from _walk(vertex, children, count_max)

    # --- finality

    def final_sequence(self) -> SequenceNumber:
        """Return the newest final sequence; 0 on a fresh chain."""
        return SequenceNumber(self._number(StateKey.FINAL))

    def get_finality(self, vertex: VertexHash) -> Finality | None:
        """Return where a vertex is final."""
        value = self.backend.get(Family.METADATA, vertex)
        return None if value is None else decode_finality(vertex, value)

    def get_finalized(self, sequence: SequenceNumber) -> Slot | None:
        """Return what one sequence finalized."""
        key = encode_number(sequence)
        value = self.backend.get(Family.FINALIZED, key)
        return None if value is None else decode_slot(key, value)

    def finalized_range(self, first: SequenceNumber, last: SequenceNumber) -> Iterator[Slot]:
        """Yield the slots of `first` to `last`, both included, that are final. Order: rising.

        Raises: CorruptionError, also when one between them is missing.
        """
        expected: int = max(first, 1)
        low, high = encode_number(expected), encode_number(last + 1)
        for key, value in self.backend.scan(Family.FINALIZED, low, high):
            slot = decode_slot(key, value)
            if slot.sequence != expected:
                raise CorruptionError(f"{self._where}: sequence {expected} is missing")
            yield slot
            expected += 1
        if expected <= min(last, self.final_sequence()):
            raise CorruptionError(f"{self._where}: sequence {expected} is missing")

    def lookup(
        self, hashes: Sequence[VertexHash]
    ) -> tuple[tuple[FinalVertex, ...], tuple[VertexHash, ...]]:
        """Return which of `hashes` are final, and those that are not: the answer to a Lookup."""
        found = self._finalities(hashes)
        final = tuple(finality.vertex for finality in found.values())
        return final, tuple(vertex for vertex in hashes if vertex not in found)

    def must_be_final(self, hashes: Sequence[VertexHash]) -> list[FinalVertex]:
        """Return the final vertices with these hashes, in their order. Raises: CorruptionError."""
        found = self._finalities(hashes)
        for vertex in hashes:
            if vertex not in found:
                raise CorruptionError(f"{self._where}: {short(vertex)} is final, and not recorded")
        return [found[vertex].vertex for vertex in hashes]

    def newest_finals(self) -> dict[ValidatorIndex, VertexHash]:
        """Return each author's newest final vertex, by author."""
        return {
            ValidatorIndex(int.from_bytes(key[len(NEWEST_PREFIX) :], "big")): VertexHash(value)
            for key, value in self.backend.scan_prefix(Family.STATE, NEWEST_PREFIX)
        }

    def retakes(self) -> tuple[Retake, ...]:
        """Return the own vertices that came too late and whose transactions are not taken yet."""
        return tuple(
            Retake(
                VertexHash(key[len(RETAKE_PREFIX) :]),
                SequenceNumber(decode_number(Family.STATE, key, value)),
            )
            for key, value in self.backend.scan_prefix(Family.STATE, RETAKE_PREFIX)
        )

    def merkle_log(self) -> MerkleLog:
        """Return the Merkle log after the newest final sequence."""
        value = self._state(StateKey.LOG)
        return MerkleLog() if value is None else decode_log(value)

    # --- certificates

    def get_certificate(self, sequence: SequenceNumber) -> CommitCertificate | None:
        """Return the commit certificate of a sequence, when it is kept."""
        value = self.backend.get(Family.CERTIFICATES, encode_number(sequence))
        return None if value is None else self._certificate(value, CommitCertificate)

    def certificates(
        self, first: SequenceNumber, last: SequenceNumber, *, backward: bool = False
    ) -> Iterator[CommitCertificate]:
        """Yield the commit certificates kept of `first` to `last`, both included."""
        low, high = encode_number(first), encode_number(last + 1)
        for _, value in self.backend.scan(Family.CERTIFICATES, low, high, backward=backward):
            yield self._certificate(value, CommitCertificate)

    def highest_certificate(self) -> CommitCertificate | None:
        """Return the commit certificate of the highest sequence that has one."""
        for _, value in self.backend.scan(Family.CERTIFICATES, backward=True):
            return self._certificate(value, CommitCertificate)
        return None

    def get_checkpoint(self, sequence: SequenceNumber) -> CheckpointCertificate | None:
        """Return the lowest stable checkpoint at or above a sequence: what proofs of it rest on."""
        for _, value in self.backend.scan(Family.CHECKPOINTS, encode_number(sequence)):
            return self._certificate(value, CheckpointCertificate)
        return None

    def checkpoint_between(
        self, first: SequenceNumber, last: SequenceNumber
    ) -> CheckpointCertificate | None:
        """Return the newest stable checkpoint of `first` to `last`, both included."""
        low, high = encode_number(first), encode_number(last + 1)
        for _, value in self.backend.scan(Family.CHECKPOINTS, low, high, backward=True):
            return self._certificate(value, CheckpointCertificate)
        return None

    def newest_checkpoint(self) -> CheckpointCertificate | None:
        """Return the newest stable checkpoint."""
        for _, value in self.backend.scan(Family.CHECKPOINTS, backward=True):
            return self._certificate(value, CheckpointCertificate)
        return None

    # --- single values

    def journal_marker(self) -> JournalMarker | None:
        """Return a place that the vote journal must still contain."""
        value = self._state(StateKey.JOURNAL)
        if value is None:
            return None
        if len(value) != MARKER.size:
            raise CorruptionError(f"{self._where}: the journal marker has {len(value)} bytes")
        groups, chain = MARKER.unpack(value)
        return JournalMarker(groups, Digest(chain))

    def recoveries(self) -> tuple[Recovery, ...]:
        """Return the recoveries that this node has applied, in their order."""
        value = self._state(StateKey.RECOVERIES)
        if value is None:
            return ()
        try:
            return decode_recoveries_untrusted(value)
        except MalformedMessage as error:
            raise CorruptionError(f"{self._where}: the recoveries: {error}") from None

    def promised(self) -> tuple[Incarnation, Digest] | None:
        """Return the newest recovery that was signed in this directory: number and digest."""
        value = self._state(StateKey.PROMISED)
        if value is None:
            return None
        if len(value) != MARKER.size:
            raise CorruptionError(f"{self._where}: the promise has {len(value)} bytes")
        number, digest = MARKER.unpack(value)
        return Incarnation(number), Digest(digest)

    def indexed_sequence(self) -> SequenceNumber:
        """Return up to where the index of transactions reaches."""
        return SequenceNumber(self._number(StateKey.INDEXED))

    def evidence(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield what the detector stored, by name."""
        return self.backend.scan(Family.EVIDENCE)

    def peers(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield what the network stored, by name."""
        return self.backend.scan(Family.PEERS)

    @property
    def _where(self) -> str:
        return f"database {self.backend.path}"

    def _state(self, key: StateKey) -> bytes | None:
        return self.backend.get(Family.STATE, key.encode())

    def _number(self, key: StateKey) -> int:
        value = self._state(key)
        return 0 if value is None else decode_number(Family.STATE, key.encode(), value)

    def _finalities(self, hashes: Sequence[VertexHash]) -> dict[VertexHash, Finality]:
        values = self.backend.multi_get(Family.METADATA, hashes) if hashes else []
        return {
            vertex: decode_finality(vertex, value)
            for vertex, value in zip(hashes, values, strict=True)
            if value is not None
        }

    def _is_tip(self, vertex: VertexHash) -> bool:
        return next(self.backend.scan_prefix(Family.EDGES, vertex), None) is None

    def _certificate(self, value: bytes, kind: type[CertificateKind]) -> CertificateKind:
        certificate = decode_certificate(value)
        if not isinstance(certificate, kind):
            raise CorruptionError(f"{self._where}: a {type(certificate).__name__} is misplaced")
        return certificate


def _walk(
    start: VertexHash, neighbours: Callable[[VertexHash], Iterable[VertexHash]], count_max: int
) -> Iterator[VertexHash]:
    """Yield what is reachable from `start`, breadth first, `start` itself left out."""
    seen = {start}
    queue = deque([start])
    while queue:
        for vertex in neighbours(queue.popleft()):
            if vertex in seen:
                continue
            if len(seen) > count_max:
                return
            seen.add(vertex)
            queue.append(vertex)
            yield vertex


assert NUMBER.size + HASH_BYTES == MARKER.size
