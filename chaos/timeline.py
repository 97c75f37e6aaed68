"""When a node did what, by its own log: to the millisecond, on the one clock of this machine.

Watching from outside sees sequences ten times a second; a time below a second needs more.
`finalized` is logged at the level debug: see `ENVIRONMENT`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chaos import evidence
from cretonode.cli.layout import NodeFiles

ENVIRONMENT: Final = evidence.ENVIRONMENT | {"CRETO_NODE_LOG_LEVEL": "debug"}


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a log."""

    at_s: float  # Unix time
    event: str
    fields: dict[str, object]

    def whole(self, key: str) -> int:
        """Return a field that is a whole number."""
        value = self.fields[key]
        assert isinstance(value, int), (key, value)
        return value


def moments(files: NodeFiles, *, since_s: float = 0.0) -> Iterator[Moment]:
    """Yield the lines of a node's log from `since_s` on, in order."""
    with files.log_path.open(encoding="utf-8", errors="replace") as log:
        for line in log:
            try:
                fields = json.loads(line)
            except ValueError:
                continue
            if not isinstance(fields, dict) or "timestamp" not in fields:
                continue
            at_s = datetime.fromisoformat(fields["timestamp"]).timestamp()
            if at_s >= since_s:
                yield Moment(at_s, str(fields["event"]), fields)


def first(files: NodeFiles, event: str, *, since_s: float) -> Moment | None:
    """Return the first line of `event` from `since_s` on, if there is one yet."""
    found = (each for each in moments(files, since_s=since_s) if each.event == event)
    return next(found, None)
