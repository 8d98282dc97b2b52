"""Commands: create and start runs, look at them, cancel them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..core import events as e
from ..core.answers import (
    Appended,
    CommandOutcome,
    Conflict,
    Duplicate,
    Full,
    Mismatch,
    Missing,
    Undefined,
)
from ..core.errors import (
    DefinitionError,
    IdempotencyConflict,
    InputError,
    PayloadError,
    QueueFull,
    Refused,
    VersionConflict,
    WorkflowNotFound,
)
from ..core.ids import new_workflow_id
from ..core.keys import SHARED
from ..core.log import EventLog
from ..core.payloads import encode
from ..core.settings import Settings
from ..projections import histories
from ..projections.snapshots import load_view
from ..projections.workflow import WorkflowView
from .archives import read_tombstone, remove_file
from .creation import NewRun, about_of, check_tags, command, create_run
from .graph import WorkflowCode
from .tracing import current_traceparent

ACTIVE = ["created", "running", "paused"]
#: What a full queue tells its callers, seconds.
RETRY_AFTER = 5.0


async def read_view(log: EventLog, workflow: str) -> WorkflowView:
    """Fold the log of a run; what is damaged of it is passed over. Raises WorkflowNotFound."""
    return await load_view(log, workflow, advance=histories.advance)


class Prepared(msgspec.Struct):
    """A run about to be created: everything checked and encoded."""

    code: WorkflowCode
    init: msgspec.Raw
    inputs: dict[str, msgspec.Raw]
    items: dict[str, msgspec.Raw]
    workflow: str
    key: str | None = None
    tags: dict[str, str] = {}
    #: The span that it is started in.
    traceparent: str = ""


def prepare(
    code: WorkflowCode,
    init: Any,
    inputs: dict[str, Any],
    settings: Settings,
    *,
    key: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Prepared:
    """Check and encode what a run starts with; the same idempotency key means the same run.

    Raises InputError, PayloadError, DefinitionError.
    """
    code.check_inputs(inputs)
    limit = settings.payload_limit
    label = code.cls.__name__
    encoded = {
        name: encode(value, what=f"input {name!r} of {label}", limit=limit)
        for name, value in inputs.items()
    }
    items = items_of_code(code, inputs, settings)
    made = encode(init, what=f"the arguments of {label}.__init__", limit=limit)
    _check_types(code, inputs)
    checked = check_tags(tags or {})
    caller = current_traceparent()
    return Prepared(code, made, encoded, items, new_workflow_id(key), key, checked, caller)


def items_of_code(
    code: WorkflowCode, inputs: dict[str, Any], settings: Settings
) -> dict[str, msgspec.Raw]:
    """The items of fan-outs over a callable, by step. Raises PayloadError, DefinitionError."""
    limit = settings.payload_limit
    return {
        step.id: encode(
            _listed(code, step.id, step.items(inputs)), what=f"items of {step.id!r}", limit=limit
        )
        for step in code.steps.values()
        if step.items
    }


def _listed(code: WorkflowCode, step: str, items: Any) -> Any:
    if type(items) is int:
        return items
    try:
        listed: list[Any] = list(items)
    except TypeError as error:
        raise DefinitionError(
            code.name, f"over=… must return a count or a list, got {items!r}", step=step
        ) from error
    return listed


def _check_types(code: WorkflowCode, inputs: dict[str, Any]) -> None:
    """Raises InputError for an input that the annotated parameter cannot take."""
    for spec in code.definition.steps:
        for parameter, source in spec.binds.items():
            if source.input in inputs and not source.item:
                plain = msgspec.to_builtins(inputs[source.input])
                try:
                    code.steps[spec.id].accept(parameter, plain)
                except PayloadError as error:
                    raise InputError(
                        f"{code.cls.__name__}: input {source.input!r}: {error}"
                    ) from error


async def create(log: EventLog, run: Prepared, *, lane: str = SHARED) -> str:
    """Create and start a run; returns its id.

    The same idempotency key with the same content is harmless. Raises IdempotencyConflict.
    """
    outcome = await create_run(log, new_run_of(run), lane=lane)
    check_outcome(run.workflow, outcome)
    return run.workflow


def new_run_of(run: Prepared, *, start: bool = True) -> NewRun:
    return NewRun(
        workflow=run.workflow,
        definition=run.code.definition,
        reference=run.code.reference,
        init=run.init,
        inputs=run.inputs,
        items=run.items,
        tags=run.tags,
        start=start,
        key=run.key,
        traceparent=run.traceparent,
    )


async def start(
    log: EventLog, workflow: str, *, key: str | None = None, version: int | None = None
) -> CommandOutcome:
    """Start a run that was created to wait for it. Raises Refused, WorkflowNotFound."""
    return await _change(
        log,
        workflow,
        e.WorkflowStarted(),
        key=key,
        version=version,
        statuses=["created"],
        status="running",
        wake=True,
    )


async def delete(log: EventLog, workflow: str, *, version: int | None = None) -> CommandOutcome:
    """Delete a run that has ended or was never started, with all that is stored of it.

    Raises Refused while it is under way, WorkflowNotFound.
    """
    view = await read_view(log, workflow)
    archived = await read_tombstone(log, workflow)
    outcome = await log.scripts.delete(
        workflow,
        steps=list(view.steps),
        jobs=list(view.jobs),
        about=about_of(view.name, view.tags),
        version=version,
    )
    check_outcome(workflow, outcome, version)
    if archived:
        await remove_file(log, archived)
    return outcome


async def cancel(
    log: EventLog,
    workflow: str,
    *,
    reason: str = "",
    key: str | None = None,
    version: int | None = None,
) -> CommandOutcome:
    """Ask for the end of a run: its agents are stopped and its tasks cancelled.

    Raises Refused when it has ended, WorkflowNotFound; with an expected version VersionConflict.
    """
    return await _change(
        log,
        workflow,
        e.WorkflowCancelRequested(reason),
        key=key,
        version=version,
        statuses=ACTIVE,
        status="cancelling",
        wake=True,
    )


async def pause(
    log: EventLog,
    workflow: str,
    *,
    freeze: bool = False,
    key: str | None = None,
    version: int | None = None,
) -> CommandOutcome:
    """Start no new task or agent of a run; what runs goes on to its end and is recorded.

    With `freeze` running agents stand still, too. Raises Refused when the run is not running.
    """
    return await _change(
        log,
        workflow,
        e.WorkflowPaused(freeze),
        key=key,
        version=version,
        statuses=["running"],
        status="paused",
        suspend=True,
        freeze=freeze,
    )


async def resume(
    log: EventLog, workflow: str, *, key: str | None = None, version: int | None = None
) -> CommandOutcome:
    """Go on after a pause. Raises Refused when the run is not paused."""
    return await _change(
        log,
        workflow,
        e.WorkflowResumed(),
        key=key,
        version=version,
        statuses=["paused"],
        status="running",
        wake=True,
    )


async def _change(
    log: EventLog, workflow: str, event: e.Event, *, version: int | None, **guard: Any
) -> CommandOutcome:
    expected: dict[str, Any] = {} if version is None else {"version": version}
    outcome = await command(log, workflow, [event], **guard, **expected)
    return check_outcome(workflow, outcome, version)


def check_outcome(
    workflow: str, outcome: CommandOutcome, expected: int | None = None
) -> CommandOutcome:
    """Return what was applied. Raises what stands for the other outcomes."""
    match outcome:
        case Appended() | Duplicate():
            return outcome
        case Missing() | Undefined():
            raise WorkflowNotFound(workflow)
        case Conflict(version=version, status="imported"):
            raise Refused(
                f"workflow {workflow} was imported: it is a record that nothing moves; fork it to "
                f"go on from it (agentainer workflow fork {workflow})",
                status="imported",
                version=version,
            )
        case Conflict(version=version) if expected is not None and version != expected:
            raise VersionConflict(workflow, expected, version)
        case Conflict(version=version, status=status):
            raise Refused(
                f"workflow {workflow} is {status}; that cannot be done to it now",
                status=status,
                version=version,
            )
        case Full(queue=queue, waiting=waiting, depth=depth):
            raise QueueFull(queue, waiting, depth, retry_after=RETRY_AFTER)
        case Mismatch():
            raise IdempotencyConflict(
                "this idempotency key was used with other content; take a new key for a new command"
            )
