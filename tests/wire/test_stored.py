"""Certificates as stored values. Source of every claim: docs/spec/wire.md, section 7."""

import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.core.messages import Certificate, Message
from cretonode.errors import CorruptionError
from cretonode.wire.messages import encode_message
from cretonode.wire.stored import decode_certificate, encode_certificate
from tests.wire.hostile import NOISE, damaged, decodes_or_refuses
from tests.wire.strategies import (
    CHECKPOINT_CERTIFICATES,
    COMMIT_CERTIFICATES,
    MESSAGE_OF,
    PREPARE_CERTIFICATES,
)

CERTIFICATE_KINDS: tuple[type[Certificate], ...] = typing.get_args(Certificate)
OTHERS = [kind for kind in MESSAGE_OF if kind not in CERTIFICATE_KINDS]
certificates: st.SearchStrategy[Certificate] = st.one_of(
    PREPARE_CERTIFICATES, COMMIT_CERTIFICATES, CHECKPOINT_CERTIFICATES
)


@given(certificates)
@settings(max_examples=100, deadline=None)
def test_a_certificate_is_stored_as_it_travels(certificate: Certificate) -> None:
    stored = encode_certificate(certificate)
    assert stored == encode_message(certificate)
    assert decode_certificate(stored) == certificate


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_certificate_is_corruption_or_another_one(data: st.DataObject) -> None:
    hostile = data.draw(damaged(encode_certificate(data.draw(certificates))) | NOISE)
    decodes_or_refuses(hostile, decode_certificate, encode_certificate, CorruptionError)


@pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=3, deadline=None)
def test_no_other_message_passes_for_a_certificate(
    kind: type[Message], data: st.DataObject
) -> None:
    stored = encode_message(data.draw(MESSAGE_OF[kind]))
    with pytest.raises(CorruptionError, match=kind.__name__):
        decode_certificate(stored)
