"""What only some runs have, by a chance of its own: whatever else a seed stands for stays."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec.structs import replace

from .graphs import Act, Agent, Count, Die, Fail, Nap, Once, Step, Work
from .plan import QUICK, CallFault, CallKind, Command, Plan, Role, Start, TimedFault, TimedKind

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

Change = Callable[[Plan, Random], Plan]


def with_rarities(plan: Plan, chance: Random) -> Plan:
    for often, change in RARITIES:
        if chance.random() < often:
            plan = change(plan, chance)
    return plan


def _seconds(chance: Random, least: float, most: float) -> float:
    return round(chance.uniform(least, most), 2)


def _with_start(plan: Plan, number: int, **facts: Any) -> Plan:
    starts = list(plan.starts)
    starts[number] = replace(starts[number], **facts)
    return replace(plan, starts=tuple(starts))


def _any_start(plan: Plan, chance: Random) -> tuple[int, Start]:
    number = chance.randrange(len(plan.starts))
    return number, plan.starts[number]


def _with_step(plan: Plan, number: int, at: int, step: Step) -> Plan:
    graph = plan.starts[number].graph
    steps = (*graph.steps[:at], step, *graph.steps[at + 1 :])
    return _with_start(plan, number, graph=replace(graph, steps=steps))


def _with_fan_out(plan: Plan, number: int, first: Step) -> Plan:
    """Let another step be the first one, and none fan out over what that gave."""
    for at, step in enumerate(plan.starts[number].graph.steps):
        if step.over == first.id:
            after = tuple(sorted({*step.after, first.id}))
            plan = _with_step(plan, number, at, replace(step, over=None, after=after))
    return _with_step(plan, number, 0, first)


def _of_each_step(plan: Plan, change: Callable[[Step], Step]) -> Plan:
    for number, start in enumerate(plan.starts):
        for at, step in enumerate(start.graph.steps):
            plan = _with_step(plan, number, at, change(step))
    return plan


def _of_each_agent(plan: Plan, change: Callable[[Agent], Agent]) -> Plan:
    def changed(act: Act) -> Act:
        return change(act) if isinstance(act, Agent) else act

    return _of_each_step(plan, lambda step: replace(step, acts=tuple(map(changed, step.acts))))


def _slow_retries(plan: Plan, chance: Random) -> Plan:
    """A pause may fall between a failure and the next attempt."""
    plan = _of_each_step(plan, lambda step: replace(step, backoff=1.5) if step.retries else step)
    number, start = _any_start(plan, chance)
    if start.commands or chance.random() < 0.4:
        return plan
    at_s = _seconds(chance, 0.1, 2.5)
    verb = chance.choice(["pause", "freeze"])
    pause = Command(at_s, verb)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    resume = Command(round(at_s + _seconds(chance, 0.2, 3), 2), "resume")
    return _with_start(plan, number, commands=(pause, resume))


def _impatience(plan: Plan, chance: Random) -> Plan:
    """Tasks of a step do not wait for long."""
    number, start = _any_start(plan, chance)
    at = chance.randrange(len(start.graph.steps))
    step = replace(start.graph.steps[at], queue_timeout=_seconds(chance, 0.2, 1.2))
    return _with_step(plan, number, at, step)


def _time_limit(plan: Plan, chance: Random) -> Plan:
    number, start = _any_start(plan, chance)
    return _with_start(plan, number, graph=replace(start.graph, timeout=_seconds(chance, 0.3, 4)))


def _deadly_step(plan: Plan, chance: Random) -> Plan:
    number, start = _any_start(plan, chance)
    at = chance.randrange(len(start.graph.steps))
    step = start.graph.steps[at]
    if step.plain:
        return plan
    acts = list(step.acts)
    acts.insert(chance.randint(0, len(acts)), Die(chance.choice([1, 2, 9, 9])))
    return _with_step(plan, number, at, replace(step, acts=tuple(acts), retries=0))


def _stopped_agents(plan: Plan, chance: Random) -> Plan:
    return _of_each_agent(
        plan,
        lambda agent: (
            replace(agent, stops_after=_seconds(chance, 0.05, 2), fails=0)
            if chance.random() < 0.6
            else agent
        ),
    )


def _slow_agents(plan: Plan, chance: Random) -> Plan:
    """Tasks end before their agents, which go on for a while when they are asked to stop."""
    plan = _of_each_agent(plan, lambda agent: replace(agent, deaf=True, fails=0))
    timeout = _seconds(chance, 0.5, 1.5)

    def changed(step: Step) -> Step:
        asks = any(isinstance(act, Agent) for act in step.acts)
        return replace(step, timeout=timeout, retries=max(1, step.retries)) if asks else step

    return _of_each_step(plan, changed)


def _little_memory(plan: Plan, chance: Random) -> Plan:
    nodes = tuple(replace(node, memory=1024, agent_slots=4) for node in plan.nodes)
    if chance.random() < 0.5:
        agents = Step("s0", acts=(Agent(_seconds(chance, 0.3, 1)),), width=4)
        plan = _with_fan_out(plan, _any_start(plan, chance)[0], agents)
    return _of_each_agent(
        replace(plan, nodes=nodes),
        lambda agent: replace(agent, memory=chance.choice([256, 512, 768, 1024])),
    )


def _writes(plan: Plan, chance: Random) -> Plan:
    number, start = _any_start(plan, chance)
    if start.commands:
        return plan
    return _with_start(plan, number, commands=(Command(_seconds(chance, 0.05, 3), "write"),))


def _limit_of_all(plan: Plan, chance: Random) -> Plan:
    return replace(plan, queues={**plan.queues, "*": chance.randint(1, 3)})


def _older_code(plan: Plan, chance: Random) -> Plan:
    """One of several workers does not have a step."""
    workers = [node.name for node in plan.nodes if "worker" in node.roles]
    if len(workers) < 2:
        return plan
    name, step = chance.choice(workers), f"s{chance.randint(0, 2)}"
    nodes = tuple(replace(one, lacks=step) if one.name == name else one for one in plan.nodes)
    return replace(plan, nodes=nodes)


def _called(plan: Plan, script: str) -> bool:
    """Whether something in the plan calls this script."""
    acts = [act for start in plan.starts for step in start.graph.steps for act in step.acts]
    return script not in CALLERS or any(isinstance(act, CALLERS[script]) for act in acts)


def _call(plan: Plan, chance: Random, kind: CallKind, scripts: list[str], for_s: float) -> Plan:
    script = chance.choice([script for script in scripts if _called(plan, script)])
    role = ROLES.get(script, "worker")
    node = chance.choice([node.name for node in plan.nodes if role in node.roles])
    number = 1 + int(chance.expovariate(1 / 2))
    fault = CallFault(node, number, kind, for_s, script)
    return replace(plan, calls=(*plan.calls, fault))


def _standstill(plan: Plan, chance: Random) -> Plan:
    return _call(plan, chance, "freeze", FROZEN_AT, _seconds(chance, 2.1, 6))


def _late_call(plan: Plan, chance: Random) -> Plan:
    """Others have taken over when a call gets there."""
    return _call(plan, chance, "delay", LATE_AT, _seconds(chance, 2.3, 6))


def _late_commit(plan: Plan, chance: Random) -> Plan:
    return _call(plan, chance, "delay", ["commit"], _seconds(chance, 2.5, 6))


def _crossing(plan: Plan, chance: Random) -> Plan:
    """A command comes while a decision is on its way."""
    number, start = _any_start(plan, chance)
    at_s = round(start.at_s + _seconds(chance, 0.05, 2), 3)
    commands = [
        (Command(at_s, "pause"), Command(round(at_s + 1.5, 3), "resume")),
        (Command(at_s, "cancel"),),
        (Command(at_s, "write"),),
    ]
    plan = _with_start(plan, number, commands=chance.choice(commands))
    for _ in range(2):
        plan = _call(plan, chance, "delay", ["commit"], _seconds(chance, 0.3, 1.5))
    return plan


def _lost_reply(plan: Plan, chance: Random) -> Plan:
    return _call(plan, chance, "lose_reply", LOST_AT, 0.2)


def _alone(plan: Plan, chance: Random) -> Plan:
    """A workflow runs in a process of its own, which often dies or stands still."""
    number, _ = _any_start(plan, chance)
    plan = _with_start(plan, number, alone=True)
    kinds: list[TimedKind | None] = ["kill", "kill", "freeze", "partition", "stop", None]
    kind = chance.choice(kinds)
    if kind is None:
        return plan
    at_s = round(plan.starts[number].at_s + chance.uniform(0.05, 2.5), 3)
    fault = TimedFault(at_s, kind, f"r{number}", _seconds(chance, 2.1, 5))
    timed = sorted([*plan.timed, fault], key=lambda one: one.at_s)
    return replace(plan, timed=tuple(timed))


def _calm(plan: Plan, chance: Random) -> Plan:
    """Nothing goes wrong but what must not matter."""
    quick = tuple(fault for fault in plan.calls if fault.kind in QUICK)
    nodes = tuple(replace(node, skew_s=0.0) for node in plan.nodes)
    plan = replace(plan, nodes=nodes, calls=quick, timed=())
    for _ in range(chance.randint(0, 2)):
        plan = _lost_reply(plan, chance)
    return plan


def _rush(plan: Plan, chance: Random) -> Plan:
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
        plan = _with_fan_out(plan, number, Step("s0", acts=(_work(chance),), width=5))
    return plan


def _work(chance: Random) -> Work:
    return Work(_seconds(chance, 0.05, 0.3))


def _crossed_failure(plan: Plan, chance: Random) -> Plan:
    """A command comes while the engine decides on tasks that failed."""
    number, start = _any_start(plan, chance)
    step = Step(
        "s0",
        acts=(Work(_seconds(chance, 0.05, 0.2)), Fail(chance.choice([1, 9]))),
        width=3,
        retries=chance.choice([0, 1]),
    )
    plan = _with_fan_out(plan, number, step)
    at_s = round(start.at_s + _seconds(chance, 0.3, 1.2), 3)
    commands = [
        (Command(at_s, "cancel"),),
        (Command(at_s, "pause"), Command(round(at_s + 1.5, 3), "resume")),
    ]
    plan = _with_start(plan, number, commands=chance.choice(commands))
    schedulers = [node.name for node in plan.nodes if "scheduler" in node.roles]
    calls = [
        CallFault(name, call, "delay", _seconds(chance, 0.5, 1), "commit")
        for name in schedulers
        for call in (2, 3, 4)
    ]
    return replace(plan, calls=(*plan.calls, *calls))


def _portions(plan: Plan, chance: Random) -> Plan:
    """Fan-outs are queued a few tasks at a time."""
    number, start = _any_start(plan, chance)
    for at, step in enumerate(start.graph.steps):
        if step.width is not None:
            plan = _with_step(plan, number, at, replace(step, width=step.width + 4))
    return replace(plan, portion=2)


def _other_changes(plan: Plan, chance: Random) -> Plan:
    """The state gets more than counts."""
    hows: list[Any] = ["append", "set", "set", "delete"]

    def changed(act: Act) -> Act:
        if not isinstance(act, Count) or chance.random() < 0.2:
            return act
        how = chance.choice(hows)
        return Count(chance.choice(["one", "other"]) if how != "append" else "list", how)

    return _of_each_step(
        plan,
        lambda step: step if step.plain else replace(step, acts=tuple(map(changed, step.acts))),
    )


def _frozen_handover(plan: Plan, chance: Random) -> Plan:
    """The launcher of agents that stand still in a pause dies, and another adopts them."""
    number, start = _any_start(plan, chance)
    agent = Agent(_seconds(chance, 1, 2.5))
    plan = _with_fan_out(plan, number, Step("s0", acts=(agent,), width=2))
    at_s = round(start.at_s + _seconds(chance, 0.3, 1), 3)
    commands = (Command(at_s, "freeze"), Command(round(at_s + 5, 3), "resume"))
    plan = _with_start(plan, number, commands=commands)
    deaths = [
        TimedFault(round(at_s + _seconds(chance, 0.2, 1), 3), "kill", node.name, 0.2)
        for node in plan.nodes
        if "launcher" in node.roles
    ]
    return replace(plan, timed=tuple(sorted([*plan.timed, *deaths], key=lambda one: one.at_s)))


def _stops(plan: Plan, chance: Random) -> Plan:
    """Nothing happens but that nodes are asked to stop."""
    plan = _calm(plan, chance)
    stops = [
        TimedFault(_seconds(chance, 0.1, 3), "stop", chance.choice(plan.nodes).name, 0.2)
        for _ in range(chance.randint(1, 2))
    ]
    return replace(plan, timed=tuple(sorted(stops, key=lambda one: one.at_s)))


def _rollback(plan: Plan, chance: Random) -> Plan:
    """Redis loses its last writes, and little else goes wrong."""
    if any(start.alone for start in plan.starts):
        return plan
    loss = TimedFault(_seconds(chance, 0.2, 3), "rollback", number=chance.randint(1, 40))
    return replace(plan, calls=(), timed=(loss,))


#: How often a run has each.
RARITIES: list[tuple[float, Change]] = [
    (0.25, _slow_retries),
    (0.1, _impatience),
    (0.06, _time_limit),
    (0.05, _deadly_step),
    (0.08, _stopped_agents),
    (0.06, _slow_agents),
    (0.08, _little_memory),
    (0.1, _writes),
    (0.08, _limit_of_all),
    (0.1, _older_code),
    (0.25, _standstill),
    (0.12, _late_call),
    (0.08, _late_commit),
    (0.08, _crossing),
    (0.08, _lost_reply),
    (0.15, _calm),
    (0.07, _alone),
    (0.05, _rush),
    (0.05, _crossed_failure),
    (0.06, _portions),
    (0.08, _other_changes),
    (0.03, _frozen_handover),
    (0.12, _calm),
    (0.04, _stops),
    (0.06, _rollback),
]
