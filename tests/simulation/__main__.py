"""`bin/simulate`: search seeds for what breaks, and tell its story."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from .chance import plan_of
from .mutants import MUTANTS
from .plan import Plan
from .planting import Mutant, planted
from .report import list_of, story_of
from .run import Outcome, simulate
from .shrink import shrink
from .sightings import missing
from .sweep import KINDS, REFERENCES, plans

T = TypeVar("T")

#: Runs that it takes to meet everything, and everything but what is rare.
MANY, SOME = 1500, 250


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.plan:
        return tell(simulate(msgspec.json.decode(arguments.plan.read_bytes(), type=Plan)))
    if arguments.mutants:
        return search_mutants(arguments.seed or 0, arguments.runs or 1000, arguments.jobs)
    if arguments.sweep:
        return sweep(arguments.jobs)
    if arguments.trace:
        return trace(arguments.seed or 0, arguments.runs or 10)
    if arguments.runs is None and arguments.seed is not None:
        return tell_seed(arguments.seed, smaller=arguments.shrink)
    return search(arguments.seed or 0, arguments.runs or 100, arguments.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; alone: run it and tell its story")
    parser.add_argument("--runs", type=int, help="how many seeds, one after the other (100)")
    parser.add_argument("--plan", type=Path, help="run the plan in this file (JSON)")
    parser.add_argument("--shrink", action="store_true", help="cut a seed that fails down first")
    parser.add_argument("--mutants", action="store_true", help="find a seed for each known bug")
    parser.add_argument("--sweep", action="store_true", help="crash at each call of five runs")
    parser.add_argument("--trace", action="store_true", help="print the digest of each run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    return parser


def tell(outcome: Outcome) -> int:
    print("\n".join(story_of(outcome)))
    print(f"met        {list_of(outcome.seen)}")
    return 1 if outcome.problems else 0


def tell_seed(seed: int, *, smaller: bool) -> int:
    outcome = simulate(plan_of(seed))
    if outcome.problems and smaller:
        kind = kind_of(outcome)
        outcome = simulate(shrink(outcome.plan, lambda plan: kind_of(simulate(plan)) == kind))
    return tell(outcome)


def kind_of(outcome: Outcome) -> str:
    """What the first problem says, without names and numbers."""
    words = outcome.problems[0].split() if outcome.problems else []
    return " ".join(word for word in words if word.isalpha())


def search(first: int, runs: int, jobs: int) -> int:
    """Run seeds; the exit code says whether all was well."""
    began = time.perf_counter()
    seen: Counter[str] = Counter()
    failed: list[int] = []
    for seed, problems, met in outcomes(range(first, first + runs), jobs):
        seen += met
        if problems:
            failed.append(seed)
            print(f"seed {seed}: {problems[0]}", flush=True)
    took_s = time.perf_counter() - began
    never = missing(seen, rare=runs >= MANY) if runs >= SOME else []
    print(f"{runs} runs in {took_s:.0f} s, {runs / took_s:.1f} per second; {len(failed)} failed")
    print(f"met: {list_of(seen)}")
    for name in never:
        print(f"never met: {name}")
    for seed in failed[:3]:
        print(f"bin/simulate --seed {seed} --shrink")
    return 1 if failed or never else 0


def sweep(jobs: int) -> int:
    """Crash before and after every call of the reference workflows."""
    failed = 0
    with ProcessPoolExecutor(jobs) as pool:
        for name in REFERENCES:
            points = [plan for kind in KINDS for plan in plans(name, kind)]
            found = list(pool.map(simulate, points, chunksize=5))
            bad = [outcome for outcome in found if outcome.problems]
            print(f"{name}: {len(found)} runs, {len(bad)} failed", flush=True)
            for outcome in bad[:1]:
                tell(outcome)
            failed += len(bad)
    return 1 if failed else 0


def trace(first: int, runs: int) -> int:
    """Runs of one seed have one digest, in whatever process."""
    for seed in range(first, first + runs):
        print(seed, simulate(plan_of(seed)).digest)
    return 0


def search_mutants(first: int, runs: int, jobs: int) -> int:
    """Search for each known bug a seed that finds it; all have to be found."""
    found = 0
    with ProcessPoolExecutor(jobs) as pool:
        tries = [partial(first_seed, mutant, range(first, first + runs)) for mutant in MUTANTS]
        for mutant, result in zip(MUTANTS, pool.map(_call, tries), strict=True):
            found += result is not None
            print(f"{mutant.name}: {'never found' if result is None else result}", flush=True)
    print(f"{found} of {len(MUTANTS)} found")
    return 0 if found == len(MUTANTS) else 1


def first_seed(mutant: Mutant, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first of these seeds that finds a bug, and what it says."""
    with planted(mutant):
        for seed in seeds:
            if problems := simulate(plan_of(seed)).problems:
                return seed, problems[0]
    return None


def _call(function: Callable[[], T]) -> T:
    return function()


Result = tuple[int, list[str], Counter[str]]


def outcomes(seeds: Iterable[int], jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from map(try_seed, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(try_seed, seeds, chunksize=5)


def try_seed(seed: int) -> Result:
    outcome = simulate(plan_of(seed))
    return seed, outcome.problems, outcome.seen


if __name__ == "__main__":
    sys.exit(main())
