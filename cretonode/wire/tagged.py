"""Arrays that start with the number of their type: the outer form of messages and records.

Pure. Called only within `wire`. Source: docs/spec/wire.md, section 3.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

from cretonode.crypto.canonical import Value, decode_untrusted
from cretonode.errors import MalformedMessage
from cretonode.limits import FRAME_BYTES_MAX, SIGNATURE_BYTES, VALIDATORS_MAX, WINDOW_MAX

T = TypeVar("T")

# By type number: how many fields follow it, and what reads exactly that many.
Decoders: TypeAlias = Mapping[int, tuple[int, Callable[[Sequence[Value]], T]]]

MESSAGE_BYTES_MAX: Final = FRAME_BYTES_MAX - 4  # alone in its frame, behind its length
STATUS_SLOTS_MAX: Final = WINDOW_MAX + 1  # the base may lie a whole window above the low watermark
VALUES_MAX: Final = 4 * STATUS_SLOTS_MAX + VALIDATORS_MAX + 8  # array items of the fullest status

assert VALIDATORS_MAX * (SIGNATURE_BYTES + 64) * 2 + 256 < MESSAGE_BYTES_MAX, "a NewView fits"
assert VALIDATORS_MAX * 9 + 32 < VALUES_MAX, "a NewView has fewer array items than a status"


def decode_tagged_untrusted(data: bytes, decoders: Decoders[T]) -> T:
    """Return what the decoder of its type makes of `data`. Raises: MalformedMessage."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise MalformedMessage(f"{len(data)} bytes; at most {MESSAGE_BYTES_MAX}")
    items = decode_untrusted(data, values_max=VALUES_MAX)
    if not isinstance(items, list) or not items:
        raise MalformedMessage("not an array that starts with a type number")
    number = items[0]
    decoder = decoders.get(number) if type(number) is int else None
    if decoder is None:
        raise MalformedMessage("of an unknown type")
    count, decode = decoder
    if len(items) != 1 + count:
        raise MalformedMessage(f"type {number} has {count} fields, not {len(items) - 1}")
    return decode(items[1:])
