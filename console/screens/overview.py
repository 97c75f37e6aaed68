"""Overview: is it live, what is it doing, how fast, and what needs somebody."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Final

from rich.text import Text

from console.look import Look, bar
from console.model import finality_of
from console.picture import Picture, Plan, labelled, shortened
from console.rows import OWN_ORDER, Tone
from console.screens.peers import PEERS
from console.screens.storage import forecast, slow_syncs
from console.series import sparkline
from console.table_text import Frame, drawn
from console.units import count, duration, moment, size
from console.verdict import Standing
from cretonode.operator.protocol_topics import (
    Mark,
    Phase,
    SlotSnapshot,
    StorageSnapshot,
    WatchedStatusSnapshot,
)

WIDE: Final = 110  # from here on, two columns
GAP: Final = 3
BAR: Final = 20
ALERTS: Final = 4
CHANGES: Final = 3
LOG_LINES: Final = 8
PEERS_SHOWN: Final = 8
VOTED: Final = frozenset({Mark.SEEN, Mark.LATE})


def lines(picture: Picture, width: int) -> list[Text]:
    """Return the whole screen."""
    status = picture.model.status
    if status is None:
        words = picture.contact.problem or "waiting for the node's first word"
        return [Text(line) for line in wrap(words, max(1, width))]
    advice = _advice(picture)
    room = width if width < WIDE else (width - GAP) // 2
    standing = [*_where(picture, status), *_votes(picture, status)]
    machine = _machine(picture, status)
    who = [*_who(picture, status, width), *_alerts(picture), *_changes(picture)]
    if width < WIDE:
        return [advice, *_stacked([standing, _speed(picture, room), machine, who])]
    both = _beside(standing, [*_speed(picture, room), *machine], room, picture.look)
    return [advice, *_stacked([[], both, who, _peers(picture, width), _news(picture)])]


def _advice(picture: Picture) -> Text:
    verdict = picture.verdict
    text = Text(no_wrap=True)
    if verdict.standing is Standing.LIVE or not verdict.advice:
        return text.append("nothing to do", picture.styled(Tone.DIM))
    text.append("do: ", picture.styled(Tone.ACCENT))
    return text.append(verdict.advice)


def _where(picture: Picture, status: WatchedStatusSnapshot) -> list[Text]:
    dim = picture.styled(Tone.DIM)
    model = picture.model
    leader = model.name_of(status.leader)
    own = " (this node)" if status.leader == status.index else ""
    open_ = "" if status.view_open else " not open yet"
    standing = picture.verdict.standing
    idle = status.phase == Phase.IDLE and standing is Standing.STALLED  # whoever came had to wait
    phase = "" if idle else f"  {status.phase.replace('_', ' ')}"
    sequence = labelled(
        "Sequence",
        (f"{status.final:,}", picture.styled(Tone.ACCENT)),
        " final  ",
        (f"{status.stable:,} stable  {status.in_flight} in flight", dim),
    )
    if status.behind:
        sequence.append(f"  {status.behind} behind", picture.styled(Tone.WARN))
    return [
        labelled(
            "View",
            (str(status.view), picture.styled(Tone.ACCENT)),
            f"  leader {leader}{own}",
            (open_, picture.styled(Tone.WARN)),
            (phase, dim),
        ),
        sequence,
    ]


def _votes(picture: Picture, status: WatchedStatusSnapshot) -> list[Text]:
    slot = picture.model.current_slot or _last(picture.model.known.slots)
    if slot is None:
        return [labelled("Quorum", (f"{status.quorum} of {status.validators}", ""))]
    return [
        _quorum(picture, status, slot, "Prepare", slot.prepares),
        _quorum(picture, status, slot, "Commit", slot.commits),
    ]


def _quorum(
    picture: Picture, status: WatchedStatusSnapshot, slot: SlotSnapshot, name: str, marks: bytes
) -> Text:
    votes = sum(mark in VOTED for mark in marks)
    unknown = bool(marks) and all(mark == Mark.UNKNOWN for mark in marks)
    tone = Tone.GOOD if votes >= status.quorum else Tone.WARN
    line = labelled(
        name, (bar(votes, status.validators, BAR, picture.look.glyphs), picture.styled(tone))
    )
    said = "not seen" if unknown else f"{votes}/{status.validators}"
    line.append(f" {said}")
    line.append(f"  quorum {status.quorum}  at {slot.sequence:,}", picture.styled(Tone.DIM))
    return line


def _speed(picture: Picture, width: int) -> list[Text]:
    histories, glyphs = picture.model.histories, picture.look.glyphs
    status, storage = picture.model.status, picture.model.storage
    assert status is not None
    room = max(8, width - 42)
    accent = picture.styled(Tone.ACCENT)

    def spark(label: str, text: str, values: Sequence[float]) -> Text:
        line = labelled(label, f"{text:<28} ")
        return line.append(sparkline(values, room, ascii_only=glyphs.ascii_only), accent)

    transactions, finality = histories.transactions, histories.finality_ms.last(room)
    rate = "-" if transactions.now is None else count(transactions.now)
    p50, p99 = map(duration, finality_of(status, picture.model.known.slots or ()))
    synced = "-" if storage is None else duration(storage.sync_last_ms)
    slow = "-" if storage is None else " ".join(slow_syncs(storage))
    return [
        spark("Transactions", f"{rate}/s", transactions.series.last(room)),
        spark("Finality", f"{p50} median, {p99} p99", finality),
        spark("Disk sync", f"{synced}, {slow}", histories.sync_ms.last(room)),
    ]


def _machine(picture: Picture, status: WatchedStatusSnapshot) -> list[Text]:
    waiting = f"{count(status.waiting_transactions)} transactions, "
    waiting += f"{count(status.waiting_vertices)} vertices, {count(status.orphans)} orphans"
    busy = picture.model.histories.processor.now
    core = "-" if busy is None else f"{busy / 10:.0f} % of a core"
    process = f"{core}, {size(status.resident_bytes)}, queue {status.queue}, "
    process += f"up {duration(status.uptime_ms)}"
    return [
        labelled("Waiting", waiting),
        _disk(picture, picture.model.storage),
        labelled("Process", process),
    ]


def _disk(picture: Picture, storage: StorageSnapshot | None) -> Text:
    if storage is None:
        return labelled("Disk", "-")
    full = storage.total_bytes - storage.free_bytes
    line = labelled("Disk", (bar(full, storage.total_bytes, BAR // 2, picture.look.glyphs), ""))
    line.append(f" {size(storage.free_bytes)} free, database {size(storage.disk_bytes)}")
    ahead = forecast(picture)
    if ahead:
        line.append(f", {ahead}", picture.styled(Tone.WARN))
    return line


def _who(picture: Picture, status: WatchedStatusSnapshot, width: int) -> list[Text]:
    """Every validator with its sign, as many to a line as fit."""
    absent = set(picture.verdict.absent)
    # Of those who were heard nobody knows now.
    heard = Tone.DIM if picture.verdict.standing is Standing.STALE else Tone.GOOD
    found: list[Text] = []
    line = labelled("Validators")
    for validator in picture.model.validators:
        gone = validator.name in absent
        tone = Tone.BAD if gone else heard
        item = Text.assemble(picture.sign(tone), f" {validator.name}")
        if gone:
            item.stylize(picture.styled(Tone.BAD))
        if validator.index == status.leader:
            item.append(" leader", picture.styled(Tone.DIM))
        if line.cell_len + item.cell_len + 2 > width:
            found.append(line)
            line = labelled("")
        line.append(item).append("  ")
    return [*found, line]


def _alerts(picture: Picture) -> list[Text]:
    alerts = picture.model.known.alerts or ()
    if not alerts:
        return [labelled("Alerts", ("none", picture.styled(Tone.DIM)))]
    found: list[Text] = []
    for i, alert in enumerate(alerts[:ALERTS]):
        tone = Tone.BAD if alert.level == "error" else Tone.WARN
        line = labelled("" if i else "Alerts", picture.sign(tone), f" {alert.text}")
        ago = duration(max(0, picture.now_ms - alert.since_ms))
        found.append(line.append(f"  for {ago}", picture.styled(Tone.DIM)))
    if len(alerts) > ALERTS:
        found.append(labelled("", f"and {len(alerts) - ALERTS} more"))
    return found


def _changes(picture: Picture) -> list[Text]:
    views = picture.model.known.views or ()
    if not views:
        return [labelled("Last views", ("no view change", picture.styled(Tone.DIM)))]
    found: list[Text] = []
    arrow = picture.look.glyphs.arrow
    for i, change in enumerate(reversed(views[-CHANGES:])):
        leader = picture.model.name_of(change.to_leader)
        took = "going on" if not change.ended else f"in {duration(change.duration_ms)}"
        line = labelled(
            "" if i else "Last views",
            (moment(change.at_ms, near_ms=picture.now_ms), picture.styled(Tone.DIM)),
        )
        line.append(f"  {change.from_view} {arrow} {change.to_view}  {leader}  {change.reason}  ")
        found.append(line.append(took, picture.styled(Tone.DIM)))
    return found


def _peers(picture: Picture, width: int) -> list[Text]:
    """The first peers, as their screen shows them."""
    (part,) = PEERS.parts
    rows = part.rows(picture)
    frame = Frame(width, min(len(rows), PEERS_SHOWN) + 1, -1, 0, focused=False)
    return drawn(part.columns, rows, frame, OWN_ORDER, picture.look)


def _news(picture: Picture) -> list[Text]:
    """The newest lines of the log that are no daily weather."""
    log = [line for line in picture.model.known.log or () if line.level in ("warn", "error")]
    found = [Text("Warnings of the log", picture.look.palette.head)]
    if not log:
        return [*found, Text("none so far", picture.styled(Tone.DIM))]
    for entry in log[-LOG_LINES:]:
        tone = Tone.BAD if entry.level == "error" else Tone.WARN
        text = Text(no_wrap=True)
        text.append(f"{moment(entry.at_ms, near_ms=picture.now_ms)}  ", picture.styled(Tone.DIM))
        text.append(f"{entry.event}  ", picture.styled(tone))
        found.append(text.append(entry.text))
    return found


def _last(slots: Sequence[SlotSnapshot] | None) -> SlotSnapshot | None:
    return max(slots or (), key=lambda slot: slot.sequence, default=None)


def _stacked(blocks: Sequence[list[Text]]) -> list[Text]:
    """Return the blocks one below the other, an empty line between."""
    found: list[Text] = []
    for block in blocks:
        found += [Text(), *block] if found else block
    return found


def _beside(left: list[Text], right: list[Text], width: int, look: Look) -> list[Text]:
    found: list[Text] = []
    for i in range(max(len(left), len(right))):
        line = left[i] if i < len(left) else Text(no_wrap=True)
        line = shortened(line, width, look.glyphs, pad=True).append(" " * GAP)
        if i < len(right):
            line.append(shortened(right[i], width, look.glyphs))
        found.append(line)
    return found


OVERVIEW: Final = Plan(
    name="Overview",
    lines=lines,
    about="The verdict with its reason, what may still fail, and what to do; speed and disk.",
)
