"""Signatures that cost nothing, and the checks that keep malformed messages from the core."""

from cretonode.core.certificate import check_shape_untrusted
from cretonode.core.committee import Committee
from cretonode.core.messages import Message, VertexMessage
from cretonode.core.statements import claims_of
from cretonode.crypto.hashing import hash_of
from cretonode.dag.payload import checked_ids_untrusted
from cretonode.dag.vertex import header_untrusted
from cretonode.errors import MalformedMessage
from cretonode.identifiers import ValidatorIndex


def oracle_signature(author: ValidatorIndex, statement: bytes) -> bytes:
    """Stand in for a signature: nobody in the world makes one for somebody else."""
    return hash_of(author.to_bytes(2, "big") + statement)[:16]


def flaw_of(committee: Committee, message: Message, *, checks_payload: bool) -> str | None:
    """Return why an honest receiver would not let `message` near its core."""
    try:
        if isinstance(message, VertexMessage) and checks_payload:
            header_untrusted(message.vertex.header())
            checked_ids_untrusted(message.vertex, message.payload)
        check_shape_untrusted(committee, message)
    except MalformedMessage as error:
        return f"a malformed message ({error})"
    for claim in claims_of(committee, message):
        if claim.signature != oracle_signature(claim.author, claim.statement):
            return "a signature nobody made"
    return None
