"""Plans by hypothesis, which shrinks what fails; and those that once failed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from .plan import Plan
from .report import story_of
from .run import simulate
from .strategies import plans


class Failed(msgspec.Struct, frozen=True):
    """A plan that failed, and by which bug."""

    bug: str
    plan: Plan


FAILED = [
    msgspec.json.decode(line, type=Failed)
    for line in Path(__file__).with_name("failed.jsonl").read_text().splitlines()
]


@settings(
    max_examples=25,
    derandomize=True,  # bin/simulate searches
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(plans)
def test_no_plan_does_harm(plan: Plan) -> None:
    outcome = simulate(plan)
    assert not outcome.problems, "\n".join(story_of(outcome))


@pytest.mark.parametrize("once", FAILED, ids=lambda once: once.bug)
def test_what_failed_once_does_not_any_more(once: Failed) -> None:
    outcome = simulate(once.plan)
    assert not outcome.problems, "\n".join(story_of(outcome))
