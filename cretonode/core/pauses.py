"""How long a validator must wait before views may move for its sake again.

Used where one validator's word moves everybody, so that a liar moves views no faster than an
honest one needs. Pure: no clock.
"""

from dataclasses import dataclass, field

from cretonode.identifiers import ValidatorIndex


@dataclass(slots=True)
class Pauses:
    """The pause is `first_ms` after the first time, doubles each time up to `longest_ms`, and is
    one doubling shorter for each `longest_ms` in peace. Bound: one entry of each validator.
    """

    first_ms: int
    longest_ms: int
    _times: dict[ValidatorIndex, int] = field(default_factory=dict)
    _last_ms: dict[ValidatorIndex, int] = field(default_factory=dict)

    def until_ms(self, validator: ValidatorIndex) -> int:
        """Return the moment from which on it is allowed again."""
        times = self._times.get(validator, 0)
        if not times:
            return 0
        return self._last_ms[validator] + min(self.first_ms << times - 1, self.longest_ms)

    def count(self, validator: ValidatorIndex, now_ms: int) -> None:
        """Note that a view moved for the sake of `validator`."""
        peaceful = (now_ms - self._last_ms.get(validator, now_ms)) // self.longest_ms
        times = max(0, self._times.get(validator, 0) - peaceful)
        doublings_max = ((self.longest_ms - 1) // self.first_ms).bit_length()
        self._times[validator] = min(times, doublings_max) + 1
        self._last_ms[validator] = now_ms
