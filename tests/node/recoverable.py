"""Four nodes with a chain on their disks, signed with their own keys, and none of them running."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cretonode.cli.layout import GENESIS_FILE, make_testnet
from cretonode.config.genesis import Genesis, read
from cretonode.config.load import load
from cretonode.config.schema import Config
from cretonode.core.committee import Committee
from cretonode.core.effects import Finalize, Stable, Store
from cretonode.core.execution import log_leaf
from cretonode.core.merkle_log import MerkleLog
from cretonode.core.messages import (
    Checkpoint,
    CheckpointCertificate,
    Commit,
    CommitCertificate,
    Prepare,
    PrepareCertificate,
    PrePrepare,
    Signed,
    Statement,
    VertexMessage,
)
from cretonode.core.records import HighCertificate, Promises
from cretonode.core.statements import statement_of
from cretonode.crypto import keystore
from cretonode.crypto.hashing import tree_root
from cretonode.crypto.signatures import Signer
from cretonode.dag.graph import genesis_vertex
from cretonode.dag.payload import pack, transaction_ids_untrusted
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import (
    AuthorIndex,
    Height,
    Incarnation,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.node.recovery import open_stopped
from cretonode.storage.store import StorageEffect
from cretonode.wire.records import encode_record

LENGTH = 8  # anchors that exist; sequence 4 is a checkpoint
CHECKPOINT = 4
QUORUM = (0, 1, 2)


@dataclass
class Network:
    """What four nodes may have on their disks."""

    place: Path
    genesis: Genesis
    committee: Committee
    configs: list[Config]
    paths: list[Path]
    signers: list[Signer]
    anchors: list[VertexMessage]
    logs: list[MerkleLog]  # after each

    @property
    def genesis_path(self) -> Path:
        return self.place / GENESIS_FILE

    def sign(self, statement: Statement) -> bytes:
        author = statement.author
        return self.signers[author].sign(statement_of(self.committee, statement))

    def committed(self, sequence: int) -> CommitCertificate:
        anchor = self.anchors[sequence - 1].vertex
        return CommitCertificate(
            view=View(0),
            sequence=anchor.sequence,
            anchor=anchor.hash,
            votes=tuple(
                Signed(
                    ValidatorIndex(a),
                    self.sign(
                        Commit(
                            view=View(0),
                            sequence=anchor.sequence,
                            anchor=anchor.hash,
                            author=ValidatorIndex(a),
                        )
                    ),
                )
                for a in QUORUM
            ),
        )

    def prepared(self, sequence: int) -> PrepareCertificate:
        anchor = self.anchors[sequence - 1].vertex
        votes = []
        for author in QUORUM:
            kind = PrePrepare if author == 0 else Prepare
            vote = kind(
                view=View(0),
                sequence=anchor.sequence,
                anchor=anchor.hash,
                author=ValidatorIndex(author),
            )
            votes.append(Signed(ValidatorIndex(author), self.sign(vote)))
        return PrepareCertificate(
            view=View(0), sequence=anchor.sequence, anchor=anchor.hash, votes=tuple(votes)
        )

    def stable(self) -> CheckpointCertificate:
        sequence, digest = SequenceNumber(CHECKPOINT), self.logs[CHECKPOINT - 1].root()
        votes = []
        for author in QUORUM:
            vote = Checkpoint(sequence=sequence, digest=digest, author=ValidatorIndex(author))
            votes.append(Signed(ValidatorIndex(author), self.sign(vote)))
        return CheckpointCertificate(sequence=sequence, digest=digest, votes=tuple(votes))

    def store(self, node: int, *sequences: int) -> None:
        """Give a node anchors that are not final."""
        with open_stopped(self.configs[node]) as stopped:
            stopped.store.restore(genesis_vertex(self.genesis.hash), Promises())
            stopped.store.store_vertices(self.anchors[sequence - 1] for sequence in sequences)
            stopped.store.sync()

    def fill(self, node: int, final: int, *, high: int = 0) -> None:
        """Give a node `final` final sequences, and a journal that knows of a prepared one."""
        turn: list[StorageEffect] = [Store(m) for m in self.anchors[:final]]
        for message, log in zip(self.anchors[:final], self.logs, strict=False):
            sequence = message.vertex.sequence
            turn.append(
                Finalize(
                    sequence=sequence,
                    anchor=message.vertex,
                    vertices=(message.vertex,),
                    skipped=(0,),
                    transaction_ids=(message.transaction_ids,),
                    log=log,
                    certificate=self.committed(sequence),
                )
            )
            if sequence == CHECKPOINT:
                turn.append(Stable(self.stable()))
        with open_stopped(self.configs[node]) as stopped:
            stopped.store.restore(genesis_vertex(self.genesis.hash), Promises())
            opened = stopped.directory.open_journal(Incarnation(0))
            if high:
                record = HighCertificate(self.prepared(high))
                opened.journal.append_synced([encode_record(record)])
            stopped.store.apply(turn, journal=opened.journal.marker)
            stopped.store.sync()
            opened.journal.close()


def make_network(place: Path) -> Network:
    """Write the files of four nodes; their disks are as `init` leaves them."""
    files = make_testnet(place, size=4)
    genesis = read(place / GENESIS_FILE)
    secrets = [keystore.load(node.directory / "keys", None) for node in files]
    signers = [Signer(genesis.crypto_mode, secret) for secret in secrets]
    network = Network(
        place=place,
        genesis=genesis,
        committee=genesis.committee(),
        configs=[load(node.config_path, environment={}, flags={}) for node in files],
        paths=[node.config_path for node in files],
        signers=signers,
        anchors=[],
        logs=[],
    )
    log, previous = MerkleLog(), genesis.hash
    for sequence in range(1, LENGTH + 1):
        message = _anchor(network, sequence, previous)
        previous = message.vertex.hash
        log.append(log_leaf(SequenceNumber(sequence), 0, previous, 0))
        network.anchors.append(message)
        network.logs.append(MerkleLog(log.size, log.peaks))
    return network


def _anchor(network: Network, sequence: int, previous: VertexHash) -> VertexMessage:
    transactions: Sequence[bytes] = [b"%d-%d" % (sequence, i) for i in range(3)]
    payload = pack(transactions)
    ids = transaction_ids_untrusted(payload, len(transactions))
    vertex = Vertex(
        author=ValidatorIndex(0),
        index=AuthorIndex(sequence),
        height=Height(sequence),
        sequence=SequenceNumber(sequence),
        parents=(previous,),
        timestamp_ms=1_700_000_000_000 + sequence,
        payload_root=tree_root(ids),
        payload_bytes=len(payload),
        transaction_count=len(transactions),
    )
    message = VertexMessage(vertex=vertex, payload=payload, transaction_ids=ids)
    return replace(message, signature=network.sign(message))
