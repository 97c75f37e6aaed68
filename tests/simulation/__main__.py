"""Run seeds: `python -m tests.simulation seeds=200`, or one again: `seed=17 trace=yes`.

`mutations=yes` searches, for every planted bug, the lowest seed that catches it.
"""

import sys
from collections import Counter
from multiprocessing import Pool
from time import perf_counter

from tests.simulation.byzantine import BEHAVIOURS
from tests.simulation.gate import CATCH_WITHIN, search_all
from tests.simulation.scenario import Outcome, play

OPTIONS = ("seeds", "first", "seed", "trace", "workers", "mutations")
LONG = 1_000  # seeds from which on every behaviour must have acted


def main(arguments: list[str]) -> int:
    """Return 0 when no seed shows a violation."""
    options = dict(argument.split("=", 1) for argument in arguments)
    unknown = options.keys() - set(OPTIONS)
    if unknown:
        allowed = " ".join(f"{option}=" for option in OPTIONS)
        print(f"unknown: {', '.join(sorted(unknown))}; allowed: {allowed}")
        return 2
    workers = int(options.get("workers", "2"))
    if options.get("mutations") == "yes":
        return search_mutations(workers)
    if "seed" in options:
        outcome = play(int(options["seed"]))
        if options.get("trace") == "yes":
            print("\n".join(outcome.trace))
        report([outcome], outcome.cpu_s)
        return outcome.violation is not None
    first = int(options.get("first", "0"))
    seeds = range(first, first + int(options.get("seeds", "200")))
    began = perf_counter()
    outcomes: list[Outcome] = []
    with Pool(workers) as pool:
        for outcome in pool.imap_unordered(play, seeds):
            outcomes.append(outcome)
            if outcome.violation:
                print(f"seed {outcome.seed}: {outcome.violation}")
                print(f"  again: just simulate seed={outcome.seed} trace=yes")
            if sys.stderr.isatty():
                print(f"\r{len(outcomes)}/{len(seeds)} seeds", end="", file=sys.stderr)
    report(outcomes, perf_counter() - began)
    idle = never_acted(outcomes) if len(outcomes) >= LONG else []
    if idle:
        print(f"never acted: {', '.join(idle)}")
    return bool(idle) or any(outcome.violation for outcome in outcomes)


def search_mutations(workers: int) -> int:
    """Return 0 when every planted bug is caught."""
    missed = 0
    for name, caught in search_all(workers):
        missed += caught is None
        found = f"seed {caught.seed}: {caught.violation[:100]}" if caught else "NOT CAUGHT"
        print(f"{name:<24} {found}", flush=True)
    print(f"planted bugs not caught within {CATCH_WITHIN} seeds: {missed}")
    return missed > 0


def acts_of(outcomes: list[Outcome]) -> Counter[str]:
    """Return how often each behaviour did what no honest validator does."""
    acts: Counter[str] = Counter()
    for outcome in outcomes:
        acts.update(outcome.acts)
    return acts


def never_acted(outcomes: list[Outcome]) -> list[str]:
    """Return the behaviours that these seeds did not test."""
    acts = acts_of(outcomes)
    return [name for name in BEHAVIOURS if not acts[name]]


def report(outcomes: list[Outcome], wall_s: float) -> None:
    """Print what the seeds did, a line for each figure."""
    steps = sum(outcome.steps for outcome in outcomes)
    cpu_s = max(sum(outcome.cpu_s for outcome in outcomes), 1e-9)
    simulated_s = sum(outcome.simulated_ms for outcome in outcomes) / 1000
    failed = sorted(outcome.seed for outcome in outcomes if outcome.violation)
    print(f"seeds         {len(outcomes)}, {len(outcomes) / max(wall_s, 1e-9):.2f} per second")
    print(f"core steps    {steps}, {steps / cpu_s:.0f} per core-second")
    print(f"simulated     {simulated_s:.0f} s in {cpu_s:.1f} core-seconds")
    print(f"sequences     {sum(outcome.sequences for outcome in outcomes)}")
    print(f"transactions  {sum(outcome.transactions for outcome in outcomes)}")
    print(f"views entered {sum(outcome.views for outcome in outcomes)}")
    acts = ", ".join(f"{name} {count}" for name, count in sorted(acts_of(outcomes).items()))
    print(f"lies          {acts or 'none'}")
    print(f"violations    {len(failed)}{': seeds ' + str(failed) if failed else ''}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
