"""Too much: votes of far views, transactions of others, batches past every bound."""

from collections import deque
from dataclasses import replace

from cretonode.core.messages import (
    Commit,
    Message,
    Prepare,
    Statement,
    Suspect,
    VertexMessage,
    ViewChange,
    genesis_position,
)
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash, View
from cretonode.limits import PAYLOAD_BYTES_MAX, PAYLOAD_TRANSACTIONS_MAX
from tests.simulation.byzantine.behaviour import Behaviour, Outgoing, Setting

INTERVAL_MS = 50
AT_ONCE = 8


class FarViews(Behaviour):
    """Floods with votes, suspicions and view-changes of views far ahead."""

    def __init__(self, setting: Setting) -> None:
        """Begin at once."""
        super().__init__(setting)
        self._flooded_ms = 0

    def adds(self) -> list[Outgoing]:
        """Add a handful of statements, twenty times a second at most."""
        if self.now_ms < self._flooded_ms + INTERVAL_MS:
            return []
        self._flooded_ms = self.now_ms
        self.acts += 1
        return [out for _ in range(AT_ONCE) for out in self.to_all(self._one())]

    def _one(self) -> Statement:
        view = View(self.view + self.rng.choice((1, 2, 1_000, 2**40)))
        sequence = SequenceNumber(self.rng.randint(1, 2**20))
        nothing = VertexHash(hash_of(sequence.to_bytes(8, "big")))
        match self.rng.randrange(4):
            case 0:
                vote = Prepare(view=view, sequence=sequence, anchor=nothing, author=self.me)
                return self.sign(vote)
            case 1:
                return self.sign(
                    Commit(view=view, sequence=sequence, anchor=nothing, author=self.me)
                )
            case 2:
                return self.sign(Suspect(view=view, author=self.me))
            case _:
                genesis = genesis_position(self.committee.genesis)
                return self.sign(
                    ViewChange(view=view, high=genesis, certificate=None, author=self.me)
                )


class CopiesTransactions(Behaviour):
    """Carries what others' vertices carry, in vertices of its own."""

    def __init__(self, setting: Setting) -> None:
        """Start without anything to copy."""
        super().__init__(setting)
        self._heard: deque[VertexMessage] = deque(maxlen=10)

    def hears(self, sender: ValidatorIndex, message: Message, now_ms: int) -> bool:
        """Collect payloads."""
        if isinstance(message, VertexMessage) and message.vertex.transaction_count:
            self._heard.append(message)
        return super().hears(sender, message, now_ms)

    def says(self, statement: Statement) -> list[Outgoing]:
        """Say a vertex with another's payload; everybody gets the same."""
        if not isinstance(statement, VertexMessage) or statement.vertex.is_anchor:
            return super().says(statement)
        if not self._heard or not self.lies():
            return super().says(statement)
        self.acts += 1
        copied = self.rng.choice(self._heard)
        header = replace(
            statement.vertex,
            payload_root=copied.vertex.payload_root,
            payload_bytes=copied.vertex.payload_bytes,
            transaction_count=copied.vertex.transaction_count,
        )
        lie = VertexMessage(
            vertex=header, payload=copied.payload, transaction_ids=copied.transaction_ids
        )
        return self.to_all(self.keep(lie))


class Oversized(Behaviour):
    """Vertices past the bounds on bytes, transactions or parents."""

    def says(self, statement: Statement) -> list[Outgoing]:
        """Send what no honest validator sends, beside what it would."""
        found = super().says(statement)
        if isinstance(statement, VertexMessage) and self.lies():
            self.acts += 1
            found += self.to_all(self.sign(self._oversized(statement)))
        return found

    def _oversized(self, message: VertexMessage) -> VertexMessage:
        vertex = message.vertex
        match self.rng.randrange(3):
            case 0:
                return replace(message, vertex=replace(vertex, payload_bytes=PAYLOAD_BYTES_MAX + 1))
            case 1:
                count = PAYLOAD_TRANSACTIONS_MAX + 1
                return replace(message, vertex=replace(vertex, transaction_count=count))
            case _:
                many = tuple(VertexHash(hash_of(bytes([i]))) for i in range(200))
                return replace(message, vertex=replace(vertex, parents=many))
