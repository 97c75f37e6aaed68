"""Playing a recording: the position, the speed, steps and jumps. Pure but for the file's reads."""

from typing import Final

from console.gaps import Gap
from console.model import Model
from console.replay import Event, Recording

SPEEDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
TICK_MS: Final = 100
AT_ONCE: Final = 2_000  # deltas applied one by one; past that a checkpoint is nearer


class Player:
    """A loaded recording and where in it we are."""

    def __init__(self, recording: Recording) -> None:
        assert len(recording) > 0
        self.recording = recording
        self.position = 0
        self.playing = True
        self.at_ms = float(recording.times_ms[0])
        self.model: Model = recording.model_at(0)
        self._speed = SPEEDS.index(1.0)

    @property
    def speed(self) -> float:
        """Seconds of the recording in one second."""
        return SPEEDS[self._speed]

    @property
    def ended(self) -> bool:
        """True at the last delta."""
        return self.position == len(self.recording) - 1

    @property
    def gap(self) -> Gap | None:
        """The gap we are in."""
        return self.recording.gap_at(self.position, self.at_ms)

    def advance(self, elapsed_ms: float) -> bool:
        """Go on by a time of the player's; return whether something changed."""
        if not self.playing:
            return False
        self.at_ms += elapsed_ms * self.speed
        if self.ended:
            self.playing = False
            self.at_ms = float(self.recording.times_ms[-1])
            return True
        wanted = self.recording.at_time(int(self.at_ms))
        return self._to(wanted, keep_time=True) if wanted > self.position else False

    def step(self, deltas: int) -> None:
        """Stop, and go forth or back by so many deltas."""
        self.playing = False
        self.go(self.position + deltas)

    def skip(self, ms: int) -> None:
        """Go forth or back by a time of the recording's."""
        first_ms, last_ms = self.recording.times_ms[0], self.recording.times_ms[-1]
        at_ms = min(max(first_ms, self.at_ms + ms), last_ms)
        self._to(self.recording.at_time(int(at_ms)), keep_time=True)
        self.at_ms = float(at_ms)  # in a gap, too, so that the next such move leads out of it

    def jump(self, event: Event, *, back: bool) -> bool:
        """Stop at the next such event, or the one before; return False when there is none."""
        found = (
            self.recording.mark_before(event, self.position, self.at_ms)
            if back
            else self.recording.next_mark(event, self.position, self.at_ms)
        )
        if found is None:
            return False
        self.playing = False
        self.go(found.at)
        self.at_ms = float(found.at_ms)
        return True

    def go(self, position: int) -> None:
        """Go to a delta, or as near as there is one."""
        self._to(min(max(0, position), len(self.recording) - 1), keep_time=False)

    def toggle(self) -> None:
        """Play or stop; at the end, play from the beginning."""
        if self.ended and not self.playing:
            self.go(0)
        self.playing = not self.playing

    def faster(self, steps: int) -> None:
        """Change the speed by so many steps of SPEEDS."""
        self._speed = min(max(0, self._speed + steps), len(SPEEDS) - 1)

    def _to(self, wanted: int, *, keep_time: bool) -> bool:
        if self.position <= wanted <= self.position + AT_ONCE:
            for i in range(self.position + 1, wanted + 1):
                self.model.apply(self.recording.delta(i))
        else:
            self.model = self.recording.model_at(wanted)
        changed = wanted != self.position
        self.position = wanted
        if not keep_time:
            self.at_ms = float(self.recording.times_ms[wanted])
        return changed
