"""A workflow as a graph of container steps, written as JSON: checked, and made a definition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..core.definition import (
    NAME,
    Backoff,
    Bind,
    ContainerSpec,
    Definition,
    Fan,
    Quorum,
    Retry,
    StepSpec,
    check,
)
from ..core.errors import DefinitionError, InputError
from ..core.registrations import InputSpec, Registration
from ..core.sizes import parse_size
from .templates import references

#: The parameter of a container step that gets its item; no step can have this name.
ITEM = "=item"

Name = Annotated[str, Meta(pattern=f"^{NAME.pattern}$", max_length=100, examples=["gpu"])]
#: Without dots, which lead into results.
StepName = Annotated[
    str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", max_length=100, examples=["fetch"])
]
Seconds = Annotated[float, Meta(gt=0, le=31_536_000, description="Seconds.")]
Text = Annotated[str, Meta(max_length=8192)]
VariableName = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
Word = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        examples=["oom_killed", "exit:75"],
        description="A kind of failure: `failed`, `oom_killed`, `timed_out` …, or `exit:N`.",
    ),
]


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a container may use; what is left out has the runtime's bounds."""

    memory: (
        Annotated[int, Meta(ge=1, le=2**50)]
        | Annotated[str, Meta(pattern="^[0-9]{1,9}[kmgKMG]?[bB]?$", examples=["512m"])]
        | UnsetType
    ) = UNSET
    cpus: Annotated[float, Meta(gt=0, le=4096)] | UnsetType = UNSET
    pids: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET


class BackoffRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long to wait before a retry: initial * factor^(n-1) seconds, at most `maximum`."""

    initial: Annotated[float, Meta(ge=0, le=86_400)] = 1.0
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    maximum: Annotated[float, Meta(ge=0, le=86_400)] = 300.0
    #: Share of it that is spread at random.
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.5


class RetryRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How often a task that failed is tried again, and after which failures."""

    times: Annotated[int, Meta(ge=1, le=1000)]
    backoff: BackoffRule = BackoffRule()
    on: Annotated[list[Word], Meta(max_length=50)] = []
    never: Annotated[list[Word], Meta(max_length=50)] = []


class Parallel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One task per item; say one of `count`, `items` and `over`."""

    count: Annotated[int, Meta(ge=0, le=1_000_000)] | UnsetType = UNSET
    items: Annotated[list[Any], Meta(max_length=100_000)] | UnsetType = UNSET
    #: Name of a step, or of an input: its count or list.
    over: Name | UnsetType = UNSET
    max_workers: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET
    #: How many tasks have to succeed: all, any number, or this many.
    on_failure: (
        Annotated[str, Meta(pattern="^(fail_fast|collect)$")]
        | Annotated[int, Meta(ge=1, le=1_000_000)]
    ) = "fail_fast"


_ONE_OF = Meta(
    extra_json_schema={"oneOf": [{"required": [name]} for name in ("count", "items", "over")]}
)


class ContainerStep(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """A step that runs a container, and returns what it answers.

    Texts in `command`, `env` and `input` may hold `${input.NAME}`, `${results.STEP.path}`,
    `${item}`, `${index}`, `${workflow_id}`; a step whose result is used is waited for.
    """

    name: StepName
    image: Annotated[str, Meta(min_length=1, max_length=255, examples=["data-fetcher:latest"])]
    #: A text runs in the image's /bin/sh.
    command: (
        Annotated[list[Text], Meta(max_length=200)]
        | Annotated[str, Meta(min_length=1, max_length=32_768)]
        | UnsetType
    ) = UNSET
    env: Annotated[dict[VariableName, Text], Meta(max_length=200)] = {}
    #: Variables that get a secret of the launcher, and what it is called there.
    secrets: Annotated[dict[VariableName, VariableName], Meta(max_length=200)] = {}
    #: JSON for AGENTAINER_INPUT; without it inputs, results and item.
    input: Any = UNSET
    depends_on: Annotated[list[StepName], Meta(max_length=500)] = []
    parallel: Annotated[Parallel, _ONE_OF] | UnsetType = UNSET
    resources: Resources = Resources()
    #: `none`, or the name of a network of the runtime.
    network: Annotated[str, Meta(min_length=1, max_length=200)] = "none"
    retry: RetryRule | UnsetType = UNSET
    #: How long a container may run, and how long from SIGTERM to SIGKILL.
    timeout: Seconds | UnsetType = UNSET
    grace: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    #: How long a task may wait to be taken.
    queue_timeout: Seconds | UnsetType = UNSET
    queue: Name = "default"


def define(
    name: str,
    steps: list[ContainerStep],
    *,
    timeout_s: float | None = None,
    max_parallel: int | None = None,
    priority: int = 0,
) -> Definition:
    """The definition of a graph. Raises DefinitionError naming the step."""
    names = {step.name for step in steps}
    specs = tuple(_spec(name, step, names) for step in steps)
    return check(Definition(name, specs, timeout_s, max_parallel, priority))


def _spec(workflow: str, step: ContainerStep, names: set[str]) -> StepSpec:
    used = list(dict.fromkeys(_results_used(workflow, step, names)))
    depends_on = list(dict.fromkeys([*step.depends_on, *used]))
    handed = depends_on if step.input is UNSET else used
    binds = {name: Bind(step=name) for name in handed}
    fan = _fan(workflow, step, names) if step.parallel else None
    if fan:
        binds[ITEM] = Bind(item=True)
        if fan.over.step and fan.over.step not in depends_on:
            depends_on.append(fan.over.step)
    return StepSpec(
        step.name,
        tuple(depends_on),
        binds,
        fan,
        _retry(step),
        queue_timeout_s=step.queue_timeout or None,
        queue=step.queue,
        kind="container",
        container=_container(workflow, step),
    )


def _results_used(workflow: str, step: ContainerStep, names: set[str]) -> Iterator[str]:
    """Steps whose results the texts refer to. Raises DefinitionError for what cannot be there."""
    try:
        found = list(references([_plain(step.command), step.env, _plain(step.input)]))
    except InputError as error:
        raise DefinitionError(workflow, str(error), step=step.name) from error
    for reference, parts in found:
        if parts[0] == "item" and not step.parallel:
            text = f"${{{reference}}}: only a step with `parallel` has items"
            raise DefinitionError(workflow, text, step=step.name)
        if parts[0] == "results" and len(parts) > 1:
            if parts[1] not in names or parts[1] == step.name:
                text = f"${{{reference}}}: there is no other step {parts[1]!r}"
                raise DefinitionError(workflow, text, step=step.name)
            yield parts[1]


def _plain(value: Any) -> Any:
    return None if value is UNSET else value


def _fan(workflow: str, step: ContainerStep, names: set[str]) -> Fan:
    rule = step.parallel or Parallel()
    given = [one for one in (rule.count, rule.items, rule.over) if one is not UNSET]
    if len(given) != 1:
        text = "`parallel` says one of `count`, `items` and `over`"
        raise DefinitionError(workflow, text, step=step.name)
    over = Bind()
    if rule.over:
        over = Bind(step=rule.over) if rule.over in names else Bind(rule.over)
    on_failure: Any = rule.on_failure
    if isinstance(on_failure, int):
        on_failure = Quorum(on_failure)
    return Fan(over, rule.max_workers or None, on_failure)


def _retry(step: ContainerStep) -> Retry | None:
    if not step.retry:
        return None
    rule = step.retry
    wait = rule.backoff
    return Retry(
        rule.times + 1,
        Backoff(wait.initial, wait.factor, wait.maximum, wait.jitter),
        tuple(rule.on),
        tuple(rule.never),
    )


def _container(workflow: str, step: ContainerStep) -> ContainerSpec:
    command = step.command
    if isinstance(command, str):
        command = ["/bin/sh", "-c", command]
    rule = step.parallel or Parallel()
    items = rule.items if rule.count is UNSET else rule.count
    return ContainerSpec(
        step.image,
        tuple(command) if command is not UNSET else None,
        step.env,
        step.secrets,
        _json(step.input),
        step.network,
        _memory(workflow, step),
        step.resources.cpus or None,
        step.resources.pids or None,
        step.timeout or None,
        step.grace,
        _json(items),
    )


def _memory(workflow: str, step: ContainerStep) -> int | None:
    size = step.resources.memory
    try:
        return None if size is UNSET else parse_size(size)
    except ValueError as error:
        raise DefinitionError(workflow, f"`memory`: {error}", step=step.name) from error


def _json(value: Any) -> str | None:
    return None if value is UNSET else msgspec.json.encode(value).decode()


def registration_of_graph(definition: Definition) -> Registration:
    """What others need to know to create runs of a graph by its name."""
    inputs = sorted(set(_inputs(definition)))
    return Registration(
        definition.name,
        definition.digest,
        "container",
        inputs=[InputSpec(name, required=True) for name in inputs],
    )


def _inputs(definition: Definition) -> Iterator[str]:
    for step in definition.steps:
        if step.parallel and step.parallel.over.input:
            yield step.parallel.over.input
        if spec := step.container:
            given = msgspec.json.decode(spec.input) if spec.input is not None else None
            for _, parts in references([spec.command, spec.env, given]):
                if parts[0] == "input" and len(parts) > 1:
                    yield parts[1]


def items_of(definition: Definition) -> dict[str, msgspec.Raw]:
    """Counts and lists that are written in the graph, by step."""
    return {
        step.id: msgspec.Raw(step.container.items.encode())
        for step in definition.steps
        if step.container and step.container.items is not None
    }
