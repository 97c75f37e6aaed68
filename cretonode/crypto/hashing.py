"""BLAKE3-256 hashes, plain and in the 32-ary tree behind every payload root.

The tree: leaves are 32-byte ids. Up to 32 of them form a group, hashed in one call (1024 bytes, a
BLAKE3 chunk); up to 32 group hashes form the groups of the next level, until one hash is left. The
root hashes that top together with the number of leaves, so the shape of the tree and the length of
every proof follow from a number that the root already fixes. Leaf groups, inner groups and roots
are hashed in three different key-derivation contexts, so none can pass for another.
Source: docs/crypto.md, section "Hashes".
"""

from collections.abc import Iterable
from typing import Final

from blake3 import blake3

from cretonode.errors import MalformedMessage
from cretonode.identifiers import HASH_BYTES, Digest

ARITY: Final = 32
GROUP_BYTES: Final = ARITY * HASH_BYTES
LEAVES_MAX: Final = 2**32 - 1
assert GROUP_BYTES == 1024, "a group is one BLAKE3 chunk"

# A copy of a prepared hasher spares the context string its own compression in every call.
_LEAF_GROUP: Final = blake3(derive_key_context="cretonode v1 hash tree: group of leaves")
_INNER_GROUP: Final = blake3(derive_key_context="cretonode v1 hash tree: group of group hashes")
_ROOT: Final = blake3(derive_key_context="cretonode v1 hash tree: root")


def hash_of(data: bytes) -> Digest:
    """Return the BLAKE3-256 hash of `data`."""
    return Digest(blake3(data).digest())


def hash_many(items: Iterable[bytes]) -> bytes:
    """Return the hashes of `items` one after another: the `leaves` of a tree over them."""
    return b"".join([blake3(item).digest() for item in items])


def tree_root(leaves: bytes) -> Digest:
    """Return the root of the tree over `leaves`, a whole number of 32-byte ids, possibly none."""
    count = leaf_count(leaves)
    if count == 0:
        return _root_of(b"", count)
    level = _parents_of(leaves, _LEAF_GROUP)
    while len(level) > HASH_BYTES:
        level = _parents_of(level, _INNER_GROUP)
    return _root_of(level, count)


def tree_path(leaves: bytes, position: int) -> tuple[bytes, ...]:
    """Return the proof that the id at `position` stands under `tree_root(leaves)`.

    Shape: for each level, from the leaves up, the group on the way without its own entry.
    """
    count = leaf_count(leaves)
    assert 0 <= position < count, (position, count)
    path: list[bytes] = []
    level, hasher = leaves, _LEAF_GROUP
    while True:
        group, entry = divmod(position, ARITY)
        members = level[group * GROUP_BYTES : (group + 1) * GROUP_BYTES]
        path.append(members[: entry * HASH_BYTES] + members[(entry + 1) * HASH_BYTES :])
        level = _parents_of(level, hasher)
        position, hasher = group, _INNER_GROUP
        if len(level) == HASH_BYTES:
            return tuple(path)


def tree_root_from_path_untrusted(
    leaf: bytes, *, position: int, count: int, path: tuple[bytes, ...]
) -> Digest:
    """Return the root of the one tree of `count` leaves that can hold `leaf` so.

    The caller compares it with a root it trusts; equal means that `leaf` stands at `position`.
    Raises: MalformedMessage, when no tree has a proof of this shape.
    """
    if len(leaf) != HASH_BYTES:
        raise MalformedMessage(f"a leaf of {len(leaf)} bytes; expected {HASH_BYTES}")
    if not 0 <= position < count <= LEAVES_MAX:
        raise MalformedMessage(f"leaf {position} of {count}; at most {LEAVES_MAX} leaves")
    if len(path) != path_levels(count):
        raise MalformedMessage(f"a path of {len(path)} levels; expected {path_levels(count)}")
    node, width, hasher = leaf, count, _LEAF_GROUP
    for siblings in path:
        group, entry = divmod(position, ARITY)
        expected = (min(ARITY, width - group * ARITY) - 1) * HASH_BYTES
        if len(siblings) != expected:
            raise MalformedMessage(f"a path group of {len(siblings)} bytes; expected {expected}")
        cut = entry * HASH_BYTES
        node = _hash_with(hasher, siblings[:cut] + node + siblings[cut:])
        position, width, hasher = group, -(-width // ARITY), _INNER_GROUP
    assert width == 1, (width, count)
    return _root_of(node, count)


def is_in_tree_untrusted(
    root: Digest, leaf: bytes, *, position: int, count: int, path: tuple[bytes, ...]
) -> bool:
    """Return whether `path` proves that `leaf` is at `position` of the `count` under `root`."""
    try:
        return root == tree_root_from_path_untrusted(
            leaf, position=position, count=count, path=path
        )
    except MalformedMessage:
        return False


def path_levels(count: int) -> int:
    """Return how many groups a proof in a tree of `count` leaves has: at least one."""
    assert count >= 1, count
    levels, width = 1, -(-count // ARITY)
    while width > 1:
        levels, width = levels + 1, -(-width // ARITY)
    return levels


def leaf_count(leaves: bytes) -> int:
    """Return how many 32-byte ids `leaves` is the concatenation of."""
    count, rest = divmod(len(leaves), HASH_BYTES)
    assert rest == 0, f"{len(leaves)} bytes are no whole number of ids"
    assert count <= LEAVES_MAX, count
    return count


def _parents_of(level: bytes, hasher: blake3) -> bytes:
    return b"".join(
        [
            hasher.copy().update(level[start : start + GROUP_BYTES]).digest()
            for start in range(0, len(level), GROUP_BYTES)
        ]
    )


def _root_of(top: bytes, count: int) -> Digest:
    return Digest(_hash_with(_ROOT, count.to_bytes(8, "big") + top))


def _hash_with(hasher: blake3, data: bytes) -> bytes:
    return hasher.copy().update(data).digest()
