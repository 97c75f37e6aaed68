"""Writes what a node tells into a recording, which `creto-console replay` reads."""

import os
from io import FileIO
from pathlib import Path
from typing import Final

from console.units import size
from cretonode.operator.protocol import Hello
from cretonode.operator.protocol_recording import recording_frame, recording_head

BYTES_MAX: Final = 4 << 30  # of one recording: days of a busy node
MODE: Final = 0o600


class Recorder:
    """One recording being written. `problem` says why nothing is written now; empty: it goes on.

    A recording is of one node: what another one says is not written, and when the node is back it
    goes on. A file that cannot be written is given up for good.
    """

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        """Make the file. Raises: OSError, also when it exists."""
        self.path = path
        self._stopped = ""
        self._other = ""  # the name of the node that speaks instead
        self._bytes_max = bytes_max
        self._written = 0
        self._hello: Hello | None = None
        self._fresh = False  # the next delta may be any: one that is fresh was written
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        self._file = FileIO(descriptor, "wb")

    @property
    def problem(self) -> str:
        """Why nothing is written now, and whether it will be."""
        if self._stopped:
            return self._stopped
        if self._other and self._hello is not None:
            kept = self._hello.name
            return f"{self.path} is of {kept}, {self._other} speaks; it goes on when {kept} does"
        return ""

    def begin(self, hello: Hello) -> None:
        """Note who speaks."""
        self._fresh = False
        self._other = ""
        if self._hello is None:
            self._hello = hello
            self._write(recording_head(hello))
        elif hello.node_id != self._hello.node_id:
            same_name = hello.name == self._hello.name
            self._other = f"another {hello.name}" if same_name else hello.name

    def write_delta(self, encoded: bytes, *, fresh: bool) -> None:
        """Add a delta, from the first fresh one on."""
        self._fresh = self._fresh or fresh
        if self._fresh:
            self._write(recording_frame(encoded))

    def close(self) -> None:
        """End the recording."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        if self._stopped or self._other:
            return
        if self._written + len(data) > self._bytes_max:
            self._stop(f"it has reached {self._bytes_max >> 20} MiB")
            return
        try:
            # Frame by frame: a torn end is what a crash leaves, and the reader allows it.
            write_whole(self._file, data)
        except OSError as error:
            self._stop(error.strerror or str(error))
            return
        self._written += len(data)

    def _stop(self, why: str) -> None:
        self._stopped = f"{self.path} ended at {size(self._written)}: {why}"


def write_whole(file: FileIO, data: bytes) -> None:
    """Write all of `data`: a disk that is nearly full takes a part at first. Raises: OSError."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
