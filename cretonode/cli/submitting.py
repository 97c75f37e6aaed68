"""What `submit` reads, in bounded pieces, and what it says about the answers."""

import json
import os
import stat
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO, Final

import click

from cretonode.cli.output import complain, plain, print_table
from cretonode.client import Submitted
from cretonode.errors import ConfigError
from cretonode.limits import TRANSACTION_BYTES_MAX

STDIN: Final = "-"
ROWS_MAX: Final = 20  # of a table; more are summed up
PROGRESS_AFTER_S: Final = 1.0
LINE_READ_MAX: Final = TRANSACTION_BYTES_MAX + len(b"\r\n") + 1


def wholes_of(files: Sequence[str]) -> Iterator[bytes]:
    """Return each file as a transaction, once all have been found possible.

    Raises: ConfigError, which names the file.
    """
    kept: dict[int, bytes] = {}  # what cannot be read twice, such as a pipe
    for position, name in enumerate(files):
        with _opened(name) as file:
            data = _whole(name, file)
            if not _is_regular(file):
                kept[position] = data
    return _wholes_again(files, kept)


def _wholes_again(files: Sequence[str], kept: dict[int, bytes]) -> Iterator[bytes]:
    for position, name in enumerate(files):
        if position in kept:
            yield kept.pop(position)
        else:
            with _opened(name) as file:
                yield _whole(name, file)


def lines_of(files: Sequence[str]) -> Iterator[bytes]:
    """Return each line as a transaction; files that can be read twice are checked before any.

    Raises: ConfigError, which names the file and the line.
    """
    for name in files:
        with _opened(name) as file:
            if _is_regular(file) and name != STDIN:
                for _ in _lines(name, file):
                    pass
    return _lines_again(files)


def _lines_again(files: Sequence[str]) -> Iterator[bytes]:
    for name in files:
        with _opened(name) as file:
            yield from _lines(name, file)


@contextmanager
def _opened(name: str) -> Generator[BinaryIO]:
    if name == STDIN:
        yield sys.stdin.buffer
        return
    try:
        with open(name, "rb") as file:  # noqa: PTH123  a name as it was given
            yield file
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}") from None


def _is_regular(file: BinaryIO) -> bool:
    if file is getattr(sys.stdin, "buffer", None):
        return False
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def _whole(name: str, file: BinaryIO) -> bytes:
    data = file.read(TRANSACTION_BYTES_MAX + 1)
    if not data:
        raise ConfigError(f"{name}: empty; a transaction has at least one byte")
    if len(data) > TRANSACTION_BYTES_MAX:
        raise ConfigError(f"{name}: a transaction has at most {TRANSACTION_BYTES_MAX} bytes")
    return data


def _lines(name: str, file: BinaryIO) -> Iterator[bytes]:
    number, found = 0, False
    while line := file.readline(LINE_READ_MAX):
        number += 1
        transaction = line.removesuffix(b"\n").removesuffix(b"\r")
        if len(transaction) > TRANSACTION_BYTES_MAX:
            raise ConfigError(
                f"{name}: line {number} is too long; a transaction has at most "
                f"{TRANSACTION_BYTES_MAX} bytes"
            )
        if transaction:
            found = True
            yield transaction
    if not found:
        raise ConfigError(f"{name}: empty; a transaction has at least one byte")


class Tally:
    """What a node accepted so far: counted, and printed in the end, or at once as JSON."""

    def __init__(self, url: str, *, as_json: bool) -> None:
        self.accepted = self.known = self.final = 0
        self._url = url
        self._as_json = as_json
        self._first: list[Submitted] = []
        self._began_s = time.monotonic()
        self._shown = False

    def add(self, results: Sequence[Submitted]) -> None:
        """Count a batch."""
        for number, result in enumerate(results):
            if self._as_json:
                opening = "," if self.accepted + number else "["
                text = json.dumps(plain(result), indent=2, sort_keys=True)
                click.echo(f"{opening}\n  " + text.replace("\n", "\n  "), nl=False)
        self._first += results[: ROWS_MAX + 1 - len(self._first)]
        self.accepted += len(results)
        self.known += sum(result.known for result in results)
        self.final += sum(result.final for result in results)
        if sys.stderr.isatty() and time.monotonic() - self._began_s > PROGRESS_AFTER_S:
            self._shown = True
            click.echo(f"\r{self.accepted} accepted ...", nl=False, err=True)

    def __enter__(self) -> "Tally":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            click.echo("", err=True)
        if isinstance(error, OSError):  # the output itself is broken
            return
        if self._as_json and self.accepted:
            click.echo("\n]")
        if error is not None:
            # A batch whose answer did not come may have been accepted; it is known by its hash.
            complain(
                f"{self.accepted} accepted by {self._url} before it stopped; "
                "submitting the same again is safe"
            )
        elif not self._as_json:
            self._print()

    def _print(self) -> None:
        title = f"{self.accepted} accepted by {self._url}"
        if self.accepted > ROWS_MAX:
            click.echo(f"{title}: {self.known} known before, {self.final} known to be final")
            return
        print_table(
            title,
            ["id", "known before", "sequence"],
            [
                [r.id.hex(), "yes" if r.known else "", "" if r.sequence is None else r.sequence]
                for r in self._first
            ],
        )
