"""An append-only Merkle log: its root fixes everything executed so far and the order of it.

Only the roots of the complete subtrees are kept, one per bit of the size. Leaf and node hashes
are separated by a first byte. Source: RFC 9162, section 2.1.1, with BLAKE3-256 as the hash.
"""

from dataclasses import dataclass
from typing import Final

from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import Digest

LEAF: Final = b"\x00"
NODE: Final = b"\x01"
EMPTY_ROOT: Final[Digest] = hash_of(b"")


@dataclass(slots=True)
class MerkleLog:
    """The right edge of the tree: `peaks` from the largest complete subtree to the smallest."""

    size: int = 0
    peaks: tuple[Digest, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.peaks) == self.size.bit_count(), (self.size, len(self.peaks))

    def append(self, leaf: bytes) -> None:
        """Add one entry."""
        peaks = [*self.peaks, hash_of(LEAF + leaf)]
        size = self.size
        while size & 1:  # two subtrees of equal size become one
            right = peaks.pop()
            peaks[-1] = node_hash(peaks[-1], right)
            size >>= 1
        self.size += 1
        self.peaks = tuple(peaks)

    def root(self) -> Digest:
        """Return the root over all entries: smaller subtrees hash into larger, right to left."""
        if not self.peaks:
            return EMPTY_ROOT
        *left, root = self.peaks
        for peak in reversed(left):
            root = node_hash(peak, root)
        return root


def node_hash(left: Digest, right: Digest) -> Digest:
    """Return the hash of an inner node."""
    return hash_of(NODE + left + right)
