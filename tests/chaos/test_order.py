"""The judge of `just chaos` is worth what it notices."""

from dataclasses import replace

from chaos.load import Acknowledged
from chaos.order import Order
from cretonode.client import Finalized
from cretonode.identifiers import Digest, SequenceNumber, TransactionId, VertexHash

A, B, C = (TransactionId(bytes([number]) * 32) for number in range(3))


def slot(sequence: int, *transactions: TransactionId) -> Finalized:
    return Finalized(
        sequence=SequenceNumber(sequence),
        anchor=VertexHash(bytes(32)),
        timestamp_ms=0,
        vertices=(),
        transactions=transactions,
        log_root=Digest(sequence.to_bytes(32, "big")),
    )


def read(*pages: tuple[Finalized, ...]) -> Order:
    order = Order()
    order.add([f"node{number}" for number in range(len(pages))], pages)
    return order


def acknowledged(sequence: int, *transactions: TransactionId) -> Acknowledged:
    return Acknowledged(transactions, SequenceNumber(sequence))


def test_the_same_order_is_no_difference() -> None:
    page = (slot(1, A, B), slot(2, C))
    order = read(page, page, page)
    assert (order.differences, order.repeated, order.counts) == ([], [], [2, 1])
    assert order.lacks([acknowledged(1, A, B), acknowledged(2, C)]) == []


def test_one_swapped_transaction_is_a_difference() -> None:
    order = read((slot(1, A, B),), (slot(1, A, B),), (slot(1, B, A),))
    assert order.differences == ["sequence 1: node0 and node2 differ"]


def test_another_root_alone_is_a_difference() -> None:
    other = replace(slot(1, A), log_root=Digest(bytes(32)))
    assert read((slot(1, A),), (other,)).differences


def test_a_node_without_a_sequence_is_a_difference() -> None:
    assert read((slot(1, A),), ()).differences == ["sequence 1 is not final everywhere"]


def test_a_transaction_of_two_sequences_is_repeated() -> None:
    page = (slot(1, A), slot(2, B, A))
    assert len(read(page, page).repeated) == 1


def test_beyond_the_dedup_window_a_liar_may_repeat_what_it_copied() -> None:
    """docs/api.md: after that it is a new transaction. What was acknowledged is the first."""
    order = Order(dedup_window=3)
    pages = (slot(1, A), slot(2), slot(3, B), slot(4, A), slot(5, B), slot(6, A))
    order.add(["node0"], [pages])
    assert [each.split(" at ")[1] for each in order.repeated] == ["3 and 5", "4 and 6"]
    assert order.lacks([acknowledged(1, A)]) == []


def test_a_transaction_twice_in_one_sequence_is_repeated() -> None:
    page = (slot(1, A, A),)
    assert len(read(page, page).repeated) == 1


def test_an_acknowledged_transaction_that_is_missing_is_noticed() -> None:
    page = (slot(1, A),)
    order = read(page, page)
    assert order.lacks([acknowledged(1, B, A)]) == [f"{B.hex()[:16]} is missing"]
    assert order.lacks([acknowledged(2, B)]), "also when it was beyond what there is now"


def test_an_acknowledged_place_that_moved_is_noticed() -> None:
    page = (slot(1, A), slot(2, B))
    assert read(page, page).lacks([acknowledged(2, A)])
