"""Run seeds: `just simulate seeds=1000`, or one again: `seed=17 trace=yes`.

`mutations=yes` searches, for every planted bug, the lowest seed that catches it; `only=two-bases`
those whose names begin so. `twins=yes` plays two instances with one key: every plan of 4 views and
10,000 of 8 (`views=`, `samples=`), or one again: `twins=2:15,3,0,5`. `disks=yes` plays seeds over
the node's own storage with faulty disks. `first=` seed, `steps=` of a seed at least, and so many
`workers=` processes share the work.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from multiprocessing import Pool
from statistics import median
from time import perf_counter

from bench.arguments import HELP
from cretonode.errors import ConfigError
from tests.simulation import marks, real_world, twins
from tests.simulation.byzantine import EVERY
from tests.simulation.gate import CATCH_WITHIN, names_like, search_all
from tests.simulation.mutations import MUTATIONS
from tests.simulation.options import Options, parse
from tests.simulation.scenario import (
    STEPS_MIN,
    VIEW_CHANGES_MIN,
    Outcome,
    Scenario,
    Wish,
    play,
)

LONG = 1_000  # seeds from which on every behaviour must have acted and every mark have fired


def main(arguments: Sequence[str]) -> int:
    """Return 0 when no seed shows a violation."""
    if any(argument in HELP for argument in arguments):
        print(__doc__)
        return 0
    try:
        options = parse(arguments)
        if options.twins:
            return play_twins(options)
    except ConfigError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 2
    if options.mutations:
        return search_mutations(options.workers, options.only)
    if options.disks:
        return play_disks(options)
    steps = options.steps
    if options.is_one:
        outcome = play_one(options.seeds[0], steps=steps, traced=options.traced)
        print("\n".join(outcome.trace))
        return report([outcome], outcome.cpu_s, steps=steps)
    began = perf_counter()
    outcomes: list[Outcome] = []
    with Pool(options.workers) as pool:
        for outcome in pool.imap_unordered(partial(play_one, steps=steps), options.seeds):
            outcomes.append(outcome)
            if outcome.violation:
                print(f"seed {outcome.seed}: {outcome.violation}")
                print(f"  again: {command_of(outcome.seed, steps)}", flush=True)
            if sys.stderr.isatty():
                print(f"\r{len(outcomes)}/{len(options.seeds)} seeds", end="", file=sys.stderr)
    return report(outcomes, perf_counter() - began, steps=steps)


def play_one(seed: int, *, steps: int = STEPS_MIN, traced: bool = False) -> Outcome:
    """Play one seed of a run."""
    return play(seed, Scenario(seed, Wish(steps=steps)), traced=traced)


def command_of(seed: int, steps: int) -> str:
    """Return what plays a seed of this run again, with its trace."""
    length = "" if steps == STEPS_MIN else f" steps={steps}"
    return f"just simulate seed={seed}{length} trace=yes"


def search_mutations(workers: int, only: str) -> int:
    """Return 0 when every planted bug is caught that `only` names."""
    names = names_like(only)
    if not names:
        print(f"no planted bug begins with {only!r}; there are: {', '.join(MUTATIONS)}")
        return 2
    missed = 0
    for name, caught in search_all(workers, names):
        missed += caught is None
        found = f"seed {caught.seed}: {caught.violation[:100]}" if caught else "NOT CAUGHT"
        print(f"{name:<24} {found}", flush=True)
    print(f"planted bugs not caught within {CATCH_WITHIN} seeds: {missed}")
    return missed > 0


def play_disks(options: Options) -> int:
    """Play seeds over real journals and databases. Returns 0 when no seed shows a violation."""
    steps = options.steps
    play_seed = partial(real_world.play_real, steps=steps, traced=options.traced)
    outcomes: list[Outcome] = []
    acted: Counter[str] = Counter()
    with Pool(options.workers) as pool:
        for outcome, faults in pool.imap_unordered(play_seed, options.seeds):
            outcomes.append(outcome)
            acted += faults
            if outcome.trace:
                print("\n".join(outcome.trace))
            if outcome.violation:
                again = f"just simulate disks=yes seed={outcome.seed} steps={steps} trace=yes"
                print(f"seed {outcome.seed}: {outcome.violation}\n  again: {again}", flush=True)
    failed = sorted(outcome.seed for outcome in outcomes if outcome.violation)
    done, cpu_s = sum(o.steps for o in outcomes), sum(o.cpu_s for o in outcomes)
    print(f"seeds         {len(outcomes)} over real disks")
    print(f"core steps    {done} in {cpu_s:.0f} core-seconds")
    print(f"view changes  {sum(outcome.view_changes for outcome in outcomes)}")
    print(f"transactions  {sum(outcome.transactions for outcome in outcomes)}")
    for fault, times in sorted(acted.items()):
        print(f"  {fault:<40} {times}")
    print(f"violations    {len(failed)}{': seeds ' + str(failed) if failed else ''}")
    return bool(failed)


def play_twins(options: Options) -> int:
    """Play one case, or all of so many views and a sample of twice as many. 0: no violation.

    Raises: ConfigError.
    """
    which, views = options.twins, options.views
    if which != "yes":
        verdict = twins.verdict_of(twins.parse(which))
        print(f"twins {which}: {verdict or 'no violation'}")
        return verdict is not None
    failed = 0
    for name, cases in (
        (f"every plan of {views} views", list(twins.enumerated(views))),
        (f"sample of {2 * views} views", list(twins.sampled(2 * views, options.samples, seed=0))),
    ):
        played: list[twins.Played] = []
        with Pool(options.workers) as pool:
            for case, one in zip(cases, pool.imap(twins.play, cases, chunksize=16), strict=True):
                played.append(one)
                if one.violation is not None:
                    failed += 1
                    print(f"twins {case}: {one.violation}")
                    print(f"  again: just simulate twins={case}", flush=True)
        print(f"{name}: {len(cases)}")
        report_twins(played)
    print(f"violations    {failed}")
    return failed > 0


def report_twins(played: Sequence[twins.Played]) -> None:
    """Print what some cases did together."""
    steps, cpu_s = sum(one.steps for one in played), sum(one.cpu_s for one in played)
    each = max(len(played), 1)
    print(f"  core steps  {steps}, {steps / each:.0f} of a plan, in {cpu_s:.0f} core-seconds")
    print(f"  views       {sum(one.views for one in played)} entered")
    print(f"  stalls      {sum(one.stalls for one in played)}: nobody moved, the plan went on")
    print(f"  two votes   in {sum(one.contradicts for one in played)} plans", flush=True)


def acts_of(outcomes: Sequence[Outcome]) -> Counter[str]:
    """Return how often each behaviour did what no honest validator does."""
    acts: Counter[str] = Counter()
    for outcome in outcomes:
        acts.update(outcome.acts)
    return acts


def fired_in(outcomes: Sequence[Outcome]) -> Counter[str]:
    """Return how often each mark fired."""
    fired: Counter[str] = Counter()
    for outcome in outcomes:
        fired.update(outcome.marks)
    return fired


def report(outcomes: Sequence[Outcome], wall_s: float, *, steps: int) -> bool:
    """Print what the seeds did, a line for each figure. False when all is as it must be."""
    done = sum(outcome.steps for outcome in outcomes)
    cpu_s = max(sum(outcome.cpu_s for outcome in outcomes), 1e-9)
    simulated_s = sum(outcome.simulated_ms for outcome in outcomes) / 1000
    changes = sorted(outcome.view_changes for outcome in outcomes)
    lengths = sorted(outcome.steps for outcome in outcomes)
    failed = sorted(outcome.seed for outcome in outcomes if outcome.violation)
    acts, fired = acts_of(outcomes), fired_in(outcomes)
    lies = ", ".join(f"{name} {count}" for name, count in sorted(acts.items())) or "none"
    silent = marks.missing(fired)
    print(f"seeds         {len(outcomes)}, {len(outcomes) / wall_s:.2f} per second")
    print(
        f"core steps    {done}, {done / wall_s:.0f} per second, {done / cpu_s:.0f} per core-second"
    )
    print(f"  of a seed   min {lengths[0]}, median {median(lengths):.0f}, max {lengths[-1]}")
    print(f"view changes  {sum(changes)}; of a seed min {changes[0]}, median {median(changes):.0f}")
    print(f"simulated     {simulated_s:.0f} s in {wall_s:.1f} s, {cpu_s:.1f} core-seconds")
    print(f"sequences     {sum(outcome.sequences for outcome in outcomes)}")
    print(f"transactions  {sum(outcome.transactions for outcome in outcomes)}")
    print(f"lies          {lies}")
    print(f"marks         {len(marks.EXPECTED) - len(silent)} of {len(marks.EXPECTED)} fired")
    print(f"violations    {len(failed)}{': seeds ' + str(failed) if failed else ''}")
    complaints = [f"{len(failed)} seeds show a violation"] if failed else []
    short = [o.seed for o in outcomes if o.steps < steps or o.view_changes < VIEW_CHANGES_MIN]
    if short:
        complaints.append(f"too short or without view changes: seeds {short}")
    if len(outcomes) >= LONG:
        complaints += [f"never acted: {name}" for name in EVERY if not acts[name]]
        complaints += [f"never fired: {name}" for name in silent]
    for complaint in complaints:
        print(f"FAILED: {complaint}")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
