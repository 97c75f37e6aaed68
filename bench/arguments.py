"""`key=value` arguments: numbers with a range, and mistakes named with what is allowed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cretonode.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Number:
    """A key with a number: its default and its range."""

    default: float
    low: float
    high: float
    whole: bool = False

    def parse(self, key: str, text: str) -> float:
        """Return the number. Raises: ConfigError."""
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not self.low <= value <= self.high or (self.whole and value != int(value)):
            kind = ", a whole number" if self.whole else ""
            low, high = (f"{end:.15g}" for end in (self.low, self.high))
            raise ConfigError(f"{key} is {text!r}; expected {low} to {high}{kind}")
        return value


HELP: Final = ("--help", "-h", "help")


def help_of(numbers: Mapping[str, Number], words: Mapping[str, str]) -> list[str]:
    """Return a line for each key: its default, and what is allowed."""
    lines = [
        f"  {key + '=':<14}{number.default:<10.15g}{number.low:.15g} to {number.high:.15g}"
        + (", a whole number" if number.whole else "")
        for key, number in numbers.items()
    ]
    return lines + [f"  {key + '=':<14}{default or '-'}" for key, default in words.items()]


def pairs_of(arguments: Sequence[str], allowed: Iterable[str]) -> dict[str, str]:
    """Return the value of each key. Raises: ConfigError, on a key unknown or given twice."""
    keys = list(allowed)
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise ConfigError(f"{argument!r} is no key=value; allowed: {', '.join(keys)}")
        if key in given:
            raise ConfigError(f"{key} is given twice: {given[key]!r} and {value!r}; expected one")
        given[key] = value
    unknown = given.keys() - set(keys)
    if unknown:
        raise ConfigError(f"unknown: {', '.join(sorted(unknown))}; allowed: {', '.join(keys)}")
    return given
