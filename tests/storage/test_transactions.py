"""Transactions are found by their id at every moment: waiting, final, indexed. SPEC C7, A1."""

import threading
from collections.abc import Callable

import pytest

from cretonode.core.effects import Store as StoreVertex
from cretonode.crypto.hashing import hash_of
from cretonode.dag.payload import each_id, unpack
from cretonode.errors import CorruptionError
from cretonode.identifiers import HASH_BYTES, TransactionId, VertexHash
from cretonode.storage.schema import Family, Place
from cretonode.storage.store import FoundTransaction, Store
from cretonode.storage.transactions import BATCH_ROWS_MAX, UNINDEXED_SLOTS_MAX
from tests.storage.chain import ChainMaker
from tests.storage.conftest import OpenStore

UNKNOWN = TransactionId(hash_of(b"unknown"))


def filled(store: Store, slots: int) -> ChainMaker:
    maker = ChainMaker()
    for turn in maker.slots(slots):
        store.apply(turn)
    return maker


def places(maker: ChainMaker) -> dict[TransactionId, tuple[Place, VertexHash]]:
    """Return where each transaction was executed last."""
    found: dict[TransactionId, tuple[Place, VertexHash]] = {}
    for effect in maker.finalized:
        for position, vertex in enumerate(effect.vertices):
            ids = effect.transaction_ids[position]
            for offset, transaction in enumerate(each_id(ids)):
                if not effect.skipped[position] >> offset & 1:
                    found[transaction] = (
                        Place(effect.sequence, position, offset),
                        vertex.hash,
                    )
    return found


def check_transactions(store: Store, maker: ChainMaker) -> None:
    blobs = {
        TransactionId(hash_of(data)): data
        for message in maker.messages.values()
        for data in unpack(message.payload, message.vertex.transaction_count)
    }
    executed = places(maker)
    for transaction, data in blobs.items():
        found = store.get_transaction(transaction)
        assert found is not None
        assert found.data == data
        if transaction in executed:
            assert (found.place, found.vertex) == executed[transaction]
        else:
            assert found.place is None
            assert found.vertex in maker.graph.admitted


def test_transactions_are_found_at_once_and_after_indexing(store: Store) -> None:
    """With a dedup window of 8, some transactions are executed twice in 40 sequences."""
    maker = filled(store, 40)
    store.store_vertices([maker.plain(1)])
    total = sum(len(ids) for e in maker.finalized for ids in e.transaction_ids) // 32
    assert len(places(maker)) < total - sum(
        bits.bit_count() for e in maker.finalized for bits in e.skipped
    ), "one at least is executed twice"
    check_transactions(store, maker)
    assert store.indexed_sequence() == 0
    assert store.index_transactions() >= len(places(maker))
    assert store.indexed_sequence() == 40
    assert store.index.unindexed == 0
    check_transactions(store, maker)
    store.apply(maker.slot())
    check_transactions(store, maker)


def test_an_unknown_transaction_is_absent(store: Store) -> None:
    filled(store, 3)
    assert store.get_transaction(UNKNOWN) is None
    store.index_transactions()
    assert store.get_transaction(UNKNOWN) is None


def test_slots_without_transactions_are_indexed_as_well(store: Store) -> None:
    maker = ChainMaker(transactions=0)
    for turn in maker.slots(20):
        store.apply(turn)
    store.index_transactions()
    assert store.indexed_sequence() == 20


def test_slots_that_wait_for_the_index_are_bounded(opened: OpenStore) -> None:
    store = opened()
    maker = ChainMaker(transactions=1, signature_bytes=64)
    for turn in maker.slots(UNINDEXED_SLOTS_MAX + 9):
        store.apply(turn)
        assert store.index.unindexed < UNINDEXED_SLOTS_MAX
    assert store.indexed_sequence() == UNINDEXED_SLOTS_MAX
    check_transactions(store, maker)


def test_transactions_that_wait_for_the_index_are_bounded(opened: OpenStore) -> None:
    """However many come: every node indexes at the same sequence, so each must do little."""
    store = opened()
    maker = ChainMaker(transactions=100, signature_bytes=64)
    waiting = 0
    for turn, finalized in zip(maker.slots(40), maker.finalized, strict=True):
        before = store.index.unindexed
        store.apply(turn)
        executed = sum(len(ids) for ids in finalized.transaction_ids) // HASH_BYTES
        waiting = waiting + executed if store.index.unindexed > before else 0
        assert waiting < BATCH_ROWS_MAX
    assert 0 < store.indexed_sequence() <= 40
    check_transactions(store, maker)


def test_a_wrong_index_row_is_corruption_not_another_transaction(store: Store) -> None:
    maker = filled(store, 4)
    store.index_transactions()
    one, other, *_ = places(maker)
    batch = store.backend.batch()
    row = store.backend.get(Family.TRANSACTIONS, other)
    assert row is not None
    batch.put(Family.TRANSACTIONS, one, row)
    store.backend.write(batch)
    with pytest.raises(CorruptionError, match=f"transaction {one.hex()} is not in vertex"):
        store.get_transaction(one)


def test_a_transaction_never_disappears_on_its_way_into_the_index(store: Store) -> None:
    """Readers run beside the driver and the indexer, in threads of their own."""
    maker = ChainMaker(signature_bytes=64)
    turns = maker.slots(60)
    known: list[TransactionId] = []
    lost: list[TransactionId] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            lost.extend(t for t in known[-100:] if store.get_transaction(t) is None)

    def index() -> None:
        while not done.is_set():
            store.index_transactions()

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (read, read, index)]
    for thread in threads:
        thread.start()
    for turn in turns:
        stored = [effect for effect in turn if isinstance(effect, StoreVertex)]
        store.apply(stored)
        known += [t for e in stored for t in each_id(e.message.transaction_ids)]
        store.apply([effect for effect in turn if not isinstance(effect, StoreVertex)])
    done.set()
    for thread in threads:
        thread.join()
    assert (lost, errors) == ([], [])
    check_transactions(store, maker)


def test_a_transaction_that_becomes_final_while_it_is_looked_for_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    *stored, final = ChainMaker().slot()
    store.apply(stored)
    message = next(
        e.message for e in stored if isinstance(e, StoreVertex) and e.message.vertex.is_anchor
    )
    transaction = next(each_id(message.transaction_ids))
    look = store._get_pending

    def finalize_before(transaction: TransactionId) -> FoundTransaction | None:
        store.apply([final])
        return look(transaction)

    monkeypatch.setattr(store, "_get_pending", finalize_before)
    found = store.get_transaction(transaction)
    assert found is not None
    assert found.place is not None
