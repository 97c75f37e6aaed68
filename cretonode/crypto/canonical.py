"""Canonical CBOR: one encoding for each value, and a decoder that refuses every other.

The subset is what this project signs, hashes and sends: unsigned integers below 2**64, byte
strings, text, booleans, null and arrays. Maps, tags, floats and negative numbers do not occur.
Source: RFC 8949, section 4.2.1 (core deterministic encoding).
"""

from collections.abc import Sequence
from typing import Final, NoReturn, TypeAlias

import cbor2

from cretonode.errors import MalformedMessage
from cretonode.limits import MESSAGE_DEPTH_MAX

VALUES_MAX: Final = 65_536  # items of all arrays together: bounds the work a short input can demand

Value: TypeAlias = int | bytes | str | bool | Sequence["Value"] | None


def encode(value: Value) -> bytes:
    """Return the one encoding of `value`."""
    return cbor2.dumps(value, canonical=True)


def decode_untrusted(data: bytes, *, values_max: int = VALUES_MAX) -> Value:
    """Return the value whose one encoding is `data`. Arrays are lists.

    Raises: MalformedMessage, when `data` is anything else or holds over `values_max` array items.
    """
    try:
        value: object = cbor2.loads(
            data,
            max_depth=MESSAGE_DEPTH_MAX,
            allow_indefinite=False,
            immutable=True,  # a tuple takes a tenth of the memory that a list of nothing takes
            semantic_decoders=_NO_TAGS,
            tag_hook=_refuse_tag,
        )
    except MalformedMessage:
        raise
    except Exception as error:  # the decoder's own errors, and whatever hostile bytes provoke
        raise MalformedMessage(f"not CBOR: {error}") from None
    _check_size_untrusted(value, values_max=values_max)
    checked = _checked_untrusted(value)
    if encode(checked) != data:
        raise MalformedMessage("CBOR that is not in its canonical form")
    return checked


def _check_size_untrusted(value: object, *, values_max: int) -> None:
    count = 0
    arrays = [value] if isinstance(value, tuple) else []
    while arrays:
        array = arrays.pop()
        count += len(array)
        if count > values_max:
            raise MalformedMessage(f"CBOR with over {values_max} array items")
        arrays.extend(item for item in array if isinstance(item, tuple))


def _checked_untrusted(value: object) -> Value:
    if isinstance(value, tuple):
        return [_checked_untrusted(item) for item in value]
    if value is None or isinstance(value, bytes | str | bool):
        return value
    if isinstance(value, int) and 0 <= value < 2**64:
        return value
    raise MalformedMessage(
        f"CBOR with a {type(value).__name__}; allowed are whole numbers below "
        "2**64, bytes, text, booleans, null and arrays"
    )


def _refuse_tag(*_: object) -> NoReturn:
    raise MalformedMessage("CBOR with a tag; none is allowed")


# Tags that the library would act on: dates, big numbers, shared values, references, sets ...
_NO_TAGS: Final = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 55799),
    _refuse_tag,
)
