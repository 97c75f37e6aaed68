"""Reputation: what a validator's violations cost it, and who is banned for how long.

A judgement of this node alone, about connections and nothing else: validity and certificates never
ask it. Scores are thousandths, so that they are exact. Pure: time is an argument.
Source: SPEC B1-B3; docs/detection.md.
"""

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from cretonode.errors import ClientError
from cretonode.identifiers import ValidatorIndex
from cretonode.limits import REASON_CHARACTERS_MAX, VIOLATIONS_PER_AUTHOR_MAX

SCORE_MAX: Final = 1000
BANNED_BELOW: Final = 300
BAN_DOUBLINGS_MAX: Final = 5  # each further ban of one validator lasts twice as long


class Violation(StrEnum):
    """The types of violation. A name here is a label in logs and metrics."""

    EQUIVOCATION = "equivocation"  # two signed statements that contradict: anyone can check
    INVALID_SIGNATURE = "invalid_signature"  # on the peer's own connection
    MALFORMED = "malformed"  # bytes that no honest node sends
    INVALID_RANGE = "invalid_range"  # about final sequences: its own hashes do not bear it out
    REPLAY = "replay"  # the same messages over and over, far more than was asked for
    VIEW_CHANGE_SPAM = "view_change_spam"  # more views left than there were
    FLOOD = "flood"  # more frames than any honest node sends, for long
    TIMEOUT = "timeout"  # a leader past the finality window: cannot be proven


# In thousandths of the score. Who did it once by a bug stays; who goes on does not.
COSTS: Final[dict[Violation, int]] = {
    Violation.EQUIVOCATION: 1000,
    Violation.INVALID_SIGNATURE: 300,
    Violation.MALFORMED: 300,
    Violation.INVALID_RANGE: 300,
    Violation.REPLAY: 150,
    Violation.VIEW_CHANGE_SPAM: 150,
    Violation.FLOOD: 150,
    Violation.TIMEOUT: 20,
}
assert COSTS.keys() == set(Violation)
assert all(SCORE_MAX - cost >= BANNED_BELOW for v, cost in COSTS.items() if cost < SCORE_MAX)


class BannedBy(StrEnum):
    """Who banned."""

    DETECTOR = "detector"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """One violation."""

    at_ms: int  # Unix time
    author: ValidatorIndex
    violation: Violation
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """One validator's newest ban. `until_ms` None: until an operator takes it back."""

    validator: ValidatorIndex
    since_ms: int
    until_ms: int | None
    by: BannedBy
    reason: str
    count: int  # of the detector's bans of this validator, this one included

    def stands(self, now_ms: int) -> bool:
        """True until it has run out."""
        return self.until_ms is None or now_ms < self.until_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A ban that has not run out. Not `in_force`: a warning, because more would stall us."""

    ban: Ban
    in_force: bool


@dataclass(slots=True, kw_only=True)
class Reputation:
    """Bound: of each validator VIOLATIONS_PER_AUTHOR_MAX violations and one ban."""

    size: int
    faults: int  # f: so many bans are in force at most
    me: ValidatorIndex
    window_ms: int  # within it a violation is forgotten, little by little
    ban_ms: int  # how long the first ban lasts
    log: dict[ValidatorIndex, deque[Noted]] = field(default_factory=dict)
    bans: dict[ValidatorIndex, Ban] = field(default_factory=dict)
    cleared_ms: dict[ValidatorIndex, int] = field(default_factory=dict)  # what was before is paid
    counts: Counter[Violation] = field(default_factory=Counter)  # since the start

    # --- judging

    def note(self, noted: Noted) -> Ban | None:
        """Take a violation into account; return the ban that follows from it, if one does.

        Order: `at_ms` never goes back.
        """
        author = noted.author
        noted = replace(noted, detail=noted.detail[:REASON_CHARACTERS_MAX])
        self._log_of(author).append(noted)
        self.counts[noted.violation] += 1
        if author == self.me or noted.violation is Violation.TIMEOUT:
            return None
        known = self.bans.get(author)
        if known is not None and known.stands(noted.at_ms):
            return None
        if self._proven(author, noted.at_ms) >= BANNED_BELOW:
            return None
        count = 1 + (known.count if known is not None else 0)
        lasts_ms = self.ban_ms << min(count - 1, BAN_DOUBLINGS_MAX)
        ban = Ban(
            validator=author,
            since_ms=noted.at_ms,
            until_ms=noted.at_ms + lasts_ms,
            by=BannedBy.DETECTOR,
            reason=f"{noted.violation.value}: {noted.detail}"[:REASON_CHARACTERS_MAX],
            count=count,
        )
        self.bans[author] = ban
        return ban

    def restore(self, noted: Noted) -> None:
        """Take up a violation of an earlier run: it costs what it cost, and bans nobody anew."""
        self._log_of(noted.author).append(noted)

    def score(self, validator: ValidatorIndex, now_ms: int) -> int:
        """Return 0 to SCORE_MAX. Late leaders lose no more than leaves them BANNED_BELOW."""
        proven = self._proven(validator, now_ms)
        late = self._cost(validator, now_ms, timeouts=True)
        return max(proven - late, min(proven, BANNED_BELOW))

    def standings(self, now_ms: int) -> tuple[Standing, ...]:
        """Return the bans that stand, the oldest first; the newest beyond f are warnings."""
        standing = [ban for ban in self.bans.values() if ban.stands(now_ms)]
        standing.sort(key=lambda ban: (ban.since_ms, ban.validator))
        return tuple(Standing(ban=b, in_force=i < self.faults) for i, b in enumerate(standing))

    def banned(self, now_ms: int) -> dict[ValidatorIndex, Ban]:
        """Return the bans in force."""
        return {s.ban.validator: s.ban for s in self.standings(now_ms) if s.in_force}

    def expire(self, now_ms: int) -> list[ValidatorIndex]:
        """Let validators whose ban has run out begin afresh; return them."""
        fresh = []
        for validator, ban in self.bans.items():
            ended_ms = ban.until_ms
            if ended_ms is None or now_ms < ended_ms:
                continue
            if self.cleared_ms.get(validator, -1) < ended_ms:
                self.cleared_ms[validator] = ended_ms
                fresh.append(validator)
        return fresh

    # --- the operator

    def check_add(self, validator: ValidatorIndex, now_ms: int) -> None:
        """Return when an operator may ban `validator`.

        Raises: ClientError, when the ban could stall this node or means nothing.
        """
        if validator == self.me:
            raise ClientError("a node cannot ban itself: stop it instead")
        banned = self.banned(now_ms)
        if not self.faults:
            raise ClientError(
                f"{self.size} validators survive none that does not take part: nobody can be banned"
            )
        if validator not in banned and len(banned) >= self.faults:
            held = ", ".join(str(v) for v in sorted(banned)) or "none"
            raise ClientError(
                f"{self.size} validators survive {self.faults} that do not take part, so at most "
                f"{self.faults} can be banned; banned now: {held}. Take one back first"
            )

    def add(
        self, validator: ValidatorIndex, *, reason: str, lasts_ms: int | None, now_ms: int
    ) -> Ban:
        """Ban on the operator's word, in place of a ban that stands. Raises: ClientError."""
        self.check_add(validator, now_ms)
        known = self.bans.get(validator)
        since_ms = known.since_ms if known is not None and known.stands(now_ms) else now_ms
        ban = Ban(
            validator=validator,
            since_ms=since_ms,
            until_ms=None if lasts_ms is None else now_ms + lasts_ms,
            by=BannedBy.OPERATOR,
            reason=reason[:REASON_CHARACTERS_MAX],
            count=known.count if known is not None else 0,
        )
        self.bans[validator] = ban
        return ban

    def remove(self, validator: ValidatorIndex, now_ms: int) -> Ban:
        """Take a ban back and let bygones be bygones. Raises: ClientError, when there is none."""
        ban = self.bans.get(validator)
        if ban is None or not ban.stands(now_ms):
            raise ClientError("that validator is not banned")
        ended = replace(ban, until_ms=now_ms)
        self.bans[validator] = ended
        self.cleared_ms[validator] = now_ms
        return ended

    # --- arithmetic

    def _proven(self, validator: ValidatorIndex, now_ms: int) -> int:
        """The score without lateness: what bans are decided on."""
        return max(0, SCORE_MAX - self._cost(validator, now_ms, timeouts=False))

    def _cost(self, validator: ValidatorIndex, now_ms: int, *, timeouts: bool) -> int:
        """What the violations in the window cost; each costs less the longer ago it was."""
        cleared_ms = self.cleared_ms.get(validator, -1)
        cost = 0
        for noted in self.log.get(validator, ()):
            left_ms = noted.at_ms + self.window_ms - now_ms
            is_timeout = noted.violation is Violation.TIMEOUT
            if left_ms <= 0 or noted.at_ms <= cleared_ms or is_timeout != timeouts:
                continue
            cost += COSTS[noted.violation] * min(left_ms, self.window_ms) // self.window_ms
        return cost

    def _log_of(self, author: ValidatorIndex) -> deque[Noted]:
        return self.log.setdefault(author, deque(maxlen=VIOLATIONS_PER_AUTHOR_MAX))
