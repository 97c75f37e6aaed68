"""The store: everything a node keeps but its votes, in the words of the domain.

One driver writes (`apply`), anybody reads. Writes are unsynced: what `apply` wrote survives the
process at once, and a power cut once `sync` has returned. After a crash the database holds a
prefix of all turns, from which `restore` gives back a replica's state.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias, assert_never

from cretonode.core import effects
from cretonode.core.committee import Parameters
from cretonode.core.messages import SlotHeaders, VertexMessage
from cretonode.core.records import Promises
from cretonode.core.recovery import Recovery
from cretonode.core.state import Restored
from cretonode.crypto.hashing import hash_of
from cretonode.dag.graph import FinalVertex
from cretonode.dag.payload import unpack
from cretonode.errors import CorruptionError, StorageError
from cretonode.identifiers import (
    ChainId,
    Digest,
    Incarnation,
    NodeId,
    SequenceNumber,
    TransactionId,
    VertexHash,
)
from cretonode.limits import FETCH_SLOTS_MAX
from cretonode.storage.backend import Backend
from cretonode.storage.identity import Identity, difference
from cretonode.storage.journal import JournalMarker
from cretonode.storage.reader import Reader
from cretonode.storage.restore import read_restored
from cretonode.storage.schema import (
    MARKER,
    SCHEMA_VERSION,
    Family,
    Place,
    StateKey,
    decode_number,
    encode_number,
    retake_key,
)
from cretonode.storage.serving import read_headers
from cretonode.storage.transactions import TransactionIndex, find_id
from cretonode.storage.turn import Memory, Turn
from cretonode.wire.recovery import encode_recoveries

SEQUENCE_MAX: Final = SequenceNumber(2**63 - 1)

StorageEffect: TypeAlias = effects.Store | effects.Finalize | effects.Stable


@dataclass(frozen=True, slots=True)
class FoundTransaction:
    """A transaction and where it is."""

    data: bytes
    vertex: VertexHash
    place: Place | None  # None: not final yet


class Store(Reader):
    """The open database of one node. Make one with `open_store`.

    Calls that change it come from one task or thread; `sync`, `index_transactions` and reads may
    run beside them in others.
    """

    def __init__(self, backend: Backend, parameters: Parameters) -> None:
        super().__init__(backend)
        self.parameters = parameters
        self.index = TransactionIndex(backend)
        self._closed = False
        self._complete = self.indexed_sequence() == self.final_sequence()
        self._memory = Memory(
            final=self.final_sequence(),
            pending=dict.fromkeys(self.unfinal()),
            newest={
                vertex.author: vertex.index
                for vertex in self.must_be_final([*self.newest_finals().values()])
            },
            certificates=[
                certificate.sequence
                for certificate in self.certificates(
                    SequenceNumber(self._number(StateKey.THINNED)), SEQUENCE_MAX
                )
            ],
        )

    @property
    def is_closed(self) -> bool:
        """True after `close`."""
        return self._closed

    # --- writes

    def apply(self, turn: Iterable[StorageEffect], *, journal: JournalMarker | None = None) -> None:
        """Write the effects of one turn, in order, as one unsynced batch. Fast; never waits long.

        `journal`: a place that `append_synced` has reached, which a journal must contain from now
        on. Nothing has changed when this raises. Raises: StorageError.
        """
        assert self._complete, "restore before the first turn, or transactions stay unindexed"
        # A range that a peer asks for must find a certificate near its end.
        spacing = min(self.parameters.checkpoint_interval, FETCH_SLOTS_MAX)
        rows = Turn(self, self._memory, spacing, self.backend.batch())
        for effect in turn:
            match effect:
                case effects.Store():
                    rows.store(effect)
                case effects.Finalize():
                    rows.finalize(effect)
                case effects.Stable():
                    rows.stable(effect)
                case _:
                    assert_never(effect)
        if journal is not None:
            rows.mark_journal(journal)
        rows.close()
        self.backend.write(rows.batch)
        # Readers in other threads find a transaction among the final ones before it leaves those
        # that wait.
        for sequence, ids in rows.slots:
            self.index.note(sequence, ids)
        rows.settle()
        if self.index.is_due:
            self.index.write_rows()

    def store_vertices(self, messages: Iterable[VertexMessage]) -> None:
        """Write vertices that are not final, parents first. Those stored already are left alone."""
        self.apply([effects.Store(message) for message in messages])

    def apply_finalized(self, finalized: Iterable[effects.Finalize]) -> None:
        """Write what consecutive sequences finalized."""
        self.apply(finalized)

    def sync(self) -> None:
        """Return when all that was applied survives a power cut. Blocks: use a worker thread."""
        self.backend.flush_wal(sync=True)

    def index_transactions(self) -> int:
        """Index the transactions that wait for it; return how many. Blocks: a worker thread.

        `apply` does so when enough of them wait; until then they are found in memory.
        """
        return self.index.write_rows()

    def put_journal_marker(self, marker: JournalMarker) -> None:
        """Remember a place in the journal, synced: for a journal that begins again."""
        rows = Turn(self, self._memory, self.parameters.checkpoint_interval, self.backend.batch())
        rows.mark_journal(marker)
        self.backend.write(rows.batch)
        self.sync()

    def put_recoveries(self, recoveries: Sequence[Recovery], marker: JournalMarker) -> None:
        """Enter the incarnation of the last one, with its new journal; synced, all or nothing."""
        rows = Turn(self, self._memory, self.parameters.checkpoint_interval, self.backend.batch())
        rows.mark_journal(marker)
        rows.batch.put(Family.STATE, StateKey.RECOVERIES.encode(), encode_recoveries(recoveries))
        self.backend.write(rows.batch)
        self.sync()

    def put_promise(self, incarnation: Incarnation, digest: Digest) -> None:
        """Remember, synced, that a recovery is signed: nothing is said below its incarnation."""
        self._put(Family.STATE, StateKey.PROMISED.encode(), MARKER.pack(incarnation, digest))
        self.sync()

    def delete_retake(self, vertex: VertexHash) -> None:
        """Forget that a vertex came too late: its transactions are in newer ones. Unsynced."""
        batch = self.backend.batch()
        batch.delete(Family.STATE, retake_key(vertex))
        self.backend.write(batch)

    def put_evidence(self, name: bytes, data: bytes) -> None:
        """Keep evidence under a name that the caller chooses. Unsynced."""
        self.put_judgements({name: data})

    def put_judgements(self, rows: Mapping[bytes, bytes]) -> None:
        """Keep evidence, violations and bans, all or none: see `wire.judgements`. Unsynced."""
        batch = self.backend.batch()
        for name, data in rows.items():
            batch.put(Family.EVIDENCE, name, data)
        self.backend.write(batch)

    def put_peer(self, name: bytes, data: bytes) -> None:
        """Keep what is known of a peer. Unsynced."""
        self._put(Family.PEERS, name, data)

    def delete_peer(self, name: bytes) -> None:
        """Forget a peer. Unsynced."""
        batch = self.backend.batch()
        batch.delete(Family.PEERS, name)
        self.backend.write(batch)

    def close(self) -> None:
        """Sync, flush and let go. Blocks: use a worker thread."""
        self._closed = True
        try:
            self.sync()
        finally:
            self.backend.close()

    # --- reads that need what is in memory

    def restore(self, genesis: FinalVertex, promises: Promises) -> Restored:
        """Return where the replica stands. Call once, before `apply`. Blocks: a worker thread.

        Raises: CorruptionError, when a row that must be there is missing or damaged.
        """
        restored = read_restored(
            self, self.index, genesis=genesis, parameters=self.parameters, promises=promises
        )
        for message in restored.pending:
            self._memory.pending[message.vertex.hash] = message.transaction_ids
        self._complete = True
        return restored

    def get_transaction(self, transaction: TransactionId) -> FoundTransaction | None:
        """Return a transaction, final or not, wherever it was executed last.

        Its bytes hash to the id. Blocks: it reads one payload. Raises: CorruptionError.
        """
        place = self.index.find(transaction)
        if place is None:
            pending = self._get_pending(transaction)
            if pending is not None:
                return pending
            # It may have become final while it was looked for among those that wait.
            place = self.index.find(transaction)
        if place is None:
            return None
        slot = self.get_finalized(place.sequence)
        if slot is None or place.position >= len(slot.vertices):
            raise CorruptionError(
                f"{self._where}: transaction {transaction.hex()} is indexed at sequence "
                f"{place.sequence}, position {place.position}, where nothing is"
            )
        vertex = slot.vertices[place.position]
        return self._found(transaction, vertex, place.offset, place)

    def executed_since(
        self, transactions: Sequence[TransactionId], since: SequenceNumber
    ) -> set[TransactionId]:
        """Return those of `transactions` executed in a sequence above `since`. Blocks."""
        return self.index.executed_since(transactions, since)

    def serve_headers(self, first: SequenceNumber, count: int) -> SlotHeaders:
        """Return what proves a range of sequences: see `serving.read_headers`."""
        return read_headers(self, first, count)

    def serve_vertices(self, hashes: Sequence[VertexHash]) -> Iterator[VertexMessage]:
        """Yield those of `hashes` that are stored. Reads lazily."""
        for vertex in hashes:
            message = self.get_message(vertex)
            if message is not None:
                yield message

    # --- helpers

    def _get_pending(self, transaction: TransactionId) -> FoundTransaction | None:
        for vertex, known in list(self._memory.pending.items()):
            ids = known if known is not None else self.get_checked(vertex).transaction_ids
            offset = find_id(ids, transaction)
            if offset is not None:
                return self._found(transaction, vertex, offset, None)
        for retake in self.retakes():
            offset = find_id(self.get_checked(retake.vertex).transaction_ids, transaction)
            if offset is not None:
                return self._found(transaction, retake.vertex, offset, None)
        return None

    def _found(
        self, transaction: TransactionId, vertex: VertexHash, offset: int, place: Place | None
    ) -> FoundTransaction:
        message = self.get_message(vertex)
        if message is not None and offset < message.vertex.transaction_count:
            transactions = unpack(message.payload, message.vertex.transaction_count)
            data = next(islice(transactions, offset, None))
            if TransactionId(hash_of(data)) == transaction:
                return FoundTransaction(data, vertex, place)
        raise CorruptionError(
            f"{self._where}: transaction {transaction.hex()} is not in vertex {vertex.hex()}"
        )

    def _put(self, family: Family, key: bytes, value: bytes) -> None:
        batch = self.backend.batch()
        batch.put(family, key, value)
        self.backend.write(batch)


def open_store(backend: Backend, identity: Identity, parameters: Parameters) -> Store:
    """Return the store in an open backend: a new one when that is empty. Blocks.

    Raises: StorageError, when the database is another node's or of another version;
    CorruptionError.
    """
    path = backend.path
    keys = (StateKey.SCHEMA, StateKey.CHAIN_ID, StateKey.GENESIS, StateKey.NODE_ID)
    schema, chain_id, genesis, node_id = backend.multi_get(
        Family.STATE, [key.encode() for key in keys]
    )
    if schema is None or chain_id is None or genesis is None or node_id is None:
        if any(next(backend.scan(family), None) is not None for family in Family):
            raise CorruptionError(f"database {path}: it does not say whose it is")
        _write_identity(backend, identity)
        return Store(backend, parameters)
    version = decode_number(Family.STATE, StateKey.SCHEMA.encode(), schema)
    if version != SCHEMA_VERSION:
        raise StorageError(
            f"database {path} has schema version {version}; this software uses {SCHEMA_VERSION}"
        )
    found = Identity(ChainId(chain_id.decode()), VertexHash(genesis), NodeId(node_id))
    other = difference(found, identity)
    if other is not None:
        raise StorageError(f"database {path} {other}")
    return Store(backend, parameters)


def _write_identity(backend: Backend, identity: Identity) -> None:
    batch = backend.batch()
    batch.put(Family.STATE, StateKey.SCHEMA.encode(), encode_number(SCHEMA_VERSION))
    batch.put(Family.STATE, StateKey.CHAIN_ID.encode(), identity.chain_id.encode())
    batch.put(Family.STATE, StateKey.GENESIS.encode(), identity.genesis)
    batch.put(Family.STATE, StateKey.NODE_ID.encode(), identity.node_id)
    backend.write(batch)
    backend.flush_wal(sync=True)
