import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cretonode.crypto import canonical
from cretonode.errors import MalformedMessage
from cretonode.limits import FRAME_BYTES_MAX, MESSAGE_DEPTH_MAX

VALUES: st.SearchStrategy[canonical.Value] = st.recursive(
    st.integers(0, 2**64 - 1) | st.binary() | st.text() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=20,
)


def depth_of(value: object) -> int:
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_a_value_survives_its_encoding(value: canonical.Value) -> None:
    data = canonical.encode(value)
    if depth_of(value) > MESSAGE_DEPTH_MAX:
        with pytest.raises(MalformedMessage):
            canonical.decode_untrusted(data)
    else:
        assert canonical.decode_untrusted(data) == value


# Bytes near real CBOR: headers of every kind, glued to each other and to noise.
HEADERS = st.integers(0, 255).map(lambda first: bytes([first]))
HOSTILE = st.lists(HEADERS | st.binary(max_size=9), max_size=12).map(b"".join)


@given(st.binary(max_size=64) | HOSTILE)
@example(b"\xd8\x1c\x81\xd8\x1d\x00")
@example(b"\xc2\x49" + b"\xff" * 9)
def test_any_bytes_are_refused_or_the_one_encoding_of_their_value(data: bytes) -> None:
    try:
        value = canonical.decode_untrusted(data)
    except MalformedMessage:
        return
    assert canonical.encode(value) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0000",
        "81" * (MESSAGE_DEPTH_MAX + 1) + "00",
        "81" * 100_000 + "00",
        "c6" * 100_000 + "00",
        "d9d9f7" * 50_000 + "00",
        "1800",
        "190001",
        "1b0000000000000001",
        "980100",
        "580161",
        "9fff",
        "5fff",
        "7fff",
        "bfff",
        "ff",
        "20",
        "3bffffffffffffffff",
        "c249010000000000000000",
        "c349010000000000000000",
        "c11a00000000",
        "c06a323031332d30332d3231",
        "c48200196ab3",
        "d81c80",
        "d81d00",
        "82d81c80d81d00",
        "d9010081" + "00",
        "d90100816161",
        "d81900",
        "d9d9f700",
        "d818420000",
        "dbffffffffffffffff00",
        "f90000",
        "f97e00",
        "f97c00",
        "fb7ff8000000000000",
        "f7",
        "f0",
        "f818",
        "f8ff",
        "fc",
        "a0",
        "a10000",
        "61ff",
        "63eda080",
        "1c",
        "5c",
        "9e",
        "8200",
        "4261",
        "82" + "9b7fffffffffffffff",
    ],
)  # fmt: skip
def test_bytes_that_no_honest_replica_sends_are_refused(text: str) -> None:
    """RFC 8949, 3 and 4.2.1: depth, tags, floats, maps, indefinite and over-long forms."""
    with pytest.raises(MalformedMessage):
        canonical.decode_untrusted(bytes.fromhex(text))


def test_nesting_up_to_the_bound_is_allowed() -> None:
    assert canonical.decode_untrusted(b"\x81" * MESSAGE_DEPTH_MAX + b"\x00")


def test_booleans_and_integers_stay_apart() -> None:
    assert canonical.decode_untrusted(b"\x01") is not True
    assert canonical.decode_untrusted(b"\xf5") is True


def test_a_frame_of_empty_arrays_is_refused_before_it_costs_much() -> None:
    """Two million values in two megabytes: each would cost a hundred times its one byte."""
    count = FRAME_BYTES_MAX - 5
    with pytest.raises(MalformedMessage, match="array items"):
        canonical.decode_untrusted(b"\x9a" + count.to_bytes(4, "big") + b"\x80" * count)


def test_the_bound_on_values_counts_inner_arrays_too() -> None:
    data = canonical.encode([[0, 1], [2, [3]], []])
    assert canonical.decode_untrusted(data, values_max=8) == [[0, 1], [2, [3]], []]
    with pytest.raises(MalformedMessage, match="over 7 array items"):
        canonical.decode_untrusted(data, values_max=7)


CLAIMS = """
from cretonode.crypto import canonical
from cretonode.errors import MalformedMessage

def peak_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmPeak"))

canonical.decode_untrusted(b"\\x81\\x00")
before = peak_kib()
for first in (0x5B, 0x7B, 0x9B, 0xBB):
    for length in (2**32, 2**63, 2**64 - 1):
        for body in (b"", b"\\x00", b"\\x81" * 7):
            data = bytes([first]) + length.to_bytes(8, "big") + body
            for whole in (data, b"\\x81" + data, b"\\x82\\x00" + data):
                try:
                    canonical.decode_untrusted(whole)
                except MalformedMessage as error:
                    assert not isinstance(error.__context__, MemoryError), data.hex()
                else:
                    raise AssertionError(data.hex())
print(peak_kib() - before)
"""


def test_a_claimed_length_of_four_thousand_million_allocates_nothing() -> None:
    """In a process of its own, so that the peak of its address space is that of this test."""
    done = subprocess.run(
        [sys.executable, "-c", CLAIMS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * 1024, f"{done.stdout} KiB"
