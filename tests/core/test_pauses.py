"""A pause doubles up to a longest one, and is forgotten in peace a doubling at a time."""

import pytest

from cretonode.core.pauses import Pauses
from cretonode.identifiers import ValidatorIndex

THREE = ValidatorIndex(3)


@pytest.mark.parametrize(
    ("longest_ms", "expected"),
    [(16_000, [1_000, 2_000, 4_000, 8_000, 16_000, 16_000]), (5_000, [1_000, 2_000, 4_000, 5_000])],
    ids=["a power of two", "another number"],
)
def test_the_pause_doubles_up_to_the_longest(longest_ms: int, expected: list[int]) -> None:
    pauses = Pauses(1_000, longest_ms)
    found = []
    now_ms = 7
    for _ in expected:
        pauses.count(THREE, now_ms)
        found.append(pauses.until_ms(THREE) - now_ms)
        now_ms = pauses.until_ms(THREE)
    assert found == expected


@pytest.mark.parametrize(
    ("peaces", "pause_ms"), [(0, 10_000), (1, 10_000), (2, 8_000), (3, 4_000), (9, 1_000)]
)
def test_peace_halves_the_pause(peaces: int, pause_ms: int) -> None:
    """One that waits out the longest pause each time keeps it: no liar moves views faster."""
    pauses = Pauses(1_000, 10_000)
    for at_ms in range(10):
        pauses.count(THREE, at_ms)
    now_ms = 9 + peaces * 10_000
    pauses.count(THREE, now_ms)
    assert pauses.until_ms(THREE) == now_ms + pause_ms


def test_each_validator_has_its_own_pause() -> None:
    pauses = Pauses(1_000, 10_000)
    pauses.count(THREE, 0)
    assert pauses.until_ms(ValidatorIndex(2)) == 0
