"""Plans by chance, as many as there is time for: nothing breaks, and what they are for is met."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from .chance import plan_of
from .report import story_of
from .run import simulate
from .sightings import missing

#: Seeds of one test, and the most of a processor that it may take, s.
SEEDS, SECONDS = 500, 60.0
#: Runs that it takes to meet everything but what is rare.
ENOUGH = 250


@pytest.mark.parametrize("block", range(6))
def test_schedules_by_chance_do_no_harm(block: int) -> None:
    until = time.process_time() + SECONDS
    seen: Counter[str] = Counter()
    runs = 0
    for seed in range(block * SEEDS, (block + 1) * SEEDS):
        outcome = simulate(plan_of(seed))
        assert not outcome.problems, "\n".join([f"seed {seed}", *story_of(outcome)])
        seen += outcome.seen
        runs += 1
        if time.process_time() > until:
            break
    never = missing(seen, rare=False) if runs >= ENOUGH else []
    assert not never, f"{runs} runs never met {never}"
