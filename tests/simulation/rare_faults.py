"""Rare faults, and when they come."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from msgspec.structs import replace

from .changes import any_start, seconds, with_fan_out, with_start
from .graphs import Act, Agent, Count, Fail, Nap, Once, Step, Work
from .plan import QUICK, CallFault, CallKind, Command, Plan, Role, TimedFault

#: Scripts after whose calls it matters most that a node stands still, or that it heard nothing.
FROZEN_AT = ["turn", "turn", "claim_jobs", "claim_jobs", "settle_job", "commit", "request_job"]
LOST_AT = ["turn", "state", "record_effect", "request_job", "claim_jobs", "settle_job"]
#: Scripts whose calls must not count when they come too late.
LATE_AT = ["commit", "turn", "settle_job", "record_effect", "state", "request_job", "acknowledge"]

#: What may happen to a call that is made.
UNHEARD: list[CallKind] = ["lose_reply", "lose_reply", "double", "crash_after", "crash_after"]
#: Scripts by which bodies write, and what of theirs does; and those of launchers.
WRITES: list[tuple[str, Act]] = [
    ("state", Count()),
    ("record_effect", Once()),
    ("request_job", Agent(0.3)),
]
LAUNCHES: list[tuple[str, Act]] = [("claim_jobs", Agent(0.2)), ("settle_job", Agent(0.2))]

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
    "project": "scheduler",
    "claim_jobs": "launcher",
    "settle_job": "launcher",
    "fire": "clock",
    "sweep": "janitor",
}


def scripts_of(plan: Plan, scripts: Iterable[str]) -> list[str]:
    """Those of the scripts that something in the plan calls."""
    acts = [act for start in plan.starts for step in start.graph.steps for act in step.acts]
    return [
        script
        for script in scripts
        if script not in CALLERS or any(isinstance(act, CALLERS[script]) for act in acts)
    ]


def callers(plan: Plan, script: str) -> list[str]:
    """The nodes that call it."""
    role = ROLES.get(script, "worker")
    return [node.name for node in plan.nodes if role in node.roles]


def call(plan: Plan, chance: Random, kind: CallKind, scripts: list[str], for_s: float) -> Plan:
    script = chance.choice(scripts_of(plan, scripts))
    node = chance.choice(callers(plan, script))
    number = 1 + int(chance.expovariate(1 / 2))
    fault = CallFault(node, number, kind, for_s, script)
    return replace(plan, calls=(*plan.calls, fault))


def standstill(plan: Plan, chance: Random) -> Plan:
    return call(plan, chance, "freeze", FROZEN_AT, seconds(chance, 2.1, 3))


def late_call(plan: Plan, chance: Random) -> Plan:
    """Others have taken over when a call gets there."""
    return call(plan, chance, "delay", LATE_AT, seconds(chance, 2.2, 3.2))


def late_commit(plan: Plan, chance: Random) -> Plan:
    return call(plan, chance, "delay", ["commit"], seconds(chance, 2.2, 3.2))


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


def calm(plan: Plan, chance: Random) -> Plan:
    """Nothing goes wrong but what must not matter."""
    quick = tuple(fault for fault in plan.calls if fault.kind in QUICK)
    nodes = tuple(replace(node, skew_s=0.0) for node in plan.nodes)
    plan = replace(plan, nodes=nodes, calls=quick, timed=())
    for _ in range(chance.randint(0, 2)):
        plan = lost_reply(plan, chance)
    return plan


def stops(plan: Plan, chance: Random) -> Plan:
    """Nothing happens but that nodes are asked to stop, some before their tasks can end."""
    plan = calm(plan, chance)
    number, start = any_start(plan, chance)
    if chance.random() < 0.6:
        work = Work(chance.choice([seconds(chance, 0.6, 1.2), seconds(chance, 3.6, 4.4)]))
        plan = with_fan_out(plan, number, Step("s0", acts=(work,), width=2))
    stops = [
        TimedFault(
            round(start.at_s + seconds(chance, 0.1, 0.6), 2),
            "stop",
            chance.choice(plan.nodes).name,
            0.2,
        )
        for _ in range(chance.randint(1, 2))
    ]
    return replace(plan, timed=tuple(sorted(stops, key=lambda one: one.at_s)))


def quiet(plan: Plan, chance: Random) -> Plan:
    """Nothing happens for a while, and what is kept beside the logs has to be up to date."""
    work = Work(seconds(chance, 1.8, 2.5))
    return only(plan, chance, Step("s0", acts=(work,), width=chance.choice([1, 2, 4])))


def only(plan: Plan, chance: Random, first: Step) -> Plan:
    """Nothing goes wrong at all, and a workflow begins with this step."""
    plan = replace(calm(plan, chance), calls=())
    return with_fan_out(plan, any_start(plan, chance)[0], first)


def in_vain(plan: Plan, chance: Random) -> Plan:
    """A workflow is cancelled while its tasks run."""
    number, start = any_start(plan, chance)
    plan = replace(calm(plan, chance), calls=())
    work = Work(seconds(chance, 2, 3))
    plan = with_fan_out(plan, number, Step("s0", acts=(work,), width=chance.choice([1, 2])))
    at_s = round(start.at_s + seconds(chance, 0.1, 0.6), 2)
    return with_start(plan, number, commands=(Command(at_s, "cancel"),))


def long_queue(plan: Plan, chance: Random) -> Plan:
    """Tasks that do not wait for long are more than there are slots."""
    plan = replace(plan, nodes=tuple(replace(node, slots=1) for node in plan.nodes))
    tasks = Step("s0", acts=(Work(seconds(chance, 0.6, 1)),), width=4)
    return only(plan, chance, replace(tasks, queue_timeout=seconds(chance, 0.2, 0.5)))


def rollback(plan: Plan, chance: Random) -> Plan:
    """Redis loses its last writes, and little else goes wrong."""
    if any(start.alone for start in plan.starts):
        return plan
    loss = TimedFault(seconds(chance, 0.1, 1.5), "rollback", number=chance.randint(1, 40))
    return replace(plan, calls=(), timed=(loss,))


def short_rollbacks(plan: Plan, chance: Random) -> Plan:
    """Redis loses what it was told last, again and again while many tasks run."""
    if any(start.alone for start in plan.starts):
        return plan
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


def forgotten_end(plan: Plan, chance: Random) -> Plan:
    """Redis loses its last writes before a document of them gets there."""
    if any(start.alone for start in plan.starts):
        return plan
    calls = [
        CallFault(name, chance.randint(1, 4), "forget", 0.1, "project")
        for name in (node.name for node in plan.nodes if "scheduler" in node.roles)
    ]
    return replace(plan, calls=tuple(calls), timed=())


def unheard_write(plan: Plan, chance: Random) -> Plan:
    """Something is written, and whoever did it does not hear so, or dies."""
    script, act = chance.choice([*WRITES, *LAUNCHES])
    number, _ = any_start(plan, chance)
    step = Step("s0", acts=(act, Work(0.2)), width=chance.choice([1, 2]), retries=1)
    plan = with_fan_out(plan, number, step)
    kind = chance.choice(UNHEARD)
    faults = [
        CallFault(node, chance.choice([1, 1, 2]), kind, 0.3, script)
        for node in callers(plan, script)
    ]
    return replace(plan, calls=(*plan.calls, *faults))


def forgotten_agents(plan: Plan, chance: Random) -> Plan:
    """Redis forgets that agents were asked for; they run on, and nobody asks for them again."""
    if any(start.alone for start in plan.starts):
        return plan
    number, start = any_start(plan, chance)
    agents = Step("s0", acts=(Agent(seconds(chance, 0.5, 1.2)),), width=chance.choice([1, 2, 3]))
    plan = with_fan_out(plan, number, agents)
    at_s = round(start.at_s + seconds(chance, 0.1, 0.5), 2)
    plan = with_start(plan, number, commands=(Command(round(at_s + 0.1, 2), "cancel"),))
    loss = TimedFault(at_s, "rollback", for_s=0.1, number=chance.randint(4, 14))
    return replace(plan, calls=(), timed=(loss,))
