"""The two statements of evidence as arrays: what a signature covers, and the signature.

A statement here is shorter than the message that carried it: no payload, no certificates.
Pure. Called only within `wire`. Source: docs/spec/wire.md, section 4.
"""

from collections.abc import Sequence
from typing import Final

from cretonode.core.messages import (
    Checkpoint,
    Commit,
    Evidence,
    NewView,
    Prepare,
    PrePrepare,
    Statement,
    VertexMessage,
    ViewChange,
    Vote,
)
from cretonode.crypto.canonical import Value
from cretonode.dag.vertex import header_untrusted
from cretonode.errors import MalformedMessage
from cretonode.identifiers import Digest, VertexHash
from cretonode.limits import PARENTS_MAX
from cretonode.wire import fields

HEADER_BYTES_MAX: Final = 128 + 34 * PARENTS_MAX  # 34: a hash and its CBOR head
# The numbers of the messages that say the same, so that there is one table of them.
VERTEX, PRE_PREPARE, PREPARE, COMMIT, VIEW_CHANGE, NEW_VIEW, CHECKPOINT = 1, 2, 3, 4, 5, 6, 8
VOTES: Final[dict[int, type[Vote]]] = {PRE_PREPARE: PrePrepare, PREPARE: Prepare, COMMIT: Commit}


def evidence_value(evidence: Evidence) -> list[Value]:
    """Return the two statements."""
    return [_statement_value(evidence.first), _statement_value(evidence.second)]


def evidence_untrusted(items: Sequence[Value]) -> Evidence:
    """Return the evidence of these two items; whether they contradict is `core.evidence`'s."""
    first, second = items
    return Evidence(first=_statement_untrusted(first), second=_statement_untrusted(second))


def _statement_value(statement: Statement) -> Value:
    signature = fields.signature_value(statement.signature)
    match statement:
        case VertexMessage(vertex=vertex):
            return [VERTEX, vertex.header(), signature]
        case PrePrepare() | Prepare() | Commit():
            number = next(number for number, kind in VOTES.items() if type(statement) is kind)
            view, sequence, anchor = statement.view, statement.sequence, statement.anchor
            return [number, view, sequence, anchor, statement.author, signature]
        case ViewChange():
            high = fields.position_value(statement.high)
            return [VIEW_CHANGE, statement.view, high, statement.author, signature]
        case NewView():
            base = fields.position_value(statement.base)
            return [NEW_VIEW, statement.view, base, statement.author, signature]
        case Checkpoint():
            sequence, digest = statement.sequence, statement.digest
            return [CHECKPOINT, sequence, digest, statement.author, signature]
        case _:
            raise AssertionError(f"no statement of evidence: {statement}")


def _statement_untrusted(value: Value) -> Statement:
    if not isinstance(value, list) or not value:
        raise MalformedMessage("a statement is not an array that starts with a type number")
    number = value[0]
    if type(number) is not int:
        raise MalformedMessage("a statement of an unknown type")
    if number in VOTES:
        return _vote_untrusted(VOTES[number], value)
    match number:
        case 1:
            return _vertex_untrusted(value)
        case 5:
            _, view, high, author, signature = fields.items_untrusted("a view-change", value, 5)
            return ViewChange(
                view=fields.view_untrusted(view, 1),
                high=fields.position_untrusted(high),
                certificate=None,
                author=fields.author_untrusted(author),
                signature=fields.signature_untrusted(signature),
            )
        case 6:
            _, view, base, author, signature = fields.items_untrusted("a new-view", value, 5)
            return NewView(
                view=fields.view_untrusted(view, 1),
                base=fields.position_untrusted(base),
                timeouts=(),
                certificate=None,
                author=fields.author_untrusted(author),
                signature=fields.signature_untrusted(signature),
            )
        case 8:
            _, sequence, digest, author, signature = fields.items_untrusted(
                "a checkpoint", value, 5
            )
            return Checkpoint(
                sequence=fields.sequence_untrusted(sequence),
                digest=Digest(fields.hash_untrusted("digest", digest)),
                author=fields.author_untrusted(author),
                signature=fields.signature_untrusted(signature),
            )
        case _:
            raise MalformedMessage("a statement of an unknown type")


def _vertex_untrusted(value: Value) -> VertexMessage:
    _, header, signature = fields.items_untrusted("a vertex", value, 3)
    return VertexMessage(
        vertex=header_untrusted(fields.bytes_untrusted("header", header, HEADER_BYTES_MAX)),
        payload=b"",
        transaction_ids=b"",
        signature=fields.signature_untrusted(signature),
    )


def _vote_untrusted(kind: type[Vote], value: Value) -> Vote:
    _, view, sequence, anchor, author, signature = fields.items_untrusted("a vote", value, 6)
    return kind(
        view=fields.view_untrusted(view),
        sequence=fields.sequence_untrusted(sequence),
        anchor=VertexHash(fields.hash_untrusted("anchor", anchor)),
        author=fields.author_untrusted(author),
        signature=fields.signature_untrusted(signature),
    )
