"""Cut a plan that fails down to what it takes to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from .graphs import Act, Agent, Graph, Hang, Step
from .plan import ALL_ROLES, Command, Node, Plan, Start

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

#: Orders in which a plan is tried: one that fails in none has lost what it takes.
ORDERS = 4


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries: int = 600) -> Plan:
    """The smallest plan that was found to fail; `fails` is asked at most `tries` times."""
    for orders in (1, ORDERS):
        place = missed = 0
        while tries > 0 and missed < len(found := list(smaller_plans(plan))):
            smaller = found[place % len(found)]
            others = (replace(smaller, seed=plan.seed + number) for number in range(orders))
            tries -= orders
            if failing := next(filter(fails, others), None):
                plan, missed = failing, 0
            else:
                place, missed = place + 1, missed + 1
    return plan


def smaller_plans(plan: Plan) -> Iterator[Plan]:
    """Plans with one thing less, the largest things first. Without a bug each comes to its end."""
    return filter(is_sound, _smaller_plans(plan))


def is_sound(plan: Plan) -> bool:
    """Whether there is someone for everything, and nothing waits for ever."""
    roles = {role for node in plan.nodes for role in node.roles}
    steps = [step for start in plan.starts for step in start.graph.steps]
    return roles.issuperset(ALL_ROLES) and all(
        _has_worker(step.id, plan.nodes) and all(_ends(act, step, plan.nodes) for act in step.acts)
        for step in steps
    )


def _has_worker(step: str, nodes: tuple[Node, ...]) -> bool:
    return any("worker" in node.roles and node.lacks != step for node in nodes)


def _ends(act: Act, step: Step, nodes: tuple[Node, ...]) -> bool:
    match act:
        case Hang():
            return step.timeout is not None
        case Agent(memory=memory):
            launchers = [node for node in nodes if "launcher" in node.roles]
            return any(not node.memory or node.memory >= memory for node in launchers)
        case _:
            return True


def _smaller_plans(plan: Plan) -> Iterator[Plan]:
    for starts in _without_one(plan.starts, least=1):
        yield replace(plan, starts=starts)
    for nodes in _without_one(plan.nodes, least=1):
        left = {node.name for node in nodes}
        calls = tuple(fault for fault in plan.calls if fault.node in {*left, "clients"})
        yield replace(plan, nodes=nodes, calls=calls)
        whole = tuple(replace(node, roles=ALL_ROLES) for node in nodes)
        yield replace(plan, nodes=whole, calls=calls)
    for timed in _without_one(plan.timed):
        yield replace(plan, timed=timed)
    for calls in _without_one(plan.calls):
        yield replace(plan, calls=calls)
    for starts in _with_one(plan.starts, _smaller_starts):
        yield replace(plan, starts=starts)
    yield from _plainer(plan, "starts", "nodes", "calls", "timed")
    for nodes in _with_one(plan.nodes, lambda node: _plainer(node)):
        yield replace(plan, nodes=nodes)
    for calls in _with_one(plan.calls, lambda fault: chain(_plainer(fault), _rounder(fault))):
        yield replace(plan, calls=calls)
    for timed in _with_one(plan.timed, lambda fault: chain(_plainer(fault), _rounder(fault))):
        yield replace(plan, timed=timed)


def _smaller_starts(start: Start) -> Iterator[Start]:
    if start.commands:
        yield replace(start, commands=())
    for steps in _without_one(start.graph.steps, least=1):
        yield replace(start, graph=_tidy(replace(start.graph, steps=steps)))
    for steps in _with_one(start.graph.steps, _smaller_steps):
        yield replace(start, graph=_tidy(replace(start.graph, steps=steps)))
    for graph in _plainer(start.graph):
        yield replace(start, graph=graph)
    yield from _plainer(start, "commands")
    yield from _rounder(start)
    for commands in _with_one(start.commands, _rounder):
        if list(commands) == sorted(commands, key=_at):
            yield replace(start, commands=commands)


def _at(command: Command) -> float:
    return command.at_s


def _smaller_steps(step: Step) -> Iterator[Step]:
    for acts in _without_one(step.acts):
        yield replace(step, acts=acts)
    for after in _without_one(step.after):
        yield replace(step, after=after)
    if step.width is not None:
        yield replace(step, width=None, max_workers=None, on_failure="fail_fast")
        if step.width > 1:
            yield replace(step, width=step.width - 1)
    yield from _plainer(step, "after", "acts", "width")
    for acts in _with_one(step.acts, lambda act: chain(_plainer(act), _rounder(act))):
        yield replace(step, acts=acts)
    yield from _rounder(step)


def _tidy(graph: Graph) -> Graph:
    """Let no step wait for one that is gone, nor be told what only a fan-out is."""
    left = {step.id: step for step in graph.steps}
    steps: list[Step] = []
    for step in graph.steps:
        after = tuple(name for name in step.after if name in left)
        step = replace(step, after=after)
        if step.over and (step.over not in left or left[step.over].gives is None):
            step = replace(step, over=None, width=2)
        if not step.fans_out:
            step = replace(step, max_workers=None, on_failure="fail_fast")
        steps.append(step)
    return replace(graph, steps=tuple(steps))


def _without_one(items: tuple[T, ...], least: int = 0) -> Iterator[tuple[T, ...]]:
    if len(items) > least:
        for at in range(len(items)):
            yield (*items[:at], *items[at + 1 :])


def _with_one(items: tuple[T, ...], change: Callable[[T], Iterator[T]]) -> Iterator[tuple[T, ...]]:
    """With each item changed in each way."""
    for at, item in enumerate(items):
        for changed in change(item):
            yield (*items[:at], changed, *items[at + 1 :])


def _plainer(one: S, *kept: str) -> Iterator[S]:
    """With one field as it is when nothing is said of it."""
    for field in msgspec.structs.fields(one):
        value: Any = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            value = field.default_factory()
        there = getattr(one, field.name)
        if field.name not in kept and value is not msgspec.NODEFAULT and value != there:
            yield replace(one, **{field.name: value})


def _rounder(one: S) -> Iterator[S]:
    """With one time that is easier to read."""
    for field in msgspec.structs.fields(one):
        value = getattr(one, field.name)
        if isinstance(value, float):
            for digits in (0, 1):
                if 0 < (rounded := round(value, digits)) != value:
                    yield replace(one, **{field.name: rounded})
                    break
