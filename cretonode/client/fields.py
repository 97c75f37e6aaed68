"""Reading an answer's JSON with the types that this client expects. Raises BadAnswer alone."""

import binascii
import json
from collections.abc import Iterator

from cretonode.client.errors import BadAnswer
from cretonode.identifiers import HASH_BYTES


class Fields:
    """One JSON object of an answer."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise BadAnswer(f"an object was expected, not {_shown(value)}")
        self._members: dict[object, object] = value

    def whole(self, name: str) -> int:
        """Return a whole number from 0."""
        value = self._member(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise _wrong(name, value, "a whole number from 0")
        return value

    def maybe_whole(self, name: str) -> int | None:
        """Return a whole number from 0, or None."""
        return None if self._member(name) is None else self.whole(name)

    def maybe_number(self, name: str) -> float | None:
        """Return a number, or None."""
        value = self._member(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(name, value, "a number")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        value = self._member(name)
        if not isinstance(value, bool):
            raise _wrong(name, value, "true or false")
        return value

    def text(self, name: str) -> str:
        """Return a string."""
        value = self._member(name)
        if not isinstance(value, str):
            raise _wrong(name, value, "a string")
        return value

    def digest(self, name: str) -> bytes:
        """Return 32 bytes written in hexadecimal."""
        return _digest(name, self._member(name))

    def maybe_digest(self, name: str) -> bytes | None:
        """Return 32 bytes written in hexadecimal, or None."""
        return None if self._member(name) is None else self.digest(name)

    def digests(self, name: str) -> list[bytes]:
        """Return an array of 32 bytes each."""
        return [_digest(name, item) for item in self._items(name)]

    def data(self, name: str) -> bytes:
        """Return bytes written in base64."""
        value = self.text(name)
        try:
            return binascii.a2b_base64(value, strict_mode=True)
        except ValueError:
            raise _wrong(name, value, "base64") from None

    def maybe_data(self, name: str) -> bytes | None:
        """Return bytes written in base64, or None."""
        return None if self._member(name) is None else self.data(name)

    def each(self, name: str) -> Iterator["Fields"]:
        """Yield the objects of an array."""
        return map(Fields, self._items(name))

    def has(self, name: str) -> bool:
        """Return whether the object has the member at all."""
        return name in self._members

    def _items(self, name: str) -> list[object]:
        value = self._member(name)
        if not isinstance(value, list):
            raise _wrong(name, value, "an array")
        return value

    def _member(self, name: str) -> object:
        try:
            return self._members[name]
        except KeyError:
            raise BadAnswer(f"the answer lacks {name!r}") from None


def parse_fields(body: bytes) -> Fields:
    """Return the JSON object that `body` is."""
    try:
        return Fields(json.loads(body.decode()))
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the answer is not JSON: {type(error).__name__}") from None


def _digest(name: str, value: object) -> bytes:
    if isinstance(value, str) and len(value) == 2 * HASH_BYTES:
        try:
            data = bytes.fromhex(value)
        except ValueError:
            data = b""
        if len(data) == HASH_BYTES:
            return data
    raise _wrong(name, value, f"{2 * HASH_BYTES} hexadecimal digits")


def _wrong(name: str, value: object, expected: str) -> BadAnswer:
    return BadAnswer(f"{name!r} is {_shown(value)}; expected {expected}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
