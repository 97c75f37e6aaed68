"""Writes what a node tells into a recording, which `creto-console replay` reads."""

import os
from pathlib import Path
from typing import BinaryIO, Final

from cretonode.operator.protocol import Hello
from cretonode.operator.protocol_recording import recording_frame, recording_head

BYTES_MAX: Final = 4 << 30  # of one recording: days of a busy node
MODE: Final = 0o600


class Recorder:
    """One recording being written. `stopped` says why no more is written, empty while it goes on.

    A recording is of one node: what another one on the same socket says is not written.
    """

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        """Make the file. Raises: OSError, also when it exists."""
        self.path = path
        self.stopped = ""
        self._bytes_max = bytes_max
        self._written = 0
        self._hello: Hello | None = None
        self._fresh = False  # the next delta may be any: one that is fresh was written
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        self._file: BinaryIO = os.fdopen(descriptor, "wb", buffering=0)

    def begin(self, hello: Hello) -> None:
        """Note who speaks."""
        self._fresh = False
        if self._hello is None:
            self._hello = hello
            self._write(recording_head(hello))
        elif hello.node_id != self._hello.node_id:
            self.stopped = self.stopped or "another node answers now: its words are not recorded"

    def write_delta(self, encoded: bytes, *, fresh: bool) -> None:
        """Add a delta, from the first fresh one on."""
        self._fresh = self._fresh or fresh
        if self._fresh:
            self._write(recording_frame(encoded))

    def close(self) -> None:
        """End the recording."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        if self.stopped:
            return
        if self._written + len(data) > self._bytes_max:
            self.stopped = f"the recording has reached {self._bytes_max >> 20} MiB"
            return
        try:
            # One write for a frame: a torn end is what a crash leaves, and the reader allows it.
            self._written += self._file.write(data)
        except OSError as error:
            self.stopped = f"the recording cannot be written: {error.strerror}"
