"""Bans, violations, scores and evidence as the HTTP interface and the operator see them."""

from dataclasses import dataclass
from typing import Final

from cretonode.api.ports import BanView, EvidenceView, ReputationView, ViolationView
from cretonode.core.evidence import contradiction, described, words_of
from cretonode.core.messages import Evidence
from cretonode.crypto.hashing import hash_of
from cretonode.errors import ClientError
from cretonode.identifiers import ValidatorIndex
from cretonode.node.bans import Bans
from cretonode.wire.messages import encode_message

SHOWN_MAX: Final = 256  # violations or pieces of evidence in one answer


@dataclass(frozen=True, slots=True)
class JudgementViews:
    """Reads `Bans`, changes nothing."""

    judgement: Bans

    def violations(self) -> tuple[ViolationView, ...]:
        """Return the newest violations, the newest first."""
        return tuple(
            ViolationView(
                at_ms=noted.at_ms,
                validator=noted.author,
                name=self.judgement.names[noted.author],
                type=noted.violation.value,
                detail=noted.detail,
            )
            for noted in self.judgement.violations()[:SHOWN_MAX]
        )

    def reputation(self) -> tuple[ReputationView, ...]:
        """Return what this node makes of the other validators."""
        log = self.judgement.reputation.log
        return tuple(
            ReputationView(
                validator=validator,
                name=name,
                node_id=self.judgement.node_ids[validator],
                score=self.judgement.score(validator),
                banned=self.judgement.is_banned(validator),
                violations=len(log.get(validator, ())),
                evidence=len(self.judgement.evidence.get(validator, ())),
            )
            for validator, name in enumerate_validators(self.judgement)
        )

    def bans(self) -> tuple[BanView, ...]:
        """Return the bans that stand, the oldest first."""
        return tuple(
            BanView(
                validator=standing.ban.validator,
                name=self.judgement.names[standing.ban.validator],
                node_id=self.judgement.node_ids[standing.ban.validator],
                since_ms=standing.ban.since_ms,
                until_ms=standing.ban.until_ms,
                by=standing.ban.by.value,
                reason=standing.ban.reason,
                in_force=standing.in_force,
            )
            for standing in self.judgement.standings()
        )

    def evidence(self) -> tuple[EvidenceView, ...]:
        """Return the evidence kept, by author."""
        return tuple(
            evidence_view(piece, self.judgement.names[piece.author])
            for _, pieces in sorted(self.judgement.evidence.items())
            for piece in pieces
        )[:SHOWN_MAX]

    def evidence_bytes(self, id_: bytes) -> bytes | None:
        """Return a piece of evidence as it travels. None: not kept here."""
        for pieces in self.judgement.evidence.values():
            for piece in pieces:
                encoded = encode_message(piece)
                if hash_of(encoded) == id_:
                    return encoded
        return None

    def index_of(self, validator: str) -> ValidatorIndex:
        """Return the validator that a name or an index names. Raises: ClientError."""
        names = list(self.judgement.names)
        if validator in names:
            return ValidatorIndex(names.index(validator))
        indices = [str(index) for index in range(len(names))]
        if validator in indices:
            return ValidatorIndex(indices.index(validator))
        raise ClientError(f"there is no validator {validator!r}; known are {', '.join(names)}")


def enumerate_validators(judgement: Bans) -> list[tuple[ValidatorIndex, str]]:
    """Return index and name of every other validator."""
    me = judgement.reputation.me
    return [(ValidatorIndex(i), name) for i, name in enumerate(judgement.names) if i != me]


def evidence_view(evidence: Evidence, name: str) -> EvidenceView:
    """Return evidence in words."""
    first, second = evidence.first, evidence.second
    return EvidenceView(
        id=hash_of(encode_message(evidence)),
        author=evidence.author,
        name=name,
        contradiction=contradiction(first, second) or "none",
        first=f"{words_of(first)}: {described(first)}",
        second=f"{words_of(second)}: {described(second)}",
    )
