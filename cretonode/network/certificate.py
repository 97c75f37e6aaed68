"""Who a node is to its peers: its ML-DSA-87 key, and the certificate that carries it in TLS.

A node id is BLAKE3-256 of the raw public key, so nobody vouches for anybody: the certificate is
only the envelope that TLS demands, and neither its names, dates nor own signature are looked at.
Its serial number is drawn anew by each process: two with one number are one that dialled twice.
Source: RFC 5280 (X.509), RFC 9881 (ML-DSA in X.509).
"""

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Final

from blake3 import blake3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey, MLDSA87PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cretonode.errors import BadSignature, MalformedMessage
from cretonode.identifiers import NodeId

PROCESS_BITS: Final = 128
# Fixed, so that the envelope of a key says nothing about when or where it was made.
NOT_BEFORE: Final = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
NOT_AFTER: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)  # RFC 5280: none
CERTIFICATE_BYTES_MAX: Final = 10_000  # an honest one has about 7,400


@dataclass(frozen=True, slots=True)
class Credentials:
    """A node's own key, its certificate (DER) and the node id that follows from the key."""

    key: MLDSA87PrivateKey
    certificate: bytes
    node_id: NodeId


def make_credentials(key: MLDSA87PrivateKey) -> Credentials:
    """Return what this process of the node shows its peers. Costs one signature."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cretonode")])
    builder = x509.CertificateBuilder(
        subject_name=name,
        issuer_name=name,
        public_key=key.public_key(),
        serial_number=1 + secrets.randbits(PROCESS_BITS),
        not_valid_before=NOT_BEFORE,
        not_valid_after=NOT_AFTER,
    )
    certificate = builder.sign(key, None).public_bytes(Encoding.DER)
    assert len(certificate) <= CERTIFICATE_BYTES_MAX, len(certificate)
    return Credentials(key, certificate, node_id_of(key.public_key()))


def node_id_of(key: MLDSA87PublicKey) -> NodeId:
    """Return the node id of a public key: BLAKE3-256 of its 2,592 raw bytes."""
    return NodeId(blake3(key.public_bytes_raw()).digest())


def read_certificate_untrusted(der: bytes) -> tuple[MLDSA87PublicKey, int]:
    """Return the key in a peer's certificate, and the number of the process that made it.

    That the peer holds the key is for TLS to prove, over the whole certificate.

    Raises: MalformedMessage, when these bytes are no certificate. BadSignature, when its key is
    not ML-DSA-87.
    """
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise MalformedMessage(
            f"a certificate of {len(der)} bytes; at most {CERTIFICATE_BYTES_MAX}"
        )
    try:
        certificate = x509.load_der_x509_certificate(der)
        key, process = certificate.public_key(), certificate.serial_number
    except Exception as error:  # not only ValueError: x509.InvalidVersion, UnsupportedAlgorithm
        raise MalformedMessage(f"unusable certificate: {error}") from None
    if not isinstance(key, MLDSA87PublicKey):
        raise BadSignature("a certificate whose key is not ML-DSA-87")
    return key, process
