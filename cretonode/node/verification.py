"""From bytes to believed messages: decode, check the shape, verify every signature.

Runs in worker threads, a whole frame at a time; the signature library releases the GIL.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from blake3 import blake3

from cretonode.core.certificate import check_shape_untrusted
from cretonode.core.committee import Committee
from cretonode.core.messages import Commit, Evidence, Message, Prepare, PrePrepare, Vote
from cretonode.core.statements import Claim, claims_of
from cretonode.crypto.signatures import CryptoMode, VerifyingKey
from cretonode.errors import BadSignature, MalformedMessage
from cretonode.identifiers import ValidatorIndex
from cretonode.wire.messages import decode_message_untrusted

REMEMBERED_CLAIMS_MAX: Final = 8192  # in each of two generations
UNBELIEVED_MAX: Final = 1024


class Unbelieved(NamedTuple):
    """A vote that came from its author and that the replica does not see."""

    vote: Vote
    surplus: bool  # not verified, because it can change nothing; else its signature is wrong


class Verification:
    """Checks what peers send against the committee's keys.

    Verified claims are remembered, so that the votes inside a certificate are not paid again.
    """

    def __init__(
        self,
        committee: Committee,
        keys: tuple[VerifyingKey, ...],
        mode: CryptoMode,
        needs: Callable[[Prepare | Commit], bool],
    ) -> None:
        assert len(keys) == committee.size, (len(keys), committee.size)
        self._committee = committee
        self._keys = keys
        self._mode = mode
        self._needs = needs
        self._recent: set[bytes] = set()
        self._older: set[bytes] = set()
        self.verified_signatures = 0
        self.surplus_votes = 0
        self.unbelieved: deque[Unbelieved] = deque(maxlen=UNBELIEVED_MAX)  # for who looks on

    def messages_untrusted(
        self, encoded: list[bytes], sender: ValidatorIndex | None = None
    ) -> list[Message]:
        """Return the messages, every one of them believed; votes that can change nothing are left
        out, unverified, so that a slot costs a quorum of signatures and not n.

        `sender`: whose connection they came on. Its own votes that are left out, or whose
        signature is wrong, are in `unbelieved` afterwards.

        Blocks: up to 0.4 ms a signature; call it in a worker thread.
        Raises: MalformedMessage, BadSignature.
        """
        messages = []
        for data in encoded:
            message = decode_message_untrusted(data)
            check_shape_untrusted(self._committee, message)
            if isinstance(message, Prepare | Commit) and not self._needs(message):
                self.surplus_votes += 1
                if message.author == sender:
                    self.unbelieved.append(Unbelieved(message, surplus=True))
                continue
            try:
                for claim in claims_of(self._committee, message):
                    self._check_untrusted(claim, message)
            except BadSignature:
                if isinstance(message, PrePrepare | Prepare | Commit) and message.author == sender:
                    self.unbelieved.append(Unbelieved(message, surplus=False))
                raise
            messages.append(message)
        return messages

    def _check_untrusted(self, claim: Claim, message: Message) -> None:
        key = blake3(claim.signature + claim.statement).digest()  # the statement names its author
        if key in self._recent or key in self._older:
            return
        signer = self._keys[claim.author]
        if not signer.verify(self._mode, claim.statement, claim.signature):
            raise BadSignature(
                f"a {type(message).__name__} with a signature that validator {claim.author} "
                "did not make"
            )
        self.verified_signatures += 1
        if len(self._recent) >= REMEMBERED_CLAIMS_MAX:
            self._recent, self._older = set(), self._recent
        self._recent.add(key)


def check_evidence(
    committee: Committee,
    keys: tuple[VerifyingKey, ...],
    mode: CryptoMode,
    evidence: Evidence,
) -> None:
    """Return when `evidence` proves that its author contradicted itself on this chain. Blocks.

    Raises: MalformedMessage, BadSignature.
    """
    check_shape_untrusted(committee, evidence)
    for claim in claims_of(committee, evidence):
        if not keys[claim.author].verify(mode, claim.statement, claim.signature):
            raise BadSignature(
                f"validator {claim.author} did not sign one of the statements, or not on this "
                "chain, or not in its present incarnation"
            )


def still_valid(
    committee: Committee,
    keys: tuple[VerifyingKey, ...],
    mode: CryptoMode,
    kept: list[Evidence],
) -> list[Evidence]:
    """Return the evidence that peers would believe, too: a new incarnation begins afresh."""
    valid = []
    for evidence in kept:
        try:
            check_evidence(committee, keys, mode, evidence)
        except (MalformedMessage, BadSignature):
            continue
        valid.append(evidence)
    return valid
