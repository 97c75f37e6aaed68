"""Certificates as stored values.

They are stored as they travel, so a node serves the very bytes it keeps, and the database needs no
second format. Pure. Source: docs/spec/wire.md, section 7.
"""

from cretonode.core.messages import (
    Certificate,
    CheckpointCertificate,
    CommitCertificate,
    PrepareCertificate,
)
from cretonode.errors import CorruptionError, MalformedMessage
from cretonode.wire.messages import decode_message_untrusted, encode_message


def encode_certificate(certificate: Certificate) -> bytes:
    """Return the one encoding of `certificate`: the message that carries it."""
    return encode_message(certificate)


def decode_certificate(data: bytes) -> Certificate:
    """Return the certificate whose one encoding is `data`.

    Raises: CorruptionError, when no certificate has it.
    """
    try:
        message = decode_message_untrusted(data)
    except MalformedMessage as error:
        raise CorruptionError(f"stored certificate: {error}") from None
    match message:
        case PrepareCertificate() | CommitCertificate() | CheckpointCertificate():
            return message
        case _:
            raise CorruptionError(f"stored certificate: it is a {type(message).__name__}")
