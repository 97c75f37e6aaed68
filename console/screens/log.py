"""Log and evidence: what the node wrote, and proofs that a validator said two things."""

from collections.abc import Mapping
from typing import Final

from rich.text import Text

from console.exports import Record, recorded
from console.picture import Detail, Newest, Part, Picture, Plan, columns, number
from console.rows import Cell, Row, Tone
from console.units import moment, plural, stamp
from cretonode.operator.protocol import EvidenceSnapshot
from cretonode.operator.protocol_topics import LogSnapshot

TONES: Final = {"debug": Tone.DIM, "info": Tone.PLAIN, "warn": Tone.WARN, "error": Tone.BAD}
ID_SHORT: Final = 12
ID_LOGGED: Final = 8  # hex digits of a node id in the log


def lines(picture: Picture, _: int) -> list[Text]:
    """Return how much there is, and from which level on."""
    status = picture.model.status
    if status is None:
        return []
    log, held = picture.model.known.log or (), picture.model.known.evidence or ()
    text = Text(f"{plural(len(log), 'line')}, from level {status.log_level} on; ", no_wrap=True)
    pieces = f"{plural(len(held), 'piece')} of evidence" + (": v" if held else "")
    return [text.append(pieces, picture.styled(Tone.BAD if held else Tone.DIM))]


def _tags(entry: LogSnapshot, names: Mapping[str, str]) -> str:
    """Return what the line says, validators by their names."""
    words = entry.text.split(" ")
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if equals and value in names:
            words[i] = f"{name}={names[value]}"
    said = set(words)
    tags = [f"view={entry.view}"] if entry.view is not None else []
    tags += [f"sequence={entry.sequence}"] if entry.sequence is not None else []
    return " ".join([*(tag for tag in tags if tag not in said), *words]).strip()


def _names(picture: Picture) -> dict[str, str]:
    """Return the names by the beginnings of node ids, as they stand in the log."""
    return {v.node_id.hex()[:ID_LOGGED]: v.name for v in picture.model.validators}


def log_rows(picture: Picture) -> list[Row]:
    """Return the lines, the newest last."""
    names = _names(picture)
    return [
        Row(
            str(entry.number),
            (
                number(entry.number, moment(entry.at_ms, near_ms=picture.now_ms, exact=True)),
                Cell(entry.level, TONES.get(entry.level, Tone.PLAIN)),
                Cell(entry.event, TONES.get(entry.level, Tone.PLAIN)),
                Cell(_tags(entry, names)),
            ),
        )
        for entry in picture.model.known.log or ()
    ]


def log_detail(picture: Picture, key: str) -> Detail | None:
    """Return one line with all it says."""
    entry = next((e for e in picture.model.known.log or () if str(e.number) == key), None)
    if entry is None:
        return None
    fields = [("at", stamp(entry.at_ms)), ("level", entry.level)]
    for name, value in (("view", entry.view), ("sequence", entry.sequence)):
        fields += [(name, str(value))] if value is not None else []
    if entry.peer is not None:
        fields.append(("peer", picture.model.name_of(entry.peer)))
    fields.append(("text", _tags(entry, _names(picture))))
    return Detail(title=entry.event, fields=tuple(fields))


def evidence_rows(picture: Picture) -> list[Row]:
    """Return the evidence that the node keeps."""
    return [
        Row(
            piece.id.hex(),
            (
                Cell(piece.id.hex()[:ID_SHORT], Tone.BAD),
                Cell(piece.name, order=piece.author),
                Cell(piece.contradiction),
                Cell(piece.first, Tone.DIM),
                Cell(piece.second, Tone.DIM),
            ),
        )
        for piece in picture.model.known.evidence or ()
    ]


def piece_of(picture: Picture, key: str) -> EvidenceSnapshot | None:
    """Return one piece of evidence."""
    return next((p for p in picture.model.known.evidence or () if p.id.hex() == key), None)


def evidence_detail(picture: Picture, key: str) -> Detail | None:
    """Return one piece: both statements."""
    piece = piece_of(picture, key)
    if piece is None:
        return None
    return Detail(
        title=f"Evidence against {piece.name}",
        fields=(
            ("contradiction", piece.contradiction),
            ("first", piece.first),
            ("second", piece.second),
            ("id", piece.id.hex()),
        ),
    )


def log_records(picture: Picture) -> dict[str, Record]:
    """Return the lines as they are exported."""
    name_of = picture.model.name_of
    return {
        str(entry.number): recorded(entry, peer_name=name_of(entry.peer))
        for entry in picture.model.known.log or ()
    }


def evidence_records(picture: Picture) -> dict[str, Record]:
    """Return the evidence as it is exported."""
    return {piece.id.hex(): recorded(piece) for piece in picture.model.known.evidence or ()}


EVIDENCE_PART: Final = "Evidence"
LOG: Final = Plan(
    name="Log",
    parts=(
        Part(
            name="Log",
            columns=columns("At", "Level", "Event", "Text"),
            rows=log_rows,
            detail=log_detail,
            records=log_records,
            empty="the node has written nothing since it started",
            newest=Newest.LAST,
        ),
        Part(
            name=EVIDENCE_PART,
            columns=columns("Id", "Validator", "Contradiction", "First", "Second"),
            rows=evidence_rows,
            detail=evidence_detail,
            records=evidence_records,
            empty="no evidence: nobody was seen to contradict itself",
        ),
    ),
    lines=lines,
    about="The node's log; v: evidence, Enter: both statements, checked against the genesis.",
)
