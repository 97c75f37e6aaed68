from collections.abc import Iterator

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from cretonode.crypto.hashing import (
    ARITY,
    LEAVES_MAX,
    hash_many,
    hash_of,
    is_in_tree_untrusted,
    path_levels,
    tree_path,
    tree_root,
    tree_root_from_path_untrusted,
)
from cretonode.errors import MalformedMessage
from cretonode.identifiers import HASH_BYTES

COUNTS = (1, 2, 31, 32, 33, 63, 64, 65, 1023, 1024, 1025, 2000)


def leaves_of(count: int) -> bytes:
    return hash_many(number.to_bytes(4, "big") for number in range(count))


def leaf_at(leaves: bytes, position: int) -> bytes:
    return leaves[position * HASH_BYTES : (position + 1) * HASH_BYTES]


def plain_root(leaves: bytes) -> bytes:
    """The tree once more, as docs/crypto.md describes it and without its shortcuts."""

    def derive(context: str, data: bytes) -> bytes:
        return blake3(data, derive_key_context="cretonode v1 hash tree: " + context).digest()

    def groups(level: list[bytes]) -> Iterator[bytes]:
        for start in range(0, len(level), 32):
            yield b"".join(level[start : start + 32])

    level = [leaves[start : start + 32] for start in range(0, len(leaves), 32)]
    count = len(level).to_bytes(8, "big")
    if not level:
        return derive("root", count)
    level = [derive("group of leaves", group) for group in groups(level)]
    while len(level) > 1:
        level = [derive("group of group hashes", group) for group in groups(level)]
    return derive("root", count + level[0])


def test_a_hash_is_blake3_of_256_bits() -> None:
    """BLAKE3 reference test vectors, input of 0 bytes."""
    expected = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert hash_of(b"").hex() == expected


def test_many_hashes_are_the_hashes_in_a_row() -> None:
    assert hash_many([b"a", b"", b"b"]) == hash_of(b"a") + hash_of(b"") + hash_of(b"b")


@pytest.mark.parametrize("count", [0, *COUNTS])
def test_the_root_is_that_of_the_plain_description(count: int) -> None:
    leaves = leaves_of(count)
    assert tree_root(leaves) == plain_root(leaves)


def test_the_root_of_the_empty_tree_is_of_its_own() -> None:
    assert tree_root(b"") not in {hash_of(b""), bytes(HASH_BYTES), tree_root(bytes(HASH_BYTES))}


def test_the_root_of_an_example_does_not_change() -> None:
    """Roots are on disk and in proofs: another value needs another protocol version."""
    assert tree_root(b"").hex() == EMPTY_ROOT
    assert tree_root(leaves_of(1000)).hex() == ROOT_OF_1000


EMPTY_ROOT = "a8eaf0d704df7a30d6ef942172d6342e6afd661e98facc5c55466af604fb48cd"
ROOT_OF_1000 = "2814d6d1e7811d99a74f8076c9ea5887e9deb8b0e0fce5a93531f3832bf5f2a3"


def test_a_group_of_group_hashes_never_passes_for_leaves() -> None:
    """The second-preimage attack on trees without domain separation."""
    leaves = leaves_of(2 * ARITY)
    context = "cretonode v1 hash tree: group of leaves"
    halves = [leaves[: ARITY * HASH_BYTES], leaves[ARITY * HASH_BYTES :]]
    inner = b"".join(blake3(half, derive_key_context=context).digest() for half in halves)
    assert tree_root(inner) != tree_root(leaves)


@pytest.mark.parametrize("count", [*COUNTS])
def test_every_leaf_has_a_proof(count: int) -> None:
    leaves = leaves_of(count)
    root = tree_root(leaves)
    for position in {0, 1, 31, 32, 33, count // 2, count - 1}:
        if position < count:
            path = tree_path(leaves, position)
            assert len(path) == path_levels(count)
            leaf = leaf_at(leaves, position)
            assert is_in_tree_untrusted(root, leaf, position=position, count=count, path=path)


@st.composite
def trees(draw: st.DrawFn) -> tuple[bytes, int]:
    count = draw(st.integers(1, 3000))
    return leaves_of(count), draw(st.integers(0, count - 1))


@given(trees(), st.data())
def test_a_proof_with_one_bit_changed_proves_nothing(
    tree: tuple[bytes, int], data: st.DataObject
) -> None:
    leaves, position = tree
    count = len(leaves) // HASH_BYTES
    path = tree_path(leaves, position)
    proof = [leaf_at(leaves, position), *path]
    part = data.draw(st.sampled_from([index for index, piece in enumerate(proof) if piece]))
    bit = data.draw(st.integers(0, len(proof[part]) * 8 - 1))
    changed = int.from_bytes(proof[part], "big") ^ (1 << bit)
    proof[part] = changed.to_bytes(len(proof[part]), "big")
    assert not is_in_tree_untrusted(
        tree_root(leaves), proof[0], position=position, count=count, path=tuple(proof[1:])
    )


@given(trees(), st.integers(-1, 3001), st.integers(0, 3001))
def test_a_proof_holds_for_one_position_and_one_count(
    tree: tuple[bytes, int], other_position: int, other_count: int
) -> None:
    leaves, position = tree
    count = len(leaves) // HASH_BYTES
    root, leaf, path = tree_root(leaves), leaf_at(leaves, position), tree_path(leaves, position)
    assert is_in_tree_untrusted(root, leaf, position=position, count=count, path=path)
    if other_position != position:
        assert not is_in_tree_untrusted(root, leaf, position=other_position, count=count, path=path)
    if other_count != count:
        assert not is_in_tree_untrusted(root, leaf, position=position, count=other_count, path=path)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70))
def test_the_number_of_leaves_is_bound_into_the_root(items: list[bytes]) -> None:
    leaves = b"".join(items)
    assert tree_root(leaves) != tree_root(leaves + bytes(HASH_BYTES))
    assert tree_root(leaves) == plain_root(leaves)


@given(
    st.binary(max_size=40),
    st.integers(-(2**70), 2**70),
    st.integers(-(2**70), 2**70),
    st.lists(st.binary(max_size=1024), max_size=4),
)
def test_any_proof_is_refused_or_answered(
    leaf: bytes, position: int, count: int, path: list[bytes]
) -> None:
    try:
        root = tree_root_from_path_untrusted(leaf, position=position, count=count, path=tuple(path))
    except MalformedMessage:
        return
    assert len(root) == HASH_BYTES


@pytest.mark.parametrize(
    ("leaf_bytes", "position", "count", "levels", "complaint"),
    [
        (31, 0, 1, 1, "a leaf of 31 bytes"),
        (32, 1, 1, 1, "leaf 1 of 1"),
        (32, -1, 1, 1, "leaf -1 of 1"),
        (32, 0, 0, 1, "leaf 0 of 0"),
        (32, 0, LEAVES_MAX + 1, 7, "at most"),
        (32, 0, 1, 2, "2 levels; expected 1"),
        (32, 0, 2, 1, "a path group of 0 bytes; expected 32"),
    ],
    ids=["short leaf", "past the end", "negative", "empty tree", "too many", "levels", "siblings"],
)
def test_a_proof_of_a_wrong_shape_is_named(
    leaf_bytes: int, position: int, count: int, levels: int, complaint: str
) -> None:
    with pytest.raises(MalformedMessage, match=complaint):
        tree_root_from_path_untrusted(
            bytes(leaf_bytes), position=position, count=count, path=(b"",) * levels
        )


@pytest.mark.parametrize(
    ("count", "levels"), [(1, 1), (32, 1), (33, 2), (1024, 2), (1025, 3), (LEAVES_MAX, 7)]
)
def test_a_proof_grows_by_a_group_for_each_factor_of_32(count: int, levels: int) -> None:
    assert path_levels(count) == levels
