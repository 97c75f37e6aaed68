"""The mutation gate: which seed catches which planted bug, and what the oracle said."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import Pool

from tests.simulation.mutations import MUTATIONS
from tests.simulation.scenario import Scenario, Wish, play

CATCH_WITHIN = 200  # seeds


@dataclass(frozen=True, slots=True)
class Catch:
    """A planted bug that a seed found."""

    seed: int
    violation: str


def catch(name: str, seeds: range | tuple[int, ...]) -> Catch | None:
    """Return the first of `seeds` in which an oracle finds the bug called `name`.

    A run that breaks in another way has found nothing: any nonsense does that.
    """
    mutation = MUTATIONS[name]
    wish = Wish(faults=mutation.faults)
    if mutation.liar is not None:
        wish = replace(wish, size=4, liars=(mutation.liar,))
    with mutation.plant():
        for seed in seeds:
            outcome = play(seed, Scenario(seed, wish))
            if outcome.violation is not None and outcome.is_finding:
                return Catch(seed, outcome.violation)
    return None


def catch_known(name: str) -> Catch | None:
    """Play the seeds that are known to catch the bug, then all others."""
    return catch(name, MUTATIONS[name].seeds) or catch(name, range(CATCH_WITHIN))


def _search(name: str) -> tuple[str, Catch | None]:
    return name, catch(name, range(CATCH_WITHIN))


def names_like(beginning: str) -> list[str]:
    """Return the names of all bugs that begin so; dashes stand for spaces."""
    plain = beginning.replace("-", " ")
    return [name for name in MUTATIONS if name.replace("-", " ").startswith(plain)]


def search_all(workers: int, names: list[str]) -> Iterator[tuple[str, Catch | None]]:
    """Yield, for each bug of `names`, the lowest seed that finds it."""
    with Pool(workers) as pool:
        yield from pool.imap_unordered(_search, names)
