"""A replica to test with, messages for it, and the effects it gives.

Signatures are stand-ins: the core never looks at them. Everything else is the real code.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cretonode.core.committee import Committee, Parameters
from cretonode.core.effects import Effect, Lookup, Persist, Say, Send
from cretonode.core.events import Batch, Event, LookedUp, Received, Tick
from cretonode.core.messages import (
    Checkpoint,
    CheckpointCertificate,
    Commit,
    CommitCertificate,
    Message,
    NewView,
    Position,
    Prepare,
    PrepareCertificate,
    PrePrepare,
    Signed,
    Statement,
    Suspect,
    VertexMessage,
    ViewChange,
    ViewChangeVote,
    genesis_position,
)
from cretonode.core.records import Record
from cretonode.core.replica import Replica
from cretonode.core.state import Restored, Timing
from cretonode.crypto.hashing import hash_of, tree_root
from cretonode.dag.graph import FinalVertex, genesis_vertex
from cretonode.dag.payload import pack, transaction_ids_untrusted
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
from tests.simulation.disk import Disk

START_MS = 1_700_000_000_000
GENESIS = VertexHash(hash_of(b"genesis"))
ROOT = genesis_vertex(GENESIS)
TIMING = Timing()

Known = VertexMessage | Vertex | FinalVertex
T = TypeVar("T")
S = TypeVar("S", bound=Statement)


def committee_of(
    size: int = 4, *, window: int = 8, interval: int = 4, dedup: int = 16
) -> Committee:
    """Return a small committee: q = 3 of 4 unless told otherwise."""
    return Committee(
        chain_id=ChainId("tests"),
        size=size,
        genesis=GENESIS,
        validator_set=hash_of(b"validators"),
        parameters=Parameters(window=window, checkpoint_interval=interval, dedup_window=dedup),
        incarnations=(Incarnation(0),) * size,
    )


COMMITTEE = committee_of()


# --- messages


def signature_of(author: int) -> bytes:
    return b"signed by %d" % author


def signed(statement: S) -> S:
    """Return `statement` as its author would send it."""
    return replace(statement, signature=signature_of(statement.author))


def named(some: Known | VertexHash) -> VertexHash:
    """Return the hash of whatever stands for a vertex."""
    return some if isinstance(some, bytes) else brief(some).hash


def brief(some: Known) -> Vertex | FinalVertex:
    return some.vertex if isinstance(some, VertexMessage) else some


def plain(
    author: int,
    index: int,
    *parents: Known,
    transactions: Sequence[bytes] = (),
    timestamp_ms: int = START_MS,
    sequence: int = 0,
    height: int | None = None,
) -> VertexMessage:
    """Return a signed vertex: its author's previous vertex first, then an anchor."""
    parents = parents or (ROOT,)
    payload = pack(transactions)
    ids = transaction_ids_untrusted(payload, len(transactions))
    made = Vertex(
        author=ValidatorIndex(author),
        index=AuthorIndex(index),
        height=Height(height or 1 + max(brief(parent).height for parent in parents)),
        sequence=SequenceNumber(sequence),
        parents=tuple(brief(parent).hash for parent in parents),
        timestamp_ms=timestamp_ms,
        payload_root=tree_root(ids),
        payload_bytes=len(payload),
        transaction_count=len(transactions),
    )
    return signed(VertexMessage(vertex=made, payload=payload, transaction_ids=ids))


def anchor(
    author: int,
    index: int,
    previous: Known = ROOT,
    *tips: Known,
    transactions: Sequence[bytes] = (),
    timestamp_ms: int = START_MS,
) -> VertexMessage:
    """Return a signed anchor of the sequence after `previous`."""
    return plain(
        author,
        index,
        previous,
        *tips,
        transactions=transactions,
        timestamp_ms=timestamp_ms,
        sequence=brief(previous).sequence + 1,
    )


def anchors(author: int, count: int, first: Known = ROOT, *, index: int = 1) -> list[VertexMessage]:
    """Return consecutive anchors of one author on top of `first`."""
    found: list[VertexMessage] = []
    for offset in range(count):
        found.append(anchor(author, index + offset, found[-1] if found else first))
    return found


def position(view: int, some: Known) -> Position:
    return Position(View(view), brief(some).sequence, brief(some).hash)


def pre_prepare(view: int, some: Known, *, leader: int | None = None) -> PrePrepare:
    author = view % COMMITTEE.size if leader is None else leader
    return signed(
        PrePrepare(
            view=View(view),
            sequence=brief(some).sequence,
            anchor=brief(some).hash,
            author=ValidatorIndex(author),
        )
    )


def prepare(view: int, some: Known, author: int) -> Prepare:
    where = position(view, some)
    return signed(
        Prepare(
            view=where.view,
            sequence=where.sequence,
            anchor=where.anchor,
            author=ValidatorIndex(author),
        )
    )


def commit(view: int, some: Known, author: int) -> Commit:
    where = position(view, some)
    return signed(
        Commit(
            view=where.view,
            sequence=where.sequence,
            anchor=where.anchor,
            author=ValidatorIndex(author),
        )
    )


def votes_of(authors: Iterable[int]) -> tuple[Signed, ...]:
    return tuple(Signed(ValidatorIndex(a), signature_of(a)) for a in sorted(authors))


def prepared(view: int, some: Known, authors: Iterable[int] = (0, 1, 2)) -> PrepareCertificate:
    where = position(view, some)
    return PrepareCertificate(
        view=where.view,
        sequence=where.sequence,
        anchor=where.anchor,
        votes=votes_of(authors),
    )


def committed(view: int, some: Known, authors: Iterable[int] = (0, 1, 2)) -> CommitCertificate:
    where = position(view, some)
    return CommitCertificate(
        view=where.view,
        sequence=where.sequence,
        anchor=where.anchor,
        votes=votes_of(authors),
    )


def high_of(certificate: PrepareCertificate | None) -> Position:
    return certificate.position if certificate is not None else genesis_position(GENESIS)


def view_change(view: int, author: int, high: PrepareCertificate | None = None) -> ViewChange:
    return signed(
        ViewChange(
            view=View(view), high=high_of(high), certificate=high, author=ValidatorIndex(author)
        )
    )


def new_view(
    view: int, base: PrepareCertificate | None = None, authors: Iterable[int] = (0, 1, 2)
) -> NewView:
    """Return a new-view whose timeout certificate has all its authors report `base`."""
    timeouts = tuple(
        ViewChangeVote(ValidatorIndex(a), high_of(base), signature_of(a)) for a in sorted(authors)
    )
    return signed(
        NewView(
            view=View(view),
            base=high_of(base),
            timeouts=timeouts,
            certificate=base,
            author=ValidatorIndex(view % COMMITTEE.size),
        )
    )


def suspect(author: int, view: int = 0) -> Suspect:
    return signed(Suspect(view=View(view), author=ValidatorIndex(author)))


def checkpoint(sequence: int, digest: Digest, author: int) -> Checkpoint:
    return signed(
        Checkpoint(sequence=SequenceNumber(sequence), digest=digest, author=ValidatorIndex(author))
    )


def stable(
    sequence: int, digest: Digest, authors: Iterable[int] = (0, 1, 2)
) -> CheckpointCertificate:
    return CheckpointCertificate(
        sequence=SequenceNumber(sequence), digest=digest, votes=votes_of(authors)
    )


def batch_of(*transactions: bytes) -> Batch:
    payload = pack(transactions)
    ids = transaction_ids_untrusted(payload, len(transactions))
    return Batch(payload=payload, transaction_ids=ids, root=tree_root(ids), count=len(transactions))


# --- effects


def of(effects: Iterable[Effect], kind: type[T]) -> list[T]:
    """Return the effects of one kind, in order."""
    return [effect for effect in effects if isinstance(effect, kind)]


def said(effects: Iterable[Effect], kind: type[T]) -> list[T]:
    """Return the own statements of one kind, in order."""
    return [effect.statement for effect in of(effects, Say) if isinstance(effect.statement, kind)]


def words_of(effects: Iterable[Effect]) -> list[Statement]:
    """Return all own statements, in order."""
    return [effect.statement for effect in of(effects, Say)]


def persisted(effects: Iterable[Effect], kind: type[T]) -> list[T]:
    """Return the journal records of one kind, in order."""
    return [effect.record for effect in of(effects, Persist) if isinstance(effect.record, kind)]


def sent(effects: Iterable[Effect], kind: type[T], peer: int | None = None) -> list[T]:
    """Return the messages of one kind that went to single validators (or to one)."""
    return [
        effect.message
        for effect in of(effects, Send)
        if isinstance(effect.message, kind) and peer in (None, effect.peer)
    ]


def place_of_record(effects: list[Effect], kind: type[Record]) -> int:
    """Return where in the step the first record of a kind stands."""
    return next(
        i for i, e in enumerate(effects) if isinstance(e, Persist) and isinstance(e.record, kind)
    )


def place_of_word(effects: list[Effect], kind: type[Statement]) -> int:
    """Return where in the step the first own statement of a kind stands."""
    return next(
        i for i, e in enumerate(effects) if isinstance(e, Say) and isinstance(e.statement, kind)
    )


# --- replicas


@dataclass
class Driven:
    """A replica, its clock and its disk."""

    committee: Committee
    me: ValidatorIndex
    replica: Replica
    disk: Disk
    now_ms: int = START_MS
    everything: list[Effect] = field(default_factory=list)
    at_start: list[Effect] = field(default_factory=list)

    def start(self) -> list[Effect]:
        """Start with every peer connected: what it takes to judge a leader."""
        self.replica.state.connected.update(self.replica.state.peers)
        self.at_start = self._note(self.replica.start(self.now_ms))
        return self.at_start

    def step(self, event: Event) -> list[Effect]:
        """Take one step; what it writes is on the disk at once."""
        return self._note(self.replica.step(event, self.now_ms))

    def step_tick(self) -> list[Effect]:
        return self.step(Tick())

    def hear(self, *messages: Message, sender: int | None = None) -> list[Effect]:
        """Receive messages, each from its author unless a sender is named."""
        effects: list[Effect] = []
        for message in messages:
            author = getattr(message, "author", 0) if sender is None else sender
            effects += self.step(Received(ValidatorIndex(author), message))
        return effects

    def come_back(self, effects: list[Effect]) -> list[Effect]:
        """Give the replica its own words back, and storage's answers, until it is quiet."""
        found: list[Effect] = []
        waiting = list(effects)
        while waiting:
            effect = waiting.pop(0)
            more: list[Effect] = []
            if isinstance(effect, Say):
                more = self.step(Received(self.me, signed(effect.statement)))
            elif isinstance(effect, Lookup):
                more = self.step(self.looked_up(effect))
            found += more
            waiting += more
        return found

    def looked_up(self, effect: Lookup) -> LookedUp:
        final = self.disk.tables.final
        return LookedUp(
            tuple(final[h] for h in effect.hashes if h in final),
            tuple(h for h in effect.hashes if h not in final),
        )

    def hear_all(self, *messages: Message, sender: int | None = None) -> list[Effect]:
        """Receive messages, and let all that follows from the own words happen."""
        effects: list[Effect] = []
        for message in messages:
            now = self.hear(message, sender=sender)
            effects += now + self.come_back(now)
        return effects

    def do(self, event: Event) -> list[Effect]:
        """Take one step and let all that follows from the own words happen."""
        effects = self.step(event)
        return effects + self.come_back(effects)

    def wait(self, delay_ms: int) -> list[Effect]:
        """Let time pass, then tick."""
        self.now_ms += delay_ms
        return self.step(Tick())

    def restart(self) -> "Driven":
        """Crash with everything synced; return what starts from the disk."""
        self.disk.sync()
        return restarted(self, self.disk.restore())

    def finalize(self, view: int, *messages: VertexMessage) -> list[Effect]:
        """Let anchors arrive and a certificate make the last one final."""
        effects = self.hear_all(*messages)
        return effects + self.hear_all(committed(view, messages[-1]))

    def _note(self, effects: list[Effect]) -> list[Effect]:
        signs = [
            Say(signed(e.statement)) if isinstance(e, Say) else e for e in effects
        ]  # as the shell does, before anything is stored
        self.disk.write(signs)
        self.everything += effects
        return effects


def make_replica(
    me: int = 1,
    *,
    committee: Committee = COMMITTEE,
    restored: Restored | None = None,
    timing: Timing = TIMING,
    start: bool = True,
) -> Driven:
    """Return a started replica: validator 1 of 4, a backup in view 0, on a fresh chain."""
    index = ValidatorIndex(me)
    core = Replica(committee, index, timing, restored or Restored(final=ROOT))
    tested = Driven(committee, index, core, Disk(committee))
    if start:
        tested.start()
    return tested


def restarted(before: Driven, restored: Restored) -> Driven:
    core = Replica(before.committee, before.me, TIMING, restored)
    tested = Driven(before.committee, before.me, core, before.disk, before.now_ms)
    tested.start()
    return tested


def alone(*, window: int = 4, interval: int = 2, dedup: int = 4) -> Driven:
    """Return the only validator of its chain: it finalizes whatever it is given."""
    return make_replica(0, committee=committee_of(1, window=window, interval=interval, dedup=dedup))
