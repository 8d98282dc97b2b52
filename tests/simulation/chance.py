"""Plans by chance: a pure function of the seed."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from msgspec.structs import replace

from .graphs import Act, Agent, Count, Fail, Graph, Hang, Nap, Once, OnFailure, Step, Work
from .plan import (
    ALL_ROLES,
    CLIENTS,
    CallFault,
    CallKind,
    Command,
    Node,
    Plan,
    Role,
    Start,
    TimedFault,
    TimedKind,
)
from .rare_faults import callers, scripts_of
from .rarities import with_rarities


class Size(NamedTuple):
    """How much a run has. A number is as likely as it is often in its list."""

    starts: list[int]
    steps: list[int]
    widths: list[int]
    #: What the times are multiplied with that work takes.
    pace: float
    #: Faults come within so many seconds, and those of calls within about so many calls.
    busy_s: float
    calls: int


#: Most bugs show in a small run, which costs less; some need a crowd.
SMALL = Size([1, 1, 1, 1, 1, 2], [1, 2, 2, 2, 3, 3], [0, 1, 2, 2, 3], 0.5, 2.0, 10)
LARGE = Size([1, 1, 1, 2, 2, 3], [1, 2, 2, 3, 3, 4], [0, 1, 2, 3, 4], 1.0, 4.0, 14)
LARGE_ONES = 0.06

#: What the nodes of a run are, and how often a run is like that.
FLEETS: list[tuple[int, list[tuple[Role, ...]]]] = [
    (5, [ALL_ROLES]),
    (4, [ALL_ROLES, ALL_ROLES]),
    (2, [("scheduler", "clock", "janitor"), ("worker", "launcher"), ("worker", "launcher")]),
    (1, [("scheduler",), ("clock", "janitor"), ("worker",), ("launcher", "janitor")]),
]
CALLS: dict[CallKind, int] = {
    "crash_before": 3,
    "crash_after": 4,
    "lose_call": 2,
    "lose_reply": 6,
    "delay": 3,
    "delay_reply": 2,
    "double": 2,
}
TIMED: dict[TimedKind, int] = {
    "kill": 5,
    "freeze": 6,
    "partition": 4,
    "cut": 2,
    "redis": 2,
    "clock": 1,
    "agent": 2,
    "power": 1,
    "daemon": 1,
    "stop": 2,
}
#: Scripts whose calls matter most.
SCRIPTS = {
    "turn": 6,
    "commit": 6,
    "claim_jobs": 3,
    "settle_job": 4,
    "request_job": 2,
    "record_effect": 1,
    "state": 2,
    "fire": 1,
    "sweep": 1,
    "project": 1,
    "acknowledge": 1,
}


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    chance = Random(f"plan/{seed}")
    size = LARGE if chance.random() < LARGE_ONES else SMALL
    nodes = _nodes(chance)
    loses = chance.random() < 0.06
    timed = [_timed(chance, size, nodes) for _ in range(chance.choice([0, 0, 1, 1, 1, 2]))]
    if loses:
        at_s = round(chance.uniform(0.2, size.busy_s), 3)
        timed.append(TimedFault(at_s, "rollback", number=chance.randint(1, 40)))
    if chance.random() < 0.01:
        timed.append(TimedFault(round(chance.uniform(0.2, size.busy_s), 3), "host", nodes[-1].host))
    plan = Plan(
        seed=seed,
        nodes=nodes,
        starts=tuple(_start(chance, size) for _ in range(chance.choice(size.starts))),
        timed=tuple(sorted(timed, key=lambda one: one.at_s)),
        partitions=chance.choice([1, 1, 1, 1, 2]),
        queues={"narrow": 2} if chance.random() < 0.5 else {},
        snapshot_every=chance.choice([0, 0, 5]),
        stops=chance.random() < 0.2,
    )
    calls = [_call(chance, size, plan) for _ in range(chance.choice([0, 1, 1, 2, 2, 3, 4]))]
    plan = replace(plan, calls=tuple(calls))
    return plan if loses else with_rarities(plan, Random(f"rarities/{seed}"))


def _nodes(chance: Random) -> tuple[Node, ...]:
    weights = [weight for weight, _ in FLEETS]
    ((_, fleet),) = chance.choices(FLEETS, weights)
    share_host = chance.random() < 0.4
    return tuple(
        Node(
            f"n{number}",
            roles,
            "h1" if share_host else f"h{number}",
            skew_s=chance.choice([0, 0, 0, 0, 60, -60, 2, -2]),
            slots=chance.choice([1, 2, 4, 8]),
            agent_slots=chance.choice([1, 2, 4]),
        )
        for number, roles in enumerate(fleet, 1)
    )


def _start(chance: Random, size: Size) -> Start:
    at_s = round(chance.choice([0, 0, chance.uniform(0, 1.5 * size.pace)]), 3)
    commands: tuple[Command, ...] = ()
    lot, first_s = chance.random(), round(at_s + chance.uniform(0.02, 2 * size.pace), 3)
    if lot < 0.2:
        verb = chance.choice(["pause", "pause", "freeze"])
        commands = (
            Command(first_s, verb),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            Command(round(first_s + chance.uniform(0.3, 1.5), 3), "resume"),
        )
    elif lot < 0.32:
        commands = (Command(first_s, "cancel"),)
    elif lot < 0.36:
        commands = (Command(first_s, "pause"), Command(round(first_s + 0.5, 3), "cancel"))
    return Start(graph_of(chance, size), at_s, commands)


def graph_of(chance: Random, size: Size) -> Graph:
    """A graph of a few steps, with more than one root or end now and then."""
    steps: list[Step] = []
    for number in range(chance.choice(size.steps)):
        before = [step.id for step in steps]
        after = chance.sample(before, min(len(before), chance.choice([0, 1, 1, 1, 2])))
        steps.append(_step(chance, size, f"s{number}", tuple(sorted(after)), steps))
    return Graph(
        tuple(steps),
        max_parallel=chance.choice([None, None, None, 1, 2]),
        priority=chance.choice([0, 0, 5]),
    )


def _step(
    chance: Random, size: Size, name: str, after: tuple[str, ...], before: list[Step]
) -> Step:
    lists = [step.id for step in before if step.gives is not None and not step.fans_out]
    over, width = None, None
    lot = chance.random()
    if lists and lot < 0.5:
        over = chance.choice(lists)
        after = tuple(one for one in after if one != over)
    elif lot < 0.4:
        width = chance.choice(size.widths)
    fans = over is not None or width is not None
    plain = chance.random() < 0.15
    acts = tuple(_acts(chance, size.pace, plain=plain))
    hangs = any(isinstance(act, Hang) for act in acts)
    on_failure: OnFailure = "fail_fast"
    if fans:
        on_failure = chance.choice(["fail_fast", "fail_fast", "collect", 1])
    return Step(
        name,
        after,
        acts,
        width=width,
        over=over,
        gives=chance.choice([None, 2, 3]) if not fans else None,
        retries=chance.choice([0, 1, 2, 3]) if any(map(_may_fail, acts)) else 0,
        timeout=1.0 if hangs else None,
        max_workers=chance.choice([None, None, 1, 2]) if fans else None,
        on_failure=on_failure,
        queue=chance.choice([None, None, None, "narrow"]),
        concurrency=chance.choice([None, None, None, ("key", 2)]),
        plain=plain,
    )


def _may_fail(act: Act) -> bool:
    return isinstance(act, Fail | Hang | Agent)


def _acts(chance: Random, pace: float, *, plain: bool) -> list[Act]:
    kinds: list[Act] = [
        Nap(round(chance.uniform(0.05, pace), 2)),
        Count(),
        Once(),
        Fail(chance.choice([1, 1, 2]), chance.choice([1, 2])),
    ]
    if not plain:
        kinds += [
            Work(round(pace * chance.choice([0.01, 0.3, 1, 2]) * chance.uniform(0.5, 1), 3)),
            Work(round(chance.uniform(0.01, 0.5), 3)),
            _agent(chance, pace),
            _agent(chance, pace),
            _agent(chance, pace),
            Hang(),
        ]
    return chance.sample(kinds, chance.choice([0, 1, 1, 2, 2, 3]))


def _agent(chance: Random, pace: float) -> Agent:
    return Agent(
        round(chance.uniform(0.1, 2 * pace), 2),
        fails=chance.choice([0, 0, 0, 1]),
        deaf=chance.random() < 0.2,
        name=chance.choice(["a", "b", "c"]),
    )


def _call(chance: Random, size: Size, plan: Plan) -> CallFault:
    (kind,) = chance.choices(list(CALLS), list(CALLS.values()))
    for_s = chance.uniform(0.05, 3) if "delay" in kind else chance.choice([0.05, 0.3, 2.5])
    number = min(60, 1 + int(chance.expovariate(1 / size.calls)))
    node, script = chance.choice(plan.nodes).name, ""
    if chance.random() < 0.75:
        weights = {script: SCRIPTS[script] for script in scripts_of(plan, SCRIPTS)}
        (script,) = chance.choices(list(weights), list(weights.values()))
        node = chance.choice(callers(plan, script))
        number = 1 + int(chance.expovariate(1 / 2))
    if chance.random() < 0.1 and "crash" not in kind:
        node, number, script = CLIENTS, chance.randint(1, 6), ""
    return CallFault(node, number, kind, round(for_s, 3), script)


def _timed(chance: Random, size: Size, nodes: tuple[Node, ...]) -> TimedFault:
    (kind,) = chance.choices(list(TIMED), list(TIMED.values()))
    at_s = round(chance.uniform(0.02, chance.choice([0.25, 0.5, 1]) * size.busy_s), 3)
    target = chance.choice(nodes)
    number = chance.randint(0, 3)
    match kind:
        case "freeze" | "partition":
            for_s = chance.choice([chance.uniform(0.2, 1.5), chance.uniform(2.2, 3.5)])
        case "clock":
            for_s = chance.choice([60.0, 60.0, 5.0, -5.0, -5.0, -15.0])
        case "redis":
            for_s = chance.choice([0.2, 1, 3])
        case _:
            for_s = chance.choice([0.1, 0.5, 2.5])
    of_host = kind in ("power", "host", "daemon")
    of_none = kind in ("redis", "clock", "agent")
    name = "" if of_none else target.host if of_host else target.name
    return TimedFault(at_s, kind, name, round(for_s, 3), number)
