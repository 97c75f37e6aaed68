"""What every command shares: exit codes, and errors as sentences. Code 2 is for the operator."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Final, NoReturn, ParamSpec

from cretonode.cli.output import complain
from cretonode.errors import ConfigError, CorruptionError, CretoError, StorageError
from cretonode.storage.errors import JournalError

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
EXIT_SIGNAL: Final = 128  # and the signal's number
ALSO_INTERRUPT: Final = (signal.SIGTERM, signal.SIGHUP)  # as Ctrl-C does, unless ignored
UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of an open file
P = ParamSpec("P")

_interrupted_by: list[int] = [signal.SIGINT]  # the last is what the exit code names


def leaves_of(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return the single errors of a group, nested ones too."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves_of(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def reported(run: Callable[P, None]) -> Callable[P, None]:
    """Turn our own errors into a sentence and an exit code; let bugs show their traceback.

    Ctrl-C is no error: it has its exit code, once the command has put its things away.
    """

    @wraps(run)
    def wrapper(*arguments: P.args, **options: P.kwargs) -> None:
        with errors_reported(), _interruptible():
            run(*arguments, **options)

    return wrapper


@contextmanager
def errors_reported() -> Generator[None]:
    """The same for a block. Raises: SystemExit."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(EXIT_SIGNAL + _interrupted_by[-1]) from None
    except (CretoError, OSError) as error:
        if not _explains_itself(error):
            raise
        _exit_for([error])
    except BaseExceptionGroup as group:
        errors = leaves_of(group)
        if any(isinstance(error, KeyboardInterrupt) for error in errors):
            raise SystemExit(EXIT_SIGNAL + _interrupted_by[-1]) from None
        for leaf in errors:
            if isinstance(leaf, SystemExit | BrokenPipeError):  # who read our output has gone
                _give_up_output()
                raise SystemExit(EXIT_FAILED) from None
        if not all(_explains_itself(error) for error in errors):
            raise
        _exit_for(errors)


@contextmanager
def _interruptible() -> Generator[None]:
    """Make SIGINT and its like a KeyboardInterrupt within; until here they ended the process."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield  # ignored, as of a job in the background
        return
    also = [number for number in ALSO_INTERRUPT if signal.getsignal(number) == signal.SIG_DFL]
    for number in also:
        signal.signal(number, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)
        for number in also:
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Pass on as SIGINT, which trio knows how to bring to the right place."""
    _interrupted_by.append(number)
    os.kill(os.getpid(), signal.SIGINT)


def _explains_itself(error: BaseException) -> bool:
    """True for our own errors, and the system's about files. Others may be bugs."""
    if isinstance(error, OSError):
        return error.filename is not None or error.errno in UNWRITABLE
    return isinstance(error, CretoError)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError):
        place = "the output" if error.filename is None else os.fsdecode(error.filename)
        return f"{place}: {error.strerror or error}"
    return str(error)


def _advice(error: BaseException) -> str:
    """Return what to do about a failing disk; empty: the error says it itself."""
    if isinstance(error, JournalError):
        return ""  # durability.md, section 8: the next start sees it, and finds back
    if isinstance(error, CorruptionError):
        return (
            "what this node lacks it can fetch from the others: move the database away, leave the "
            "journal where it is, look after the disk, start again, or `cretonode recover apply` "
            "first where the network has been recovered; one node at a time "
            "(docs/storage.md, section 9)"
        )
    if isinstance(error, StorageError) and os.strerror(errno.ENOSPC) in str(error):
        return "make room and start again: nothing that this node acknowledged is lost"
    return ""


def _give_up_output() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        # What is left in the buffer would fail again when Python ends.
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  a device
            os.dup2(nowhere.fileno(), 1)


def _exit_for(errors: list[BaseException]) -> NoReturn:
    _give_up_output()
    lines = [*map(_sentence, errors), *filter(None, map(_advice, errors))]
    for line in dict.fromkeys(lines):
        complain(line)
    mendable = all(isinstance(error, ConfigError) for error in errors)
    raise SystemExit(EXIT_CONFIG if mendable else EXIT_FAILED)
