"""Each known bug is found by a seed of its own, where the code without it passes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from .chance import plan_of
from .mutants import MUTANTS
from .planting import Mutant, planted
from .report import story_of
from .run import simulate

#: The first seed that finds each, as `bin/simulate --mutants` prints them.
SEEDS: dict[str, int] = msgspec.json.decode(
    Path(__file__).with_name("mutants.json").read_bytes(), type=dict[str, int]
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_known_bug_is_found(mutant: Mutant) -> None:
    plan = plan_of(SEEDS[mutant.name])
    outcome = simulate(plan)
    assert not outcome.problems, "\n".join(story_of(outcome))
    with planted(mutant):
        assert simulate(plan).problems
