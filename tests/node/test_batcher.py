"""Clients' transactions: all or nothing, once, and answered only when durable."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from cretonode.core.dedup import Dedup
from cretonode.core.events import Batch
from cretonode.core.messages import VertexMessage
from cretonode.crypto.hashing import hash_of
from cretonode.dag.payload import each_id, unpack
from cretonode.dag.vertex import Vertex
from cretonode.errors import Backpressure, ClientError, NotReady
from cretonode.identifiers import (
    AuthorIndex,
    Height,
    SequenceNumber,
    TransactionId,
    ValidatorIndex,
    VertexHash,
)
from cretonode.limits import PAYLOAD_BYTES_MAX, TRANSACTION_BYTES_MAX
from cretonode.node.batcher import Batcher, were_executed


def dedup_of(*executed: bytes) -> Dedup:
    dedup = Dedup(window=8)
    execute(dedup, 1, *executed)
    return dedup


def execute(dedup: Dedup, sequence: int, *ids: bytes) -> None:
    dedup.begin(SequenceNumber(sequence))
    dedup.execute(b"".join(ids))


def take(batcher: Batcher, now_ms: int) -> Batch:
    batch = batcher.take(now_ms)
    assert batch is not None
    return batch


def make_batcher(
    executed: set[bytes] | None = None, dedup: Dedup | None = None, **options: int
) -> Batcher:
    return Batcher(
        executed=dedup_of(*(executed or ())) if dedup is None else dedup,
        wake=lambda: None,
        pending_max=options.get("pending_max", 100),
        interval_ms=options.get("interval_ms", 20),
        transactions_max=options.get("transactions_max", 50),
    )


def vertex_of(batch: Batch) -> VertexMessage:
    vertex = Vertex(
        author=ValidatorIndex(0),
        index=AuthorIndex(1),
        height=Height(1),
        sequence=SequenceNumber(0),
        parents=(VertexHash(bytes(32)),),
        timestamp_ms=1,
        payload_root=batch.root,
        payload_bytes=len(batch.payload),
        transaction_count=batch.count,
    )
    return VertexMessage(
        vertex=vertex, payload=batch.payload, transaction_ids=batch.transaction_ids
    )


async def test_a_client_is_answered_only_when_its_transactions_are_durable() -> None:
    batcher = make_batcher()
    answered = []
    async with trio.open_nursery() as nursery:

        async def client() -> None:
            answered.append(await batcher.submit([b"a", b"b"]))

        nursery.start_soon(client)
        await trio.testing.wait_all_tasks_blocked()
        batch = take(batcher, 1000)
        assert list(unpack(batch.payload, batch.count)) == [b"a", b"b"]
        assert not answered, "taken is not durable"
        batcher.on_durable(vertex_of(batch), now_ms=1001)
    assert [a.known for a in answered[0]] == [False, False]
    assert [a.id for a in answered[0]] == [hash_of(b"a"), hash_of(b"b")]


async def test_a_request_larger_than_a_batch_is_answered_after_its_last_part() -> None:
    batcher = make_batcher(transactions_max=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"a", b"b", b"c"])
        await trio.testing.wait_all_tasks_blocked()
        batcher.on_durable(vertex_of(take(batcher, 1000)), 1000)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks, "the third transaction is not durable yet"
        batcher.on_durable(vertex_of(take(batcher, 1020)), 1020)


async def test_what_waits_or_was_executed_is_known_and_not_taken_twice() -> None:
    """SPEC C7."""
    batcher = make_batcher({hash_of(b"old")})
    accepted = await batcher.submit([b"old"])
    assert accepted[0].known
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"new", b"new"])
        await trio.testing.wait_all_tasks_blocked()
        assert (await batcher.submit([b"new"]))[0].known
        batch = take(batcher, 1000)
        assert batch.count == 1
        batcher.on_durable(vertex_of(batch), 1000)


async def test_a_final_vertex_frees_its_ids_and_tells_when_it_was_accepted() -> None:
    batcher = make_batcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"a"])
        await trio.testing.wait_all_tasks_blocked()
        message = vertex_of(take(batcher, 1000))
        batcher.on_durable(message, 1007)
    pending = TransactionId(message.transaction_ids)
    assert len(batcher) == 1
    assert batcher.is_pending(pending)
    assert batcher.on_final(message.vertex.hash, message.transaction_ids) == 1007
    assert len(batcher) == 0
    assert not batcher.is_pending(pending)
    assert batcher.on_final(message.vertex.hash, message.transaction_ids) is None


async def test_past_its_bound_nothing_of_a_request_is_taken() -> None:
    """SPEC C6: a clear back-pressure error, never silent loss."""
    batcher = make_batcher(pending_max=3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"a", b"b"])
        await trio.testing.wait_all_tasks_blocked()
        message = vertex_of(take(batcher, 1000))
        batcher.on_durable(message, 1007)
    for _ in range(2):
        with pytest.raises(Backpressure, match=r"2 .* at most 3 .*nothing was accepted"):
            await batcher.submit([b"c", b"d"])
    assert len(batcher) == 2
    assert not batcher.is_ready(10**12)
    batcher.on_final(message.vertex.hash, message.transaction_ids)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"c", b"d"])
        await trio.testing.wait_all_tasks_blocked()
        batcher.on_durable(vertex_of(take(batcher, 1020)), 1027)


async def test_a_request_that_can_never_fit_is_not_told_to_come_back() -> None:
    with pytest.raises(ClientError, match="4 transactions in one request; at most 3") as refused:
        await make_batcher(pending_max=3).submit([b"a", b"b", b"c", b"d"])
    assert not isinstance(refused.value, Backpressure)


@pytest.mark.parametrize(
    "bad", [b"", bytes(TRANSACTION_BYTES_MAX + 1)], ids=["empty", "one byte too large"]
)
async def test_an_impossible_transaction_refuses_the_whole_request(bad: bytes) -> None:
    batcher = make_batcher()
    with pytest.raises(ClientError, match="transaction 1 has"):
        await batcher.submit([b"fine", bad])
    assert len(batcher) == 0


async def test_a_batch_never_outgrows_a_vertex() -> None:
    batcher = make_batcher()
    large = [bytes([i]) * (TRANSACTION_BYTES_MAX - 8) for i in range(3)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, large)
        await trio.testing.wait_all_tasks_blocked()
        sizes = []
        for now_ms in (1000, 1020):
            batch = take(batcher, now_ms)
            sizes.append(batch.count)
            assert len(batch.payload) <= PAYLOAD_BYTES_MAX
            batcher.on_durable(vertex_of(batch), now_ms)
    assert sizes == [2, 1]


async def test_a_batch_waits_for_company_unless_it_is_full() -> None:
    batcher = make_batcher(interval_ms=20, transactions_max=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"a"])
        await trio.testing.wait_all_tasks_blocked()
        batcher.on_durable(vertex_of(take(batcher, 1000)), 1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"b"])
        await trio.testing.wait_all_tasks_blocked()
        assert not batcher.is_ready(1019)
        assert batcher.next_deadline_ms() == 1020
        assert batcher.is_ready(1020)
        nursery.start_soon(batcher.submit, [b"c"])
        await trio.testing.wait_all_tasks_blocked()
        assert batcher.is_ready(1001), "full"
        batcher.on_durable(vertex_of(take(batcher, 1001)), 1001)


async def test_a_closed_batcher_takes_nothing_and_drains() -> None:
    batcher = make_batcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"a"])
        await trio.testing.wait_all_tasks_blocked()
        batcher.closed = True
        with pytest.raises(Backpressure, match="shutting down"):
            await batcher.submit([b"b"])
        nursery.start_soon(batcher.wait_durable)
        await trio.testing.wait_all_tasks_blocked()
        batcher.on_durable(vertex_of(take(batcher, 1000)), 1000)


def test_ids_travel_in_the_order_of_the_payload() -> None:
    ids = hash_of(b"a") + hash_of(b"b")
    assert list(each_id(ids)) == [TransactionId(hash_of(b"a")), TransactionId(hash_of(b"b"))]


async def test_without_a_quorum_what_waits_whole_is_given_back() -> None:
    """SPEC C10: a client hears that nothing can be ordered, instead of nothing at all."""
    batcher = make_batcher(transactions_max=2)
    refused: list[str] = []
    taken: list[int] = []

    async def submit(*transactions: bytes) -> None:
        try:
            taken.append(len(await batcher.submit(transactions)))
        except NotReady as error:
            refused.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(submit, b"a", b"b", b"c")
        await trio.testing.wait_all_tasks_blocked()
        first = take(batcher, 1000)  # two of the three: they cannot be taken back
        nursery.start_soon(submit, b"d", b"e")
        await trio.testing.wait_all_tasks_blocked()
        batcher.give_back("2 of 4")
        await trio.testing.wait_all_tasks_blocked()
        assert refused == ["2 of 4; nothing was accepted"]
        assert len(batcher) == 3, "what was given back counts no more"
        batcher.on_durable(vertex_of(first), 1000)
        batcher.on_durable(vertex_of(take(batcher, 1020)), 1020)
    assert taken == [3]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(submit, b"d")  # it may come again
        await trio.testing.wait_all_tasks_blocked()
        batcher.on_durable(vertex_of(take(batcher, 1040)), 1040)
    assert taken == [3, 1]


async def test_what_another_client_was_told_is_known_here_is_not_given_back() -> None:
    batcher = make_batcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"a", b"b"])
        await trio.testing.wait_all_tasks_blocked()
        assert (await batcher.submit([b"b"]))[0].known
        batcher.give_back("2 of 4")
        batcher.on_durable(vertex_of(take(batcher, 1000)), 1000)


async def test_what_was_executed_while_it_waited_goes_into_no_vertex() -> None:
    """SPEC C7: asked when it comes and again when it goes."""
    dedup = dedup_of()
    batcher = make_batcher(dedup=dedup)
    answered = []
    async with trio.open_nursery() as nursery:

        async def client() -> None:
            answered.append(await batcher.submit([b"a", b"b"]))

        nursery.start_soon(client)
        await trio.testing.wait_all_tasks_blocked()
        execute(dedup, 2, hash_of(b"a"))
        batch = take(batcher, 1000)
        assert list(unpack(batch.payload, batch.count)) == [b"b"]
        assert len(batcher) == 1
        batcher.on_durable(vertex_of(batch), 1001)
    assert answered, "what was executed elsewhere is as durable as can be"


async def test_when_all_was_executed_meanwhile_there_is_no_batch() -> None:
    dedup = dedup_of()
    batcher = make_batcher(dedup=dedup)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"a"])
        await trio.testing.wait_all_tasks_blocked()
        execute(dedup, 2, hash_of(b"a"))
        assert batcher.take(1000) is None
    assert len(batcher) == 0


async def test_what_waited_longer_than_dedup_reaches_is_judged_by_the_index() -> None:
    dedup = dedup_of()
    batcher = make_batcher(dedup=dedup)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.submit, [b"a", b"b"])
        await trio.testing.wait_all_tasks_blocked()
        for sequence in range(2, 12):
            execute(dedup, sequence, hash_of(b"%d" % sequence))
        assert batcher.take(1000) is None
        await batcher.wait_outdated()
        batcher.indexed = SequenceNumber(11)
        entries, until = batcher.take_outdated()
        asked: list[tuple[list[TransactionId], int]] = []

        def executed_since(
            ids: Sequence[TransactionId], since: SequenceNumber
        ) -> set[TransactionId]:
            asked.append((list(ids), since))
            return {TransactionId(hash_of(b"a"))}

        batcher.judged(entries, were_executed(entries, executed_since), until)
        assert asked == [([hash_of(b"a"), hash_of(b"b")], 1)]
        batch = take(batcher, 1020)
        assert list(unpack(batch.payload, batch.count)) == [b"b"]
        batcher.on_durable(vertex_of(batch), 1020)


async def test_what_is_taken_again_does_not_ask_for_room() -> None:
    """It was promised: back-pressure is for what is new."""
    batcher = make_batcher(pending_max=1)
    ids = [TransactionId(hash_of(b"a")), TransactionId(hash_of(b"b"))]
    submission = batcher.retake([b"a", b"b"], ids, SequenceNumber(0))
    with pytest.raises(Backpressure):
        await batcher.submit([b"c"])
    entries, until = batcher.take_outdated()
    batcher.judged(entries, [False, False], until)
    batcher.on_durable(vertex_of(take(batcher, 1000)), 1000)
    assert submission.durable.is_set()


async def test_one_that_was_executed_longer_ago_than_the_window_is_not_final_when_taken_again() -> (
    None
):
    """The disk shows where it was executed the first time; the client waits for the second."""
    dedup = Dedup(window=4)
    again = TransactionId(hash_of(b"again"))
    execute(dedup, 1, again)
    execute(dedup, 5)
    batcher = make_batcher(dedup=dedup)
    assert not batcher.is_repeated(again)
    batcher.offer([b"again"])
    assert batcher.is_repeated(again)
    execute(dedup, 6, again)  # in another node's vertex
    assert not batcher.is_repeated(again)
