"""Bans: what the detector and the peers' conduct add up to, kept on disk and carried out.

Owns the reputation, the rows that outlive a restart, and who may connect. A ban ends a peer's
connection and nothing else: its signatures still count in certificates, and what it made stays
valid and is fetched from others. SPEC B2, B3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Never, Protocol

import structlog
import trio

from cretonode.core.committee import Committee
from cretonode.core.evidence import contradiction
from cretonode.core.messages import Evidence
from cretonode.core.reputation import Ban, Noted, Reputation, Standing, Violation
from cretonode.errors import ClientError
from cretonode.identifiers import NodeId, ValidatorIndex
from cretonode.limits import EVIDENCE_PER_AUTHOR_MAX, REASON_CHARACTERS_MAX
from cretonode.network.rate import Seldom
from cretonode.node.clock import Clock
from cretonode.wire.judgements import (
    Judgements,
    ban_row,
    cleared_row,
    evidence_row,
    violation_row,
)

CHECK_S: Final = 0.5  # between looks for bans that ran out
LOG_S: Final = 10.0  # between lines about one validator and type
FLUSH_S: Final = 1.0  # for the last rows when the node stops

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Doors(Protocol):
    """Who may connect. Satisfied by `network.peers.Peers`."""

    def ban(self, peer: NodeId, reason: str) -> None:
        """End what stands with a peer and let nothing begin."""

    def pardon(self, peer: NodeId) -> None:
        """Let a peer connect again."""


class JudgementStore(Protocol):
    """Where rows are kept. Satisfied by `storage.store.Store`. Blocks."""

    def put_judgements(self, rows: Mapping[bytes, bytes]) -> None:
        """Keep rows, all or none."""


@dataclass(slots=True, kw_only=True)
class Bans:
    """Bound: `Reputation`'s, EVIDENCE_PER_AUTHOR_MAX pieces of each author, and their rows."""

    reputation: Reputation
    node_ids: Sequence[NodeId]
    names: Sequence[str]
    doors: Doors
    store: JudgementStore
    clock: Clock
    writer: trio.CapacityLimiter  # the one thread that writes to the database
    evidence: dict[ValidatorIndex, list[Evidence]] = field(default_factory=dict)
    in_force: dict[ValidatorIndex, Ban] = field(default_factory=dict)  # carried out
    _numbers: dict[ValidatorIndex, int] = field(default_factory=dict)  # of violation rows
    _rows: dict[bytes, bytes] = field(default_factory=dict)  # not written yet
    _changed: trio.Event = field(default_factory=trio.Event)
    _seldom: Seldom = field(default_factory=lambda: Seldom(interval_s=LOG_S))

    def restore(self, kept: Judgements) -> None:
        """Take up what the database holds. Call before `run`."""
        reputation = self.reputation
        for evidence in kept.evidence:
            self.evidence.setdefault(evidence.author, []).append(evidence)
        for number, noted in kept.noted:
            reputation.restore(noted)
            self._numbers[noted.author] = number + 1
        for ban in kept.bans:
            reputation.bans[ban.validator] = ban
        reputation.cleared_ms.update(kept.cleared_ms)
        self._apply()

    async def run(self) -> Never:
        """Write rows as they come, and end bans when they run out."""
        try:
            while True:
                with trio.move_on_after(CHECK_S):
                    await self._changed.wait()
                self._changed = trio.Event()
                self._expire()
                await self._flush()
        finally:
            with trio.move_on_after(FLUSH_S, shield=True):
                await self._flush()

    # --- violations

    def note(self, author: ValidatorIndex, violation: Violation, detail: str) -> None:
        """Take a violation into account, and ban when it is one too many."""
        now_ms = self.clock.now_ms()
        detail = _shown(detail)
        noted = Noted(at_ms=now_ms, author=author, violation=violation, detail=detail)
        ban = self.reputation.note(noted)
        number = self._numbers.get(author, 0)
        self._numbers[author] = number + 1
        self._keep(violation_row(noted, number))
        if self._seldom.allows(f"{author} {violation}", now_s=trio.current_time()):
            log.warning(
                "violation",
                peer=author,
                name=self.names[author],
                type=violation.value,
                detail=detail,
                score=self.score(author),
            )
        if ban is not None:
            self._keep(ban_row(ban))
        self._apply()

    def accuse(self, evidence: Evidence) -> None:
        """Keep evidence that was verified, and ban its author."""
        author = evidence.author
        pieces = self.evidence.setdefault(author, [])
        if len(pieces) < EVIDENCE_PER_AUTHOR_MAX and evidence not in pieces:
            self._keep(evidence_row(evidence, len(pieces)))
            pieces.append(evidence)
        what = contradiction(evidence.first, evidence.second)
        assert what is not None, "the core accuses on evidence alone"
        if author == self.reputation.me:
            log.error("own_key_elsewhere", contradiction=what, meaning="another node signs with it")
        self.note(author, Violation.EQUIVOCATION, what)

    # --- what people ask

    def score(self, validator: ValidatorIndex) -> float:
        """Return the reputation of a validator, 0 to 1."""
        return self.reputation.score(validator, self.clock.now_ms()) / 1000

    def standings(self) -> tuple[Standing, ...]:
        """Return the bans that stand, and the warnings."""
        return self.reputation.standings(self.clock.now_ms())

    def is_banned(self, validator: ValidatorIndex) -> bool:
        """True while a ban of the validator is in force."""
        return validator in self.in_force

    def violations(self) -> list[Noted]:
        """Return the violations kept, the newest first."""
        found = [noted for entries in self.reputation.log.values() for noted in entries]
        return sorted(found, key=lambda noted: (-noted.at_ms, noted.author))

    # --- what operators do

    def add(
        self, validator: ValidatorIndex, *, reason: str, lasts_ms: int | None, dry_run: bool
    ) -> str:
        """Ban on the operator's word; return the effect in words. Raises: ClientError."""
        if not reason.strip() or len(reason) > REASON_CHARACTERS_MAX:
            raise ClientError(f"a reason has 1 to {REASON_CHARACTERS_MAX} characters")
        now_ms = self.clock.now_ms()
        self.reputation.check_add(validator, now_ms)
        name = self.names[validator]
        lasts = "until it is taken back" if lasts_ms is None else f"for {lasts_ms // 1000} s"
        if dry_run:
            return f"{name} would be disconnected and banned {lasts}; nothing was done"
        ban = self.reputation.add(
            validator, reason=_shown(reason), lasts_ms=lasts_ms, now_ms=now_ms
        )
        self._keep(ban_row(ban))
        self._apply()
        log.warning("ban_added", peer=validator, name=name, lasts=lasts, reason=ban.reason)
        return (
            f"{name} is disconnected and banned {lasts}; its signatures still count in "
            "certificates, and what it made stays valid"
        )

    def remove(self, validator: ValidatorIndex, *, dry_run: bool) -> str:
        """Take a ban back; return the effect in words. Raises: ClientError."""
        now_ms = self.clock.now_ms()
        name = self.names[validator]
        standing = self.reputation.bans.get(validator)
        if standing is None or not standing.stands(now_ms):
            raise ClientError(f"{name} is not banned")
        if dry_run:
            return f"{name} could connect again, with its score at 1.0; nothing was done"
        ended = self.reputation.remove(validator, now_ms)
        self._keep(ban_row(ended))
        self._keep(cleared_row(validator, now_ms))
        self._apply()
        log.warning("ban_removed", peer=validator, name=name, was=ended.reason)
        return f"{name} may connect again; its score is 1.0"

    # --- carrying out

    def _apply(self) -> None:
        """Make the doors agree with the bans in force."""
        banned = self.reputation.banned(self.clock.now_ms())
        for validator in sorted(self.in_force.keys() - banned.keys()):
            self.doors.pardon(self.node_ids[validator])
            log.info("ban_ended", peer=validator, name=self.names[validator])
        for validator in sorted(banned.keys() - self.in_force.keys()):
            ban = banned[validator]
            self.doors.ban(self.node_ids[validator], ban.reason)
            log.warning(
                "banned",
                peer=validator,
                name=self.names[validator],
                reason=ban.reason,
                until_ms=ban.until_ms,
                by=ban.by.value,
            )
        self.in_force = banned

    def _expire(self) -> None:
        for validator in self.reputation.expire(self.clock.now_ms()):
            self._keep(cleared_row(validator, self.reputation.cleared_ms[validator]))
        self._apply()

    def _keep(self, row: tuple[bytes, bytes]) -> None:
        name, data = row
        self._rows[name] = data
        self._changed.set()

    async def _flush(self) -> None:
        if not self._rows:
            return
        rows, self._rows = self._rows, {}
        try:
            await trio.to_thread.run_sync(self.store.put_judgements, rows, limiter=self.writer)
        except BaseException:  # cancelled before it began: what came meanwhile is newer
            self._rows = {**rows, **self._rows}
            raise


def reputation_of(
    committee: Committee, me: ValidatorIndex, *, window_ms: int, ban_ms: int
) -> Reputation:
    """Return a reputation in which everybody is as good as new."""
    return Reputation(
        size=committee.size,
        faults=committee.faults,
        me=me,
        window_ms=window_ms,
        ban_ms=ban_ms,
    )


def _shown(text: str) -> str:
    """Return `text` with nothing in it that could steer a terminal, not too long."""
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    return text[:REASON_CHARACTERS_MAX]
