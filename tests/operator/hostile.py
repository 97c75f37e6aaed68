"""CBOR that is nearly right: one item swapped, dropped, doubled or replaced."""

from hypothesis import strategies as st

from cretonode.crypto.canonical import decode_untrusted, encode
from tests.wire.hostile import JUNK, arrays_in


@st.composite
def altered(draw: st.DrawFn, data: bytes) -> bytes:
    """Canonical CBOR like `data`, with one change in one of its arrays."""
    value = decode_untrusted(data)
    array = draw(st.sampled_from([array for array in arrays_in(value) if array]))
    at, other = (draw(st.integers(0, len(array) - 1)) for _ in range(2))
    match draw(st.sampled_from(["swap", "drop", "double", "replace"])):
        case "swap":
            array[at], array[other] = array[other], array[at]
        case "drop":
            del array[at]
        case "double":
            array.insert(other, array[at])
        case _:
            array[at] = draw(JUNK)
    return encode(value)
