"""A recording to look through: where each delta is in the file, what happened when, and playing it.

Bounds: an index of two numbers for each delta, CHECKPOINTS_MAX states, MARKS_MAX marks and as many
gaps; the deltas themselves stay in the file.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from console.gaps import Cause, Gap, gap_between
from console.model import Model
from console.units import moment
from console.verdict import Standing, verdict_of
from cretonode.operator.protocol import (
    Delta,
    Hello,
    MalformedMessage,
    decode_message_untrusted,
)
from cretonode.operator.protocol_deltas import Changes
from cretonode.operator.protocol_recording import FRAME_HEAD_BYTES, RecordingReader

READ_BYTES: Final = 256 * 1024
CHECKPOINTS_MAX: Final = 64
CHECKPOINT_DELTAS: Final = 128  # between two checkpoints at first; doubled when there are too many
MARKS_MAX: Final = 10_000
WARM_UP_DELTAS: Final = 60  # before the wanted one, so that sparklines have something to show


class Event(Enum):
    """What one can jump to."""

    VIEW_CHANGE = "view change"
    BAN = "ban"
    STALL = "stall or gap"  # nothing became final, or nobody knows


class Mark(NamedTuple):
    """Something that happened at a delta, or in a gap after it."""

    at: int
    event: Event
    at_ms: int


class Recording:
    """One file. `load` it step by step, then `model_at` gives what was known at a delta."""

    def __init__(self, path: Path) -> None:
        """Raises: OSError."""
        self.path = path
        self.hello: Hello | None = None
        self.times_ms = array("q")
        self.marks: list[Mark] = []
        self.gaps: list[Gap] = []
        self.torn_bytes = 0
        self.damage = ""  # why and where the reading ended before the file did
        self._ends = array("q")
        self._first: Delta | None = None
        self._checkpoints: list[tuple[int, Changes]] = []
        self._spacing = CHECKPOINT_DELTAS
        self._file: BinaryIO = path.open("rb")
        self.file_bytes = path.stat().st_size

    def __len__(self) -> int:
        return len(self.times_ms)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def load(self) -> Iterator[int]:
        """Read it from end to end; yield how many bytes were read so far, again and again.

        Raises: MalformedMessage, OSError, when nothing of it can be shown; see `damage`.
        """
        reader, model, watch = RecordingReader(), Model(), _Watch()
        try:
            while data := self._file.read(READ_BYTES):
                reader.feed(data)
                for delta in reader.deltas_untrusted():
                    if self.hello is None and reader.hello is not None:
                        self.hello = reader.hello
                        model.begin(reader.hello)
                    self._note(reader.offset, delta, model, watch)
                    if len(self) % CHECKPOINT_DELTAS == 0:
                        yield reader.offset
            self.torn_bytes = reader.end_untrusted()
        except (MalformedMessage, OSError) as error:
            if not len(self):
                raise
            place = self._ends[-1]
            why = getattr(error, "strerror", None) or str(error)
            why = why.removeprefix(f"the recording is damaged at byte {place}: ")
            self.damage = (
                f"damaged at byte {place} of {self.path.name} after "
                f"{moment(self.times_ms[-1])} UTC: {why}; what comes before is shown"
            )
        if not len(self):
            raise MalformedMessage("the recording holds no delta: nothing was said to it")
        if watch.ended:
            self._add_gap(Gap(len(self) - 1, Cause.STOPPED, self.times_ms[-1], None))

    def model_at(self, wanted: int) -> Model:
        """Return what was known after delta `wanted`. Raises: MalformedMessage, OSError."""
        model = Model()
        assert self.hello is not None
        model.begin(self.hello)
        start, known = self._checkpoint_before(max(0, wanted - WARM_UP_DELTAS))
        if known is not None:
            model.known = known
            model.at_ms = model.peers_at_ms = self.times_ms[start]
            model.deltas = start + 1
            model.histories.note(model.at_ms, known)
        else:
            start = -1
        for i in range(start + 1, wanted + 1):
            model.apply(self.delta(i))
        return model

    def delta(self, i: int) -> Delta:
        """Return one delta. Raises: MalformedMessage, OSError."""
        if i == 0:
            assert self._first is not None
            return self._first
        start = self._ends[i - 1]
        self._file.seek(start + FRAME_HEAD_BYTES)
        data = self._file.read(self._ends[i] - start - FRAME_HEAD_BYTES)
        message = decode_message_untrusted(data)
        if not isinstance(message, Delta):
            raise MalformedMessage(f"{self.path} was changed while it was read")
        return message

    def at_time(self, at_ms: int) -> int:
        """Return the last delta that is not after `at_ms`, or the first."""
        return max(0, bisect_right(self.times_ms, at_ms) - 1)

    def gap_at(self, position: int, at_ms: float) -> Gap | None:
        """Return the gap in which a moment is, of which delta `position` is the last before it."""
        i = bisect_right(self.gaps, position, key=lambda gap: gap.at) - 1
        gap = self.gaps[i] if i >= 0 else None
        return gap if gap and gap.at == position and at_ms >= gap.begin_ms else None

    def next_mark(self, event: Event, position: int, at_ms: float) -> Mark | None:
        """Return the first such event after a position and a moment."""
        here = (position, at_ms)
        return next((m for m in self.marks if m.event is event and (m.at, m.at_ms) > here), None)

    def mark_before(self, event: Event, position: int, at_ms: float) -> Mark | None:
        """Return the last such event before a position and a moment."""
        here = (position, at_ms)
        marks = reversed(self.marks)
        return next((m for m in marks if m.event is event and (m.at, m.at_ms) < here), None)

    def _note(self, end: int, delta: Delta, model: Model, watch: "_Watch") -> None:
        i = len(self)
        model.apply(delta)
        if i == 0:
            self._first = delta
        # A clock that was set back does not bring the search for a time out of order.
        at_ms = max(delta.at_ms, self.times_ms[-1] if i else 0)
        gap = watch.gap(i, at_ms, delta, model)
        if gap is not None:
            self._add_gap(gap)
        self.times_ms.append(at_ms)
        self._ends.append(end)
        for event in watch.events(model):
            self._add_mark(Mark(i, event, at_ms))
        if i % self._spacing == 0:
            self._checkpoints.append((i, model.known))
        if len(self._checkpoints) > CHECKPOINTS_MAX:
            del self._checkpoints[1::2]
            self._spacing *= 2

    def _add_gap(self, gap: Gap) -> None:
        if len(self.gaps) < MARKS_MAX:
            self.gaps.append(gap)
        self._add_mark(Mark(gap.at, Event.STALL, gap.begin_ms))

    def _add_mark(self, mark: Mark) -> None:
        if len(self.marks) < MARKS_MAX:
            self.marks.append(mark)

    def _checkpoint_before(self, wanted: int) -> tuple[int, Changes | None]:
        i = bisect_right(self._checkpoints, wanted, key=lambda checkpoint: checkpoint[0])
        return self._checkpoints[i - 1] if i else (-1, None)


class _Watch:
    """What was so before, to see what became so."""

    def __init__(self) -> None:
        self._view: int | None = None
        self._bans: frozenset[tuple[int, int]] | None = None
        self._stalled = False
        self._last_ms: int | None = None
        self.ended = False  # the last delta was the end of a run

    def gap(self, i: int, at_ms: int, delta: Delta, model: Model) -> Gap | None:
        """Return the gap before delta `i`, which `model` has taken in."""
        found = None
        if self._last_ms is not None:
            found = gap_between(
                i - 1, self._last_ms, at_ms, ended=self.ended, fresh=delta.fresh,
                uptime_ms=None if model.status is None else model.status.uptime_ms,
            )  # fmt: skip
        self._last_ms, self.ended = at_ms, delta.ended
        return found

    def events(self, model: Model) -> list[Event]:
        found: list[Event] = []
        status = model.status
        view = None if status is None else status.view
        if self._view is not None and view is not None and view > self._view:
            found.append(Event.VIEW_CHANGE)
        self._view = view if view is not None else self._view
        bans = frozenset((ban.validator, ban.since_ms) for ban in model.known.bans or ())
        if self._bans is not None and bans - self._bans:
            found.append(Event.BAN)
        self._bans = bans
        stalled = verdict_of(model, model.at_ms).standing is Standing.STALLED
        if stalled and not self._stalled:
            found.append(Event.STALL)
        self._stalled = stalled
        return found
