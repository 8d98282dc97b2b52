"""What a run does and when: a pure function of its seed.

Times are seconds from the start of the run. What a fault finds when its time has come (a process
that is being restarted, an agent that has ended) is not in here; the run goes its way from there.
"""

from __future__ import annotations

from random import Random
from typing import Literal

import msgspec

#: The processes of a run by what they are; names are `worker-1` and so on. `up` has all roles.
PROCESSES = {"worker": 3, "up": 1, "reactors": 2, "launcher": 2}

FaultKind = Literal[
    "kill",  # SIGKILL of a process, which is started again
    "freeze",  # SIGSTOP of a process for longer than its lease
    "partition",  # nothing passes between a process and Redis for longer than its lease
    "cut",  # all connections of a process are cut
    "swallow",  # replies to a process are lost, what was asked is done
    "redis",  # SIGKILL of Redis, which is started again
    "agent",  # SIGKILL of a container, or of a local process
    "dockerd",  # SIGKILL of the Docker daemon, which is started again
]

#: How often each kind of fault comes, in relation to the others.
WEIGHTS: dict[FaultKind, int] = {
    "kill": 34,
    "freeze": 12,
    "partition": 8,
    "cut": 12,
    "swallow": 18,
    "redis": 8,
    "agent": 6,
    "dockerd": 3,
}


def process_names() -> list[str]:
    return [f"{kind}-{n + 1}" for kind, count in PROCESSES.items() for n in range(count)]


Verb = Literal["pause", "resume", "cancel"]


class Fault(msgspec.Struct, frozen=True):
    at_s: float
    kind: FaultKind
    #: A process; empty when the kind says it all.
    target: str = ""
    #: How long it lasts, or how long what died stays away, seconds.
    for_s: float = 0.0
    #: Replies to swallow, or which of the agents there are.
    number: int = 0


class Start(msgspec.Struct, frozen=True):
    """A workflow to start; `size` is how many items or agents it has."""

    at_s: float
    number: int
    flow: str
    size: int


class Command(msgspec.Struct, frozen=True):
    at_s: float
    verb: Verb
    #: Of the workflow.
    number: int


class Schedule(msgspec.Struct, frozen=True):
    faults: list[Fault]
    starts: list[Start]
    commands: list[Command]


class Wanted(msgspec.Struct, frozen=True):
    """What the schedule is made of, beside the seed."""

    seconds: float
    lease: float
    #: Mean time between two faults, seconds.
    pause: float = 0.5
    #: Workflows started per second.
    rate: float = 3.0
    docker: bool = False
    partitions: int = 2
    #: Measure how many tasks come through: as long in peace first, with another workload.
    throughput: bool = False
    #: Judge no times, and not what the run has met.
    only_safety: bool = False


#: The flows of `flows.py`, with how often each is started and the most items it has.
FLOWS: dict[str, tuple[int, int]] = {
    "Fan": (30, 24),
    "Flaky": (15, 12),
    "Chain": (20, 1),
    "Agents": (15, 3),
    "Narrow": (10, 8),
    "Slow": (6, 2),
    "Doomed": (4, 3),
}


def make_schedule(seed: int, wanted: Wanted) -> Schedule:
    """The faults, workflows and commands of a run; each kind has a source of chance of its own."""
    starts = _starts(_chance(seed, "starts"), wanted)
    commands = _commands(_chance(seed, "commands"), starts)
    return Schedule(_faults(_chance(seed, "faults"), wanted), starts, commands)


def _chance(seed: int, what: str) -> Random:
    return Random(f"{seed}/{what}")


def _faults(chance: Random, wanted: Wanted) -> list[Fault]:
    kinds: list[FaultKind] = [kind for kind in WEIGHTS if wanted.docker or kind != "dockerd"]
    names = process_names()
    frozen = [*names, *_engines(), *_engines()] if not wanted.throughput else names
    faults: list[Fault] = []
    at_s = 1.0
    while round(at_s := at_s + _between(chance, wanted.pause), 3) < wanted.seconds:
        (kind,) = chance.choices(kinds, [WEIGHTS[kind] for kind in kinds])
        target = chance.choice(frozen if kind == "freeze" else names)
        lasting = kind in ("freeze", "partition")
        for_s = chance.uniform(1.1, 1.6) * wanted.lease if lasting else chance.uniform(0.05, 0.6)
        if kind in ("redis", "agent", "dockerd"):
            target = ""
        faults.append(Fault(round(at_s, 3), kind, target, round(for_s, 3), chance.randint(1, 3)))
    return faults


def _engines() -> list[str]:
    """Those that schedule, and are to be frozen more often than others.

    One that loses a lane seldom has a commit on its way.
    """
    return [name for name in process_names() if name.startswith(("up-", "reactors-"))]


def _between(chance: Random, mean_s: float) -> float:
    return min(3 * mean_s, max(0.1 * mean_s, chance.expovariate(1 / mean_s)))


def _starts(chance: Random, wanted: Wanted) -> list[Start]:
    count = int(wanted.seconds * wanted.rate)
    times = sorted(chance.uniform(0, wanted.seconds * 0.95) for _ in range(count))
    weights = [weight for weight, _ in FLOWS.values()]
    flows = chance.choices(list(FLOWS), weights, k=count)
    return [
        Start(round(at_s, 3), number, flow, chance.randint(1, FLOWS[flow][1]))
        for number, (at_s, flow) in enumerate(zip(times, flows, strict=True))
    ]


def _commands(chance: Random, starts: list[Start]) -> list[Command]:
    commands: list[Command] = []
    for start in starts:
        at_s = start.at_s + chance.uniform(0.05, 2)
        lot = chance.random()
        if lot < 0.15:
            commands += [
                Command(round(at_s, 3), "pause", start.number),
                Command(round(at_s + chance.uniform(0.3, 3), 3), "resume", start.number),
            ]
        elif lot < 0.22:
            commands.append(Command(round(at_s, 3), "cancel", start.number))
    return sorted(commands, key=lambda one: one.at_s)
