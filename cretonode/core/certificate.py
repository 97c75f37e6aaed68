"""The shape that certificates must have before their signatures are worth verifying."""

from cretonode.core import evidence
from cretonode.core.committee import Committee
from cretonode.core.messages import (
    Attestation,
    CheckpointCertificate,
    CommitCertificate,
    Evidence,
    Message,
    NewView,
    Position,
    PrepareCertificate,
    Signed,
    SlotHeaders,
    Status,
    VertexMessage,
    ViewChange,
    ViewChangeVote,
)
from cretonode.core.recovery import incarnation_of
from cretonode.dag.vertex import Vertex
from cretonode.errors import MalformedMessage


def check_shape_untrusted(committee: Committee, message: Message) -> None:
    """Return when `message` obeys every rule that needs no signature and no state.

    Raises: MalformedMessage.
    """
    match message:
        case PrepareCertificate() | CommitCertificate() | CheckpointCertificate():
            _check_quorum_untrusted(committee, message.votes)
        case ViewChange():
            _check_author_untrusted(committee, message.author)
            _check_proof_untrusted(committee, message.high, message.certificate)
            if message.high.view >= message.view:
                raise MalformedMessage("a view-change reports a position of its own view or later")
        case NewView():
            _check_new_view_untrusted(committee, message)
        case Status():
            if len(message.newest) != committee.size:
                raise MalformedMessage("a status names another number of authors")
            if len(message.slots) > committee.parameters.window + 1:
                raise MalformedMessage("a status with more slots than the window")
        case Evidence():
            evidence.check_untrusted(message)
            _check_author_untrusted(committee, message.author)
        case VertexMessage():
            _check_vertex_untrusted(committee, message.vertex)
        case SlotHeaders():
            _check_headers_untrusted(committee, message)
        case Attestation():
            _check_author_untrusted(committee, message.author)
            _check_author_untrusted(committee, message.about)
        case _:
            author = getattr(message, "author", None)
            if author is not None:
                _check_author_untrusted(committee, author)


def _check_headers_untrusted(committee: Committee, message: SlotHeaders) -> None:
    if message.certificate is None:
        if message.checkpoint is not None or message.headers or message.anchors:
            raise MalformedMessage("headers without a certificate")
        return
    _check_quorum_untrusted(committee, message.certificate.votes)
    if message.checkpoint is not None:
        _check_quorum_untrusted(committee, message.checkpoint.votes)
    for vertex in (*message.headers, *message.anchors):
        _check_vertex_untrusted(committee, vertex)


def _check_vertex_untrusted(committee: Committee, vertex: Vertex) -> None:
    _check_author_untrusted(committee, vertex.author)
    if incarnation_of(vertex.index) > committee.incarnations[vertex.author]:
        raise MalformedMessage("a vertex of an incarnation that has not begun")
    if len(vertex.parents) > committee.size + 1:
        raise MalformedMessage("an anchor with more parents than authors")


def _check_new_view_untrusted(committee: Committee, message: NewView) -> None:
    if message.author != committee.leader_of(message.view):
        raise MalformedMessage("a new-view from a validator that does not lead the view")
    _check_quorum_untrusted(committee, message.timeouts)
    if any(vote.high.view >= message.view for vote in message.timeouts):
        raise MalformedMessage("a timeout certificate reports a position of the view it opens")
    highest = max(message.timeouts, key=lambda vote: vote.high.rank)
    if message.base != highest.high:
        raise MalformedMessage("a new-view on another base than the highest position reported")
    _check_proof_untrusted(committee, message.base, message.certificate)


def _check_proof_untrusted(
    committee: Committee, position: Position, certificate: PrepareCertificate | None
) -> None:
    if certificate is None:
        if position != committee.origin:
            raise MalformedMessage("a position without its prepare certificate")
        return
    if certificate.position != position:
        raise MalformedMessage("a prepare certificate for another position")
    _check_quorum_untrusted(committee, certificate.votes)


def _check_quorum_untrusted(
    committee: Committee, votes: tuple[Signed, ...] | tuple[ViewChangeVote, ...]
) -> None:
    if len(votes) != committee.quorum:
        raise MalformedMessage(f"a certificate of {len(votes)} votes; q is {committee.quorum}")
    authors = [vote.author for vote in votes]
    if authors != sorted(set(authors)):
        raise MalformedMessage("the authors of a certificate are not in rising order")
    for author in authors:
        _check_author_untrusted(committee, author)


def _check_author_untrusted(committee: Committee, author: int) -> None:
    if not 0 <= author < committee.size:
        raise MalformedMessage(f"validator {author}; there are {committee.size}")
