"""Recoveries and proposals as bytes. Source: docs/spec/wire.md, section 11."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.core.recovery import Recovery
from cretonode.core.recovery_plan import JournalState, Proposal
from cretonode.errors import MalformedMessage
from cretonode.identifiers import ChainId, Incarnation, SequenceNumber, VertexHash
from cretonode.limits import INCARNATION_MAX, RECOVERIES_MAX
from cretonode.wire.recovery import (
    decode_proposal_untrusted,
    decode_recoveries_untrusted,
    encode_proposal,
    encode_recoveries,
)
from tests.wire.hostile import NOISE, damaged, decodes_or_refuses
from tests.wire.strategies import (
    AUTHORS,
    CHECKPOINT_CERTIFICATES,
    COMMIT_CERTIFICATES,
    DIGESTS,
    PREPARE_CERTIFICATES,
    VERTICES,
    VOTES,
    numbers,
    vertex_messages,
)

CHAIN = ChainId("berlin")
GENESIS = VertexHash(b"g" * 32)
INCARNATIONS = numbers(0, INCARNATION_MAX).map(Incarnation)
FINALS = numbers().map(SequenceNumber)
RECOVERIES = st.builds(
    Recovery,
    previous=INCARNATIONS,
    incarnation=INCARNATIONS,
    final=FINALS,
    final_anchor=VERTICES,
    checkpoint=FINALS,
    digest=DIGESTS,
    base=FINALS,
    base_anchor=VERTICES,
    votes=VOTES,
)
LINES = st.lists(RECOVERIES, max_size=3).map(tuple)
PROPOSALS = st.builds(
    Proposal,
    author=AUTHORS,
    recoveries=LINES,
    promised=INCARNATIONS,
    journal=st.sampled_from(JournalState),
    final=FINALS,
    anchor=VERTICES,
    certificate=st.none() | COMMIT_CERTIFICATES,
    checkpoint=st.none() | CHECKPOINT_CERTIFICATES,
    high=st.none() | PREPARE_CERTIFICATES,
    anchors=st.lists(
        vertex_messages().map(lambda message: message.vertex).filter(lambda v: v.is_anchor),
        max_size=2,
    ).map(tuple),
    signature=st.just(b"signature"),
)


def decoded(data: bytes) -> Proposal:
    return decode_proposal_untrusted(CHAIN, GENESIS, data, b"signature")


def encoded(proposal: Proposal) -> bytes:
    return encode_proposal(CHAIN, GENESIS, proposal)


@given(LINES)
@settings(max_examples=50, deadline=None)
def test_recoveries_come_back(line: tuple[Recovery, ...]) -> None:
    found = decode_recoveries_untrusted(encode_recoveries(line))
    assert found == line
    assert [recovery.votes for recovery in found] == [recovery.votes for recovery in line]


@given(PROPOSALS)
@settings(max_examples=50, deadline=None)
def test_a_proposal_comes_back(proposal: Proposal) -> None:
    assert decoded(encoded(proposal)) == proposal


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_refused_or_are_another_proposal(data: st.DataObject) -> None:
    hostile = data.draw(damaged(encoded(data.draw(PROPOSALS))) | NOISE)
    decodes_or_refuses(hostile, decoded, encoded, MalformedMessage)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_recoveries_are_refused_or_are_others(data: st.DataObject) -> None:
    hostile = data.draw(damaged(encode_recoveries(data.draw(LINES))) | NOISE)
    decodes_or_refuses(hostile, decode_recoveries_untrusted, encode_recoveries, MalformedMessage)


@given(RECOVERIES)
@settings(max_examples=3, deadline=None)
def test_there_are_at_most_so_many_recoveries(recovery: Recovery) -> None:
    most = encode_recoveries((recovery,) * RECOVERIES_MAX)
    assert len(decode_recoveries_untrusted(most)) == RECOVERIES_MAX
    with pytest.raises(MalformedMessage, match="0 to 16"):
        decode_recoveries_untrusted(encode_recoveries((recovery,) * (RECOVERIES_MAX + 1)))


@given(PROPOSALS)
@settings(max_examples=5, deadline=None)
def test_a_proposal_of_another_chain_is_refused(proposal: Proposal) -> None:
    for chain, genesis in ((ChainId("paris"), GENESIS), (CHAIN, VertexHash(b"h" * 32))):
        with pytest.raises(MalformedMessage, match="another chain"):
            decoded(encode_proposal(chain, genesis, proposal))
