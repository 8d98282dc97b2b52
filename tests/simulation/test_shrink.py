"""A plan that fails is cut down to what it takes, and to nothing that would fail by itself."""

from __future__ import annotations

from .chance import plan_of
from .mutants import MUTANTS
from .planting import planted
from .run import simulate
from .shrink import is_sound, shrink
from .test_mutants import SEEDS

BUG = "a step completes when all but one of its tasks have"


def test_all_plans_are_sound() -> None:
    assert [seed for seed in range(2000) if not is_sound(plan_of(seed))] == []


def test_what_fails_is_cut_down_to_what_it_takes() -> None:
    plan = plan_of(SEEDS[BUG])
    with planted(next(mutant for mutant in MUTANTS if mutant.name == BUG)):
        smaller = shrink(plan, lambda one: bool(simulate(one).problems), tries=150)
        assert simulate(smaller).problems
    assert not simulate(smaller).problems
    assert not smaller.faults
    assert len(smaller.nodes) == len(smaller.starts) == 1
    assert len(smaller.starts[0].graph.steps) == 1
