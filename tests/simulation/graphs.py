"""Workflow graphs as data: what each step takes, does and gives.

A value of a step is a number made of the step's id, its item and what it was handed, so that a
result tells whether every value came from where it should, and in the right order.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec


class Work(msgspec.Struct, frozen=True, tag="work"):
    """Take some time, seconds."""

    s: float


class Nap(msgspec.Struct, frozen=True, tag="nap"):
    """`context.sleep`: durable, and others may have the slot meanwhile."""

    s: float


class Count(msgspec.Struct, frozen=True, tag="count"):
    """Count something in the workflow's state, or change it otherwise."""

    key: str = "done"
    how: Literal["incr", "append", "set", "delete"] = "incr"


class Once(msgspec.Struct, frozen=True, tag="once"):
    """`context.run`: a value that is recorded."""

    name: str = "once"


class Agent(msgspec.Struct, frozen=True, tag="agent"):
    """Launch an agent that works for `s` seconds and fails in its first `fails` attempts."""

    s: float
    fails: int = 0
    name: str = "agent"
    #: It does not listen to SIGTERM.
    deaf: bool = False
    #: The step stops it after so many seconds.
    stops_after: float | None = None
    #: What it asks for, MB; 0: it leaves that open.
    memory: int = 0


class Fail(msgspec.Struct, frozen=True, tag="fail"):
    """Raise in the first attempts of every `each`th item."""

    times: int
    each: int = 1


class Hang(msgspec.Struct, frozen=True, tag="hang"):
    """Run into the step's timeout in the first attempts."""

    times: int = 1


class Die(msgspec.Struct, frozen=True, tag="die"):
    """Kill the node that it runs on, the first times that it is run."""

    times: int


Act = Work | Nap | Count | Once | Agent | Fail | Hang | Die
#: A task that was lost with its worker so often fails.
POISON = 3
#: How much longer each retry waits, and which part of that is up to chance.
BACKOFF_FACTOR, BACKOFF_JITTER = 1.5, 0.5

OnFailure = Literal["fail_fast", "collect"] | int


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node of the graph; it is handed the results of the steps in `after`."""

    id: str
    after: tuple[str, ...] = ()
    acts: tuple[Act, ...] = ()
    #: Items of a fan-out; None: a plain step.
    width: int | None = None
    #: Fan out over the list that this step gives, instead of over a number.
    over: str | None = None
    #: Give a list of so many items, for a fan-out.
    gives: int | None = None
    retries: int = 0
    #: Before the first retry, seconds.
    backoff: float = 0.2
    timeout: float | None = None
    #: Fail when no worker takes it in time, seconds.
    queue_timeout: float | None = None
    max_workers: int | None = None
    #: An int is the quorum.
    on_failure: OnFailure = "fail_fast"
    queue: str | None = None
    concurrency: tuple[str, int] | None = None
    #: A plain function, in a thread.
    plain: bool = False

    @property
    def fans_out(self) -> bool:
        return self.width is not None or self.over is not None


class Graph(msgspec.Struct, frozen=True, omit_defaults=True):
    steps: tuple[Step, ...]
    max_parallel: int | None = None
    timeout: float | None = None
    priority: int = 0

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.id == name)

    @property
    def ends(self) -> list[str]:
        needed = {name for step in self.steps for name in (*step.after, step.over)}
        return [step.id for step in self.steps if step.id not in needed]


def number_of(*parts: object) -> int:
    return zlib.crc32(repr(parts).encode())


def value_of(step: Step, index: int, item: object, handed: Mapping[str, Any]) -> Any:
    """What a task of the step gives, if it succeeds."""
    answers = [answer_of(step.id, index, act) for act in step.acts]
    number = number_of(step.id, index, item, sorted(handed.items()), answers)
    return [number + i for i in range(step.gives)] if step.gives is not None else number


def answer_of(step: str, index: int, act: Act) -> int:
    """What an agent of a task answers, and what is recorded of `once`."""
    match act:
        case Agent(name=name) | Once(name=name):
            return number_of(step, index, name)
        case _:
            return 0


def fails(step: Step, index: int, attempt: int) -> bool:
    """Whether this attempt is to fail."""
    for act in step.acts:
        match act:
            case Fail(times=times, each=each) if index % each == 0 and attempt <= times:
                return True
            case Hang(times=times) | Agent(fails=times) if attempt <= times:
                return True
            case Die(times=times) if times >= POISON:
                return True
            case _:
                pass
    return False


def fails_for_good(step: Step, index: int) -> bool:
    return all(fails(step, index, attempt) for attempt in range(1, step.retries + 2))


def failures_allowed(step: Step, width: int) -> int:
    match step.on_failure:
        case "collect":
            return width if step.fans_out else 0
        case int(needed):
            return width - needed
        case _:
            return 0


def width_of(graph: Graph, step: Step) -> int:
    if step.over is not None:
        return graph.step(step.over).gives or 0
    return 1 if step.width is None else step.width


def is_doomed(graph: Graph) -> bool:
    """Whether a run has to fail, whatever befalls it."""

    def fails_step(step: Step) -> bool:
        width = width_of(graph, step)
        failed = sum(fails_for_good(step, index) for index in range(width))
        return failed > failures_allowed(step, width)

    return any(map(fails_step, graph.steps))
