"""What a path and a query string ask for, checked.

A misspelt parameter is refused rather than ignored: `?wait_ms=500` would otherwise not wait.
"""

from collections.abc import Mapping
from typing import Final

from werkzeug.datastructures import MultiDict

from cretonode.api.problems import Problem
from cretonode.api.settings import FINALIZED_COUNT_DEFAULT, FINALIZED_COUNT_MAX
from cretonode.identifiers import HASH_BYTES, SequenceNumber

SEQUENCE_MAX: Final = 2**63 - 1
DIGITS_MAX: Final = 19


def hash_untrusted(text: str, *, name: str) -> bytes:
    """Return the 32 bytes that `text` writes in hexadecimal. Raises: Problem."""
    if len(text) == 2 * HASH_BYTES and text.isascii() and text.isalnum():
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    raise Problem(
        "malformed-request",
        f"{name} {_shown(text)} is not a hash; expected {2 * HASH_BYTES} hexadecimal digits",
    )


def sequence_untrusted(text: str) -> SequenceNumber:
    """Return a sequence number given in a path. Raises: Problem."""
    return SequenceNumber(_whole(text, name="sequence", low=1, high=SEQUENCE_MAX))


def wait_untrusted(query: MultiDict[str, str], *, wait_ms_max: int) -> int | None:
    """Return how long the client asked to wait for finality, in ms. Raises: Problem."""
    values = _parameters(query, ("wait",))
    if "wait" not in values:
        return None
    return _whole(values["wait"], name="wait", low=0, high=wait_ms_max, unit=" milliseconds")


def range_untrusted(query: MultiDict[str, str]) -> tuple[SequenceNumber, int]:
    """Return the first sequence and the number of sequences asked for. Raises: Problem."""
    values = _parameters(query, ("first", "count"))
    first = _whole(values.get("first", "1"), name="first", low=1, high=SEQUENCE_MAX)
    count = values.get("count", str(FINALIZED_COUNT_DEFAULT))
    return SequenceNumber(first), _whole(count, name="count", low=1, high=FINALIZED_COUNT_MAX)


def no_parameters_untrusted(query: MultiDict[str, str]) -> None:
    """Refuse all query parameters. Raises: Problem."""
    _parameters(query, ())


def _parameters(query: MultiDict[str, str], allowed: tuple[str, ...]) -> Mapping[str, str]:
    """Return the parameters, each given once and known."""
    for name in query:
        if name not in allowed:
            raise Problem(
                "malformed-request",
                f"query parameter {_shown(name)} is not known here; allowed:"
                f" {', '.join(allowed) or 'none'}",
            )
        if len(query.getlist(name)) > 1:
            raise Problem("malformed-request", f"query parameter {name} is given twice")
    return query


def _whole(text: str, *, name: str, low: int, high: int, unit: str = "") -> int:
    if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX and low <= int(text) <= high:
        return int(text)
    raise Problem(
        "malformed-request",
        f"{name} is {_shown(text)}; expected a whole number from {low} to {high}{unit}",
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "...")
