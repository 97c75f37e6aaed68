"""The types of everything that names something: one type for each idea.

Views, sequences and validator indexes are all integers; giving each a type makes the checker
refuse to swap them.
"""

from typing import Final, NewType

View = NewType("View", int)  # from 0, never decreases
SequenceNumber = NewType("SequenceNumber", int)  # from 1; 0 is genesis
ValidatorIndex = NewType("ValidatorIndex", int)  # position in the genesis validator list, from 0
AuthorIndex = NewType("AuthorIndex", int)  # an author's own vertex counter, from 1
Height = NewType("Height", int)  # of a vertex in the DAG; genesis is 0
Incarnation = NewType("Incarnation", int)  # of a validator; raised only by `cretonode recover`

ChainId = NewType("ChainId", str)  # chosen in genesis, 1 to 64 characters
NodeId = NewType("NodeId", bytes)  # 32 bytes: BLAKE3-256 of the ML-DSA-87 public key
VertexHash = NewType("VertexHash", bytes)  # 32 bytes: BLAKE3-256 of the canonical header
TransactionId = NewType("TransactionId", bytes)  # 32 bytes: BLAKE3-256 of the transaction
Digest = NewType("Digest", bytes)  # 32 bytes: any other BLAKE3-256 value

HASH_BYTES: Final = 32
PROTOCOL_VERSION: Final = 1  # in every signed statement and in the hello of a connection


def short(value: bytes) -> str:
    """Return the 8 hexadecimal digits by which people tell hashes apart in logs and tables."""
    return value[:4].hex()
