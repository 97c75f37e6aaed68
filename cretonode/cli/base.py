"""What every command shares: exit codes, and errors as sentences. Code 2 is for the operator."""

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec

from cretonode.cli.output import complain
from cretonode.errors import ConfigError, CretoError

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
P = ParamSpec("P")


def leaves_of(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return the single errors of a group, nested ones too."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves_of(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def reported(run: Callable[P, None]) -> Callable[P, None]:
    """Turn our own errors into a sentence and an exit code; let bugs show their traceback."""

    @wraps(run)
    def wrapper(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            run(*arguments, **options)
        except CretoError as error:
            _exit_for([error])
        except BaseExceptionGroup as group:
            errors = leaves_of(group)
            if not all(isinstance(error, CretoError) for error in errors):
                raise
            _exit_for(errors)

    return wrapper


def _exit_for(errors: list[BaseException]) -> None:
    for line in dict.fromkeys(str(error) for error in errors):
        complain(line)
    mendable = all(isinstance(error, ConfigError) for error in errors)
    raise SystemExit(EXIT_CONFIG if mendable else EXIT_FAILED)
