"""From bytes to believed messages: what a peer claims is checked, and only what is needed."""

import dataclasses

import pytest

import cretonode.node.verification
from cretonode.core.committee import Committee
from cretonode.core.evidence import evidence_of
from cretonode.core.messages import Commit, Evidence, Message, Prepare, Suspect
from cretonode.core.statements import statement_of
from cretonode.crypto.signatures import CryptoMode, SecretKey, Signer, VerifyingKey
from cretonode.errors import BadSignature, MalformedMessage
from cretonode.identifiers import (
    ChainId,
    Digest,
    Incarnation,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.node.verification import Verification, check_evidence, still_valid
from cretonode.wire.messages import encode_message
from tests.simulation.scenario import committee_of

COMMITTEE = committee_of(4)
SECRETS = [SecretKey(bytes([i]) * 64) for i in range(4)]
KEYS = tuple(VerifyingKey(secret.public_key) for secret in SECRETS)
PREPARE = Prepare(
    view=View(0),
    sequence=SequenceNumber(1),
    anchor=VertexHash(bytes(32)),
    author=ValidatorIndex(2),
)


def signed(message: Prepare | Commit | Suspect, by: int) -> bytes:
    signer = Signer(CryptoMode.HYBRID, SECRETS[by])
    signature = signer.sign(statement_of(COMMITTEE, message))
    return encode_message(dataclasses.replace(message, signature=signature))


def verification(*, needs: bool = True) -> Verification:
    return Verification(COMMITTEE, KEYS, CryptoMode.HYBRID, lambda _vote: needs)


def test_a_message_with_its_author_s_signature_is_believed() -> None:
    found: list[Message] = verification().messages_untrusted([signed(PREPARE, by=2)])
    assert [dataclasses.replace(m, signature=b"") for m in found] == [PREPARE]


def test_a_signature_by_another_validator_is_refused_and_names_the_victim() -> None:
    with pytest.raises(BadSignature, match="validator 2 did not make"):
        verification().messages_untrusted([signed(PREPARE, by=3)])


def test_one_bad_message_spoils_its_frame() -> None:
    with pytest.raises(MalformedMessage):
        verification().messages_untrusted([signed(PREPARE, by=2), b"\x00"])


def test_a_verified_signature_is_not_paid_for_twice() -> None:
    checks = verification()
    data = signed(PREPARE, by=2)
    checks.messages_untrusted([data])
    checks.messages_untrusted([data])
    assert checks.verified_signatures == 1


def test_a_surplus_vote_is_left_out_without_looking_at_its_signature() -> None:
    """DESIGN 3: verify only up to a quorum."""
    checks = verification(needs=False)
    assert checks.messages_untrusted([signed(PREPARE, by=3)]) == []
    assert checks.verified_signatures == 0


def test_what_is_left_out_is_told_to_who_looks_on_when_it_came_from_its_author() -> None:
    checks = verification(needs=False)
    checks.messages_untrusted([signed(PREPARE, by=2)], ValidatorIndex(3))  # passed on: it may lie
    assert not checks.unbelieved
    checks.messages_untrusted([signed(PREPARE, by=2)], ValidatorIndex(2))
    ((vote, surplus),) = checks.unbelieved
    assert (vote.author, vote.sequence, surplus) == (2, 1, True)


def test_a_bad_signature_is_told_to_who_looks_on_when_its_author_sent_it() -> None:
    checks = verification()
    for sender in (3, 2):
        with pytest.raises(BadSignature):
            checks.messages_untrusted([signed(PREPARE, by=3)], ValidatorIndex(sender))
    ((vote, surplus),) = checks.unbelieved
    assert (vote.author, surplus) == (2, False)


def test_only_votes_can_be_surplus() -> None:
    checks = verification(needs=False)
    suspect = Suspect(view=View(0), author=ValidatorIndex(1))
    assert len(checks.messages_untrusted([signed(suspect, by=1)])) == 1


def test_what_is_remembered_of_signatures_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """House style 17: two generations; who is forgotten is verified again."""
    monkeypatch.setattr(cretonode.node.verification, "REMEMBERED_CLAIMS_MAX", 3)
    checks = verification()
    for sequence in range(1, 20):
        vote = dataclasses.replace(PREPARE, sequence=SequenceNumber(sequence))
        checks.messages_untrusted([signed(vote, by=2)])
        assert len(checks._recent) + len(checks._older) <= 6
    assert len(checks._recent) + len(checks._older) > 3


# --- evidence


def vote(anchor: int, by: int = 2, committee: Committee = COMMITTEE) -> Prepare:
    """A vote with a true signature."""
    unsigned = dataclasses.replace(
        PREPARE, anchor=VertexHash(bytes([anchor]) * 32), author=ValidatorIndex(by)
    )
    signer = Signer(CryptoMode.HYBRID, SECRETS[by])
    return dataclasses.replace(unsigned, signature=signer.sign(statement_of(committee, unsigned)))


def contradicting(committee: Committee = COMMITTEE) -> Evidence:
    found = evidence_of(vote(1, committee=committee), vote(2, committee=committee))
    assert found is not None
    return found


def altered(evidence: Evidence, **changes: object) -> Evidence:
    """Change fields of the second statement, and keep its signature."""
    second = dataclasses.replace(evidence.second, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(evidence, second=second)


def test_evidence_with_both_signatures_is_believed() -> None:
    evidence = contradicting()
    assert verification().messages_untrusted([encode_message(evidence)]) == [evidence]
    check_evidence(COMMITTEE, KEYS, CryptoMode.HYBRID, evidence)


@pytest.mark.parametrize(
    "false",
    [
        altered(contradicting(), anchor=VertexHash(b"\x09" * 32)),
        altered(contradicting(), sequence=SequenceNumber(9)),
        altered(contradicting(), view=View(9)),
        altered(contradicting(), author=ValidatorIndex(1)),
        altered(contradicting(), signature=contradicting().first.signature),
        altered(contradicting(), anchor=contradicting().first.anchor),
        Evidence(first=contradicting().second, second=contradicting().first),
        Evidence(first=contradicting().first, second=contradicting().first),
        contradicting(dataclasses.replace(COMMITTEE, chain_id=ChainId("another chain"))),
        contradicting(dataclasses.replace(COMMITTEE, validator_set=Digest(bytes(32)))),
        contradicting(
            dataclasses.replace(COMMITTEE, incarnations=tuple(map(Incarnation, (0, 0, 1, 0))))
        ),
        Evidence(
            first=dataclasses.replace(contradicting().first, author=ValidatorIndex(3)),
            second=dataclasses.replace(contradicting().second, author=ValidatorIndex(3)),
        ),
    ],
    ids=[
        "another anchor",
        "another sequence",
        "another view",
        "two authors",
        "one signature twice",
        "one anchor twice",
        "in the other order",
        "the same statement twice",
        "of another chain",
        "of another validator set",
        "of another incarnation",
        "of an honest author",
    ],
)
def test_false_evidence_is_refused(false: Evidence) -> None:
    """SPEC B4: nobody is framed."""
    with pytest.raises((MalformedMessage, BadSignature)):
        verification().messages_untrusted([encode_message(false)])
    with pytest.raises((MalformedMessage, BadSignature)):
        check_evidence(COMMITTEE, KEYS, CryptoMode.HYBRID, false)
    true = contradicting()
    assert still_valid(COMMITTEE, KEYS, CryptoMode.HYBRID, [false, true]) == [true]
