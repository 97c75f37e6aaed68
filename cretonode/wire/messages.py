"""Messages as bytes: what `core.messages` says, in canonical CBOR.

A message is one array, [type number, field, ...]. Pure, without state of its own, so that a worker
thread can decode: checking a vertex hashes its whole payload.
Source: docs/spec/wire.md, section 4.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, assert_never

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
    Prepare,
    PrepareCertificate,
    PrePrepare,
    Rejoin,
    SlotStatus,
    Status,
    Suspect,
    VertexMessage,
    ViewChange,
    Vote,
)
from cretonode.crypto.canonical import Value, encode
from cretonode.dag.payload import checked_ids_untrusted
from cretonode.dag.vertex import header_untrusted
from cretonode.errors import MalformedMessage
from cretonode.identifiers import AuthorIndex, Digest, VertexHash
from cretonode.limits import (
    FETCH_HASHES_MAX,
    FETCH_SLOTS_MAX,
    PAYLOAD_BYTES_MAX,
    SIGNATURE_BYTES,
    VALIDATORS_MAX,
)
from cretonode.wire import fields
from cretonode.wire.evidence import HEADER_BYTES_MAX, evidence_untrusted, evidence_value
from cretonode.wire.tagged import (
    MESSAGE_BYTES_MAX,
    STATUS_SLOTS_MAX,
    Decoders,
    decode_tagged_untrusted,
)

# The one table of type numbers. A number that was ever in use is never given to another type.
NUMBERS: Final[dict[type[Message], int]] = {
    VertexMessage: 1,
    PrePrepare: 2,
    Prepare: 3,
    Commit: 4,
    ViewChange: 5,
    NewView: 6,
    Suspect: 7,
    Checkpoint: 8,
    PrepareCertificate: 9,
    CommitCertificate: 10,
    CheckpointCertificate: 11,
    Status: 12,
    FetchVertices: 13,
    FetchSlots: 14,
    Rejoin: 18,
    Attestation: 19,
    Evidence: 22,
}

BITMAP_BYTES_MAX: Final = VALIDATORS_MAX // 8

assert len(set(NUMBERS.values())) == len(NUMBERS)
assert VALIDATORS_MAX % 8 == 0
assert HEADER_BYTES_MAX + PAYLOAD_BYTES_MAX + SIGNATURE_BYTES + 64 < MESSAGE_BYTES_MAX


def encode_message(message: Message) -> bytes:
    """Return the one encoding of `message`. It must be signed: see UNSIGNED in `core.messages`."""
    return encode([NUMBERS[type(message)], *_values(message)])


def decode_message_untrusted(data: bytes) -> Message:
    """Return the message whose one encoding is `data`; a vertex comes with its transaction ids.

    What needs the committee is not checked: shape (`core.certificate`) and signatures.
    Raises: MalformedMessage.
    """
    return decode_tagged_untrusted(data, _DECODERS)


def _values(message: Message) -> Sequence[Value]:
    match message:
        case PrePrepare() | Prepare() | Commit():
            return [
                message.view,
                message.sequence,
                message.anchor,
                message.author,
                fields.signature_value(message.signature),
            ]
        case VertexMessage(vertex=vertex, payload=payload):
            assert len(payload) == vertex.payload_bytes, (len(payload), vertex.payload_bytes)
            return [vertex.header(), payload, fields.signature_value(message.signature)]
        case Suspect():
            return [message.view, message.author, fields.signature_value(message.signature)]
        case Checkpoint():
            signature = fields.signature_value(message.signature)
            return [message.sequence, message.digest, message.author, signature]
        case ViewChange():
            signature = fields.signature_value(message.signature)
            return [*fields.view_change_value(message), signature]
        case NewView():
            signature = fields.signature_value(message.signature)
            return [*fields.new_view_value(message), signature]
        case PrepareCertificate() | CommitCertificate():
            return fields.order_certificate_value(message)
        case Rejoin():
            signature = fields.signature_value(message.signature)
            return [message.nonce, message.until, message.author, signature]
        case Attestation():
            return [
                message.about,
                message.nonce,
                message.view,
                message.index,
                message.author,
                fields.signature_value(message.signature),
            ]
        case CheckpointCertificate():
            return fields.checkpoint_certificate_value(message)
        case Evidence():
            return evidence_value(message)
        case Status():
            return _status_values(message)
        case FetchVertices(hashes=hashes):
            assert 1 <= len(hashes) <= FETCH_HASHES_MAX, len(hashes)
            return [hashes]
        case FetchSlots(first=first, count=count):
            assert 1 <= count <= FETCH_SLOTS_MAX, count
            return [first, count]
        case _:
            assert_never(message)


def _status_values(message: Status) -> Sequence[Value]:
    assert len(message.slots) <= STATUS_SLOTS_MAX, len(message.slots)
    assert len(message.newest) <= VALIDATORS_MAX, len(message.newest)
    return [
        message.view,
        message.has_base,
        message.final,
        message.stable,
        [
            [slot.accepted, _bitmap_value(slot.prepares), _bitmap_value(slot.commits)]
            for slot in message.slots
        ],
        message.newest,
    ]


def _bitmap_value(bits: int) -> bytes:
    """Return the bits, lowest first, without trailing zero bytes: up to 128 fit no CBOR number."""
    assert 0 <= bits < 1 << VALIDATORS_MAX, bits
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


# --- decoders: each takes as many items as the table at the end says


def _vote_untrusted(kind: type[Vote], items: Sequence[Value]) -> Vote:
    view, sequence, anchor, author, signature = items
    return kind(
        view=fields.view_untrusted(view),
        sequence=fields.sequence_untrusted(sequence),
        anchor=VertexHash(fields.hash_untrusted("anchor", anchor)),
        author=fields.author_untrusted(author),
        signature=fields.signature_untrusted(signature),
    )


def _vertex_untrusted(items: Sequence[Value]) -> VertexMessage:
    header, payload, signature = items
    signed = fields.signature_untrusted(signature)
    blob = fields.bytes_untrusted("payload", payload, PAYLOAD_BYTES_MAX)
    vertex = header_untrusted(fields.bytes_untrusted("header", header, HEADER_BYTES_MAX))
    return VertexMessage(
        vertex=vertex,
        payload=blob,
        transaction_ids=checked_ids_untrusted(vertex, blob),
        signature=signed,
    )


def _view_change_untrusted(items: Sequence[Value]) -> ViewChange:
    return fields.view_change_untrusted(items[:-1], fields.signature_untrusted(items[-1]))


def _new_view_untrusted(items: Sequence[Value]) -> NewView:
    return fields.new_view_untrusted(items[:-1], fields.signature_untrusted(items[-1]))


def _suspect_untrusted(items: Sequence[Value]) -> Suspect:
    view, author, signature = items
    return Suspect(
        view=fields.view_untrusted(view),
        author=fields.author_untrusted(author),
        signature=fields.signature_untrusted(signature),
    )


def _checkpoint_untrusted(items: Sequence[Value]) -> Checkpoint:
    sequence, digest, author, signature = items
    return Checkpoint(
        sequence=fields.sequence_untrusted(sequence),
        digest=Digest(fields.hash_untrusted("digest", digest)),
        author=fields.author_untrusted(author),
        signature=fields.signature_untrusted(signature),
    )


def _rejoin_untrusted(items: Sequence[Value]) -> Rejoin:
    nonce, until, author, signature = items
    return Rejoin(
        nonce=fields.hash_untrusted("nonce", nonce),
        until=fields.view_untrusted(until),
        author=fields.author_untrusted(author),
        signature=fields.signature_untrusted(signature),
    )


def _attestation_untrusted(items: Sequence[Value]) -> Attestation:
    about, nonce, view, index, author, signature = items
    return Attestation(
        about=fields.author_untrusted(about),
        nonce=fields.hash_untrusted("nonce", nonce),
        view=fields.view_untrusted(view),
        index=AuthorIndex(fields.number_untrusted("index", index)),
        author=fields.author_untrusted(author),
        signature=fields.signature_untrusted(signature),
    )


def _status_untrusted(items: Sequence[Value]) -> Status:
    view, has_base, final, stable, slots, newest = items
    return Status(
        view=fields.view_untrusted(view),
        has_base=fields.flag_untrusted("has_base", has_base),
        final=fields.sequence_untrusted(final, 0),
        stable=fields.sequence_untrusted(stable, 0),
        slots=tuple(
            _slot_untrusted(slot)
            for slot in fields.list_untrusted("slots", slots, STATUS_SLOTS_MAX)
        ),
        newest=tuple(
            AuthorIndex(fields.number_untrusted("index", index))
            for index in fields.list_untrusted("newest", newest, VALIDATORS_MAX)
        ),
    )


def _slot_untrusted(value: Value) -> SlotStatus:
    accepted, prepares, commits = fields.items_untrusted("a slot", value, 3)
    return SlotStatus(
        accepted=fields.flag_untrusted("accepted", accepted),
        prepares=_bitmap_untrusted(prepares),
        commits=_bitmap_untrusted(commits),
    )


def _bitmap_untrusted(value: Value) -> int:
    data = fields.bytes_untrusted("a bitmap", value, BITMAP_BYTES_MAX)
    if data.endswith(b"\0"):
        raise MalformedMessage("a bitmap ends in a zero byte")
    return int.from_bytes(data, "little")


def _fetch_vertices_untrusted(items: Sequence[Value]) -> FetchVertices:
    hashes = fields.list_untrusted("hashes", items[0], FETCH_HASHES_MAX, 1)
    return FetchVertices(
        hashes=tuple(VertexHash(fields.hash_untrusted("hash", item)) for item in hashes)
    )


def _fetch_slots_untrusted(items: Sequence[Value]) -> FetchSlots:
    first, count = items
    return FetchSlots(
        first=fields.sequence_untrusted(first),
        count=fields.number_untrusted("count", count, 1, FETCH_SLOTS_MAX),
    )


_DECODERS: Final[Decoders[Message]] = {
    NUMBERS[VertexMessage]: (3, _vertex_untrusted),
    NUMBERS[PrePrepare]: (5, partial(_vote_untrusted, PrePrepare)),
    NUMBERS[Prepare]: (5, partial(_vote_untrusted, Prepare)),
    NUMBERS[Commit]: (5, partial(_vote_untrusted, Commit)),
    NUMBERS[ViewChange]: (5, _view_change_untrusted),
    NUMBERS[NewView]: (6, _new_view_untrusted),
    NUMBERS[Suspect]: (3, _suspect_untrusted),
    NUMBERS[Checkpoint]: (4, _checkpoint_untrusted),
    NUMBERS[PrepareCertificate]: (
        4,
        partial(fields.order_certificate_untrusted, PrepareCertificate),
    ),
    NUMBERS[CommitCertificate]: (4, partial(fields.order_certificate_untrusted, CommitCertificate)),
    NUMBERS[CheckpointCertificate]: (3, fields.checkpoint_certificate_untrusted),
    NUMBERS[Status]: (6, _status_untrusted),
    NUMBERS[FetchVertices]: (1, _fetch_vertices_untrusted),
    NUMBERS[FetchSlots]: (2, _fetch_slots_untrusted),
    NUMBERS[Rejoin]: (4, _rejoin_untrusted),
    NUMBERS[Attestation]: (6, _attestation_untrusted),
    NUMBERS[Evidence]: (2, evidence_untrusted),
}
assert _DECODERS.keys() == set(NUMBERS.values())
