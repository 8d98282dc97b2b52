"""Rare faults that only some bugs mind: what came late, where others have gone on meanwhile."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from .changes import any_start, seconds, with_fan_out, with_start
from .graphs import Agent, Step, Work
from .plan import CallFault, CallKind, Command, Node, Plan, TimedFault, Verb


def lane_back(plan: Plan, chance: Random) -> Plan:
    """A decision comes late, and whoever took the lane over dies before it has decided."""
    work = Step("s0", acts=(Work(seconds(chance, 0.05, 0.3)),), width=3)
    plan, _ = _with_first(plan, chance, work)
    late = CallFault("n1", chance.randint(1, 3), "delay", seconds(chance, 2.5, 4), "commit")
    death = CallFault("n2", 1, "crash_before", 8.0, "commit")
    return replace(plan, nodes=(Node("n1"), Node("n2")), calls=(late, death), timed=())


def both_follow(plan: Plan, chance: Random) -> Plan:
    """Two launchers of a host have the same agents: one stood still, or what it said came late."""
    plan, _ = _with_first(plan, chance, _agents(chance, 4, 6))
    kinds: list[CallKind] = ["delay", "freeze"]
    kind = chance.choice(kinds)
    late = CallFault("n1", chance.randint(1, 3), kind, seconds(chance, 2.5, 3.9), "settle_job")
    return replace(plan, nodes=(Node("n1"), Node("n2")), calls=(late,), timed=())


def unwanted(plan: Plan, chance: Random) -> Plan:
    """Agents that wait for the daemon are to stop before they begin."""
    plan, at_s = _with_first(plan, chance, _agents(chance, 1, 2), "cancel")
    away = TimedFault(max(0.0, round(at_s - 0.1, 2)), "daemon", "h1", seconds(chance, 1.5, 2.5))
    return replace(plan, nodes=(Node("n1"), Node("n2")), calls=(), timed=(away,))


def _agents(chance: Random, least_s: float, most_s: float) -> Step:
    return Step("s0", acts=(Agent(seconds(chance, least_s, most_s)),), width=3)


def _with_first(plan: Plan, chance: Random, first: Step, *verbs: Verb) -> tuple[Plan, float]:
    """A workflow begins with this step, and nobody asks for anything else; when it begins."""
    number, start = any_start(plan, chance)
    commands = tuple(
        Command(round(start.at_s + seconds(chance, 0.2, 1), 2), verb) for verb in verbs
    )
    plan = with_fan_out(plan, number, first)
    return with_start(plan, number, commands=commands, alone=False), start.at_s
