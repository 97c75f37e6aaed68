"""Reputation and bans: scores and what moved them, who is banned and until when, violations."""

from collections import Counter
from typing import Final

from rich.text import Text

from console.exports import Record, recorded
from console.look import bar
from console.picture import Detail, Newest, Part, Picture, Plan, columns, number
from console.rows import Cell, Row, Tone
from console.screens.peers import score_tone
from console.units import duration, moment, plural, stamp
from cretonode.operator.protocol import BanSnapshot, ReputationSnapshot, ViolationSnapshot

BAR: Final = 10


def lines(picture: Picture, _: int) -> list[Text]:
    """Return the guard against banning oneself into a stall."""
    status = picture.model.status
    if status is None:
        return []
    banned = sum(ban.in_force for ban in picture.model.known.bans or ())
    return [
        Text(
            f"{banned} banned, at most {status.faults} can be; a score below 0.30 bans",
            no_wrap=True,
        )
    ]


def moved_by(picture: Picture, each: ReputationSnapshot) -> str:
    """Return the types of a validator's violations, the commonest first; of the rest the number.

    The node shows the newest of all validators only, and counts more of each.
    """
    types = Counter(
        violation.type.replace("_", " ")
        for violation in picture.model.known.violations or ()
        if violation.validator == each.validator
    )
    words = [f"{name} {times}" for name, times in types.most_common()]
    older = each.violations - types.total()
    return ", ".join([*words, f"older {older}"] if older > 0 else words)


def _score_row(picture: Picture, each: ReputationSnapshot) -> Row:
    tone = Tone.BAD if each.banned else score_tone(each.score)
    return Row(
        str(each.validator),
        (
            Cell(each.name, order=each.validator),
            number(each.score, f"{each.score:.2f}", tone),
            number(each.score, bar(each.score, 1.0, BAR, picture.look.glyphs), tone),
            Cell("banned" if each.banned else "-", Tone.BAD if each.banned else Tone.DIM),
            number(each.violations, str(each.violations)),
            number(each.evidence, str(each.evidence), Tone.BAD if each.evidence else Tone.PLAIN),
            Cell(moved_by(picture, each), Tone.WARN),
        ),
    )


def score_rows(picture: Picture) -> list[Row]:
    """Return the others' scores, in the order of the genesis list."""
    scores = sorted(picture.model.known.reputation or (), key=lambda each: each.validator)
    return [_score_row(picture, each) for each in scores]


def score_detail(picture: Picture, key: str) -> Detail | None:
    """Return a validator's score with what moved it."""
    known = picture.model.known
    each = next((r for r in known.reputation or () if str(r.validator) == key), None)
    if each is None:
        return None
    fields = [
        ("score", f"{each.score:.3f}"),
        ("node id", each.node_id.hex()),
        ("violations", str(each.violations)),
        ("evidence", f"{plural(each.evidence, 'proof')}: Log (7), v" if each.evidence else "none"),
    ]
    fields += [
        ("banned" if ban.in_force else "warning", _ban_words(ban))
        for ban in known.bans or ()
        if ban.validator == each.validator
    ]
    noted = [v for v in known.violations or () if v.validator == each.validator]
    fields += [
        (
            moment(violation.at_ms, near_ms=picture.now_ms),
            f"{violation.type.replace('_', ' ')}: {violation.detail}",
        )
        for violation in reversed(noted)
    ]
    return Detail(title=f"Reputation of {each.name}", fields=tuple(fields))


def _until(picture: Picture, ban: BanSnapshot) -> str:
    if ban.until_ms is None:
        return "until taken back"
    return f"for {duration(max(0, ban.until_ms - picture.now_ms))} more"


def _ban_words(ban: BanSnapshot) -> str:
    until = (
        "until it is taken back" if ban.until_ms is None else f"until {moment(ban.until_ms)} UTC"
    )
    return f"{ban.reason}; by {ban.by} since {moment(ban.since_ms)}, {until}"


def ban_rows(picture: Picture) -> list[Row]:
    """Return the bans that stand."""
    return [
        Row(
            str(ban.validator),
            (
                Cell(ban.name, order=ban.validator),
                Cell("in force" if ban.in_force else "warning only",
                     Tone.BAD if ban.in_force else Tone.WARN),
                number(ban.since_ms, moment(ban.since_ms, near_ms=picture.now_ms)),
                number(ban.until_ms, _until(picture, ban)),
                Cell(ban.by),
                Cell(ban.reason),
            ),
        )
        for ban in picture.model.known.bans or ()
    ]  # fmt: skip


def ban_detail(picture: Picture, key: str) -> Detail | None:
    """Return one ban with its reason in full."""
    ban = next((b for b in picture.model.known.bans or () if str(b.validator) == key), None)
    if ban is None:
        return None
    return Detail(
        title=f"Ban of {ban.name}",
        fields=(
            ("reason", ban.reason),
            ("by", ban.by),
            ("since", stamp(ban.since_ms)),
            ("expires", _until(picture, ban) if ban.until_ms is None else
             f"{stamp(ban.until_ms)}, {_until(picture, ban)}"),
            ("in force", "yes" if ban.in_force else
             "no: a warning only, as more bans than f would stall this node"),
            ("node id", ban.node_id.hex()),
        ),
    )  # fmt: skip


def _violations(picture: Picture) -> list[tuple[str, ViolationSnapshot]]:
    """Return violations with keys that last as long as they are kept, the newest first."""
    seen: Counter[tuple[int, int, str]] = Counter()
    found: list[tuple[str, ViolationSnapshot]] = []
    for violation in picture.model.known.violations or ():
        what = (violation.at_ms, violation.validator, violation.type)
        found.append((f"{what[0]}.{what[1]}.{what[2]}.{seen[what]}", violation))
        seen[what] += 1
    return found[::-1]


def violation_rows(picture: Picture) -> list[Row]:
    """Return the violations, the newest first."""
    return [
        Row(
            key,
            (
                number(
                    violation.at_ms,
                    moment(violation.at_ms, near_ms=picture.now_ms, exact=True),
                ),
                Cell(violation.name, order=violation.validator),
                Cell(violation.type.replace("_", " "), Tone.WARN),
                Cell(violation.detail),
            ),
        )
        for key, violation in _violations(picture)
    ]


def violation_detail(picture: Picture, key: str) -> Detail | None:
    """Return one violation."""
    violation = dict(_violations(picture)).get(key)
    if violation is None:
        return None
    return Detail(
        title=f"Violation of {violation.name}",
        fields=(
            ("at", stamp(violation.at_ms)),
            ("type", violation.type.replace("_", " ")),
            ("detail", violation.detail),
        ),
    )


def score_records(picture: Picture) -> dict[str, Record]:
    """Return the scores as they are exported."""
    return {
        str(each.validator): recorded(each, moved_by=moved_by(picture, each))
        for each in picture.model.known.reputation or ()
    }


def ban_records(picture: Picture) -> dict[str, Record]:
    """Return the bans as they are exported."""
    return {str(ban.validator): recorded(ban) for ban in picture.model.known.bans or ()}


def violation_records(picture: Picture) -> dict[str, Record]:
    """Return the violations as they are exported."""
    return {key: recorded(violation) for key, violation in _violations(picture)}


REPUTATION: Final = Plan(
    name="Reputation",
    parts=(
        Part(
            name="Scores",
            columns=columns(
                "Validator", ">Score", "", "Ban", ">Violations", ">Evidence", "Moved by"
            ),
            rows=score_rows,
            detail=score_detail,
            records=score_records,
            empty="this network has no other validator",
        ),
        Part(
            name="Bans",
            columns=columns("Validator", "Ban", "Since", "Expires", "By", "Reason"),
            rows=ban_rows,
            detail=ban_detail,
            records=ban_records,
            empty="nobody is banned",
        ),
        Part(
            name="Violations",
            columns=columns("At", "Validator", "Type", "Detail"),
            rows=violation_rows,
            detail=violation_detail,
            records=violation_records,
            empty="no violation was noted",
            newest=Newest.FIRST,
        ),
    ),
    lines=lines,
    about="Scores and what moved them, bans, violations; b: ban, u: take a ban back.",
)
