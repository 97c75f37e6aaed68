"""The log's root against the recursive definition of RFC 9162, section 2.1.1."""

import random

import pytest

from cretonode.core.merkle_log import EMPTY_ROOT, MerkleLog
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import Digest


def tree_hash(leaves: list[bytes]) -> Digest:
    """MTH(D[n]) as the RFC writes it, with BLAKE3-256."""
    if not leaves:
        return hash_of(b"")
    if len(leaves) == 1:
        return hash_of(b"\x00" + leaves[0])
    k = 1
    while 2 * k < len(leaves):  # the largest power of two smaller than n
        k *= 2
    return hash_of(b"\x01" + tree_hash(leaves[:k]) + tree_hash(leaves[k:]))


def test_the_root_is_that_of_rfc_9162_at_every_size() -> None:
    log, leaves = MerkleLog(), list[bytes]()
    assert log.root() == EMPTY_ROOT == tree_hash([])
    for size in range(1, 140):
        leaves.append(b"leaf %d" % size)
        log.append(leaves[-1])
        assert log.size == size
        assert log.root() == tree_hash(leaves), size


def test_random_leaves_give_the_same_root() -> None:
    rng = random.Random(3)
    for _ in range(30):
        leaves = [rng.randbytes(rng.randint(0, 80)) for _ in range(rng.randint(0, 300))]
        log = MerkleLog()
        for leaf in leaves:
            log.append(leaf)
        assert log.root() == tree_hash(leaves)


def test_a_log_goes_on_from_its_peaks() -> None:
    """What a restart restores: size and peaks, nothing else."""
    log = MerkleLog()
    for i in range(37):
        log.append(b"%d" % i)
    again = MerkleLog(log.size, log.peaks)
    for i in range(37, 70):
        log.append(b"%d" % i)
        again.append(b"%d" % i)
        assert again == log


def test_a_copy_does_not_change_with_its_original() -> None:
    log = MerkleLog()
    log.append(b"a")
    copy = MerkleLog(log.size, log.peaks)
    before = copy.root()
    log.append(b"b")
    assert copy.root() == before


def test_peaks_that_do_not_fit_the_size_are_our_own_bug() -> None:
    with pytest.raises(AssertionError):
        MerkleLog(3, (EMPTY_ROOT,))
