"""The exact bytes that a validator signs, and every signature that a message rests on.

Each statement binds project, protocol version, chain, validator set, kind, author and
incarnation before its own fields, so that a signature means one thing on one chain. SPEC K3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, assert_never

from cretonode.core.committee import Committee
from cretonode.core.messages import (
    Attestation,
    Certificate,
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
    SlotHeaders,
    Statement,
    Status,
    Suspect,
    VertexMessage,
    ViewChange,
)
from cretonode.core.recovery import Recovery, incarnation_of
from cretonode.crypto.canonical import Value, encode
from cretonode.identifiers import PROTOCOL_VERSION, Incarnation, ValidatorIndex, View

DOMAIN: Final = "cretonode"


@dataclass(frozen=True, slots=True)
class Claim:
    """`author` is said to have signed `statement`."""

    author: ValidatorIndex
    statement: bytes
    signature: bytes


def statement_of(committee: Committee, message: Statement) -> bytes:
    """Return the bytes that the author of `message` signs."""
    match message:
        case VertexMessage(vertex=vertex):
            of = incarnation_of(vertex.index)
            return _of(committee, of, "vertex", vertex.author, vertex.hash)
        case PrePrepare():
            return _vote(committee, "pre-prepare", message)
        case Prepare():
            return _vote(committee, "prepare", message)
        case Commit():
            return _vote(committee, "commit", message)
        case ViewChange():
            return _view_change(committee, message.author, message.view, message.high)
        case NewView():
            fields = _position(message.base)
            return _statement(committee, "new-view", message.author, message.view, fields)
        case Suspect():
            return _statement(committee, "suspect", message.author, message.view)
        case Checkpoint():
            return _statement(
                committee, "checkpoint", message.author, message.sequence, message.digest
            )
        case Rejoin():
            return _statement(committee, "rejoin", message.author, message.nonce, message.until)
        case Attestation():
            answered = (message.about, message.nonce, message.view, message.index)
            return _statement(committee, "attestation", message.author, *answered)
        case _:
            assert_never(message)


def recovery_statement(committee: Committee, recovery: Recovery, author: ValidatorIndex) -> bytes:
    """Return what `author`, of the incarnation before, signs of a recovery."""
    return _of(
        committee,
        recovery.previous,
        "recovery",
        author,
        committee.genesis,
        recovery.incarnation,
        [recovery.final, recovery.final_anchor],
        [recovery.checkpoint, recovery.digest],
        [recovery.base, recovery.base_anchor],
    )


def recovery_claims(committee: Committee, recovery: Recovery) -> Iterator[Claim]:
    """Yield every signature that a recovery rests on."""
    for vote in recovery.votes:
        statement = recovery_statement(committee, recovery, vote.author)
        yield Claim(vote.author, statement, vote.signature)


def claims_of(committee: Committee, message: Message) -> Iterator[Claim]:
    """Yield every signature that must verify before `message` may be believed.

    The message's shape must have been checked before (`core.certificate`).
    """
    match message:
        case Status() | FetchVertices() | FetchSlots():
            return
        case PrepareCertificate() | CommitCertificate() | CheckpointCertificate():
            yield from _certificate_claims(committee, message)
        case Evidence(first=first, second=second):
            yield Claim(first.author, statement_of(committee, first), first.signature)
            yield Claim(second.author, statement_of(committee, second), second.signature)
        case SlotHeaders():
            # The headers carry no signatures: the certificate covers them through hashes.
            for certificate in (message.certificate, message.checkpoint):
                if certificate is not None:
                    yield from _certificate_claims(committee, certificate)
        case ViewChange():
            yield Claim(message.author, statement_of(committee, message), message.signature)
            if message.certificate is not None:
                yield from _certificate_claims(committee, message.certificate)
        case NewView():
            yield Claim(message.author, statement_of(committee, message), message.signature)
            for vote in message.timeouts:
                signed = _view_change(committee, vote.author, message.view, vote.high)
                yield Claim(vote.author, signed, vote.signature)
            if message.certificate is not None:
                yield from _certificate_claims(committee, message.certificate)
        case _:
            yield Claim(message.author, statement_of(committee, message), message.signature)


def _certificate_claims(committee: Committee, certificate: Certificate) -> Iterator[Claim]:
    """Commits and checkpoints verify in the incarnation that decided their sequence.

    Prepares do in the present one alone: positions of another one compare with nothing here.
    """
    sequence = certificate.sequence
    for vote in certificate.votes:
        author = vote.author
        of = committee.incarnation_at(sequence, author)
        match certificate:
            case PrepareCertificate(view=view, anchor=anchor):
                of = committee.incarnations[author]
                # The leader never sends a prepare: its pre-prepare is one.
                kind = "pre-prepare" if author == committee.leader_of(view) else "prepare"
                statement = _of(committee, of, kind, author, view, sequence, anchor)
            case CommitCertificate(view=view, anchor=anchor):
                statement = _of(committee, of, "commit", author, view, sequence, anchor)
            case CheckpointCertificate(digest=digest):
                statement = _of(committee, of, "checkpoint", author, sequence, digest)
        yield Claim(author, statement, vote.signature)


def _statement(committee: Committee, kind: str, author: ValidatorIndex, *fields: Value) -> bytes:
    return _of(committee, committee.incarnations[author], kind, author, *fields)


def _of(
    committee: Committee,
    incarnation: Incarnation,
    kind: str,
    author: ValidatorIndex,
    *fields: Value,
) -> bytes:
    return encode(
        [
            DOMAIN,
            PROTOCOL_VERSION,
            committee.chain_id,
            committee.validator_set,
            kind,
            author,
            incarnation,
            *fields,
        ]
    )


def _vote(committee: Committee, kind: str, vote: PrePrepare | Prepare | Commit) -> bytes:
    return _statement(committee, kind, vote.author, vote.view, vote.sequence, vote.anchor)


def _view_change(committee: Committee, author: ValidatorIndex, view: View, high: Position) -> bytes:
    return _statement(committee, "view-change", author, view, _position(high))


def _position(position: Position) -> Value:
    # Views count from 0, so genesis (view -1) is 0 and the others move up by one.
    return [position.view + 1, position.sequence, position.anchor]
