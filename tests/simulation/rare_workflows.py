"""Rare workflows, and what is asked of them."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec.structs import replace

from .changes import (
    any_start,
    of_each_agent,
    of_each_step,
    seconds,
    with_fan_out,
    with_start,
    with_step,
)
from .graphs import Act, Agent, Count, Die, Step, Work
from .plan import Command, Plan


def slow_retries(plan: Plan, chance: Random) -> Plan:
    """A pause may fall between a failure and the next attempt."""
    plan = of_each_step(plan, lambda step: replace(step, backoff=1.0) if step.retries else step)
    number, start = any_start(plan, chance)
    if start.commands or chance.random() < 0.4:
        return plan
    at_s = seconds(chance, 0.1, 2.5)
    verb = chance.choice(["pause", "freeze"])
    pause = Command(at_s, verb)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    resume = Command(round(at_s + seconds(chance, 0.2, 3), 2), "resume")
    return with_start(plan, number, commands=(pause, resume))


def impatience(plan: Plan, chance: Random) -> Plan:
    """Tasks of a step do not wait for long."""
    number, start = any_start(plan, chance)
    at = chance.randrange(len(start.graph.steps))
    step = replace(start.graph.steps[at], queue_timeout=seconds(chance, 0.2, 1.2))
    return with_step(plan, number, at, step)


def time_limit(plan: Plan, chance: Random) -> Plan:
    number, start = any_start(plan, chance)
    return with_start(plan, number, graph=replace(start.graph, timeout=seconds(chance, 0.3, 4)))


def deadly_step(plan: Plan, chance: Random) -> Plan:
    number, start = any_start(plan, chance)
    at = chance.randrange(len(start.graph.steps))
    step = start.graph.steps[at]
    if step.plain:
        return plan
    acts = list(step.acts)
    acts.insert(chance.randint(0, len(acts)), Die(chance.choice([1, 2, 9, 9])))
    return with_step(plan, number, at, replace(step, acts=tuple(acts), retries=0))


def with_agents(plan: Plan, chance: Random) -> Plan:
    """A plan that has some has more of them now and then."""
    acts = [act for start in plan.starts for step in start.graph.steps for act in step.acts]
    if any(isinstance(act, Agent) for act in acts) and chance.random() < 0.7:
        return plan
    agents = Step("s0", acts=(Agent(seconds(chance, 0.3, 1)),), width=2)
    return with_fan_out(plan, any_start(plan, chance)[0], agents)


def stopped_agents(plan: Plan, chance: Random) -> Plan:
    """Steps stop their agents, which would run on for long."""
    return of_each_agent(
        with_agents(plan, chance),
        lambda agent: (
            replace(agent, s=agent.s + 2, stops_after=seconds(chance, 0.05, 1), fails=0)
            if chance.random() < 0.6
            else agent
        ),
    )


def slow_agents(plan: Plan, chance: Random) -> Plan:
    """Tasks end before their agents, which go on for a while when they are asked to stop."""
    plan = with_agents(plan, chance)
    plan = of_each_agent(plan, lambda agent: replace(agent, deaf=True, fails=0))
    timeout = seconds(chance, 0.5, 1.5)

    def changed(step: Step) -> Step:
        asks = any(isinstance(act, Agent) for act in step.acts)
        return replace(step, timeout=timeout, retries=max(1, step.retries)) if asks else step

    return of_each_step(plan, changed)


def little_memory(plan: Plan, chance: Random) -> Plan:
    nodes = tuple(replace(node, memory=1024, agent_slots=4) for node in plan.nodes)
    if chance.random() < 0.5:
        agents = Step("s0", acts=(Agent(seconds(chance, 0.3, 1)),), width=4)
        plan = with_fan_out(plan, any_start(plan, chance)[0], agents)
    return of_each_agent(
        replace(plan, nodes=nodes),
        lambda agent: replace(agent, memory=chance.choice([256, 512, 768, 1024])),
    )


def writes(plan: Plan, chance: Random) -> Plan:
    number, start = any_start(plan, chance)
    if start.commands:
        return plan
    return with_start(plan, number, commands=(Command(seconds(chance, 0.05, 3), "write"),))


def limit_of_all(plan: Plan, chance: Random) -> Plan:
    return replace(plan, queues={**plan.queues, "*": chance.randint(1, 3)})


def older_code(plan: Plan, chance: Random) -> Plan:
    """One of several workers does not have a step."""
    workers = [node.name for node in plan.nodes if "worker" in node.roles]
    if len(workers) < 2:
        return plan
    name = chance.choice(workers)
    step = chance.choice(any_start(plan, chance)[1].graph.steps).id
    nodes = tuple(replace(one, lacks=step) if one.name == name else one for one in plan.nodes)
    return replace(plan, nodes=nodes)


def rush(plan: Plan, chance: Random) -> Plan:
    """Workflows with many tasks wait for few slots; one of them may come first."""
    starts = plan.starts if len(plan.starts) > 1 else plan.starts * 2
    priorities = [0, chance.choice([0, 5]), 0]
    slots = chance.choice([1, 2, 3])
    plan = replace(
        plan,
        starts=tuple(
            replace(start, at_s=0.0, commands=(), graph=replace(start.graph, priority=priority))
            for start, priority in zip(starts, priorities, strict=False)
        ),
        nodes=tuple(replace(node, slots=slots) for node in plan.nodes),
        partitions=1,
    )
    for number in range(len(plan.starts)):
        plan = with_fan_out(plan, number, Step("s0", acts=(work(chance),), width=5))
    return plan


def work(chance: Random) -> Work:
    return Work(seconds(chance, 0.05, 0.3))


def portions(plan: Plan, chance: Random) -> Plan:
    """Fan-outs are queued a few tasks at a time."""
    number, start = any_start(plan, chance)
    for at, step in enumerate(start.graph.steps):
        if step.width is not None:
            plan = with_step(plan, number, at, replace(step, width=step.width + 4))
    return replace(plan, portion=2)


def other_changes(plan: Plan, chance: Random) -> Plan:
    """The state gets more than counts."""
    hows: list[Any] = ["append", "set", "set", "delete"]

    def changed(act: Act) -> Act:
        if not isinstance(act, Count) or chance.random() < 0.2:
            return act
        how = chance.choice(hows)
        return Count(chance.choice(["one", "other"]) if how != "append" else "list", how)

    return of_each_step(
        plan,
        lambda step: step if step.plain else replace(step, acts=tuple(map(changed, step.acts))),
    )


def pause_of_agents(plan: Plan, chance: Random) -> Plan:
    """A pause begins about when agents are asked for."""
    number, start = any_start(plan, chance)
    acts = (Work(seconds(chance, 0.1, 0.4)), Agent(seconds(chance, 0.2, 0.8)))
    plan = with_fan_out(plan, number, Step("s0", acts=acts, width=chance.choice([1, 3])))
    at_s = round(start.at_s + seconds(chance, 0.1, 0.7), 2)
    verb = chance.choice(["pause", "freeze"])
    pause = Command(at_s, verb)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    resume = Command(round(at_s + seconds(chance, 0.5, 1.2), 2), "resume")
    return with_start(plan, number, commands=(pause, resume))
