"""Exactly once within the window. SPEC C7."""

import random

from cretonode.core.dedup import Dedup, bitmap_bytes
from cretonode.crypto.hashing import hash_of
from cretonode.dag.payload import each_id
from cretonode.identifiers import SequenceNumber, TransactionId


def ids(*names: int) -> bytes:
    return b"".join(hash_of(b"%d" % name) for name in names)


def run(dedup: Dedup, sequence: int, *names: int) -> int:
    dedup.begin(SequenceNumber(sequence))
    return dedup.execute(ids(*names))


def test_a_transaction_is_executed_once() -> None:
    dedup = Dedup(4)
    assert run(dedup, 1, 1, 2, 1) == 0b100, "also within one vertex"
    assert dedup.execute(ids(3, 2)) == 0b10, "also between two of one sequence"
    assert run(dedup, 2, 4, 1, 3) == 0b110


def test_after_the_window_it_may_be_executed_again() -> None:
    """SPEC C7: once within the dedup window of D sequences."""
    dedup = Dedup(4)
    assert run(dedup, 1, 7) == 0
    assert run(dedup, 4, 7) == 1, "D - 1 sequences later"
    assert run(dedup, 5, 7) == 0, "D sequences later"


def test_a_skipped_repetition_does_not_make_the_window_longer() -> None:
    """Otherwise a client could lock a transaction out forever."""
    dedup = Dedup(4)
    assert [run(dedup, s, 7) for s in range(1, 10)] == [0, 1, 1, 1, 0, 1, 1, 1, 0]


def test_the_memory_of_it_is_bounded_by_the_window() -> None:
    dedup = Dedup(4)
    for sequence in range(1, 50):
        run(dedup, sequence, *range(10 * sequence, 10 * sequence + 10))
        assert len(dedup) <= 40
    assert TransactionId(hash_of(b"491")) in dedup
    assert TransactionId(hash_of(b"440")) not in dedup


def test_it_skips_what_a_plain_list_would_skip() -> None:
    """House style 27: against a second implementation, under random input."""
    rng = random.Random(5)
    for _ in range(30):
        window = rng.randint(1, 6)
        dedup, executed = Dedup(window), list[tuple[int, int]]()
        for sequence in range(1, 40):
            names = [rng.randint(1, 15) for _ in range(rng.randint(0, 5))]
            expected = 0
            for bit, name in enumerate(names):
                if any(n == name and s > sequence - window for s, n in executed):
                    expected |= 1 << bit
                else:
                    executed.append((sequence, name))
            assert run(dedup, sequence, *names) == expected


def test_a_bitmap_has_one_encoding() -> None:
    """It is part of what a checkpoint digests."""
    assert bitmap_bytes(0) == b""
    assert bitmap_bytes(1) == b"\x01"
    assert bitmap_bytes(0x1_00) == b"\x00\x01"


def test_it_says_how_far_back_it_reaches() -> None:
    dedup = Dedup(4)
    assert dedup.reaches(SequenceNumber(0))
    for sequence in range(1, 10):
        run(dedup, sequence, sequence)
    assert dedup.latest == 9
    assert dedup.reaches(SequenceNumber(5)), "all that was executed above 5 is known"
    assert not dedup.reaches(SequenceNumber(4))


def test_past_its_bound_it_reaches_less_far_back() -> None:
    """SPEC C5: bounded memory whatever is executed; and nothing is forgotten unsaid."""
    dedup = Dedup(100, transactions_max=30)
    for sequence in range(1, 50):
        run(dedup, sequence, *range(10 * sequence, 10 * sequence + 10))
        assert len(dedup) <= 30 + 10
        kept = [s for s in range(1, sequence + 1) if ids(10 * s) in dedup]
        assert min(kept) == dedup.forgotten + 1
    assert dedup.forgotten == 45


def test_who_restarts_forgets_the_same() -> None:
    """SPEC C7: the same on every node, across restart: rebuilt from the last D sequences."""
    rng = random.Random(7)
    window = 6
    for _ in range(30):
        running = Dedup(window, transactions_max=20)
        fresh: dict[int, bytes] = {}
        for sequence in range(1, 30):
            batch = ids(*(rng.randint(1, 60) for _ in range(rng.choice((0, 3, 15)))))
            running.begin(SequenceNumber(sequence))
            skipped = running.execute(batch)
            fresh[sequence] = b"".join(
                id_ for bit, id_ in enumerate(each_id(batch)) if not skipped >> bit & 1
            )
            again = Dedup(window, transactions_max=20)
            for earlier in range(max(1, sequence - window + 1), sequence + 1):
                again.begin(SequenceNumber(earlier))
                assert again.execute(fresh[earlier]) == 0
            assert (again, again.forgotten) == (running, running.forgotten)
