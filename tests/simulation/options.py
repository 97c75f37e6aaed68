"""What `just simulate` can be told, and mistakes named with what is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.arguments import Number, pairs_of
from cretonode.errors import ConfigError
from tests.simulation import real_world
from tests.simulation.scenario import STEPS_MIN

SEED_MAX: Final = 2**53  # what a number in JSON keeps
# A default of 0 depends on what is played: `parse`.
NUMBERS: Final = {
    "seeds": Number(0, 1, 1_000_000, whole=True),
    "first": Number(0, 0, SEED_MAX, whole=True),
    "seed": Number(0, 0, SEED_MAX, whole=True),
    "steps": Number(0, 1, 100_000_000, whole=True),
    "workers": Number(2, 1, 256, whole=True),
    "views": Number(4, 1, 6, whole=True),
    "samples": Number(10_000, 0, 10_000_000, whole=True),
}
SWITCHES: Final = ("trace", "mutations", "disks")
WORDS: Final = ("only", "twins")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One call."""

    seeds: range
    steps: int  # of a seed at least
    workers: int
    views: int
    samples: int
    is_one: bool  # the one seed that was named
    traced: bool
    mutations: bool
    disks: bool
    only: str
    twins: str  # "yes", one case, or empty


def parse(arguments: Sequence[str]) -> Options:
    """Return what is to be played. Raises: ConfigError, which says what is allowed."""
    given = pairs_of(arguments, [*NUMBERS, *SWITCHES, *WORDS])
    for key in SWITCHES:
        if given.get(key, "no") not in ("yes", "no"):
            raise ConfigError(f"{key} is {given[key]!r}; expected yes or no")
    plays = [key for key in ("mutations", "disks") if given.get(key) == "yes"]
    plays += ["twins"] if given.get("twins") else []
    if len(plays) > 1:
        raise ConfigError(f"{' and '.join(plays)} are plays of their own; expected one of them")
    parsed = {key: NUMBERS[key].parse(key, text) for key, text in given.items() if key in NUMBERS}
    numbers = {key: int(parsed.get(key, number.default)) for key, number in NUMBERS.items()}
    if "seed" in given and given.keys() & {"seeds", "first"}:
        raise ConfigError("seed= plays one seed again; seeds= and first= many: expected either")
    disks = given.get("disks") == "yes"
    first = numbers["seed" if "seed" in given else "first"]
    count = 1 if "seed" in given else numbers["seeds"] or (20 if disks else 200)
    return Options(
        seeds=range(first, first + count),
        steps=numbers["steps"] or (real_world.STEPS_MIN if disks else STEPS_MIN),
        workers=numbers["workers"],
        views=numbers["views"],
        samples=numbers["samples"],
        is_one="seed" in given,
        traced=given.get("trace") == "yes",
        mutations=given.get("mutations") == "yes",
        disks=disks,
        only=given.get("only", ""),
        twins=given.get("twins", ""),
    )
