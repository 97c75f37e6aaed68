"""What the detector stores: evidence, violations, bans and pardons, and the names of their rows.

The own disk wrote them, so damage is a CorruptionError and not a peer's fault. Every name is one of
a bounded number: a newer row takes the place of an older one. Pure.
Source: docs/storage.md, section 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cretonode.core.messages import Evidence
from cretonode.core.reputation import Ban, BannedBy, Noted, Violation
from cretonode.crypto.canonical import Value, decode_untrusted, encode
from cretonode.errors import CorruptionError, MalformedMessage
from cretonode.identifiers import ValidatorIndex
from cretonode.limits import (
    EVIDENCE_PER_AUTHOR_MAX,
    REASON_CHARACTERS_MAX,
    VIOLATIONS_PER_AUTHOR_MAX,
)
from cretonode.wire import fields
from cretonode.wire.messages import decode_message_untrusted, encode_message

EVIDENCE: Final = b"evidence/"  # author u16, number u16 -> evidence, as it travels
VIOLATION: Final = b"violation/"  # author u16, number u16 -> violation
BAN: Final = b"ban/"  # validator u16 -> its newest ban
CLEARED: Final = b"cleared/"  # validator u16 -> when it began afresh
BAN_COUNT_MAX: Final = 2**32 - 1


@dataclass(slots=True)
class Judgements:
    """Everything that is stored, in no particular order but `noted`, which is by time."""

    evidence: list[Evidence] = field(default_factory=list)
    noted: list[tuple[int, Noted]] = field(default_factory=list)  # number of the row first
    bans: list[Ban] = field(default_factory=list)
    cleared_ms: dict[ValidatorIndex, int] = field(default_factory=dict)


def evidence_row(evidence: Evidence, number: int) -> tuple[bytes, bytes]:
    """Return the row of an author's `number`-th piece of evidence."""
    assert 0 <= number < EVIDENCE_PER_AUTHOR_MAX, number
    return _name(EVIDENCE, evidence.author, number), encode_message(evidence)


def violation_row(noted: Noted, number: int) -> tuple[bytes, bytes]:
    """Return the row of an author's `number`-th violation; only the newest are kept."""
    value: list[Value] = [noted.at_ms, noted.author, noted.violation.value, noted.detail]
    return _name(VIOLATION, noted.author, number % VIOLATIONS_PER_AUTHOR_MAX), encode(value)


def ban_row(ban: Ban) -> tuple[bytes, bytes]:
    """Return the row of a validator's newest ban."""
    value: list[Value] = [
        ban.validator,
        ban.since_ms,
        ban.until_ms,
        ban.by.value,
        ban.reason,
        ban.count,
    ]
    return _name(BAN, ban.validator), encode(value)


def cleared_row(validator: ValidatorIndex, cleared_ms: int) -> tuple[bytes, bytes]:
    """Return the row that says when a validator began afresh."""
    return _name(CLEARED, validator), encode([validator, cleared_ms])


def read_judgements(rows: Sequence[tuple[bytes, bytes]]) -> Judgements:
    """Return what the rows hold. Raises: CorruptionError, which names the row."""
    found = Judgements()
    for name, data in rows:
        try:
            _read_untrusted(found, name, data)
        except MalformedMessage as error:
            raise CorruptionError(f"stored judgement {name!r}: {error}") from None
    found.noted.sort(key=lambda entry: entry[1].at_ms)
    return found


def _read_untrusted(found: Judgements, name: bytes, data: bytes) -> None:
    if name.startswith(EVIDENCE):
        message = decode_message_untrusted(data)
        if not isinstance(message, Evidence):
            raise MalformedMessage(f"it is a {type(message).__name__}")
        found.evidence.append(message)
    elif name.startswith(VIOLATION):
        found.noted.append((int.from_bytes(name[-2:], "big"), _noted_untrusted(data)))
    elif name.startswith(BAN):
        found.bans.append(_ban_untrusted(data))
    elif name.startswith(CLEARED):
        items = fields.items_untrusted("a pardon", decode_untrusted(data), 2)
        cleared_ms = fields.number_untrusted("a time", items[1])
        found.cleared_ms[fields.author_untrusted(items[0])] = cleared_ms
    else:
        raise MalformedMessage("a row of an unknown kind")


def _noted_untrusted(data: bytes) -> Noted:
    at_ms, author, violation, detail = fields.items_untrusted(
        "a violation", decode_untrusted(data), 4
    )
    return Noted(
        at_ms=fields.number_untrusted("a time", at_ms),
        author=fields.author_untrusted(author),
        violation=Violation(_one_of(list(Violation), violation)),
        detail=_text_untrusted(detail),
    )


def _ban_untrusted(data: bytes) -> Ban:
    validator, since_ms, until_ms, by, reason, count = fields.items_untrusted(
        "a ban", decode_untrusted(data), 6
    )
    return Ban(
        validator=fields.author_untrusted(validator),
        since_ms=fields.number_untrusted("a time", since_ms),
        until_ms=None if until_ms is None else fields.number_untrusted("a time", until_ms),
        by=BannedBy(_one_of(list(BannedBy), by)),
        reason=_text_untrusted(reason),
        count=fields.number_untrusted("a count", count, 0, BAN_COUNT_MAX),
    )


def _one_of(known: Sequence[str], value: Value) -> str:
    if not isinstance(value, str) or value not in known:
        raise MalformedMessage(f"a name that is none of {', '.join(known)}")
    return value


def _text_untrusted(value: Value) -> str:
    return "" if value == "" else fields.text_untrusted("a reason", value, REASON_CHARACTERS_MAX)


def _name(prefix: bytes, author: ValidatorIndex, number: int | None = None) -> bytes:
    name = prefix + author.to_bytes(2, "big")
    return name if number is None else name + number.to_bytes(2, "big")
