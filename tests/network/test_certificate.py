import random

import pytest
from blake3 import blake3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from cretonode.errors import BadSignature, MalformedMessage
from cretonode.network.certificate import (
    CERTIFICATE_BYTES_MAX,
    NOT_AFTER,
    NOT_BEFORE,
    make_credentials,
    node_id_of,
    read_certificate_untrusted,
)

KEY = MLDSA87PrivateKey.generate()


def test_a_node_id_is_the_hash_of_the_raw_public_key() -> None:
    """SPEC N1."""
    raw = KEY.public_key().public_bytes_raw()
    assert make_credentials(KEY).node_id == blake3(raw).digest()


def test_a_certificate_carries_its_key_and_verifies_under_it() -> None:
    credentials = make_credentials(KEY)
    key, process = read_certificate_untrusted(credentials.certificate)
    assert process == read_certificate_untrusted(credentials.certificate)[1]
    assert process != read_certificate_untrusted(make_credentials(KEY).certificate)[1]
    assert node_id_of(key) == credentials.node_id
    certificate = x509.load_der_x509_certificate(credentials.certificate)
    KEY.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes)


def test_a_classical_key_is_refused() -> None:
    key = generate_private_key(SECP256R1())
    name = x509.Name([])
    der = (
        x509.CertificateBuilder(
            subject_name=name,
            issuer_name=name,
            public_key=key.public_key(),
            serial_number=1,
            not_valid_before=NOT_BEFORE,
            not_valid_after=NOT_AFTER,
        )
        .sign(key, SHA256())
        .public_bytes(Encoding.DER)
    )
    with pytest.raises(BadSignature, match="not ML-DSA-87"):
        read_certificate_untrusted(der)


def test_a_certificate_longer_than_any_honest_one_is_not_parsed() -> None:
    with pytest.raises(MalformedMessage, match="at most"):
        read_certificate_untrusted(bytes(CERTIFICATE_BYTES_MAX + 1))


def test_spoiled_certificates_are_refused_or_read_and_nothing_else() -> None:
    """x509.InvalidVersion, for one, is no ValueError: it once took a server down."""
    chance = random.Random(5)
    honest = make_credentials(KEY).certificate
    refused = 0
    for _ in range(3000):
        spoiled = bytearray(honest)
        for _ in range(chance.choice((1, 2, 8))):
            spoiled[chance.randrange(200 if chance.random() < 0.8 else len(spoiled))] = (
                chance.randrange(256)
            )
        try:
            read_certificate_untrusted(bytes(spoiled[: chance.choice((len(spoiled), 150))]))
        except (MalformedMessage, BadSignature):
            refused += 1
    assert refused > 1000
