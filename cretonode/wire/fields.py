"""The fields that messages, journal records and stored certificates are made of.

A `..._value` function returns what `crypto.canonical` encodes; its `..._untrusted` twin takes what
that module decoded, trusts none of it, and raises MalformedMessage alone.
Pure. Called only within `wire`. Source: docs/spec/wire.md, section 3.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from cretonode.core.messages import (
    CheckpointCertificate,
    CommitCertificate,
    NewView,
    Position,
    PrepareCertificate,
    Signed,
    ViewChange,
    ViewChangeVote,
)
from cretonode.crypto.canonical import Value
from cretonode.errors import MalformedMessage
from cretonode.identifiers import (
    HASH_BYTES,
    Digest,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.limits import SIGNATURE_BYTES, VALIDATORS_MAX

NUMBER_MAX: Final = 2**63 - 1  # views, sequences, indexes, times

OrderCertificate = TypeVar("OrderCertificate", PrepareCertificate, CommitCertificate)

# --- single values


def number_untrusted(name: str, value: Value, low: int = 0, high: int = NUMBER_MAX) -> int:
    """Return a whole number from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:  # a bool is no number here
        raise MalformedMessage(f"{name} is not a whole number from {low} to {high}")
    return value


def view_untrusted(value: Value, low: int = 0) -> View:
    """Return a view; genesis' is none."""
    return View(number_untrusted("view", value, low))


def sequence_untrusted(value: Value, low: int = 1) -> SequenceNumber:
    """Return a sequence that can be voted on, unless `low` also admits genesis."""
    return SequenceNumber(number_untrusted("sequence", value, low))


def author_untrusted(value: Value) -> ValidatorIndex:
    """Return a validator of some committee."""
    return ValidatorIndex(number_untrusted("author", value, 0, VALIDATORS_MAX - 1))


def flag_untrusted(name: str, value: Value) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise MalformedMessage(f"{name} is neither true nor false")
    return value


def hash_untrusted(name: str, value: Value) -> bytes:
    """Return the 32 bytes of a hash."""
    if type(value) is not bytes or len(value) != HASH_BYTES:
        raise MalformedMessage(f"{name} is not {HASH_BYTES} bytes")
    return value


def bytes_untrusted(name: str, value: Value, high: int) -> bytes:
    """Return at most `high` bytes."""
    if type(value) is not bytes or len(value) > high:
        raise MalformedMessage(f"{name} is not a byte string of at most {high} bytes")
    return value


def text_untrusted(name: str, value: Value, high: int) -> str:
    """Return 1 to `high` printable characters: nothing that could steer a terminal."""
    if type(value) is not str or not 1 <= len(value) <= high or not value.isprintable():
        raise MalformedMessage(f"{name} is not a text of 1 to {high} printable characters")
    return value


def signature_value(signature: bytes) -> bytes:
    """Return `signature`. What nobody has signed yet must not leave this node."""
    assert 1 <= len(signature) <= SIGNATURE_BYTES, f"a signature of {len(signature)} bytes"
    return signature


def signature_untrusted(value: Value) -> bytes:
    """Return 1 to SIGNATURE_BYTES bytes; genesis' crypto mode fixes the exact length."""
    if type(value) is not bytes or not 1 <= len(value) <= SIGNATURE_BYTES:
        raise MalformedMessage(f"a signature is not 1 to {SIGNATURE_BYTES} bytes")
    return value


# --- arrays


def items_untrusted(name: str, value: Value, count: int) -> Sequence[Value]:
    """Return the items of an array that has exactly `count`."""
    if not isinstance(value, list) or len(value) != count:
        raise MalformedMessage(f"{name} is not an array of {count} items")
    return value


def list_untrusted(name: str, value: Value, high: int, low: int = 0) -> Sequence[Value]:
    """Return the items of an array that has `low` to `high`."""
    if not isinstance(value, list) or not low <= len(value) <= high:
        raise MalformedMessage(f"{name} are not an array of {low} to {high} items")
    return value


def position_value(position: Position) -> Value:
    """Return [view + 1, sequence, anchor], as it is signed: views move up, genesis is 0."""
    assert position.view == -1 or position.sequence > 0, position
    return [position.view + 1, position.sequence, position.anchor]


def position_untrusted(value: Value) -> Position:
    """Return a position: genesis', a recovery's or a certified one."""
    moved, sequence, anchor = items_untrusted("a position", value, 3)
    view = number_untrusted("the view of a position", moved, 0, NUMBER_MAX + 1) - 1
    number = sequence_untrusted(sequence, 0)
    if view >= 0 and number == 0:
        raise MalformedMessage("a position of a view with the sequence of genesis")
    return Position(View(view), number, VertexHash(hash_untrusted("anchor", anchor)))


def votes_value(votes: tuple[Signed, ...]) -> Value:
    """Return [[author, signature], ...]."""
    assert len(votes) <= VALIDATORS_MAX, len(votes)
    return [[vote.author, signature_value(vote.signature)] for vote in votes]


def votes_untrusted(value: Value) -> tuple[Signed, ...]:
    """Return the votes of a certificate; whether they are a quorum is `core.certificate`'s."""
    votes = []
    for item in list_untrusted("votes", value, VALIDATORS_MAX):
        author, signature = items_untrusted("a vote", item, 2)
        votes.append(Signed(author_untrusted(author), signature_untrusted(signature)))
    return tuple(votes)


def timeouts_value(timeouts: tuple[ViewChangeVote, ...]) -> Value:
    """Return [[author, position, signature], ...]."""
    assert len(timeouts) <= VALIDATORS_MAX, len(timeouts)
    return [
        [vote.author, position_value(vote.high), signature_value(vote.signature)]
        for vote in timeouts
    ]


def timeouts_untrusted(value: Value) -> tuple[ViewChangeVote, ...]:
    """Return the votes of a timeout certificate."""
    votes = []
    for item in list_untrusted("timeouts", value, VALIDATORS_MAX):
        author, high, signature = items_untrusted("a timeout", item, 3)
        votes.append(
            ViewChangeVote(
                author_untrusted(author), position_untrusted(high), signature_untrusted(signature)
            )
        )
    return tuple(votes)


# --- certificates


def order_certificate_value(certificate: PrepareCertificate | CommitCertificate) -> list[Value]:
    """Return [view, sequence, anchor, votes]."""
    return [
        certificate.view,
        certificate.sequence,
        certificate.anchor,
        votes_value(certificate.votes),
    ]


def order_certificate_untrusted(
    kind: type[OrderCertificate], items: Sequence[Value]
) -> OrderCertificate:
    """Return the prepare or commit certificate of these four items."""
    view, sequence, anchor, votes = items
    return kind(
        view=view_untrusted(view),
        sequence=sequence_untrusted(sequence),
        anchor=VertexHash(hash_untrusted("anchor", anchor)),
        votes=votes_untrusted(votes),
    )


def proof_value(certificate: PrepareCertificate | None) -> Value:
    """Return the certificate as an array, or null where genesis needs none."""
    return None if certificate is None else order_certificate_value(certificate)


def proof_untrusted(value: Value) -> PrepareCertificate | None:
    """Return the prepare certificate, or None."""
    if value is None:
        return None
    items = items_untrusted("a prepare certificate", value, 4)
    return order_certificate_untrusted(PrepareCertificate, items)


def checkpoint_certificate_value(certificate: CheckpointCertificate) -> list[Value]:
    """Return [sequence, digest, votes]."""
    return [certificate.sequence, certificate.digest, votes_value(certificate.votes)]


def checkpoint_certificate_untrusted(items: Sequence[Value]) -> CheckpointCertificate:
    """Return the checkpoint certificate of these three items."""
    sequence, digest, votes = items
    return CheckpointCertificate(
        sequence=sequence_untrusted(sequence),
        digest=Digest(hash_untrusted("digest", digest)),
        votes=votes_untrusted(votes),
    )


# --- bodies that the wire carries with a signature and the journal without


def view_change_value(message: ViewChange) -> list[Value]:
    """Return [view, high, certificate, author]."""
    return [
        message.view,
        position_value(message.high),
        proof_value(message.certificate),
        message.author,
    ]


def view_change_untrusted(items: Sequence[Value], signature: bytes) -> ViewChange:
    """Return the view-change of these four items; nobody leaves a view for view 0."""
    view, high, certificate, author = items
    return ViewChange(
        view=view_untrusted(view, 1),
        high=position_untrusted(high),
        certificate=proof_untrusted(certificate),
        author=author_untrusted(author),
        signature=signature,
    )


def new_view_value(message: NewView) -> list[Value]:
    """Return [view, base, timeouts, certificate, author]."""
    return [
        message.view,
        position_value(message.base),
        timeouts_value(message.timeouts),
        proof_value(message.certificate),
        message.author,
    ]


def new_view_untrusted(items: Sequence[Value], signature: bytes) -> NewView:
    """Return the new-view of these five items."""
    view, base, timeouts, certificate, author = items
    return NewView(
        view=view_untrusted(view, 1),
        base=position_untrusted(base),
        timeouts=timeouts_untrusted(timeouts),
        certificate=proof_untrusted(certificate),
        author=author_untrusted(author),
        signature=signature,
    )
