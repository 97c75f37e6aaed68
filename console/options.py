"""What the command line asks of the console."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console.live import INTERVAL_MS
from console.sockets import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    places: Sequence[Place] = ()
    recording: Path | None = None  # to replay
    record: Path | None = None  # to write
    write: bool = False
    theme: str = "dark"
    ascii_only: bool = False
    directory: Path = Path()  # where exported files and pictures go
    interval_ms: int = INTERVAL_MS
    playing: bool = True  # a recording, at once
