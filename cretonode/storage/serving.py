"""What a peer that asks for a range of sequences is sent: headers, and what proves them.

Vertices with their payloads are asked for by hash afterwards. Source: DESIGN section 2, Catch-up;
docs/spec/consensus.md, section 7.2.
"""

from cretonode.core.messages import CommitCertificate, SlotHeaders
from cretonode.dag.vertex import Vertex
from cretonode.errors import CorruptionError
from cretonode.identifiers import SequenceNumber, VertexHash
from cretonode.limits import HEADERS_BYTES_MAX, HEADERS_MAX
from cretonode.storage.reader import Reader


def read_headers(reader: Reader, first: SequenceNumber, count: int) -> SlotHeaders:
    """Return the headers of at most `count` whole sequences from `first` on, and what proves them.

    Shape: as many sequences as fit; above them anchors alone, up to the next that has a
    certificate; when there is none or they do not fit, fewer sequences, up to the last that has;
    nothing, when none of them has. No whole sequence, when the first does not fit.
    Raises: CorruptionError, StorageError.
    """
    final = reader.final_sequence()
    if not 1 <= first <= final or count < 1:
        return _nothing(first)
    slots: list[tuple[Vertex, ...]] = []
    room = Room()
    for slot in reader.finalized_range(first, SequenceNumber(min(first + count - 1, final))):
        vertices = tuple(_must_have(reader, vertex) for vertex in slot.vertices)
        if not room.take(vertices):
            break
        slots.append(vertices)
    last = SequenceNumber(first + len(slots) - 1)
    # What became final after `final` was read is of no concern here.
    above = next(reader.certificates(max(last, first), final), None)
    anchors = None if above is None else _anchors(reader, last, above, room)
    if above is None or anchors is None:
        above = next(reader.certificates(first, last, backward=True), None)
        if above is None:
            return _nothing(first)
        anchors = ()
        last = above.sequence
    return SlotHeaders(
        first=first,
        certificate=above,
        checkpoint=reader.checkpoint_between(first, last),
        headers=tuple(vertex for slot in slots[: last - first + 1] for vertex in slot),
        anchors=anchors,
    )


class Room:
    """How much more fits one answer."""

    def __init__(self) -> None:
        self._count = HEADERS_MAX
        self._bytes = HEADERS_BYTES_MAX

    def take(self, vertices: tuple[Vertex, ...]) -> bool:
        """Count `vertices` in; False, and nothing is changed, when they do not fit."""
        size = sum(len(vertex.header()) for vertex in vertices)
        if len(vertices) > self._count or size > self._bytes:
            return False
        self._count -= len(vertices)
        self._bytes -= size
        return True


def _anchors(
    reader: Reader, last: SequenceNumber, certificate: CommitCertificate, room: Room
) -> tuple[Vertex, ...] | None:
    """Return the anchors above `last` up to the certified one; None when they do not fit."""
    if certificate.sequence - last > HEADERS_MAX:
        return None
    slots = reader.finalized_range(SequenceNumber(last + 1), certificate.sequence)
    found = tuple(_must_have(reader, slot.anchor) for slot in slots)
    return found if room.take(found) else None


def _must_have(reader: Reader, vertex: VertexHash) -> Vertex:
    stored = reader.get_vertex(vertex)
    if stored is None:
        raise CorruptionError(
            f"database {reader.backend.path}: vertex {vertex.hex()} is final and missing"
        )
    return stored.vertex


def _nothing(first: SequenceNumber) -> SlotHeaders:
    return SlotHeaders(first=first, certificate=None, checkpoint=None, headers=(), anchors=())
