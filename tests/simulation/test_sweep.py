"""No crash at any call of a script does harm; `bin/simulate --sweep` tries them all."""

from __future__ import annotations

import pytest

from .report import story_of
from .run import simulate
from .sweep import REFERENCES, plans

#: Of the points of a run, each so manieth is tried here.
EVERY = 7


@pytest.mark.parametrize("name", REFERENCES)
def test_a_crash_at_any_call_does_no_harm(name: str) -> None:
    for plan in plans(name, EVERY):
        outcome = simulate(plan)
        assert not outcome.problems, "\n".join(story_of(outcome))
