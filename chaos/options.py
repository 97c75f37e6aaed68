"""What a run is asked to do: `key=value` arguments, each with a range and a default."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.arguments import Number, help_of, pairs_of
from chaos.liar import KNOWN
from chaos.liar_process import FRAMES
from cretonode.core.committee import Parameters
from cretonode.errors import ConfigError

SEED_MAX: Final = 2**32 - 1


COMMON: Final = {
    "n": Number(4, 3, 31, whole=True),  # nodes
    "rate": Number(2_000, 1, 100_000),  # transactions offered a second
    "batch": Number(200, 1, 4_096, whole=True),  # of them in a request
    "bytes": Number(256, 16, 65_536, whole=True),  # of a transaction
    "dedup": Number(Parameters().dedup_window, 256, 65_536, whole=True),  # sequences
}
OWN: Final[Mapping[str, Mapping[str, Number]]] = {
    "kill": {
        "warm": Number(5, 1, 600),  # seconds of load before the kill
        "gap": Number(60, 1, 3_600),  # seconds of load while the node is down
        "tail": Number(10, 1, 600),  # seconds of load after it is level again
    },
    "interrupt": {
        "seconds": Number(10, 1, 600),  # of load before the signal, each time
    },
    "rounds": {
        "rounds": Number(10, 1, 10_000, whole=True),
        "wait": Number(3, 0.5, 600),  # seconds of load before a kill, at most
        "down": Number(3, 0.1, 600),  # seconds a node is down, at most
    },
    "join": {
        "transactions": Number(1_000_000, 1_000, 100_000_000, whole=True),  # before it joins
        "building": Number(1_000, 1, 4_096, whole=True),  # of them in a request
        "settle": Number(5, 0, 600),  # seconds of load between building and joining
        "tail": Number(10, 1, 600),  # seconds of load after it is level
    },
    "leader": {
        "repeat": Number(10, 1, 1_000, whole=True),
        "wait": Number(2, 0.5, 600),  # seconds of load between a return and the next kill
        "down": Number(2, 0.1, 600),  # seconds a leader is down after finality is back
    },
    "equivocation": {
        "repeat": Number(10, 1, 1_000, whole=True),
        "wait": Number(3, 1, 600),  # seconds of honest load, at most
    },
    "outage": {
        "repeat": Number(3, 1, 1_000, whole=True),
        "warm": Number(3, 0.5, 600),  # seconds of load before each
        "gap": Number(8, 6, 600),  # seconds without a quorum
    },
    "seen": {
        "repeat": Number(5, 1, 1_000, whole=True),
        "wait": Number(3, 0.5, 600),  # seconds of load before the first kill, at most
    },
    "flood": {
        "warm": Number(60, 1, 3_600),  # seconds of flood before memory counts
        "seconds": Number(300, 5, 86_400),  # of flood after that
        "node": Number(3, 0, 30, whole=True),  # who floods; 0 leads the first view
    },
    "liar": {
        "warm": Number(2, 0.5, 600),  # seconds of honest load
        "seconds": Number(15, 1, 3_600),  # of lies
        "node": Number(0, 0, 30, whole=True),  # who lies; 0 leads the first view
        "timeout": Number(5_000, 100, 60_000, whole=True),  # view_change_timeout_ms
        "pause": Number(2, 0, 600),  # seconds between pauses of the leader; 0: none
    },
}
WORDS: Final = {"seed": "", "json": "", "profile": "small", "dir": ""}
OWN_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "kill": {"node": "random"},
    # how each of the first nodes answers who catches up: see SERVERS
    "join": {"servers": "honest"},
    "outage": {"how": "kill"},
    "flood": {"behaviour": "all"},
    "liar": {"behaviour": "all", "often": ""},
}
SERVERS: Final = ("honest", "lies", "cuts", "stalls", "trickles")
DEFAULTS: Final[Mapping[str, Mapping[str, float]]] = {"join": {"rate": 5_000, "batch": 500}}


@dataclass(frozen=True, slots=True)
class Options:
    """One run."""

    scenario: str
    seed: int
    numbers: Mapping[str, float]
    words: Mapping[str, str]
    given: Mapping[str, str]
    as_json: bool

    def whole(self, key: str) -> int:
        """Return a number as a whole one."""
        return round(self.numbers[key])

    @property
    def again(self) -> str:
        """The command that makes the same choices again."""
        own = {key: text for key, text in self.given.items() if key not in ("seed", "json")}
        pairs = [f"{key}={text}" for key, text in own.items()]
        return " ".join(["just chaos", self.scenario, *pairs, f"seed={self.seed}"])


def parse(arguments: Sequence[str]) -> Options:
    """Return what `arguments` ask for. Raises: ConfigError, which says what is allowed."""
    as_json = "--json" in arguments
    positional = [each for each in arguments if "=" not in each and each != "--json"]
    if len(positional) != 1 or positional[0] not in OWN:
        raise ConfigError(f"expected one of: {', '.join(OWN)}; then key=value")
    scenario = positional[0]
    numbers = {**COMMON, **OWN[scenario]}
    words = {**WORDS, **OWN_WORDS.get(scenario, {})}
    given = pairs_of([each for each in arguments if "=" in each], [*numbers, *words])
    seed = given.get("seed") or str(random.randrange(SEED_MAX + 1))
    options = Options(
        scenario=scenario,
        seed=round(Number(0, 0, SEED_MAX, whole=True).parse("seed", seed)),
        numbers={
            key: number.parse(key, given[key])
            if key in given
            else DEFAULTS.get(scenario, {}).get(key, number.default)
            for key, number in numbers.items()
        },
        words=words | {key: given[key] for key in words if key in given},
        given=given,
        as_json=as_json,
    )
    _check_node(options)
    _check_behaviour(options)
    _check_servers(options)
    if options.words.get("how", "kill") not in ("kill", "stop"):
        raise ConfigError(f"how is {options.words['how']!r}; expected kill or stop")
    return options


def usage() -> str:
    """Return the scenarios, and the keys of each with default and range."""
    lines = [
        "just chaos SCENARIO [key=value ...] [--json]; see docs/chaos.md",
        "",
        "every scenario:",
    ]
    lines += help_of(COMMON, WORDS)
    for scenario, numbers in OWN.items():
        lines += ["", f"{scenario}:", *help_of(numbers, OWN_WORDS.get(scenario, {}))]
    return "\n".join([*lines, "", "behaviour: all, or " + ", ".join(sorted(KNOWN)), ""])


def _check_behaviour(options: Options) -> None:
    name = options.words.get("behaviour", "all")
    known = ["all", *sorted(KNOWN), *([FRAMES] if options.scenario == "flood" else [])]
    if name not in known:
        raise ConfigError(f"behaviour is {name!r}; expected {', '.join(known)}")
    often = options.words.get("often", "")
    if often:
        Number(0, 0, 1).parse("often", often)
    if options.numbers.get("node", 0) >= options.numbers["n"]:
        raise ConfigError(
            f"node is {options.whole('node')}; expected 0 to {options.whole('n') - 1}"
        )


def _check_servers(options: Options) -> None:
    named = options.words.get("servers", "honest").split(",")
    size = options.whole("n")
    if len(named) >= size or any(name not in SERVERS for name in named):
        raise ConfigError(
            f"servers is {','.join(named)!r}; expected up to {size - 1} of "
            f"{', '.join(SERVERS)}, with commas"
        )


def _check_node(options: Options) -> None:
    node = options.words.get("node", "random")
    size = options.whole("n")
    if node not in ("random", "leader", *map(str, range(size))):
        raise ConfigError(f"node is {node!r}; expected random, leader, or 0 to {size - 1}")
