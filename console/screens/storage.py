"""Storage: sizes, cache, syncs, compaction, and when the disk will be full."""

from typing import Final

from rich.text import Text

from console.exports import Raw, Record, recorded
from console.look import bar
from console.picture import Detail, Part, Picture, Plan, columns, number
from console.rows import Cell, Row, Tone
from console.series import sparkline
from console.units import count, duration, size
from cretonode.operator.protocol_topics import SYNCS_MIN, StorageSnapshot

BAR: Final = 24
SAMPLES_MIN: Final = 6  # of the free space, before anything is foretold
FORECAST_MS_MAX: Final = 30 * 86_400_000
FULL: Final = 0.9  # of the disk
SYNC_SLOW_MS: Final = 50.0
FIELDS: Final = {  # by the names of the measures
    "database": "disk_bytes",
    "vote journal": "journal_bytes",
    "history": "history_bytes",
    "disk free": "free_bytes",
    "cache hit rate": "cache_hit_ratio",
    "cache": "cache_bytes",
    "write buffers": "write_buffer_bytes",
    "journal syncs": "syncs",
    "slow syncs": "sync_p99_ms",
    "compactions": "compactions_running",
    "to be compacted": "compaction_pending_bytes",
    "write stalls": "write_stall_ms",
}


def full_in_ms(picture: Picture) -> float | None:
    """Return when the disk will be full as it goes now; None when not foreseeable."""
    storage, series = picture.model.storage, picture.model.histories.free_bytes
    samples = series.last(len(series))
    if storage is None or len(samples) < SAMPLES_MIN:
        return None
    lost = samples[0] - samples[-1]
    if lost <= 0:
        return None
    return storage.free_bytes / lost * (len(samples) - 1) * series.step_ms


def forecast(picture: Picture) -> str:
    """Return when the disk will be full, in words; empty when that is far or unknown."""
    ms = full_in_ms(picture)
    return "" if ms is None or ms > FORECAST_MS_MAX else f"full in {duration(ms)}"


def slow_syncs(storage: StorageSnapshot) -> tuple[str, str]:
    """Return how long the slow syncs take, and which those are: few have no percentile."""
    if storage.sync_p99_ms is None:
        return "-", "none so far"
    which = "p99" if storage.syncs >= SYNCS_MIN else f"highest of {storage.syncs}"
    return duration(storage.sync_p99_ms), which


def lines(picture: Picture, width: int) -> list[Text]:
    """Return the disk at a glance."""
    storage = picture.model.storage
    if storage is None:
        return []
    used = storage.total_bytes - storage.free_bytes
    tone = Tone.BAD if used > FULL * storage.total_bytes else Tone.GOOD
    text = Text("disk ", no_wrap=True)
    text.append(bar(used, storage.total_bytes, BAR, picture.look.glyphs), picture.styled(tone))
    text.append(f" {size(storage.free_bytes)} free of {size(storage.total_bytes)}")
    ahead = forecast(picture)
    text.append(f", {ahead}" if ahead else "", picture.styled(Tone.WARN))
    sync = Text("sync ", no_wrap=True)
    values = picture.model.histories.sync_ms.last(max(8, width - 40))
    bars = sparkline(values, BAR, ascii_only=picture.look.glyphs.ascii_only)
    sync.append(bars, picture.styled(Tone.ACCENT))
    slow, which = slow_syncs(storage)
    sync.append(f" {duration(storage.sync_last_ms)} last, {slow} {which}")
    return [text, sync]


def _hit_rate(storage: StorageSnapshot) -> str:
    asked = storage.cache_hits + storage.cache_misses
    return "-" if asked == 0 else f"{storage.cache_hits / asked:.1%}"


def _measures(storage: StorageSnapshot) -> list[tuple[str, str, str, Tone]]:
    took, which = slow_syncs(storage)
    enough = storage.syncs >= SYNCS_MIN
    slow = enough and storage.sync_p99_ms is not None and storage.sync_p99_ms > SYNC_SLOW_MS
    return [
        ("database", size(storage.disk_bytes), "all column families on disk", Tone.PLAIN),
        ("vote journal", size(storage.journal_bytes), "what this node promised", Tone.PLAIN),
        ("history", size(storage.history_bytes), "what a console can look back at", Tone.PLAIN),
        ("disk free", size(storage.free_bytes), f"of {size(storage.total_bytes)}", Tone.PLAIN),
        ("cache hit rate", _hit_rate(storage),
         f"{count(storage.cache_hits)} hits, {count(storage.cache_misses)} misses", Tone.PLAIN),
        ("cache", size(storage.cache_bytes), "blocks, filters, indexes in memory", Tone.PLAIN),
        ("write buffers", size(storage.write_buffer_bytes), "not written out yet", Tone.PLAIN),
        ("journal syncs", count(storage.syncs), f"the last {duration(storage.sync_last_ms)}",
         Tone.PLAIN),
        ("slow syncs", took, f"{which} of the newest 256" if enough else which,
         Tone.WARN if slow else Tone.PLAIN),
        ("compactions", str(storage.compactions_running),
         f"running; {duration(storage.compaction_ms)} in all", Tone.PLAIN),
        ("to be compacted", size(storage.compaction_pending_bytes), "estimated", Tone.PLAIN),
        ("write stalls", duration(storage.write_stall_ms), "in all: writes held back",
         Tone.WARN if storage.write_stall_ms else Tone.PLAIN),
    ]  # fmt: skip


def measure_rows(picture: Picture) -> list[Row]:
    """Return one row for each measure."""
    storage = picture.model.storage
    if storage is None:
        return []
    return [
        Row(name, (Cell(name), Cell(value, tone), Cell(note, Tone.DIM)))
        for name, value, note, tone in _measures(storage)
    ]


def measure_detail(picture: Picture, key: str) -> Detail | None:
    """Return one measure."""
    storage = picture.model.storage
    found = [m for m in _measures(storage) if m[0] == key] if storage is not None else []
    return Detail(title=key, fields=((found[0][1], found[0][2]),)) if found else None


def measure_records(picture: Picture) -> dict[str, Record]:
    """Return the measures as they are exported: the unit stands in the measure's name."""
    storage = picture.model.storage
    if storage is None:
        return {}
    asked = storage.cache_hits + storage.cache_misses
    values: dict[str, Raw] = {
        **recorded(storage),
        "cache_hit_ratio": storage.cache_hits / asked if asked else None,
    }
    return {row: {"measure": name, "value": values[name]} for row, name in FIELDS.items()}


def family_records(picture: Picture) -> dict[str, Record]:
    """Return the column families as they are exported."""
    return {family.family: recorded(family) for family in picture.model.known.families or ()}


def family_rows(picture: Picture) -> list[Row]:
    """Return the column families, the largest first."""
    families = sorted(picture.model.known.families or (), key=lambda f: -f.disk_bytes)
    whole = sum(family.disk_bytes for family in families)
    return [
        Row(
            family.family,
            (
                Cell(family.family),
                number(family.disk_bytes, size(family.disk_bytes)),
                number(family.disk_bytes,
                       bar(family.disk_bytes, whole, BAR, picture.look.glyphs) if whole else "",
                       Tone.ACCENT),
            ),
        )
        for family in families
    ]  # fmt: skip


def family_detail(picture: Picture, key: str) -> Detail | None:
    """Return one column family."""
    for family in picture.model.known.families or ():
        if family.family == key:
            return Detail(title=key, fields=(("on disk", f"{family.disk_bytes:,} bytes"),))
    return None


STORAGE: Final = Plan(
    name="Storage",
    parts=(
        Part(
            name="Measures",
            columns=columns("Measure", ">Value", "Meaning"),
            rows=measure_rows,
            detail=measure_detail,
            records=measure_records,
            empty="the node has not said anything about its disk yet",
        ),
        Part(
            name="Families",
            columns=columns("Column family", ">On disk", ""),
            rows=family_rows,
            detail=family_detail,
            records=family_records,
            empty="the node has not said anything about its database yet",
        ),
    ),
    lines=lines,
    about="Sizes, cache, syncs of the vote journal, compaction, and when the disk is full.",
)
