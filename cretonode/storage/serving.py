"""What a peer that asks for a range of sequences is sent.

Vertices in their order and then one commit certificate, which finalizes all of them: the chain of
first parents covers what is below it. Source: DESIGN section 2, Catch-up.
"""

from collections.abc import Iterator

from cretonode.core.messages import CommitCertificate, VertexMessage
from cretonode.errors import CorruptionError
from cretonode.identifiers import SequenceNumber
from cretonode.storage.reader import Reader


def serve_slots(
    reader: Reader, first: SequenceNumber, count: int
) -> Iterator[VertexMessage | CommitCertificate]:
    """Yield the vertices of the sequences from `first` on, then a certificate of the last one.

    Shape: nothing when `first` is not final. Else all of `count` sequences and at most as many
    more, up to the next that has a certificate; or, when there is none so near, fewer, up to the
    last that has; or, when none of them has, more.
    Raises: CorruptionError, StorageError.
    """
    certificate = _last_served(reader, first, count)
    if certificate is None:
        return
    for slot in reader.finalized_range(first, certificate.sequence):
        for vertex in slot.vertices:
            message = reader.get_message(vertex)
            if message is None:
                raise CorruptionError(
                    f"database {reader.backend.path}: vertex {vertex.hex()} of sequence "
                    f"{slot.sequence} or its payload is missing"
                )
            yield message
    yield certificate


def _last_served(reader: Reader, first: SequenceNumber, count: int) -> CommitCertificate | None:
    final = reader.final_sequence()
    if not 1 <= first <= final or count < 1:
        return None
    # More rather than fewer: a peer that got less than it asked for waits for the rest. What
    # became final after `final` was read is of no concern here.
    last = SequenceNumber(min(first + count - 1, final))
    above = next(reader.certificates(last, final), None)
    if above is not None and above.sequence < last + count:
        return above
    inside = next(reader.certificates(first, last, backward=True), None)
    return inside if inside is not None else above
