"""Changes of plans, of which those by chance are made."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec.structs import replace

from .graphs import Act, Agent, Step
from .plan import Plan, Start


def seconds(chance: Random, least: float, most: float) -> float:
    return round(chance.uniform(least, most), 2)


def with_start(plan: Plan, number: int, **facts: Any) -> Plan:
    starts = list(plan.starts)
    starts[number] = replace(starts[number], **facts)
    return replace(plan, starts=tuple(starts))


def any_start(plan: Plan, chance: Random) -> tuple[int, Start]:
    number = chance.randrange(len(plan.starts))
    return number, plan.starts[number]


def with_step(plan: Plan, number: int, at: int, step: Step) -> Plan:
    graph = plan.starts[number].graph
    steps = (*graph.steps[:at], step, *graph.steps[at + 1 :])
    return with_start(plan, number, graph=replace(graph, steps=steps))


def with_fan_out(plan: Plan, number: int, first: Step) -> Plan:
    """Let another step be the first one, and none fan out over what that gave."""
    for at, step in enumerate(plan.starts[number].graph.steps):
        if step.over == first.id:
            after = tuple(sorted({*step.after, first.id}))
            plan = with_step(plan, number, at, replace(step, over=None, after=after))
    return with_step(plan, number, 0, first)


def of_each_step(plan: Plan, change: Callable[[Step], Step]) -> Plan:
    for number, start in enumerate(plan.starts):
        for at, step in enumerate(start.graph.steps):
            plan = with_step(plan, number, at, change(step))
    return plan


def of_each_agent(plan: Plan, change: Callable[[Agent], Agent]) -> Plan:
    def changed(act: Act) -> Act:
        return change(act) if isinstance(act, Agent) else act

    return of_each_step(plan, lambda step: replace(step, acts=tuple(map(changed, step.acts))))
