"""Arguments of `just chaos`: a mistake is named, and a seed makes the same choices again."""

import pytest

from chaos.options import parse
from cretonode.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected one of: kill, interrupt, rounds, join, leader"),
        (["explode"], "expected one of"),
        (["kill", "rounds=3"], "unknown: rounds; allowed: n, rate"),
        (["kill", "n=2"], "n is '2'; expected 3 to 31"),
        (["kill", "rate=much"], "rate is 'much'"),
        (["kill", "node=4"], "node is '4'; expected random, leader, or 0 to 3"),
        (["leader", "seed=-1"], "seed is '-1'"),
    ],
)
def test_a_mistake_is_named(arguments: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse(arguments)


def test_the_command_that_is_printed_makes_the_same_run() -> None:
    options = parse(["rounds", "rounds=100", "rate=500"])
    again = parse(options.again.split()[2:])
    assert (again.seed, again.numbers, again.words["profile"]) == (
        options.seed,
        options.numbers,
        options.words["profile"],
    )


def test_json_is_asked_for_in_two_ways() -> None:
    options = parse(["kill", "--json", "json=out.json"])
    assert options.as_json
    assert options.words["json"] == "out.json"
