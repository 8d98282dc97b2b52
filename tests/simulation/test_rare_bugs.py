"""Bugs that take one run in hundreds to show: each is found by a plan that is made for it."""

from __future__ import annotations

from random import Random

import pytest

from . import rare_bugs as bugs
from .graphs import Graph, Step
from .plan import Plan, Start
from .planting import Mutant, planted
from .rarities import Change
from .report import story_of
from .run import simulate

#: Each, and what makes plans for it.
BUGS: list[tuple[Mutant, Change]] = [
    (
        Mutant(
            "an engine that lost its lane keeps what it holds",
            "reactors.engine:Engine.run",
            "self.views.clear()",
            "pass",
        ),
        bugs.lane_back,
    ),
    (
        Mutant(
            "an agent begins that is to stop",
            "core.log:EventLog.may_begin",
            'record["token"] == token and record["state"] != "stopping"',
            'record["token"] == token',
        ),
        bugs.unwanted,
    ),
    (
        Mutant(
            "an end that was refused counts as recorded",
            "reactors.agents:Agents._carry_out",
            "if await self._records.record_outcome(launch, token, outcome):",
            "await self._records.record_outcome(launch, token, outcome)\n    if True:",
        ),
        bugs.both_follow,
    ),
    (
        Mutant(
            "an agent is removed whose launch was refused",
            "reactors.agents:Agents._carry_out",
            "await remove_ended(self._log, runtime, launch)\n        return",
            "await runtime.remove(launch)\n        return",
        ),
        bugs.both_follow,
    ),
]


#: Plans to try: what is late comes too early or too late in many of them.
TRIES = 30


@pytest.mark.parametrize(("mutant", "change"), BUGS, ids=[mutant.name for mutant, _ in BUGS])
def test_a_rare_bug_is_found(mutant: Mutant, change: Change) -> None:
    for seed in range(TRIES):
        plan = made_for_it(change, seed)
        outcome = simulate(plan)
        assert not outcome.problems, "\n".join(story_of(outcome))
        with planted(mutant):
            if simulate(plan).problems:
                return
    pytest.fail(f"none of {TRIES} plans finds it")


def made_for_it(change: Change, seed: int) -> Plan:
    plan = Plan(seed=seed, starts=(Start(Graph((Step("s0"),)), at_s=0.5),))
    return change(plan, Random(seed))
