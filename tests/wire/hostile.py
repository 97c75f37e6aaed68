"""Bytes that are nearly right: noise, damage, and CBOR that says the same in a forbidden way."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from hypothesis import strategies as st

from cretonode.crypto.canonical import Value, decode_untrusted, encode

T = TypeVar("T")

HEADS = st.integers(0, 255).map(lambda head: bytes([head]))
NOISE = st.binary(max_size=80) | st.lists(HEADS | st.binary(max_size=9), max_size=16).map(b"".join)
JUNK: st.SearchStrategy[Value] = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1, 2**63 - 1, 2**63, True, False, None, "", b"", bytes(32), bytes(5000)]),
    st.text(max_size=3),
    st.lists(st.integers(0, 5), max_size=5),
    st.integers(100, 300).map(lambda count: [0] * count),
)


def decodes_or_refuses(
    data: bytes, decode: Callable[[bytes], T], encode_: Callable[[T], bytes], error: type[Exception]
) -> None:
    """The claim on every decoder: `error` and nothing else, or the one encoding of a value."""
    try:
        value = decode(data)
    except error:
        return
    assert encode_(value) == data


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` after one accident to its bytes."""
    at = draw(st.integers(0, len(data) - 1))
    end = draw(st.integers(at, min(len(data), at + 8)))
    noise = draw(st.binary(max_size=6) | HEADS)
    accidents = [
        data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :],
        data[:at],
        data + noise,
        data + data,
        data[:at] + noise + data[at:],
        data[:at] + data[end:],
        data[:at] + data[at:end] * 2 + data[end:],
    ]
    return draw(st.sampled_from(accidents))


@st.composite
def rebuilt(draw: st.DrawFn, data: bytes) -> bytes:
    """Canonical CBOR like `data`, with one or two items swapped, dropped, doubled or replaced."""
    value = decode_untrusted(data)
    for _ in range(draw(st.integers(1, 2))):
        array = draw(st.sampled_from(list(arrays_in(value))))
        at, other = (draw(st.integers(0, max(0, len(array) - 1))) for _ in range(2))
        kind = draw(st.sampled_from(["swap", "drop", "double", "replace", "many"]))
        if not array or kind == "many":
            array.extend([draw(JUNK)] * draw(st.sampled_from([1, 130])))
        elif kind == "swap":
            array[at], array[other] = array[other], array[at]
        elif kind == "drop":
            del array[at]
        elif kind == "double":
            array.insert(other, array[at])
        else:
            array[at] = draw(JUNK)
        if not isinstance(value, list):
            break
    return encode(value)


def arrays_in(value: Value) -> Iterator[list[Value]]:
    """Yield every array of a decoded value, the outer one first."""
    if isinstance(value, list):
        yield value
        for item in value:
            yield from arrays_in(item)


# --- the same value in encodings that are valid CBOR but not the canonical one

FORBIDDEN = [
    "a wide first number",
    "wide numbers",
    "wide lengths",
    "an array without an end",
    "strings in pieces",
    "a map",
    "a map with one key twice",
    "a tag",
    "a tag inside",
]
forbidden_forms = pytest.mark.parametrize("form", FORBIDDEN)


def forbidden(value: Value, form: str) -> bytes:
    """Return an encoding of the array `value` that a lenient decoder would take."""
    assert isinstance(value, list)
    plain = [encode(item) for item in value]
    match form:
        case "a wide first number":
            return _head(4, len(plain)) + _head(0, value[0], 2) + b"".join(plain[1:])
        case "wide numbers" | "wide lengths" | "strings in pieces":
            return _loose(value, form)
        case "an array without an end":
            return b"\x9f" + b"".join(plain) + b"\xff"
        case "a map":
            pairs = (encode(key) + item for key, item in enumerate(plain))
            return _head(5, len(plain)) + b"".join(pairs)
        case "a map with one key twice":
            return _head(5, len(plain)) + b"".join(b"\x00" + item for item in plain)
        case "a tag":
            return b"\xd9\xd9\xf7" + encode(value)
        case _:
            return _head(4, len(plain)) + b"\xd8\x64" + b"".join(plain)


def _head(major: int, argument: Value, width: int = 0) -> bytes:
    assert isinstance(argument, int)
    if width == 0:
        short = encode(argument)
        return bytes([short[0] | major << 5]) + short[1:]
    return bytes([major << 5 | {1: 24, 2: 25, 8: 27}[width]]) + argument.to_bytes(width, "big")


def _loose(value: Value, form: str) -> bytes:
    if isinstance(value, list):
        head = _head(4, len(value), 8 if form == "wide lengths" else 0)
        return head + b"".join(_loose(item, form) for item in value)
    if isinstance(value, bytes) and form == "wide lengths":
        return _head(2, len(value), 8) + value
    if isinstance(value, bytes) and form == "strings in pieces":
        return b"\x5f" + encode(value) + b"\xff"
    if isinstance(value, int) and not isinstance(value, bool) and form == "wide numbers":
        # One byte more than needed, whatever is needed; eight bytes are the widest there is.
        return _head(0, value, 8) if value < 2**32 else encode(value)
    return encode(value)
