"""Rare faults after which others take over what somebody had."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from .changes import any_start, seconds, with_fan_out, with_start
from .graphs import Agent, Step, Work
from .plan import ALL_ROLES, CallFault, Command, Node, Plan, Role, TimedFault, TimedKind
from .rare_faults import WRITES, callers


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


def late_write(plan: Plan, chance: Random) -> Plan:
    """What bodies ask for gets there when others have their tasks."""
    script, act = chance.choice(WRITES)
    node, *others = chance.sample(callers(plan, script), len(callers(plan, script)))
    if not others:
        return plan
    number, _ = any_start(plan, chance)
    step = Step("s0", acts=(act, Work(seconds(chance, 0.8, 1.5))), width=4, retries=1)
    plan = with_fan_out(plan, number, step)
    nodes = tuple(replace(one, slots=2) for one in plan.nodes)  # each of them has some
    late = CallFault(node, 1, "delay", seconds(chance, 2.2, 3.2), script)
    return replace(plan, nodes=nodes, calls=(*plan.calls, late))


def handover(plan: Plan, chance: Random) -> Plan:
    """Launchers die, or stand still, while agents work."""
    number, start = any_start(plan, chance)
    agent = Agent(seconds(chance, 0.3, 1.2), deaf=chance.random() < 0.3)
    plan = with_fan_out(plan, number, Step("s0", acts=(agent,), width=2, retries=1))
    at_s = round(start.at_s + seconds(chance, 0.1, 0.6), 2)
    kinds: list[TimedKind] = ["kill", "freeze", "partition", "agent"]
    faults = [
        TimedFault(at_s, chance.choice(kinds), node.name, seconds(chance, 2.1, 3))
        for node in plan.nodes
        if "launcher" in node.roles
    ]
    return replace(plan, timed=tuple(sorted([*plan.timed, *faults], key=lambda one: one.at_s)))


def reclaimed(plan: Plan, chance: Random) -> Plan:
    """The only launcher stands still while it claims agents, and gets them again."""
    others: tuple[Role, ...] = ("scheduler", "clock", "janitor", "worker")
    nodes = (Node("n1", others, "h1"), Node("n2", ("worker", "launcher"), "h2"))
    plan = with_fan_out(
        replace(plan, nodes=nodes, calls=(), timed=()),
        any_start(plan, chance)[0],
        Step("s0", acts=(Agent(seconds(chance, 0.5, 1)),), width=chance.choice([2, 3])),
    )
    freezes = [
        CallFault("n2", call, "freeze", seconds(chance, 2.1, 2.6), "claim_jobs")
        for call in (2, 3, 4)
    ]
    return replace(plan, calls=tuple(freezes))


def late_engine(plan: Plan, chance: Random) -> Plan:
    """An engine commits what it decided after another one has its lane."""
    nodes = tuple(replace(node, roles=ALL_ROLES, skew_s=0.0) for node in plan.nodes[:2])
    if len(nodes) < 2:
        return plan
    late = [
        CallFault(node.name, chance.randint(1, 2), "delay", seconds(chance, 2.2, 3), "commit")
        for node in nodes
    ]
    return replace(plan, nodes=nodes, calls=tuple(late), timed=())
