"""A small chain for storage tests: what a replica would store and finalize, without the votes."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from blake3 import blake3

from cretonode.core.committee import Parameters
from cretonode.core.dedup import Dedup, all_skipped, reference_of
from cretonode.core.effects import Finalize, Stable, Store
from cretonode.core.execution import log_leaf
from cretonode.core.merkle_log import MerkleLog
from cretonode.core.messages import (
    CheckpointCertificate,
    CommitCertificate,
    Signed,
    VertexMessage,
)
from cretonode.crypto.hashing import hash_of, tree_root
from cretonode.dag import chain, graph, payload
from cretonode.dag.graph import FinalVertex, Graph, genesis_vertex
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import (
    AuthorIndex,
    ChainId,
    Height,
    NodeId,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.storage.identity import Identity
from cretonode.storage.store import StorageEffect

GENESIS = VertexHash(hash_of(b"genesis"))
IDENTITY = Identity(ChainId("test"), GENESIS, NodeId(hash_of(b"node")))
PARAMETERS = Parameters(window=8, checkpoint_interval=4, dedup_window=8)


@dataclass
class ChainMaker:
    """Four authors; author 0 leads. Keeps the state that a replica would have in memory."""

    seed: int = 0
    transactions: int = 5
    transaction_bytes: int = 24
    signature_bytes: int = 4691
    repeat_chance: float = 0.1  # of a transaction that was submitted before
    certificate_chance: float = 0.8
    parameters: Parameters = PARAMETERS
    graph: Graph = field(default_factory=lambda: Graph(genesis_vertex(GENESIS)))
    messages: dict[VertexHash, VertexMessage] = field(default_factory=dict)
    finalized: list[Finalize] = field(default_factory=list)
    log: MerkleLog = field(default_factory=MerkleLog)
    clock_ms: int = 1_000

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.dedup = Dedup(self.parameters.dedup_window)
        self.chain = chain.Chain(self.graph, self.graph.genesis)
        self.newest: dict[int, Vertex | FinalVertex] = {}
        self.submitted: list[bytes] = []

    def slot(self, *, is_certified: bool | None = None) -> list[StorageEffect]:
        """Return the effects of one sequence: a vertex of each author, the anchor, finality.

        Now and then an author's vertex stays out of the anchor's history and waits.
        """
        effects: list[StorageEffect] = [Store(self.plain(author)) for author in (1, 2, 3)]
        anchor = self.anchor()
        effects += [Store(anchor), self.finalize(anchor.vertex, is_certified=is_certified)]
        sequence = anchor.vertex.sequence
        if sequence % self.parameters.checkpoint_interval == 0:
            effects.append(
                Stable(
                    CheckpointCertificate(
                        sequence=sequence, digest=self.log.root(), votes=self.votes()
                    )
                )
            )
        return effects

    def slots(self, count: int) -> list[list[StorageEffect]]:
        return [self.slot() for _ in range(count)]

    def plain(self, author: int) -> VertexMessage:
        final = self.chain.final
        own = self.newest.get(author)
        return self._make(author, SequenceNumber(0), [final] if own is None else [own, final])

    def anchor(self) -> VertexMessage:
        final = self.chain.final
        tips = [
            vertex
            for author, vertex in sorted(self.newest.items())
            if author and vertex.hash in self.graph.admitted and self.rng.random() < 0.9
        ]
        return self._make(0, SequenceNumber(final.sequence + 1), [final, *tips])

    def lonely_slot(self) -> list[StorageEffect]:
        """Return the effects of a sequence whose anchor finalizes nothing but itself."""
        final = self.chain.final
        anchor = self._make(0, SequenceNumber(final.sequence + 1), [final])
        return [Store(anchor), self.finalize(anchor.vertex)]

    def finalize(self, anchor: Vertex, *, is_certified: bool | None = None) -> Finalize:
        self.chain.extend(self.chain.link(anchor))
        link = self.chain.finalize_lowest()
        self.dedup.begin(anchor.sequence)
        ids = [self.messages[vertex.hash].transaction_ids for vertex in link.history]
        skipped = []
        for position, vertex in enumerate(link.history):
            named = self.graph.final[vertex.parents[-1]].sequence
            if self.dedup.reaches(reference_of(vertex, named, self.parameters)):
                bitmap = self.dedup.execute(ids[position])
            else:
                bitmap = all_skipped(vertex.transaction_count)
            skipped.append(bitmap)
            self.log.append(log_leaf(anchor.sequence, position, vertex.hash, bitmap))
        if is_certified is None:
            is_certified = self.rng.random() < self.certificate_chance
        effect = Finalize(
            sequence=anchor.sequence,
            anchor=anchor,
            vertices=link.history,
            skipped=tuple(skipped),
            transaction_ids=tuple(ids),
            log=MerkleLog(self.log.size, self.log.peaks),
            certificate=self.certificate(anchor) if is_certified else None,
        )
        self.finalized.append(effect)
        return effect

    def certificate(self, anchor: Vertex) -> CommitCertificate:
        return CommitCertificate(
            view=View(0), sequence=anchor.sequence, anchor=anchor.hash, votes=self.votes()
        )

    def votes(self) -> tuple[Signed, ...]:
        return tuple(Signed(ValidatorIndex(i), self.signature()) for i in range(3))

    def signature(self) -> bytes:
        return self.rng.randbytes(self.signature_bytes)

    def batch(self) -> Sequence[bytes]:
        found = []
        for _ in range(self.transactions):
            is_repeat = self.rng.random() < self.repeat_chance
            if is_repeat and self.submitted:
                found.append(self.rng.choice(self.submitted[-200:]))
            else:
                found.append(self.rng.randbytes(self.transaction_bytes))
                self.submitted.append(found[-1])
        return found

    def forget(self) -> None:
        """Let go of what is not needed to go on."""
        self.messages = {n: m for n, m in self.messages.items() if n in self.graph.admitted}
        self.finalized.clear()
        self.submitted.clear()
        self.graph.forget(self.chain.final.sequence)

    def _make(
        self, author: int, sequence: SequenceNumber, parents: list[Vertex | FinalVertex]
    ) -> VertexMessage:
        self.clock_ms += 1
        own = self.newest.get(author)
        batch = self.batch()
        blob = payload.pack(batch)
        ids = b"".join(blake3(transaction).digest() for transaction in batch)
        unique = {parent.hash: parent for parent in parents}
        vertex = Vertex(
            author=ValidatorIndex(author),
            index=AuthorIndex(1 + (own.index if own is not None else 0)),
            height=Height(1 + max(parent.height for parent in parents)),
            sequence=sequence,
            parents=tuple(unique),
            timestamp_ms=self.clock_ms,
            payload_root=tree_root(ids),
            payload_bytes=len(blob),
            transaction_count=len(batch),
        )
        message = VertexMessage(
            vertex=vertex, payload=blob, transaction_ids=ids, signature=self.signature()
        )
        added = self.graph.add(vertex, wanted=True)
        assert added == graph.Added(admitted=(vertex,)), added
        self.messages[vertex.hash] = message
        self.newest[author] = vertex
        return message


def bare(message: VertexMessage) -> VertexMessage:
    """Return a message as it is sent: without what the receiver computes."""
    return VertexMessage(
        vertex=message.vertex,
        payload=message.payload,
        transaction_ids=b"",
        signature=message.signature,
    )
