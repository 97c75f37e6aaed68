"""Phases: every sequence by validator, live and past; whom a sequence waits for; view changes."""

from functools import lru_cache
from typing import Final

from rich.text import Text

from console.exports import Record, recorded
from console.look import Glyphs
from console.picture import Detail, Newest, Part, Picture, Plan, columns, number
from console.rows import Cell, Row, Tone
from console.units import count, duration, listed_of, moment, plural, stamp
from console.verdict import Standing
from cretonode.operator.protocol_topics import Mark, SlotSnapshot, ViewChangeSnapshot

LATE_MS: Final = 2_000  # of a sequence that is not final
ROWS_KEPT: Final = 1_024  # of final sequences, drawn once: a few times what is known of them

TONES: Final = {
    Mark.MISSING: Tone.DIM,
    Mark.SEEN: Tone.GOOD,
    Mark.LATE: Tone.WARN,
    Mark.INVALID: Tone.BAD,
    Mark.EQUIVOCATING: Tone.BAD,
    Mark.UNKNOWN: Tone.DIM,
}
WORDS: Final = {
    Mark.MISSING: "missing",
    Mark.SEEN: "seen",
    Mark.LATE: "late",
    Mark.INVALID: "invalid",
    Mark.EQUIVOCATING: "equivocating",
    Mark.UNKNOWN: "unknown",
}


def glyph_of(mark: Mark, glyphs: Glyphs) -> str:
    """Return the sign of a mark."""
    return {
        Mark.MISSING: glyphs.missing,
        Mark.SEEN: glyphs.good,
        Mark.LATE: glyphs.late,
        Mark.INVALID: glyphs.crossed,
        Mark.EQUIVOCATING: glyphs.forked,
        Mark.UNKNOWN: glyphs.unknown,
    }[mark]


def marks_of(marks: bytes) -> list[Mark]:
    """Return the marks; one of a later version is unknown."""
    return [Mark(byte) if byte in set(Mark) else Mark.UNKNOWN for byte in marks]


def lines(picture: Picture, _: int) -> list[Text]:
    """Return the line that says what is waited for, and what the signs mean."""
    status = picture.model.status
    if status is None:
        return []
    words = picture.verdict.waits
    slot = picture.model.current_slot
    if slot is not None and picture.verdict.standing is not Standing.STALE:
        since = duration(max(0, picture.now_ms - slot.since_ms))
        words = f"sequence {slot.sequence:,} in view {slot.view}, {since} old: {words}"
    legend = Text(no_wrap=True)
    for mark in Mark:
        legend.append(glyph_of(mark, picture.look.glyphs), picture.styled(TONES[mark]))
        legend.append(f" {WORDS[mark]}  ", picture.styled(Tone.DIM))
    names = " ".join(v.name for v in picture.model.validators)
    order = Text(f"each sign a validator: {names}", picture.styled(Tone.DIM), no_wrap=True)
    return [Text(words, no_wrap=True), order, legend]


def _marks_cell(marks: bytes, glyphs: Glyphs) -> Cell:
    found = marks_of(marks)
    votes = sum(mark in (Mark.SEEN, Mark.LATE) for mark in found)
    text = "".join(glyph_of(mark, glyphs) for mark in found)
    return Cell(text, order=votes, tones=tuple(TONES[mark] for mark in found))


def phase_of(slot: SlotSnapshot) -> tuple[str, Tone]:
    """Return how far a sequence is."""
    if slot.fetched:
        return "fetched", Tone.DIM
    if slot.executed:
        return "final", Tone.GOOD
    if slot.committed:
        return "execute", Tone.ACCENT
    if slot.prepared:
        return "commit", Tone.ACCENT
    return ("prepare", Tone.ACCENT) if slot.pre_prepared else ("pre-prepare", Tone.WARN)


def missing_names(picture: Picture, slot: SlotSnapshot) -> list[str]:
    """Return whose vote of the phase has not come."""
    marks = slot.commits if slot.prepared else slot.prepares
    return [
        picture.model.name_of(i)
        for i, mark in enumerate(marks_of(marks))
        if mark not in (Mark.SEEN, Mark.LATE)
    ]


def _lacking(picture: Picture, slot: SlotSnapshot) -> str:
    """Return whose votes would do."""
    status, missing = picture.model.status, missing_names(picture, slot)
    votes = len(picture.model.validators) - len(missing)
    return listed_of(status.quorum - votes if status else len(missing), missing)


def _slot_row(picture: Picture, slot: SlotSnapshot) -> Row:
    leader = picture.model.name_of(slot.leader)
    if slot.executed:
        return _final_row(slot, leader, picture.look.glyphs)
    old_ms = max(0, picture.now_ms - slot.since_ms)
    took = number(old_ms, duration(old_ms), Tone.BAD if old_ms > LATE_MS else Tone.WARN)
    lacking = "" if slot.fetched else _lacking(picture, slot)
    return _row(slot, leader, picture.look.glyphs, took, lacking)


@lru_cache(maxsize=ROWS_KEPT)
def _final_row(slot: SlotSnapshot, leader: str, glyphs: Glyphs) -> Row:
    """Nothing of it changes any more."""
    return _row(slot, leader, glyphs, number(slot.finality_ms, duration(slot.finality_ms)), "")


def _row(slot: SlotSnapshot, leader: str, glyphs: Glyphs, took: Cell, lacking: str) -> Row:
    phase, tone = phase_of(slot)
    return Row(
        str(slot.sequence),
        (
            number(slot.sequence, f"{slot.sequence:,}"),
            number(slot.view, str(slot.view), Tone.WARN if slot.views > 1 else Tone.PLAIN),
            Cell(leader),
            Cell(phase, tone),
            _marks_cell(slot.prepares, glyphs),
            _marks_cell(slot.commits, glyphs),
            took,
            number(slot.transactions, count(slot.transactions)),
            number(slot.authors, str(slot.authors)),
            Cell(lacking, Tone.WARN),
        ),
    )


def slot_rows(picture: Picture) -> list[Row]:
    """Return the sequences, the newest first."""
    slots = sorted(picture.model.known.slots or (), key=lambda slot: -slot.sequence)
    return [_slot_row(picture, slot) for slot in slots]


def slot_detail(picture: Picture, key: str) -> Detail | None:
    """Return one sequence with every validator's votes."""
    slot = next((s for s in picture.model.known.slots or () if str(s.sequence) == key), None)
    if slot is None:
        return None
    fields = [
        ("phase", phase_of(slot)[0]),
        ("view", f"{slot.view}, leader {picture.model.name_of(slot.leader)}"),
        ("views voted in", str(slot.views)),
        ("first heard", stamp(slot.since_ms)),
        ("anchor", slot.anchor.hex() if slot.anchor else "not proposed yet"),
        ("finality", duration(slot.finality_ms)),
        ("vertices", f"{slot.vertices}, of {plural(slot.authors, 'author')}"),
        ("transactions", f"{slot.transactions:,}"),
    ]
    prepares, commits = marks_of(slot.prepares), marks_of(slot.commits)
    for i, (prepare, commit) in enumerate(zip(prepares, commits, strict=False)):
        said = f"prepare {WORDS[prepare]}, commit {WORDS[commit]}"
        fields.append((picture.model.name_of(i), said))
    return Detail(title=f"Sequence {slot.sequence:,}", fields=tuple(fields))


def _change_row(picture: Picture, change: ViewChangeSnapshot) -> Row:
    name = picture.model.name_of
    arrow = picture.look.glyphs.arrow
    if change.duration_ms is not None:
        took = number(change.duration_ms, duration(change.duration_ms))
    elif change.ended:
        took = Cell("unopened", Tone.WARN)
    else:
        took = Cell(f"{duration(max(0, picture.now_ms - change.at_ms))} so far", Tone.WARN)
    voters = picture.model.names_of(change.voters)
    return Row(
        str(change.number),
        (
            number(change.at_ms, moment(change.at_ms, near_ms=picture.now_ms)),
            number(change.to_view, f"{change.from_view} {arrow} {change.to_view}"),
            Cell(f"{name(change.from_leader)} {arrow} {name(change.to_leader)}"),
            took,
            Cell(change.cause.replace("_", " ")),
            number(len(voters), ", ".join(voters)),
        ),
    )


def change_rows(picture: Picture) -> list[Row]:
    """Return the view changes, the newest first."""
    return [_change_row(picture, change) for change in reversed(picture.model.known.views or ())]


def change_detail(picture: Picture, key: str) -> Detail | None:
    """Return one view change: why, how long, who asked for it."""
    change = next((c for c in picture.model.known.views or () if str(c.number) == key), None)
    if change is None:
        return None
    name = picture.model.name_of
    said = set(picture.model.names_of(change.voters))
    took = duration(change.duration_ms)
    if change.duration_ms is None:
        took = "it never opened" if change.ended else "going on"
    return Detail(
        title=f"View change {change.from_view} to {change.to_view}",
        fields=(
            ("at", stamp(change.at_ms)),
            ("cause", f"{change.cause.replace('_', ' ')}: {change.reason}"),
            ("leader", f"{name(change.from_leader)} before, {name(change.to_leader)} after"),
            ("duration", took),
            ("view-change from", ", ".join(sorted(said)) or "nobody"),
            (
                "none from",
                ", ".join(v.name for v in picture.model.validators if v.name not in said)
                or "nobody",
            ),
        ),
    )


def slot_records(picture: Picture) -> dict[str, Record]:
    """Return the sequences as they are exported: votes as `node0=seen node1=late`."""
    return {
        str(slot.sequence): recorded(
            slot,
            leader_name=picture.model.name_of(slot.leader),
            phase=phase_of(slot)[0],
            anchor=slot.anchor.hex() if slot.anchor else None,
            prepares=_votes(picture, slot.prepares),
            commits=_votes(picture, slot.commits),
        )
        for slot in picture.model.known.slots or ()
    }


def _votes(picture: Picture, marks: bytes) -> str:
    name_of = picture.model.name_of
    return " ".join(f"{name_of(i)}={WORDS[mark]}" for i, mark in enumerate(marks_of(marks)))


def change_records(picture: Picture) -> dict[str, Record]:
    """Return the view changes as they are exported."""
    name_of = picture.model.name_of
    return {
        str(change.number): recorded(
            change,
            from_leader_name=name_of(change.from_leader),
            to_leader_name=name_of(change.to_leader),
            voters=" ".join(picture.model.names_of(change.voters)),
        )
        for change in picture.model.known.views or ()
    }


SLOTS: Final = Part(
    name="Sequences",
    columns=columns(
        ">Sequence", ">View", "Leader", "Phase", "Prepares", "Commits", ">Finality", ">Tx",
        ">Authors", "Waits for",
    ),
    rows=slot_rows,
    detail=slot_detail,
    records=slot_records,
    empty="no sequence so far: nothing was submitted",
    newest=Newest.FIRST,
)  # fmt: skip
CHANGES: Final = Part(
    name="View changes",
    columns=columns("At", "Views", "Leaders", "Duration", "Cause", "View-change from"),
    rows=change_rows,
    detail=change_detail,
    records=change_records,
    empty="no view change since this node started",
    newest=Newest.FIRST,
)
PHASES: Final = Plan(
    name="Phases",
    parts=(SLOTS, CHANGES),
    lines=lines,
    about="Each sequence with every validator's prepare and commit; v: the view changes.",
)
