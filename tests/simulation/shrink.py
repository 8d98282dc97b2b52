"""Cut a plan that fails down to what it takes to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from msgspec.structs import replace

from .graphs import Graph, Step
from .plan import Plan, Start

T = TypeVar("T")


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries: int = 400) -> Plan:
    """The smallest plan that was found to fail; `fails` is asked at most `tries` times."""
    while tries:
        for smaller in smaller_plans(plan):
            tries -= 1
            if fails(smaller):
                plan = smaller
                break
            if not tries:
                break
        else:
            break
    return plan


def smaller_plans(plan: Plan) -> Iterator[Plan]:
    """Plans with one thing less, the largest things first."""
    for starts in _without_one(plan.starts, least=1):
        yield replace(plan, starts=starts)
    for nodes in _without_one(plan.nodes, least=1):
        left = {node.name for node in nodes}
        calls = tuple(fault for fault in plan.calls if fault.node in {*left, "clients"})
        yield replace(plan, nodes=nodes, calls=calls)
    for timed in _without_one(plan.timed):
        yield replace(plan, timed=timed)
    for calls in _without_one(plan.calls):
        yield replace(plan, calls=calls)
    for at, start in enumerate(plan.starts):
        for smaller in _smaller_starts(start):
            yield replace(plan, starts=(*plan.starts[:at], smaller, *plan.starts[at + 1 :]))
    plain: dict[str, Any] = {"partitions": 1, "queues": {}, "snapshot_every": 0, "stops": False}
    for name, value in plain.items():
        if getattr(plan, name) != value:
            yield replace(plan, **{name: value})
    for at, node in enumerate(plan.nodes):
        if node.skew_s or node.lacks or node.memory:
            plainer = replace(node, skew_s=0.0, lacks="", memory=0)
            nodes = (*plan.nodes[:at], plainer, *plan.nodes[at + 1 :])
            yield replace(plan, nodes=nodes)


def _smaller_starts(start: Start) -> Iterator[Start]:
    if start.commands:
        yield replace(start, commands=())
    for steps in _without_one(start.graph.steps, least=1):
        yield replace(start, graph=_tidy(replace(start.graph, steps=steps)))
    for at, step in enumerate(start.graph.steps):
        for smaller in _smaller_steps(step):
            steps = (*start.graph.steps[:at], smaller, *start.graph.steps[at + 1 :])
            yield replace(start, graph=_tidy(replace(start.graph, steps=steps)))
    if start.graph != (plain := Graph(start.graph.steps)):
        yield replace(start, graph=plain)
    if start.alone:
        yield replace(start, alone=False)


def _smaller_steps(step: Step) -> Iterator[Step]:
    for acts in _without_one(step.acts):
        yield replace(step, acts=acts)
    if step.width is not None:
        yield replace(step, width=None, max_workers=None, on_failure="fail_fast")
    if step.width is not None and step.width > 1:
        yield replace(step, width=step.width - 1)
    plain: dict[str, Any] = {
        "queue": None,
        "queue_timeout": None,
        "concurrency": None,
        "max_workers": None,
        "plain": False,
    }
    for name, value in plain.items():
        if getattr(step, name) != value:
            yield replace(step, **{name: value})


def _tidy(graph: Graph) -> Graph:
    """Let no step wait for one that is gone."""
    left = {step.id: step for step in graph.steps}
    steps: list[Step] = []
    for step in graph.steps:
        after = tuple(name for name in step.after if name in left)
        step = replace(step, after=after)
        if step.over and (step.over not in left or left[step.over].gives is None):
            step = replace(step, over=None, width=2)
        steps.append(step)
    return replace(graph, steps=tuple(steps))


def _without_one(items: tuple[T, ...], least: int = 0) -> Iterator[tuple[T, ...]]:
    if len(items) > least:
        for at in range(len(items)):
            yield (*items[:at], *items[at + 1 :])
