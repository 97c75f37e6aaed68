"""Recoveries and proposals as bytes: what the files of `cretonode recover` and the database hold.

Pure. Source: docs/spec/wire.md, section 11.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from cretonode.core.messages import (
    CheckpointCertificate,
    CommitCertificate,
    Message,
    PrepareCertificate,
)
from cretonode.core.recovery import Recovery
from cretonode.core.recovery_plan import JournalState, Proposal
from cretonode.crypto.canonical import Value, decode_untrusted, encode
from cretonode.dag.vertex import Vertex, header_untrusted
from cretonode.errors import MalformedMessage
from cretonode.identifiers import (
    ChainId,
    Digest,
    Incarnation,
    SequenceNumber,
    VertexHash,
)
from cretonode.limits import INCARNATION_MAX, PARENTS_MAX, RECOVERIES_MAX, VALIDATORS_MAX
from cretonode.wire import fields
from cretonode.wire.messages import decode_message_untrusted, encode_message
from cretonode.wire.tagged import MESSAGE_BYTES_MAX

PROPOSAL_DOMAIN: Final = "cretonode recovery proposal"
ANCHORS_MAX: Final = 8192  # in one proposal; the newest
HEADER_BYTES_MAX: Final = 128 + 34 * PARENTS_MAX
VALUES_MAX: Final = 4 * VALIDATORS_MAX * (RECOVERIES_MAX + 1) + ANCHORS_MAX + 64

Kind = TypeVar("Kind", CommitCertificate, PrepareCertificate, CheckpointCertificate)


def encode_recoveries(recoveries: Sequence[Recovery]) -> bytes:
    """Return the one encoding of a line of recoveries."""
    return encode([_recovery_value(recovery) for recovery in recoveries])


def decode_recoveries_untrusted(data: bytes) -> tuple[Recovery, ...]:
    """Return the recoveries whose one encoding is `data`. Raises: MalformedMessage."""
    return _recoveries_untrusted(decode_untrusted(data, values_max=VALUES_MAX))


def encode_proposal(chain_id: ChainId, genesis: VertexHash, proposal: Proposal) -> bytes:
    """Return what a proposal says, without its signature: what its author signs."""
    return encode(
        [
            PROPOSAL_DOMAIN,
            1,
            chain_id,
            genesis,
            proposal.author,
            [_recovery_value(recovery) for recovery in proposal.recoveries],
            proposal.promised,
            proposal.journal.value,
            proposal.final,
            proposal.anchor,
            _optional(proposal.certificate),
            _optional(proposal.checkpoint),
            _optional(proposal.high),
            [vertex.header() for vertex in proposal.anchors],
        ]
    )


def decode_proposal_untrusted(
    chain_id: ChainId, genesis: VertexHash, data: bytes, signature: bytes
) -> Proposal:
    """Return the proposal that `data` is, of this chain. Raises: MalformedMessage."""
    items = fields.items_untrusted("a proposal", decode_untrusted(data, values_max=VALUES_MAX), 14)
    domain, version, chain, of, author, recoveries, promised, journal, *rest = items
    if domain != PROPOSAL_DOMAIN or version != 1:
        raise MalformedMessage("no recovery proposal of version 1")
    if chain != chain_id or of != genesis:
        raise MalformedMessage(f"of another chain than {chain_id!r}, or another genesis document")
    final, anchor, certificate, checkpoint, high, anchors = rest
    if not isinstance(journal, str) or journal not in set(JournalState):
        raise MalformedMessage("an unknown state of the journal")
    return Proposal(
        author=fields.author_untrusted(author),
        recoveries=_recoveries_untrusted(recoveries),
        promised=_incarnation_untrusted(promised),
        journal=JournalState(journal),
        final=fields.sequence_untrusted(final, 0),
        anchor=VertexHash(fields.hash_untrusted("anchor", anchor)),
        certificate=_certificate_untrusted(CommitCertificate, certificate),
        checkpoint=_certificate_untrusted(CheckpointCertificate, checkpoint),
        high=_certificate_untrusted(PrepareCertificate, high),
        anchors=tuple(
            map(_anchor_untrusted, fields.list_untrusted("anchors", anchors, ANCHORS_MAX))
        ),
        signature=fields.signature_untrusted(signature),
    )


def _recovery_value(recovery: Recovery) -> Value:
    return [
        recovery.previous,
        recovery.incarnation,
        recovery.final,
        recovery.final_anchor,
        recovery.checkpoint,
        recovery.digest,
        recovery.base,
        recovery.base_anchor,
        fields.votes_value(recovery.votes),
    ]


def _recoveries_untrusted(value: Value) -> tuple[Recovery, ...]:
    listed = fields.list_untrusted("recoveries", value, RECOVERIES_MAX)
    return tuple(_recovery_untrusted(item) for item in listed)


def _recovery_untrusted(value: Value) -> Recovery:
    items = fields.items_untrusted("a recovery", value, 9)
    previous, incarnation, final, final_anchor, checkpoint, digest, base, base_anchor, votes = items
    return Recovery(
        previous=_incarnation_untrusted(previous),
        incarnation=_incarnation_untrusted(incarnation),
        final=SequenceNumber(fields.sequence_untrusted(final, 0)),
        final_anchor=VertexHash(fields.hash_untrusted("anchor", final_anchor)),
        checkpoint=SequenceNumber(fields.sequence_untrusted(checkpoint, 0)),
        digest=Digest(fields.hash_untrusted("digest", digest)),
        base=SequenceNumber(fields.sequence_untrusted(base, 0)),
        base_anchor=VertexHash(fields.hash_untrusted("anchor", base_anchor)),
        votes=fields.votes_untrusted(votes),
    )


def _incarnation_untrusted(value: Value) -> Incarnation:
    return Incarnation(fields.number_untrusted("incarnation", value, 0, INCARNATION_MAX))


def _optional(message: Message | None) -> Value:
    return None if message is None else encode_message(message)


def _certificate_untrusted(kind: type[Kind], value: Value) -> Kind | None:
    if value is None:
        return None
    data = fields.bytes_untrusted("a certificate", value, MESSAGE_BYTES_MAX)
    certificate = decode_message_untrusted(data)
    if not isinstance(certificate, kind):
        raise MalformedMessage(f"a {type(certificate).__name__} in place of a {kind.__name__}")
    return certificate


def _anchor_untrusted(value: Value) -> Vertex:
    vertex = header_untrusted(fields.bytes_untrusted("a header", value, HEADER_BYTES_MAX))
    if not vertex.is_anchor:
        raise MalformedMessage("a vertex that is no anchor")
    return vertex
