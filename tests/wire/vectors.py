"""The test vectors of the wire format: what they are, and the files they are kept in.

`python -m tests.wire.vectors` writes the files anew. A difference in one of them is a change of the
format: every node of a network has to make it at the same time.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from cretonode.core.committee import Committee, Parameters
from cretonode.core.evidence import evidence_of
from cretonode.core.messages import (
    Attestation,
    Checkpoint,
    CheckpointCertificate,
    Commit,
    CommitCertificate,
    Evidence,
    FetchSlots,
    FetchVertices,
    Message,
    NewView,
    Position,
    Prepare,
    PrepareCertificate,
    PrePrepare,
    Rejoin,
    Signed,
    SlotStatus,
    Statement,
    Status,
    Suspect,
    VertexMessage,
    ViewChange,
    ViewChangeVote,
    genesis_position,
)
from cretonode.core.records import (
    Accepted,
    AmnesiaBegun,
    AmnesiaEnded,
    BaseAdopted,
    HighCertificate,
    OwnVertex,
    Record,
    SaidCheckpoint,
    SaidNewView,
    SaidViewChange,
    StableCheckpoint,
    ViewEntered,
)
from cretonode.core.statements import statement_of
from cretonode.crypto.hashing import hash_many, hash_of, tree_root
from cretonode.dag.payload import pack
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import (
    AuthorIndex,
    ChainId,
    Digest,
    Height,
    Incarnation,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.wire.frames import pack_frames
from cretonode.wire.hello import Hello, encode_hello, hello_of
from cretonode.wire.messages import encode_message
from cretonode.wire.records import encode_record

FOLDER = Path(__file__).parent.parent.parent / "docs" / "spec" / "vectors"

Json: TypeAlias = Mapping[str, "Json"] | list["Json"] | str | int | bool | None


# --- the values: everything in them follows from its name or its place


def vertex_hash(name: str) -> VertexHash:
    """Not the hash of any vertex, but fixed."""
    return VertexHash(hash_of(name.encode()))


def signature(name: str) -> bytes:
    """Not a signature: a codec looks at lengths only. Short, so that the files can be read."""
    return hash_of(name.encode())[:12]


COMMITTEE = Committee(
    chain_id=ChainId("vectors"),
    size=4,
    genesis=vertex_hash("genesis"),
    validator_set=Digest(hash_of(b"validator set")),
    parameters=Parameters(),
    incarnations=tuple(map(Incarnation, (0, 0, 3, 0))),
)
ANCHOR = vertex_hash("anchor")
BASE = Position(View(4), SequenceNumber(70_000), ANCHOR)
GENESIS = genesis_position(COMMITTEE.genesis)
VOTES = tuple(Signed(ValidatorIndex(i), signature(f"vote {i}")) for i in (0, 1, 3))
PROOF = PrepareCertificate(view=BASE.view, sequence=BASE.sequence, anchor=ANCHOR, votes=VOTES)
ONE = ValidatorIndex(1)
THREE = ValidatorIndex(3)


def vertex_message(transactions: list[bytes], parents: int, sequence: int) -> VertexMessage:
    """A vertex of validator 1."""
    payload, ids = pack(transactions), hash_many(transactions)
    vertex = Vertex(
        author=ONE,
        index=AuthorIndex(12),
        height=Height(345),
        sequence=SequenceNumber(sequence),
        parents=tuple(vertex_hash(f"parent {i}") for i in range(parents)),
        timestamp_ms=1_760_000_000_000,
        payload_root=tree_root(ids),
        payload_bytes=len(payload),
        transaction_count=len(transactions),
    )
    return VertexMessage(
        vertex=vertex, payload=payload, transaction_ids=ids, signature=signature("vertex")
    )


def view_change(*, proven: bool, signed: bytes) -> ViewChange:
    """To view 5, from genesis or from BASE."""
    return ViewChange(
        view=View(5),
        high=BASE if proven else GENESIS,
        certificate=PROOF if proven else None,
        author=THREE,
        signature=signed,
    )


def new_view(*, proven: bool, signed: bytes) -> NewView:
    """Of view 5, on genesis or on BASE."""
    highs = (GENESIS, BASE if proven else GENESIS, GENESIS)
    return NewView(
        view=View(5),
        base=BASE if proven else GENESIS,
        timeouts=tuple(
            ViewChangeVote(vote.author, high, vote.signature)
            for vote, high in zip(VOTES, highs, strict=True)
        ),
        certificate=PROOF if proven else None,
        author=ONE,
        signature=signed,
    )


CHECKPOINT = CheckpointCertificate(
    sequence=SequenceNumber(128), digest=Digest(hash_of(b"log")), votes=VOTES
)
PREPARE = Prepare(
    view=View(4),
    sequence=SequenceNumber(70_000),
    anchor=ANCHOR,
    author=THREE,
    signature=signature("prepare"),
)


def digest_of(log: str) -> Checkpoint:
    """Stated by validator 3."""
    return Checkpoint(
        sequence=CHECKPOINT.sequence,
        digest=Digest(hash_of(log.encode())),
        author=THREE,
        signature=signature("checkpoint"),
    )


def evidence(one: Statement, other: Statement) -> Evidence:
    """Of two statements that contradict each other."""
    found = evidence_of(one, other)
    assert found is not None, (one, other)
    return found


MESSAGES: dict[str, Message] = {
    "a plain vertex with three transactions": vertex_message([b"a", b"bc", b"d" * 24], 2, 0),
    "an anchor without transactions": vertex_message([], 4, 70_000),
    "a pre-prepare of view 0": PrePrepare(
        view=View(0),
        sequence=SequenceNumber(1),
        anchor=ANCHOR,
        author=ValidatorIndex(0),
        signature=signature("pre-prepare"),
    ),
    "a prepare": PREPARE,
    "a commit with the greatest numbers": Commit(
        view=View(2**63 - 1),
        sequence=SequenceNumber(2**63 - 1),
        anchor=ANCHOR,
        author=ValidatorIndex(127),
        signature=signature("commit"),
    ),
    "a view-change from genesis": view_change(proven=False, signed=signature("view-change")),
    "a view-change from a certificate": view_change(proven=True, signed=signature("view-change")),
    "a new-view on genesis": new_view(proven=False, signed=signature("new-view")),
    "a new-view on a certificate": new_view(proven=True, signed=signature("new-view")),
    "a suspect": Suspect(view=View(4), author=ONE, signature=signature("suspect")),
    "a checkpoint": Checkpoint(
        sequence=CHECKPOINT.sequence,
        digest=CHECKPOINT.digest,
        author=ValidatorIndex(2),
        signature=signature("checkpoint"),
    ),
    "a prepare certificate": PROOF,
    "a commit certificate": CommitCertificate(
        view=BASE.view, sequence=BASE.sequence, anchor=ANCHOR, votes=VOTES
    ),
    "a checkpoint certificate": CHECKPOINT,
    "a status": Status(
        view=View(4),
        has_base=True,
        final=SequenceNumber(69_999),
        stable=SequenceNumber(69_952),
        slots=(
            SlotStatus(accepted=True, prepares=0b1011, commits=0b1000),
            SlotStatus(accepted=False, prepares=0, commits=0),
            SlotStatus(accepted=True, prepares=1 << 8, commits=2**128 - 1),
        ),
        newest=tuple(map(AuthorIndex, (17, 0, 1_000_000, 24))),
    ),
    "a request for the way back": Rejoin(
        nonce=hash_of(b"nonce"), until=View(6), author=THREE, signature=signature("rejoin")
    ),
    "an attestation": Attestation(
        about=THREE,
        nonce=hash_of(b"nonce"),
        view=View(4),
        index=AuthorIndex(17),
        author=ONE,
        signature=signature("attestation"),
    ),
    "a status of a fresh node": Status(
        view=View(0),
        has_base=False,
        final=SequenceNumber(0),
        stable=SequenceNumber(0),
        slots=(),
        newest=(AuthorIndex(0),) * 4,
    ),
    "a request for two vertices": FetchVertices(hashes=(ANCHOR, vertex_hash("parent 0"))),
    "evidence of two vertices": evidence(
        vertex_message([b"a", b"bc", b"d" * 24], 2, 0), vertex_message([], 2, 0)
    ),
    "evidence of a hidden commit": evidence(
        Commit(
            view=View(4),
            sequence=SequenceNumber(70_001),
            anchor=ANCHOR,
            author=THREE,
            signature=signature("commit"),
        ),
        view_change(proven=True, signed=signature("view-change")),
    ),
    "evidence of two digests": evidence(digest_of("log"), digest_of("another log")),
    "a request for 64 sequences": FetchSlots(first=SequenceNumber(300), count=64),
}

RECORDS: dict[str, Record] = {
    "view 5 entered": ViewEntered(View(5)),
    "genesis adopted as base": BaseAdopted(View(0), GENESIS),
    "a certified base adopted": BaseAdopted(View(5), BASE),
    "own vertex 12": OwnVertex(AuthorIndex(12), vertex_hash("own")),
    "an anchor accepted": Accepted(View(4), SequenceNumber(70_000), ANCHOR),
    "the highest certificate": HighCertificate(PROOF),
    "a view-change said": SaidViewChange(view_change(proven=True, signed=b"")),
    "a view-change from genesis said": SaidViewChange(view_change(proven=False, signed=b"")),
    "a new-view said": SaidNewView(new_view(proven=True, signed=b"")),
    "a checkpoint said": SaidCheckpoint(CHECKPOINT.sequence, CHECKPOINT.digest),
    "a stable checkpoint": StableCheckpoint(CHECKPOINT),
    "amnesia": AmnesiaBegun(hash_of(b"nonce")),
    "the end of amnesia": AmnesiaEnded(AuthorIndex(81)),
}

HELLOS: dict[str, Hello] = {
    "this committee": hello_of(COMMITTEE, "cretonode 0.1.0"),
    "another version": dataclasses.replace(hello_of(COMMITTEE, "cretonode 9"), version=2),
    "a chain named in Greek": dataclasses.replace(
        hello_of(COMMITTEE, "cretonode 0.1.0"), chain_id=ChainId("Κνωσός")
    ),
}


# --- the files


def files() -> dict[str, Json]:
    """Return what each file holds, by its name."""
    return {
        "messages.json": [
            {"name": name, "value": described(message), "bytes": encode_message(message).hex()}
            for name, message in MESSAGES.items()
        ],
        "records.json": [
            {"name": name, "value": described(record), "bytes": encode_record(record).hex()}
            for name, record in RECORDS.items()
        ],
        "hellos.json": [
            {"name": name, "value": described(hello), "bytes": encode_hello(hello).hex()}
            for name, hello in HELLOS.items()
        ],
        "frames.json": list(_frames()),
        "statements.json": {
            "chain_id": COMMITTEE.chain_id,
            "validator_set": COMMITTEE.validator_set.hex(),
            "incarnations": list(COMMITTEE.incarnations),
            "statements": list(_statements()),
        },
        "payload_roots.json": list(_payload_roots()),
    }


def described(value: object) -> Json:
    """Return `value` field by field: bytes as hexadecimal digits, dataclasses with their type."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {f.name: described(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **found}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [described(item) for item in value]
    assert value is None or isinstance(value, str | int), value
    return value


def _frames() -> Iterator[Json]:
    for messages, frame_bytes_max in (([b"a"], 100), ([b"a", b"bc", b"d" * 10], 15)):
        yield {
            "messages": [message.hex() for message in messages],
            "frame_bytes_max": frame_bytes_max,
            "frames": [frame.hex() for frame in pack_frames(messages, frame_bytes_max)],
        }


def _statements() -> Iterator[Json]:
    for name, message in MESSAGES.items():
        author = getattr(message, "author", None)
        if isinstance(message, Statement) and author is not None and author < COMMITTEE.size:
            yield {"name": name, "bytes": statement_of(COMMITTEE, message).hex()}


def _payload_roots() -> Iterator[Json]:
    """Of payloads whose i-th transaction is i in four bytes, big-endian."""
    for count in (0, 1, 2, 31, 32, 33, 1024, 1025):
        ids = hash_many([i.to_bytes(4, "big") for i in range(count)])
        yield {"transactions": count, "root": tree_root(ids).hex()}


def text_of(content: Json) -> str:
    """Return the text of one file."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every file anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(text_of(content), encoding="utf-8")


if __name__ == "__main__":
    main()
