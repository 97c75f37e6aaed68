"""Run seeds: `python -m tests.simulation seeds=200`, or one again: `seed=17 trace=yes`."""

import sys
from multiprocessing import Pool
from time import perf_counter

from tests.simulation.scenario import Outcome, play

OPTIONS = {"seeds", "first", "seed", "trace", "workers"}


def main(arguments: list[str]) -> int:
    """Return 0 when no seed shows a violation."""
    options = dict(argument.split("=", 1) for argument in arguments)
    unknown = options.keys() - OPTIONS
    if unknown:
        print(
            f"unknown: {', '.join(sorted(unknown))}; allowed: seeds= first= seed= trace= workers="
        )
        return 2
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
    with Pool(int(options.get("workers", "2"))) as pool:
        for outcome in pool.imap_unordered(play, seeds):
            outcomes.append(outcome)
            if outcome.violation:
                print(f"seed {outcome.seed}: {outcome.violation}")
                print(f"  again: just simulate seed={outcome.seed} trace=yes")
            if sys.stderr.isatty():
                print(f"\r{len(outcomes)}/{len(seeds)} seeds", end="", file=sys.stderr)
    report(outcomes, perf_counter() - began)
    return any(outcome.violation for outcome in outcomes)


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
    print(f"violations    {len(failed)}{': seeds ' + str(failed) if failed else ''}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
