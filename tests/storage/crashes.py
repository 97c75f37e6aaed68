"""A process that is killed after its n-th step."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class CrashAfter:
    """Wraps the steps; whichever comes after `step` others is the last."""

    step: int
    _done: int = 0

    def __call__(self, run: Callable[..., None]) -> Callable[..., None]:
        """Return `run`, which raises InterruptedError once it is done, if it was the last."""

        def stepping(*arguments: object) -> None:
            run(*arguments)
            self._done += 1
            if self._done > self.step:
                raise InterruptedError("killed")

        return stepping
