"""Journal records as bytes: what `core.records` promises, in canonical CBOR.

A record is one array, [record number, field, ...]. The own disk wrote it, so damage is a
CorruptionError and not a peer's fault. Pure. Source: docs/spec/wire.md, section 7.
"""

from collections.abc import Sequence
from typing import Final, assert_never

from cretonode.core.messages import UNSIGNED, PrepareCertificate
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
from cretonode.crypto.canonical import Value, encode
from cretonode.errors import CorruptionError, MalformedMessage
from cretonode.identifiers import AuthorIndex, Digest, VertexHash
from cretonode.wire import fields
from cretonode.wire.tagged import Decoders, decode_tagged_untrusted

# The one table of record numbers. A journal may be older than the software that reads it, so a
# number that was ever in use is never given to another type.
NUMBERS: Final[dict[type[Record], int]] = {
    ViewEntered: 1,
    BaseAdopted: 2,
    OwnVertex: 3,
    Accepted: 4,
    HighCertificate: 5,
    SaidViewChange: 6,
    SaidNewView: 7,
    SaidCheckpoint: 8,
    StableCheckpoint: 9,
    AmnesiaBegun: 12,
    AmnesiaEnded: 13,
}
assert len(set(NUMBERS.values())) == len(NUMBERS)


def encode_record(record: Record) -> bytes:
    """Return the one encoding of `record`."""
    return encode([NUMBERS[type(record)], *_values(record)])


def decode_record(data: bytes) -> Record:
    """Return the record whose one encoding is `data`.

    Raises: CorruptionError, when no record has it.
    """
    try:
        return decode_tagged_untrusted(data, _DECODERS)
    except MalformedMessage as error:
        raise CorruptionError(f"journal record: {error}") from None


def _values(record: Record) -> Sequence[Value]:
    match record:
        case ViewEntered(view):
            return [view]
        case BaseAdopted(view, base):
            return [view, fields.position_value(base)]
        case OwnVertex(index, vertex):
            return [index, vertex]
        case Accepted(view, sequence, anchor):
            return [view, sequence, anchor]
        case HighCertificate(certificate):
            return fields.order_certificate_value(certificate)
        case SaidViewChange(message):
            assert message.signature == UNSIGNED, "journaled before it is signed"
            return fields.view_change_value(message)
        case SaidNewView(message):
            assert message.signature == UNSIGNED, "journaled before it is signed"
            return fields.new_view_value(message)
        case SaidCheckpoint(sequence, digest):
            return [sequence, digest]
        case StableCheckpoint(certificate):
            return fields.checkpoint_certificate_value(certificate)
        case AmnesiaBegun(nonce):
            return [nonce]
        case AmnesiaEnded(index):
            return [index]
        case _:
            assert_never(record)


def _view_entered_untrusted(items: Sequence[Value]) -> ViewEntered:
    return ViewEntered(fields.view_untrusted(items[0]))


def _base_adopted_untrusted(items: Sequence[Value]) -> BaseAdopted:
    view, base = items
    return BaseAdopted(fields.view_untrusted(view), fields.position_untrusted(base))


def _own_vertex_untrusted(items: Sequence[Value]) -> OwnVertex:
    index, vertex = items
    return OwnVertex(
        AuthorIndex(fields.number_untrusted("index", index, 1)),
        VertexHash(fields.hash_untrusted("vertex", vertex)),
    )


def _accepted_untrusted(items: Sequence[Value]) -> Accepted:
    view, sequence, anchor = items
    return Accepted(
        fields.view_untrusted(view),
        fields.sequence_untrusted(sequence),
        VertexHash(fields.hash_untrusted("anchor", anchor)),
    )


def _high_certificate_untrusted(items: Sequence[Value]) -> HighCertificate:
    return HighCertificate(fields.order_certificate_untrusted(PrepareCertificate, items))


def _said_view_change_untrusted(items: Sequence[Value]) -> SaidViewChange:
    return SaidViewChange(fields.view_change_untrusted(items, UNSIGNED))


def _said_new_view_untrusted(items: Sequence[Value]) -> SaidNewView:
    return SaidNewView(fields.new_view_untrusted(items, UNSIGNED))


def _said_checkpoint_untrusted(items: Sequence[Value]) -> SaidCheckpoint:
    sequence, digest = items
    return SaidCheckpoint(
        fields.sequence_untrusted(sequence), Digest(fields.hash_untrusted("digest", digest))
    )


def _stable_checkpoint_untrusted(items: Sequence[Value]) -> StableCheckpoint:
    return StableCheckpoint(fields.checkpoint_certificate_untrusted(items))


def _amnesia_begun_untrusted(items: Sequence[Value]) -> AmnesiaBegun:
    return AmnesiaBegun(fields.hash_untrusted("nonce", items[0]))


def _amnesia_ended_untrusted(items: Sequence[Value]) -> AmnesiaEnded:
    return AmnesiaEnded(AuthorIndex(fields.number_untrusted("index", items[0], 1)))


_DECODERS: Final[Decoders[Record]] = {
    NUMBERS[ViewEntered]: (1, _view_entered_untrusted),
    NUMBERS[BaseAdopted]: (2, _base_adopted_untrusted),
    NUMBERS[OwnVertex]: (2, _own_vertex_untrusted),
    NUMBERS[Accepted]: (3, _accepted_untrusted),
    NUMBERS[HighCertificate]: (4, _high_certificate_untrusted),
    NUMBERS[SaidViewChange]: (4, _said_view_change_untrusted),
    NUMBERS[SaidNewView]: (5, _said_new_view_untrusted),
    NUMBERS[SaidCheckpoint]: (2, _said_checkpoint_untrusted),
    NUMBERS[StableCheckpoint]: (3, _stable_checkpoint_untrusted),
    NUMBERS[AmnesiaBegun]: (1, _amnesia_begun_untrusted),
    NUMBERS[AmnesiaEnded]: (1, _amnesia_ended_untrusted),
}
assert _DECODERS.keys() == set(NUMBERS.values())
