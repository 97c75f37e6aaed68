"""Numbers for people: durations, bytes, counts. Pure."""

from datetime import UTC, datetime
from typing import Final

DAY_MS: Final = 86_400_000

_BYTES: Final = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_COUNTS: Final = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
_TIMES: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"))


def duration(ms: float | None) -> str:
    """Return `37 ms`, `4.2 s`, `3 min`, `2 d`; a dash for None."""
    if ms is None:
        return "-"
    for unit, name in _TIMES:
        if ms >= 2 * unit:
            return f"{ms / unit:.0f} {name}"
    if ms >= 10_000:
        return f"{ms / 1000:.0f} s"
    if ms >= 1_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms:.1f} ms" if 0 < ms < 10 else f"{ms:.0f} ms"


def size(count: float | None) -> str:
    """Return `512 B`, `1.5 MiB`; a dash for None."""
    if count is None:
        return "-"
    for unit, name in _BYTES:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} B"


def count(number: float | None) -> str:
    """Return `9,876`, `12.3k`, `4.5M`; a dash for None."""
    if number is None:
        return "-"
    for unit, name in _COUNTS:
        if number >= 10_000 and number >= unit:
            return f"{number / unit:.1f}{name}"
    return f"{number:,.0f}"


def clock(at_ms: int, offset_ms: int = 0) -> str:
    """Return the UTC time of day of a Unix time, with milliseconds."""
    ms = (at_ms + offset_ms) % 86_400_000
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def moment(at_ms: int, *, near_ms: int | None = None, exact: bool = False) -> str:
    """Return the UTC date and time of day of a Unix time: `2026-03-01 12:00:00`.

    Without the date on the day of `near_ms`; with milliseconds when `exact`.
    """
    time = clock(at_ms) if exact else clock(at_ms)[:8]
    if near_ms is not None and at_ms // DAY_MS == near_ms // DAY_MS:
        return time
    return f"{date(at_ms)} {time}"


def stamp(at_ms: int) -> str:
    """Return a moment for texts that are copied from the screen: `2026-03-01 12:00:00.123 UTC`."""
    return f"{moment(at_ms, exact=True)} UTC"


def date(at_ms: int) -> str:
    """Return the UTC date of a Unix time: `2026-03-01`; of one past all dates, its number of days.

    Clocks are other people's: one may be wrong by as much as its field holds.
    """
    try:
        return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return f"day {at_ms // DAY_MS}"


def since(at_ms: int, now_ms: int) -> str:
    """Return `since 09:14:02 (3 min)`, with the date when that is a day ago or more."""
    old_ms = max(0, now_ms - at_ms)
    when = moment(at_ms) if old_ms >= DAY_MS else clock(at_ms)[:8]
    return f"since {when} ({duration(old_ms)})"


def plural(number: int, word: str) -> str:
    """Return `1 vote`, `2 votes`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def listed(names: list[str], most: int = 4, joint: str = " and ") -> str:
    """Return `a`, `a and b`, `a, b and 3 more`. `joint`: what stands before the last."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return joint.join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def listed_of(needed: int, names: list[str], most: int = 4) -> str:
    """Return whom of `names` it takes when `needed` would do: `a or b`, `a, b, c`, `a and b`."""
    if needed >= len(names):
        return listed(names, most)
    return listed(names, most, " or " if needed == 1 else ", ")
