"""Rare faults, and when they come."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec.structs import replace

from .changes import any_start, of_each_step, seconds, with_fan_out, with_start
from .graphs import Agent, Count, Fail, Nap, Once, Step, Work
from .plan import QUICK, CallFault, CallKind, Command, Plan, Role, TimedFault, TimedKind

#: Scripts after whose calls it matters most that a node stands still, or that it heard nothing.
FROZEN_AT = ["turn", "turn", "claim_jobs", "claim_jobs", "settle_job", "commit", "request_job"]
LOST_AT = ["turn", "state", "record_effect", "request_job", "claim_jobs", "settle_job"]
#: Scripts whose calls must not count when they come too late.
LATE_AT = ["commit", "turn", "settle_job", "record_effect", "state", "request_job", "acknowledge"]

#: What it takes to call them.
CALLERS: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "state": Count,
    "record_effect": (Once, Nap),
    "request_job": Agent,
    "claim_jobs": Agent,
    "settle_job": Agent,
}
#: Who calls them, where it is not a worker.
ROLES: dict[str, Role] = {
    "commit": "scheduler",
    "acknowledge": "scheduler",
    "claim_jobs": "launcher",
    "settle_job": "launcher",
}


def called(plan: Plan, script: str) -> bool:
    """Whether something in the plan calls this script."""
    acts = [act for start in plan.starts for step in start.graph.steps for act in step.acts]
    return script not in CALLERS or any(isinstance(act, CALLERS[script]) for act in acts)


def call(plan: Plan, chance: Random, kind: CallKind, scripts: list[str], for_s: float) -> Plan:
    script = chance.choice([script for script in scripts if called(plan, script)])
    role = ROLES.get(script, "worker")
    node = chance.choice([node.name for node in plan.nodes if role in node.roles])
    number = 1 + int(chance.expovariate(1 / 2))
    fault = CallFault(node, number, kind, for_s, script)
    return replace(plan, calls=(*plan.calls, fault))


def standstill(plan: Plan, chance: Random) -> Plan:
    return call(plan, chance, "freeze", FROZEN_AT, seconds(chance, 2.1, 6))


def late_call(plan: Plan, chance: Random) -> Plan:
    """Others have taken over when a call gets there."""
    return call(plan, chance, "delay", LATE_AT, seconds(chance, 2.3, 6))


def late_commit(plan: Plan, chance: Random) -> Plan:
    return call(plan, chance, "delay", ["commit"], seconds(chance, 2.5, 6))


def crossing(plan: Plan, chance: Random) -> Plan:
    """A command comes while a decision is on its way."""
    number, start = any_start(plan, chance)
    at_s = round(start.at_s + seconds(chance, 0.05, 2), 3)
    commands = [
        (Command(at_s, "pause"), Command(round(at_s + 1.5, 3), "resume")),
        (Command(at_s, "cancel"),),
        (Command(at_s, "write"),),
    ]
    plan = with_start(plan, number, commands=chance.choice(commands))
    for _ in range(2):
        plan = call(plan, chance, "delay", ["commit"], seconds(chance, 0.3, 1.5))
    return plan


def crossed_failure(plan: Plan, chance: Random) -> Plan:
    """A command comes while the engine decides on tasks that failed."""
    number, start = any_start(plan, chance)
    step = Step(
        "s0",
        acts=(Work(seconds(chance, 0.05, 0.2)), Fail(chance.choice([1, 9]))),
        width=3,
        retries=chance.choice([0, 1]),
    )
    plan = with_fan_out(plan, number, step)
    at_s = round(start.at_s + seconds(chance, 0.3, 1.2), 3)
    commands = [
        (Command(at_s, "cancel"),),
        (Command(at_s, "pause"), Command(round(at_s + 1.5, 3), "resume")),
    ]
    plan = with_start(plan, number, commands=chance.choice(commands))
    schedulers = [node.name for node in plan.nodes if "scheduler" in node.roles]
    calls = [
        CallFault(name, call, "delay", seconds(chance, 0.5, 1), "commit")
        for name in schedulers
        for call in (2, 3, 4)
    ]
    return replace(plan, calls=(*plan.calls, *calls))


def lost_reply(plan: Plan, chance: Random) -> Plan:
    return call(plan, chance, "lose_reply", LOST_AT, 0.2)


def alone(plan: Plan, chance: Random) -> Plan:
    """A workflow runs in a process of its own, which often dies or stands still."""
    number, _ = any_start(plan, chance)
    plan = with_start(plan, number, alone=True)
    kinds: list[TimedKind | None] = ["kill", "kill", "freeze", "partition", "stop", None]
    kind = chance.choice(kinds)
    if kind is None:
        return plan
    at_s = round(plan.starts[number].at_s + chance.uniform(0.05, 2.5), 3)
    fault = TimedFault(at_s, kind, f"r{number}", seconds(chance, 2.1, 5))
    timed = sorted([*plan.timed, fault], key=lambda one: one.at_s)
    return replace(plan, timed=tuple(timed))


def calm(plan: Plan, chance: Random) -> Plan:
    """Nothing goes wrong but what must not matter."""
    quick = tuple(fault for fault in plan.calls if fault.kind in QUICK)
    nodes = tuple(replace(node, skew_s=0.0) for node in plan.nodes)
    plan = replace(plan, nodes=nodes, calls=quick, timed=())
    for _ in range(chance.randint(0, 2)):
        plan = lost_reply(plan, chance)
    return plan


def frozen_handover(plan: Plan, chance: Random) -> Plan:
    """The launcher of agents that stand still in a pause dies, and another adopts them."""
    number, start = any_start(plan, chance)
    agent = Agent(seconds(chance, 1, 2.5))
    plan = with_fan_out(plan, number, Step("s0", acts=(agent,), width=2))
    at_s = round(start.at_s + seconds(chance, 0.3, 1), 3)
    for_s = chance.choice([1.5, 5])  # it is over before or after somebody adopts them
    commands = (Command(at_s, "freeze"), Command(round(at_s + for_s, 3), "resume"))
    plan = with_start(plan, number, commands=commands)
    deaths = [
        TimedFault(round(at_s + seconds(chance, 0.2, 1), 3), "kill", node.name, 0.2)
        for node in plan.nodes
        if "launcher" in node.roles
    ]
    return replace(plan, timed=tuple(sorted([*plan.timed, *deaths], key=lambda one: one.at_s)))


def stops(plan: Plan, chance: Random) -> Plan:
    """Nothing happens but that nodes are asked to stop, some before their tasks can end."""
    plan = calm(plan, chance)
    if chance.random() < 0.6:
        number, _ = any_start(plan, chance)
        long = Step("s0", acts=(Work(seconds(chance, 3.2, 5)),), width=2)
        plan = with_fan_out(plan, number, long)
    stops = [
        TimedFault(seconds(chance, 0.1, 3), "stop", chance.choice(plan.nodes).name, 0.2)
        for _ in range(chance.randint(1, 2))
    ]
    return replace(plan, timed=tuple(sorted(stops, key=lambda one: one.at_s)))


def rollback(plan: Plan, chance: Random) -> Plan:
    """Redis loses its last writes, and little else goes wrong."""
    if any(start.alone for start in plan.starts):
        return plan
    loss = TimedFault(seconds(chance, 0.2, 3), "rollback", number=chance.randint(1, 40))
    return replace(plan, calls=(), timed=(loss,))


def short_rollbacks(plan: Plan, chance: Random) -> Plan:
    """Redis loses what it was told last, again and again while many tasks run, and no agents."""
    if any(start.alone for start in plan.starts):
        return plan
    plan = of_each_step(plan, without_agents)
    number, start = any_start(plan, chance)
    busy = Step("s0", acts=(Work(seconds(chance, 0.05, 0.3)),), width=4, max_workers=2)
    plan = with_fan_out(plan, number, busy)
    at_s = start.at_s
    losses: list[TimedFault] = []
    for _ in range(chance.randint(2, 4)):
        at_s = round(at_s + seconds(chance, 0.1, 0.6), 2)
        losses.append(TimedFault(at_s, "rollback", for_s=0.1, number=chance.randint(1, 8)))
    every = chance.choice([0, 3, 5])
    return replace(plan, calls=(), timed=tuple(losses), snapshot_every=every)


def without_agents(step: Step) -> Step:
    acts = (Work(act.s) if isinstance(act, Agent) else act for act in step.acts)
    return replace(step, acts=tuple(acts))


def forgotten_end(plan: Plan, chance: Random) -> Plan:
    """Redis loses its last writes before a document of them gets there."""
    if any(start.alone for start in plan.starts):
        return plan
    plan = of_each_step(plan, without_agents)
    calls = [
        CallFault(name, chance.randint(1, 4), "forget", 0.1, "project")
        for name in (node.name for node in plan.nodes if "scheduler" in node.roles)
    ]
    return replace(plan, calls=tuple(calls), timed=())
