"""The definition of a workflow: a named, hashed, immutable graph of steps, stored with the run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import msgspec

from .errors import DefinitionError
from .ids import digest

#: Names become parts of Redis keys, container names and URLs.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
NAME_RULE = "1 to 100 letters, digits, '_', '-' or '.', beginning with a letter or digit"


class Bind(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the value of one parameter comes from.

    With both `input` and `step` the input wins when the run has one of that name.
    """

    input: str | None = None
    step: str | None = None
    item: bool = False
    #: The parameter has a default, so a missing input leaves it out.
    optional: bool = False


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long to wait before a retry, seconds: initial * factor^(n-1), at most `maximum`.

    `jitter` is the share of it that is spread at random, 0 to 1.
    """

    initial: float = 1.0
    factor: float = 2.0
    maximum: float = 300.0
    jitter: float = 0.5

    def delay_ms(self, attempt: int, spread: float) -> int:
        """Wait after the failure of attempt n; `spread` is 0 to 1, for the jitter."""
        whole = min(self.maximum, self.initial * self.factor ** min(attempt - 1, 60))
        return int(1000 * whole * (1 - self.jitter * spread))


class Retry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which failures are tried again, and how often.

    Words name exception classes (base classes count), kinds of agent failures such as
    `oom_killed`, or exit codes as `exit:3`.
    """

    attempts: int
    backoff: Backoff = Backoff()
    on: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    #: Launch all agents anew instead of keeping those that succeeded.
    from_scratch: bool = False

    def takes(self, attempt: int, words: set[str]) -> bool:
        if attempt >= self.attempts or words.intersection(self.never):
            return False
        return not self.on or bool(words.intersection(self.on))


class Quorum(msgspec.Struct, frozen=True, tag="quorum"):
    """The step completes when at least `needed` of its tasks succeed."""

    needed: int


class Fan(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a step fans out: a task per item of an input, a step's result or a list made at start."""

    over: Bind
    max_workers: int | None = None
    on_failure: Literal["fail_fast", "collect"] | Quorum = "fail_fast"

    @property
    def collects(self) -> bool:
        """Whether the next step gets errors among the results."""
        return self.on_failure != "fail_fast"

    def failures_allowed(self, total: int) -> int:
        match self.on_failure:
            case Quorum(needed=needed):
                return total - needed
            case "collect":
                return total
            case _:
                return 0


class Concurrency(msgspec.Struct, frozen=True):
    """Steps that share a named key run at most `limit` tasks at a time, over all workflows."""

    key: str
    limit: int


class ContainerSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a container step launches, once per task. Sizes are bytes, durations seconds.

    Texts may refer to inputs, results and items: `${input.source}`, `${results.fetch.path}`.
    """

    image: str
    command: tuple[str, ...] | None = None
    env: dict[str, str] = {}
    secrets: dict[str, str] = {}
    #: Text of JSON for AGENTAINER_INPUT; None hands over inputs, results and item.
    input: str | None = None
    network: str = "none"
    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    timeout_s: float | None = None
    grace_s: float = 10.0
    #: Text of JSON: the count or list that the step fans out over, when the graph says it.
    items: str | None = None


class StepSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node of the graph."""

    id: str
    depends_on: tuple[str, ...] = ()
    binds: dict[str, Bind] = {}
    parallel: Fan | None = None
    retry: Retry | None = None
    #: Seconds that a task may run, and wait to be claimed.
    timeout_s: float | None = None
    queue_timeout_s: float | None = None
    queue: str = "default"
    concurrency: Concurrency | None = None
    kind: Literal["function", "container"] = "function"
    #: What a step of kind `container` launches.
    container: ContainerSpec | None = None

    @property
    def limits(self) -> str:
        """What the scripts go by: `max|queue|key|key_max`, 0 for none."""
        most = self.parallel.max_workers if self.parallel else None
        key = self.concurrency
        return f"{most or 0}|{self.queue}|{key.key if key else ''}|{key.limit if key else 0}"


class Definition(msgspec.Struct, frozen=True, dict=True, omit_defaults=True):
    """A checked graph. `steps` keeps the order in which the class names them."""

    name: str
    steps: tuple[StepSpec, ...]
    #: Seconds that a run may take.
    timeout_s: float | None = None
    #: Tasks of one run that may run at a time.
    max_parallel: int | None = None
    #: 0 to 9; tasks of runs with a higher one are claimed first.
    priority: int = 0
    #: Seconds that log and state of a run are kept after its end; None: as the settings say.
    log_ttl_s: float | None = None
    state_ttl_s: float | None = None

    @cached_property
    def json(self) -> bytes:
        return msgspec.json.encode(self)

    @cached_property
    def digest(self) -> str:
        return digest(self.json)

    @cached_property
    def by_id(self) -> dict[str, StepSpec]:
        return {step.id: step for step in self.steps}

    @cached_property
    def position(self) -> dict[str, int]:
        return {step.id: number for number, step in enumerate(self.steps)}

    @cached_property
    def dependents(self) -> dict[str, tuple[str, ...]]:
        """For every step the steps that wait for it."""
        waiting: dict[str, list[str]] = {step.id: [] for step in self.steps}
        for step in self.steps:
            for name in step.depends_on:
                waiting[name].append(step.id)
        return {name: tuple(steps) for name, steps in waiting.items()}

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """The steps that nothing depends on: their results are the workflow's."""
        return tuple(step.id for step in self.steps if not self.dependents[step.id])

    def required_inputs(self) -> Iterator[tuple[str, str, str]]:
        """(input, step, parameter) for every input that a run cannot do without."""
        for step in self.steps:
            for parameter, bind in step.binds.items():
                if bind.input and not bind.step and not bind.optional:
                    yield bind.input, step.id, parameter
            if step.parallel and step.parallel.over.input:
                yield step.parallel.over.input, step.id, "over"


def check(definition: Definition) -> Definition:
    """Return the definition when it is a runnable graph.

    Raises DefinitionError for no steps, bad or duplicate names, unknown dependencies and cycles.
    """
    name = definition.name
    if not definition.steps:
        raise DefinitionError(name, "has no steps; decorate at least one method with @step")
    check_name(name, name)
    seen: set[str] = set()
    for step in definition.steps:
        check_name(name, step.id, step=step.id)
        if step.id in seen:
            raise DefinitionError(name, "a second step has this name", step=step.id)
        seen.add(step.id)
    for step in definition.steps:
        _check_dependencies(name, step, seen)
    if cycle := find_cycle({step.id: step.depends_on for step in definition.steps}):
        raise DefinitionError(name, f"steps wait for each other: {' -> '.join(cycle)}")
    return definition


def check_name(workflow: str, text: str, *, step: str | None = None) -> None:
    if not NAME.fullmatch(text):
        raise DefinitionError(workflow, f"a name is {NAME_RULE}; got {text!r}", step=step)


def _check_dependencies(workflow: str, step: StepSpec, known: set[str]) -> None:
    for dependency in step.depends_on:
        if dependency not in known:
            raise DefinitionError(
                workflow,
                f"depends on unknown step {dependency!r}; known: {', '.join(sorted(known))}",
                step=step.id,
            )


def find_cycle(graph: dict[str, tuple[str, ...]]) -> list[str] | None:
    """Return the nodes of one cycle in order, first node repeated at the end, or None."""
    done: set[str] = set()
    for root in graph:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, Iterator[str]]] = [(root, iter(graph[root]))]
        if root in done:
            continue
        path.append(root)
        on_path.add(root)
        while stack:
            node, edges = stack[-1]
            following = next((edge for edge in edges if edge not in done), None)
            if following is None:
                stack.pop()
                done.add(path.pop())
                on_path.discard(node)
            elif following in on_path:
                return [*path[path.index(following) :], following]
            else:
                path.append(following)
                on_path.add(following)
                stack.append((following, iter(graph[following])))
    return None
