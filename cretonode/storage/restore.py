"""What a replica is given at start: read from the database, promises from the journal.

The database holds a prefix of what was written to it, so finality, Merkle log and unfinal vertices
are of one moment. Source: docs/spec/durability.md, section 7.
"""

from cretonode.core.committee import Parameters
from cretonode.core.messages import VertexMessage
from cretonode.core.records import Promises
from cretonode.core.state import Restored
from cretonode.dag.graph import FinalVertex
from cretonode.errors import CorruptionError
from cretonode.identifiers import SequenceNumber, VertexHash
from cretonode.storage.reader import Reader
from cretonode.storage.schema import Slot
from cretonode.storage.transactions import TransactionIndex, VertexIds, fresh_ids


def read_restored(
    reader: Reader,
    index: TransactionIndex,
    *,
    genesis: FinalVertex,
    parameters: Parameters,
    promises: Promises,
) -> Restored:
    """Return where the replica stands, and give `index` the slots that it had not written.

    Raises: CorruptionError, when a row that must be there is missing or damaged.
    """
    final = reader.final_sequence()
    pending = read_pending(reader)
    return Restored(
        promises=promises,
        final=_read_final(reader, genesis, final),
        recent=_read_recent(reader, final, parameters.window, pending),
        pending=pending,
        executed=_read_executed(reader, index, final, parameters.dedup_window),
        log=reader.merkle_log(),
        certificate=reader.highest_certificate(),
        checkpoint=reader.newest_checkpoint(),
    )


def read_pending(reader: Reader) -> tuple[VertexMessage, ...]:
    """Return what is stored and not final, parents before children."""
    messages = [reader.get_checked(vertex) for vertex in reader.unfinal()]
    messages.sort(key=lambda message: message.vertex.order_key)
    return tuple(messages)


def read_ids(reader: Reader, slot: Slot) -> tuple[VertexIds, ...]:
    """Return the transaction ids of a slot, hashed anew: they are stored nowhere else."""
    return tuple(
        (reader.get_checked(vertex).transaction_ids, skipped)
        for vertex, skipped in zip(slot.vertices, slot.skipped, strict=True)
    )


def _read_final(reader: Reader, genesis: FinalVertex, final: SequenceNumber) -> FinalVertex:
    if final == 0:
        return genesis
    slot = reader.get_finalized(final)
    if slot is None:
        raise CorruptionError(f"database {reader.backend.path}: sequence {final} is missing")
    return reader.must_be_final([slot.anchor])[0]


def _read_recent(
    reader: Reader, final: SequenceNumber, window: int, pending: tuple[VertexMessage, ...]
) -> tuple[FinalVertex, ...]:
    """Each author's newest, the last `window` sequences, and final parents of pending vertices.

    Order: an author's newest comes before any later one with the same index (of an equivocator),
    as it did when it became final.
    """
    recent: dict[VertexHash, FinalVertex] = {
        vertex.hash: vertex for vertex in reader.must_be_final([*reader.newest_finals().values()])
    }
    for slot in reader.finalized_range(SequenceNumber(final - window + 1), final):
        for vertex in reader.must_be_final(slot.vertices):
            recent.setdefault(vertex.hash, vertex)
    named = {parent for message in pending for parent in message.vertex.parents}
    for vertex in reader.lookup(sorted(named - recent.keys()))[0]:
        recent[vertex.hash] = vertex
    return tuple(recent.values())


def _read_executed(
    reader: Reader, index: TransactionIndex, final: SequenceNumber, dedup_window: int
) -> tuple[tuple[SequenceNumber, bytes], ...]:
    """Skipped ids are left out: executed earlier, they leave the window earlier."""
    indexed = reader.indexed_sequence()
    first = min(final - dedup_window, indexed) + 1
    executed: list[tuple[SequenceNumber, bytes]] = []
    for slot in reader.finalized_range(SequenceNumber(first), final):
        ids = read_ids(reader, slot)
        if slot.sequence > final - dedup_window:
            executed.append((slot.sequence, fresh_ids(ids)))
        if slot.sequence > indexed:
            index.note(slot.sequence, ids)
    return tuple(executed)
