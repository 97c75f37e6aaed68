"""What own vertices carried that came too late: into new ones, once, across a crash.

The database is a real one; which of its vertices are the node's own and late is told by the test.
"""

from dataclasses import replace

import trio
import trio.testing

from cretonode.core.dedup import Dedup
from cretonode.core.effects import Finalize, Retake
from cretonode.core.messages import VertexMessage
from cretonode.core.records import Promises
from cretonode.dag.graph import genesis_vertex
from cretonode.dag.payload import each_id, unpack
from cretonode.identifiers import SequenceNumber, TransactionId
from cretonode.node.batcher import Batcher
from cretonode.node.retaker import Retaker
from cretonode.storage.store import Store
from tests.storage.chain import GENESIS, ChainMaker
from tests.storage.conftest import OpenStore, opened, template

__all__ = ["opened", "template"]  # fixtures


def batcher_of(latest: int) -> Batcher:
    dedup = Dedup(8)
    dedup.begin(SequenceNumber(latest))
    return Batcher(
        executed=dedup, wake=lambda: None, pending_max=100, interval_ms=0, transactions_max=100
    )


def late_vertex(store: Store, maker: ChainMaker) -> tuple[VertexMessage, Retake]:
    """Apply a slot; say of one of its vertices that it came too late."""
    turn = maker.slot()
    (final,) = [effect for effect in turn if isinstance(effect, Finalize)]
    vertex = final.vertices[0]
    retake = Retake(vertex.hash, SequenceNumber(0))
    position = final.vertices.index(vertex)
    skipped = list(final.skipped)
    skipped[position] = (1 << vertex.transaction_count) - 1
    told = replace(final, retakes=(retake,), skipped=tuple(skipped))
    store.apply([told if effect is final else effect for effect in turn])
    return store.get_checked(vertex.hash), retake


def vertex_with(message: VertexMessage, payload: bytes, count: int) -> VertexMessage:
    vertex = replace(message.vertex, transaction_count=count, payload_bytes=len(payload))
    return replace(message, vertex=vertex, payload=payload)


async def test_a_late_vertex_goes_into_new_ones_and_then_its_row_goes(opened: OpenStore) -> None:
    """SPEC C7, C8: nothing acknowledged is lost, also when the node stops right then."""
    store = opened()
    message, retake = late_vertex(store, ChainMaker(repeat_chance=0.0))
    carried = list(unpack(message.payload, message.vertex.transaction_count))
    store.close()
    store = opened()
    store.restore(genesis_vertex(GENESIS), Promises())
    assert store.retakes() == (retake,)
    batcher = batcher_of(1)
    async with trio.open_nursery() as nursery:
        retaker = Retaker(batcher, store, trio.CapacityLimiter(2))
        nursery.start_soon(retaker.run)
        with trio.fail_after(10):
            while (batch := batcher.take(1_000)) is None:
                await trio.lowlevel.checkpoint()
            assert list(unpack(batch.payload, batch.count)) == carried
            retaker.add([retake])  # the driver tells it, too
            batcher.on_durable(vertex_with(message, batch.payload, batch.count), 1_000)
            while store.retakes():
                await trio.lowlevel.checkpoint()
        assert batcher.take(1_000) is None, "taken once"
        nursery.cancel_scope.cancel()


async def test_what_others_executed_meanwhile_is_not_taken_again(opened: OpenStore) -> None:
    store = opened()
    maker = ChainMaker(repeat_chance=0.0)
    message, _ = late_vertex(store, maker)
    ids = list(each_id(message.transaction_ids))
    turn = maker.slot()
    (final,) = [effect for effect in turn if isinstance(effect, Finalize)]
    elsewhere = list(final.transaction_ids)
    elsewhere[0] = ids[0] + elsewhere[0][32:]
    told = replace(final, transaction_ids=tuple(elsewhere), skipped=(0,) * len(final.vertices))
    store.apply([told if effect is final else effect for effect in turn])
    batcher = batcher_of(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Retaker(batcher, store, trio.CapacityLimiter(2)).run)
        with trio.fail_after(10):
            while (batch := batcher.take(1_000)) is None:
                await trio.lowlevel.checkpoint()
        assert list(each_id(batch.transaction_ids)) == ids[1:]
        nursery.cancel_scope.cancel()


def test_a_transaction_on_its_way_into_a_new_vertex_is_found(opened: OpenStore) -> None:
    """A client that was answered 202 never hears that it is not known."""
    store = opened()
    message, _ = late_vertex(store, ChainMaker(repeat_chance=0.0))
    id_ = next(each_id(message.transaction_ids))
    found = store.get_transaction(id_)
    assert found is not None
    assert (found.vertex, found.place) == (message.vertex.hash, None)


def test_the_index_says_what_was_executed_since(opened: OpenStore) -> None:
    store = opened()
    maker = ChainMaker(repeat_chance=0.0)
    for turn in maker.slots(20):
        store.apply(turn)
    placed: dict[TransactionId, int] = {
        id_: final.sequence
        for final in maker.finalized
        for ids, skipped in zip(final.transaction_ids, final.skipped, strict=True)
        for bit, id_ in enumerate(each_id(ids))
        if not skipped >> bit & 1
    }
    everything = list(placed)
    for indexed in (False, True):
        if indexed:
            store.index_transactions()
        for since in (0, 7, 19, 20):
            expected = {id_ for id_, sequence in placed.items() if sequence > since}
            assert store.executed_since(everything, SequenceNumber(since)) == expected
