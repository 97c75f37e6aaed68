"""Floods at the volume that real queues have to stand: what the simulator's liars say, many times.

Each says as much as `PER_S` and its sizes allow whether or not its core has anything to say; what
a node does with the surplus is what is tested.
"""

import os
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import replace
from typing import ClassVar, Final

from cretonode.core.messages import Message, Statement, VertexMessage
from cretonode.crypto.hashing import hash_of, tree_root
from cretonode.dag.payload import pack, transaction_ids_untrusted
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import (
    AuthorIndex,
    Height,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
)
from cretonode.limits import PAYLOAD_BYTES_MAX, PAYLOAD_TRANSACTIONS_MAX
from tests.simulation.byzantine.behaviour import Behaviour, Outgoing, Setting
from tests.simulation.byzantine.floods import FarViews

INTERVAL_MS: Final = 100
FIRST_INDEX: Final = 1_000_000  # above every honest one
TRANSACTION_BYTES: Final = 100
HEARD_MAX: Final = 8


class Flood(Behaviour, ABC):
    """Sends `at_once` messages to everybody, ten times a second."""

    at_once: ClassVar[int] = 1

    def __init__(self, setting: Setting) -> None:
        """Start with nothing heard."""
        super().__init__(setting)
        self.own_index = FIRST_INDEX
        self.anchors: deque[Vertex] = deque(maxlen=HEARD_MAX)
        self.payloads: deque[VertexMessage] = deque(maxlen=HEARD_MAX)
        self._due_ms = 0

    def hears(self, sender: ValidatorIndex, message: Message, now_ms: int) -> bool:
        """Collect anchors to stand on, and transactions to copy."""
        if isinstance(message, VertexMessage):
            if message.vertex.is_anchor:
                self.anchors.append(message.vertex)
            if message.vertex.transaction_count:
                self.payloads.append(message)
        return super().hears(sender, message, now_ms)

    def says(self, statement: Statement) -> list[Outgoing]:
        """Let the core's own vertices pass: no lie takes an index of theirs."""
        if isinstance(statement, VertexMessage):
            self.own_index = max(self.own_index, statement.vertex.index)
        return super().says(statement)

    def adds(self) -> list[Outgoing]:
        """Add the next handful."""
        if self.now_ms < self._due_ms:
            return []
        self._due_ms = self.now_ms + INTERVAL_MS
        found: list[Outgoing] = []
        for _ in range(self.at_once):
            message = self.one()
            if message is not None:
                self.acts += 1
                found += self.to_all(message)
        return found

    def deadline_ms(self) -> int:
        """When the next handful is due, too."""
        return min(super().deadline_ms(), self._due_ms)

    @abstractmethod
    def one(self) -> Message | None:
        """Return the next message of the flood; None: there is nothing to make it of yet."""

    def vertex(
        self, parents: tuple[VertexHash, ...], height: int, payload: VertexMessage
    ) -> VertexMessage:
        """Return a signed plain vertex of the next index with the payload of another."""
        self.own_index += 1
        return self.sign(
            replace(
                payload,
                vertex=replace(
                    payload.vertex,
                    author=self.me,
                    index=AuthorIndex(self.own_index),
                    height=Height(height),
                    sequence=SequenceNumber(0),
                    parents=parents,
                    timestamp_ms=self.now_ms,
                ),
            )
        )

    def full(self) -> VertexMessage:
        """Return a vertex of nobody with as many transactions as fit, all of them new."""
        return self.fresh(PAYLOAD_TRANSACTIONS_MAX)

    def fresh(self, count: int) -> VertexMessage:
        """Return a vertex of nobody with `count` new transactions."""
        room = PAYLOAD_BYTES_MAX // count - 4
        transactions = [os.urandom(min(TRANSACTION_BYTES, room)) for _ in range(count)]
        payload = pack(transactions)
        ids = transaction_ids_untrusted(payload, count)
        nobody = Vertex(
            author=self.me,
            index=AuthorIndex(1),
            height=Height(1),
            sequence=SequenceNumber(0),
            parents=(),
            timestamp_ms=0,
            payload_root=tree_root(ids),
            payload_bytes=len(payload),
            transaction_count=count,
        )
        return VertexMessage(vertex=nobody, payload=payload, transaction_ids=ids)


class FarViewsFlood(Flood, FarViews):
    """Votes, suspicions and view-changes of views far ahead."""

    at_once: ClassVar[int] = 16

    def one(self) -> Message:
        """Return one of them."""
        return self._one()


class BaselessFlood(Flood):
    """Full vertices whose parent does not exist: each would wait for it."""

    def one(self) -> Message | None:
        """Return one of them."""
        if not self.anchors:
            return None
        anchor = self.anchors[-1]
        nothing = VertexHash(hash_of(b"nothing" + self.own_index.to_bytes(8, "big")))
        return self.vertex((nothing, anchor.hash), anchor.height + 1, self.full())


class FullFlood(Flood):
    """Valid vertices with as many transactions as fit, faster than anybody orders them."""

    def one(self) -> Message | None:
        """Return one of them."""
        if not self.anchors:
            return None
        anchor = self.anchors[0]
        return self.vertex((anchor.hash,), anchor.height + 1, self.full())


class OldFlood(FullFlood):
    """The same with indexes that were used long ago: each has to be looked up."""

    def one(self) -> Message | None:
        """Return one of them."""
        found = super().one()
        if not isinstance(found, VertexMessage):
            return None
        old = AuthorIndex(1 + self.own_index % 3)
        return self.sign(replace(found, vertex=replace(found.vertex, index=old)))


class CopiesFlood(Flood):
    """Valid vertices with the transactions of others, again and again."""

    at_once: ClassVar[int] = 4

    def one(self) -> Message | None:
        """Return one of them."""
        if not self.anchors or not self.payloads:
            return None
        anchor = self.anchors[0]
        return self.vertex((anchor.hash,), anchor.height + 1, self.rng.choice(self.payloads))


class OversizedFlood(Flood):
    """Vertices past the bounds on bytes, transactions or parents."""

    def one(self) -> Message:
        """Return one of them."""
        some = self.fresh(8)
        nothing = VertexHash(hash_of(b"nothing"))
        message = self.vertex((nothing,), 2, some)
        match self.rng.randrange(3):
            case 0:
                wrong = replace(message.vertex, payload_bytes=PAYLOAD_BYTES_MAX + 1)
            case 1:
                wrong = replace(message.vertex, transaction_count=PAYLOAD_TRANSACTIONS_MAX + 1)
            case _:
                many = tuple(VertexHash(hash_of(bytes([i]))) for i in range(200))
                wrong = replace(message.vertex, parents=many)
        return self.sign(replace(message, vertex=wrong))


FLOODS: Final[dict[str, type[Behaviour]]] = {
    "flood of far views": FarViewsFlood,
    "flood of baseless vertices": BaselessFlood,
    "flood of full vertices": FullFlood,
    "flood of old indexes": OldFlood,
    "flood of copies": CopiesFlood,
    "flood of oversized vertices": OversizedFlood,
}
