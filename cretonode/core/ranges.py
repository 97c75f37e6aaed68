"""What a peer says of finalized sequences, verified newest first: one certificate, then hashes.

The commit certificate names the top anchor; first parents lead down from it, and each header below
is believed because one above it names its hash. What the lowest headers name in turn must be final
already. Nothing else is needed: a quorum admitted every one of these vertices, signature and
payload checked, before the certificate could be made.
Source: docs/spec/consensus.md, section 7.2.
"""

from dataclasses import dataclass

from cretonode.core.messages import CheckpointCertificate, CommitCertificate, SlotHeaders
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, VertexHash


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedRange:
    """Consecutive sequences whose vertices a certificate fixes."""

    first: SequenceNumber
    last: SequenceNumber  # of the whole sequences; first - 1 when there is none
    certificate: CommitCertificate
    checkpoint: CheckpointCertificate | None
    vertices: tuple[Vertex, ...]  # of the whole sequences, in the order of finality
    anchors: tuple[tuple[SequenceNumber, VertexHash], ...]  # from first to the certificate's
    bottom: VertexHash  # the anchor of first - 1
    below: frozenset[VertexHash]  # parents that must be final before `first`


def verified_range(message: SlotHeaders) -> CertifiedRange | None:
    """Return what `message` proves; None when something in it is not what a hash above names.

    The certificates' signatures have been verified before.
    """
    certificate = message.certificate
    if certificate is None:
        return None
    anchors: list[tuple[SequenceNumber, VertexHash]] = []
    expected, sequence = certificate.anchor, certificate.sequence
    for anchor in reversed(message.anchors):
        if anchor.hash != expected or anchor.sequence != sequence:
            return None
        anchors.append((sequence, expected))
        expected, sequence = anchor.parents[0], SequenceNumber(sequence - 1)
    last = sequence
    lacking = {expected}
    seen: set[VertexHash] = set()
    for vertex in reversed(message.headers):
        if vertex.hash not in lacking or not seen.isdisjoint(vertex.parents):
            return None  # nothing above names it, or it stands above one of its parents
        if vertex.hash == expected:
            if vertex.sequence != sequence:
                return None
            anchors.append((sequence, expected))
            expected, sequence = vertex.parents[0], SequenceNumber(sequence - 1)
        lacking.remove(vertex.hash)
        seen.add(vertex.hash)
        lacking.update(vertex.parents)
    if sequence != message.first - 1:
        return None
    checkpoint = message.checkpoint
    if checkpoint is not None and not message.first <= checkpoint.sequence <= last:
        return None
    return CertifiedRange(
        first=message.first,
        last=last,
        certificate=certificate,
        checkpoint=checkpoint,
        vertices=message.headers,
        anchors=tuple(reversed(anchors)),
        bottom=expected,
        below=frozenset(lacking),
    )
