"""Valid messages, records and hellos of every kind, for hypothesis."""

from hypothesis import strategies as st

from cretonode.core.evidence import brief
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
from cretonode.crypto.hashing import hash_many, tree_root
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
from cretonode.limits import (
    FETCH_HASHES_MAX,
    FETCH_SLOTS_MAX,
    PARENTS_MAX,
    SIGNATURE_BYTES,
    VALIDATORS_MAX,
)
from cretonode.wire.fields import NUMBER_MAX
from cretonode.wire.hello import Hello


def numbers(low: int = 0, high: int = NUMBER_MAX) -> st.SearchStrategy[int]:
    """Small ones, large ones, and those around every CBOR length."""
    edges = [
        n for n in (23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, high) if low <= n <= high
    ]
    return st.integers(low, high) | st.sampled_from([low, *edges])


HASHES = st.one_of(
    st.binary(min_size=32, max_size=32), st.integers(0, 255).map(lambda byte: bytes([byte]) * 32)
)
VERTICES = HASHES.map(VertexHash)
DIGESTS = HASHES.map(Digest)
VIEWS = numbers().map(View)
LATER_VIEWS = numbers(1).map(View)
SEQUENCES = numbers(1).map(SequenceNumber)
AUTHORS = st.integers(0, VALIDATORS_MAX - 1).map(ValidatorIndex)
SIGNATURES = st.binary(min_size=1, max_size=9) | st.just(bytes(SIGNATURE_BYTES))
BITMAPS = st.integers(0, 2**VALIDATORS_MAX - 1) | st.integers(0, VALIDATORS_MAX - 1).map(
    lambda bit: 1 << bit
)
POSITIONS = VERTICES.map(genesis_position) | st.builds(Position, VIEWS, SEQUENCES, VERTICES)
VOTES = st.lists(st.builds(Signed, AUTHORS, SIGNATURES), max_size=4).map(tuple)
TIMEOUTS = st.lists(st.builds(ViewChangeVote, AUTHORS, POSITIONS, SIGNATURES), max_size=4).map(
    tuple
)
SLOTS = st.builds(SlotStatus, accepted=st.booleans(), prepares=BITMAPS, commits=BITMAPS)


@st.composite
def vertex_messages(draw: st.DrawFn) -> VertexMessage:
    """A vertex with a payload that fits it."""
    transactions = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
    payload, ids = pack(transactions), hash_many(transactions)
    sequence = draw(st.just(0) | numbers(1))
    parents_max = 2 if sequence == 0 else draw(st.sampled_from([3, PARENTS_MAX]))
    parents = draw(st.lists(VERTICES, min_size=1, max_size=min(parents_max, 6), unique=True))
    vertex = Vertex(
        author=draw(AUTHORS),
        index=AuthorIndex(draw(numbers(1))),
        height=Height(draw(numbers(1))),
        sequence=SequenceNumber(sequence),
        parents=tuple(parents),
        timestamp_ms=draw(numbers()),
        payload_root=tree_root(ids),
        payload_bytes=len(payload),
        transaction_count=len(transactions),
    )
    return VertexMessage(
        vertex=vertex, payload=payload, transaction_ids=ids, signature=draw(SIGNATURES)
    )


PREPARE_CERTIFICATES = st.builds(
    PrepareCertificate, view=VIEWS, sequence=SEQUENCES, anchor=VERTICES, votes=VOTES
)
COMMIT_CERTIFICATES = st.builds(
    CommitCertificate, view=VIEWS, sequence=SEQUENCES, anchor=VERTICES, votes=VOTES
)
CHECKPOINT_CERTIFICATES = st.builds(
    CheckpointCertificate, sequence=SEQUENCES, digest=DIGESTS, votes=VOTES
)


def votes_of(kind: type[PrePrepare | Prepare | Commit]) -> st.SearchStrategy[Message]:
    """The three votes have the same fields."""
    return st.builds(
        kind,
        view=VIEWS,
        sequence=SEQUENCES,
        anchor=VERTICES,
        author=AUTHORS,
        signature=SIGNATURES,
    )


def view_changes(signatures: st.SearchStrategy[bytes]) -> st.SearchStrategy[ViewChange]:
    """Signed or, for the journal, not yet."""
    return st.builds(
        ViewChange,
        view=LATER_VIEWS,
        high=POSITIONS,
        certificate=st.none() | PREPARE_CERTIFICATES,
        author=AUTHORS,
        signature=signatures,
    )


def new_views(signatures: st.SearchStrategy[bytes]) -> st.SearchStrategy[NewView]:
    """Signed or, for the journal, not yet."""
    return st.builds(
        NewView,
        view=LATER_VIEWS,
        base=POSITIONS,
        timeouts=TIMEOUTS,
        certificate=st.none() | PREPARE_CERTIFICATES,
        author=AUTHORS,
        signature=signatures,
    )


CHECKPOINTS = st.builds(
    Checkpoint, sequence=SEQUENCES, digest=DIGESTS, author=AUTHORS, signature=SIGNATURES
)
# Whether the two contradict each other is not the codec's question.
EVIDENCE_STATEMENTS = st.one_of(
    vertex_messages(),
    votes_of(PrePrepare),
    votes_of(Prepare),
    votes_of(Commit),
    view_changes(SIGNATURES),
    new_views(SIGNATURES),
    CHECKPOINTS,
).map(brief)

MESSAGE_OF: dict[type[Message], st.SearchStrategy[Message]] = {
    VertexMessage: vertex_messages(),
    PrePrepare: votes_of(PrePrepare),
    Prepare: votes_of(Prepare),
    Commit: votes_of(Commit),
    ViewChange: view_changes(SIGNATURES),
    NewView: new_views(SIGNATURES),
    Suspect: st.builds(Suspect, view=VIEWS, author=AUTHORS, signature=SIGNATURES),
    Checkpoint: CHECKPOINTS,
    PrepareCertificate: PREPARE_CERTIFICATES,
    CommitCertificate: COMMIT_CERTIFICATES,
    CheckpointCertificate: CHECKPOINT_CERTIFICATES,
    Status: st.builds(
        Status,
        view=VIEWS,
        has_base=st.booleans(),
        final=numbers().map(SequenceNumber),
        stable=numbers().map(SequenceNumber),
        slots=st.lists(SLOTS, max_size=4).map(tuple),
        newest=st.lists(numbers().map(AuthorIndex), max_size=5).map(tuple),
    ),
    FetchVertices: st.builds(
        FetchVertices,
        hashes=st.lists(VERTICES, min_size=1, max_size=min(4, FETCH_HASHES_MAX)).map(tuple),
    ),
    FetchSlots: st.builds(FetchSlots, first=SEQUENCES, count=st.integers(1, FETCH_SLOTS_MAX)),
    Rejoin: st.builds(Rejoin, nonce=HASHES, until=VIEWS, author=AUTHORS, signature=SIGNATURES),
    Attestation: st.builds(
        Attestation,
        about=AUTHORS,
        nonce=HASHES,
        view=VIEWS,
        index=numbers().map(AuthorIndex),
        author=AUTHORS,
        signature=SIGNATURES,
    ),
    Evidence: st.builds(Evidence, first=EVIDENCE_STATEMENTS, second=EVIDENCE_STATEMENTS),
}
MESSAGES: st.SearchStrategy[Message] = st.one_of(*MESSAGE_OF.values())

RECORD_OF: dict[type[Record], st.SearchStrategy[Record]] = {
    ViewEntered: st.builds(ViewEntered, VIEWS),
    BaseAdopted: st.builds(BaseAdopted, VIEWS, POSITIONS),
    OwnVertex: st.builds(OwnVertex, numbers(1).map(AuthorIndex), VERTICES),
    Accepted: st.builds(Accepted, VIEWS, SEQUENCES, VERTICES),
    HighCertificate: st.builds(HighCertificate, PREPARE_CERTIFICATES),
    SaidViewChange: st.builds(SaidViewChange, view_changes(st.just(b""))),
    SaidNewView: st.builds(SaidNewView, new_views(st.just(b""))),
    SaidCheckpoint: st.builds(SaidCheckpoint, SEQUENCES, DIGESTS),
    StableCheckpoint: st.builds(StableCheckpoint, CHECKPOINT_CERTIFICATES),
    AmnesiaBegun: st.builds(AmnesiaBegun, HASHES),
    AmnesiaEnded: st.builds(AmnesiaEnded, numbers(1).map(AuthorIndex)),
}
RECORDS: st.SearchStrategy[Record] = st.one_of(*RECORD_OF.values())

PRINTABLE_ASCII = st.text(
    st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64
)
PRINTABLE = st.text(min_size=1, max_size=64).filter(str.isprintable)
HELLOS = st.builds(
    Hello,
    version=numbers(),
    chain_id=(PRINTABLE_ASCII | PRINTABLE).map(ChainId),
    genesis=VERTICES,
    validator_set=DIGESTS,
    incarnations=st.lists(numbers().map(Incarnation), min_size=1, max_size=5).map(tuple),
    software=PRINTABLE_ASCII,
)
