"""Commands: create and start runs, look at them, cancel them."""

from __future__ import annotations

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
from ..core.definition import Definition
from ..core.errors import (
    DefinitionError,
    IdempotencyConflict,
    InputError,
    PayloadError,
    QueueFull,
    Refused,
    WorkflowNotFound,
)
from ..core.ids import digest, new_key, new_workflow_id
from ..core.keys import SHARED
from ..core.log import EventLog
from ..core.payloads import encode
from ..core.settings import Settings
from .graph import WorkflowCode

ACTIVE = ["created", "running", "paused"]
#: What a full queue tells its callers, seconds.
RETRY_AFTER = 5.0

_encode = msgspec.json.Encoder().encode


class Prepared(msgspec.Struct):
    """A run about to be created: everything checked and encoded."""

    code: WorkflowCode
    init: msgspec.Raw
    inputs: dict[str, msgspec.Raw]
    items: dict[str, msgspec.Raw]
    workflow: str
    key: str | None = None


def prepare(
    code: WorkflowCode,
    init: Any,
    inputs: dict[str, Any],
    settings: Settings,
    *,
    key: str | None = None,
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
    items = {
        step.id: encode(
            _listed(code, step.id, step.items(inputs)), what=f"items of {step.id!r}", limit=limit
        )
        for step in code.steps.values()
        if step.items
    }
    made = encode(init, what=f"the arguments of {label}.__init__", limit=limit)
    _check_types(code, inputs)
    return Prepared(code, made, encoded, items, new_workflow_id(key), key)


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
    inline, blobs = await _store_inputs(log, run)
    created = e.WorkflowCreated(
        run.code.name,
        run.code.definition.digest,
        run.code.reference,
        run.init,
        msgspec.Raw(_encode(inline)),
        blobs,
        msgspec.Raw(_encode(run.items)),
    )
    events: list[e.Event] = [created, e.WorkflowStarted()]
    guard: dict[str, Any] = {"key": run.key or new_key(), "meta": _meta(run.code.definition, lane)}
    outcome = await _command(log, run.workflow, events, status="running", **guard)
    if isinstance(outcome, Undefined):
        await log.put_definition(run.code.definition)
        outcome = await _command(log, run.workflow, events, status="running", **guard)
    _check(run.workflow, outcome)
    return run.workflow


def _meta(definition: Definition, lane: str) -> dict[str, Any]:
    queues = sorted({step.queue for step in definition.steps})
    meta: dict[str, Any] = {
        "lane": lane,
        "name": definition.name,
        "definition": definition.digest,
        "queues": queues,
    }
    if definition.priority:
        meta["priority"] = definition.priority
    if definition.max_parallel:
        meta["max_parallel"] = definition.max_parallel
    if definition.timeout_s:
        meta["timeout_ms"] = int(definition.timeout_s * 1000)
    return meta


async def _store_inputs(
    log: EventLog, run: Prepared
) -> tuple[dict[str, msgspec.Raw], dict[str, e.Blob]]:
    inline: dict[str, msgspec.Raw] = {}
    blobs: dict[str, e.Blob] = {}
    for name, value in run.inputs.items():
        if len(bytes(value)) > log.settings.inline_limit:
            blobs[name] = await log.put_blob(run.workflow, bytes(value))
        else:
            inline[name] = value
    return inline, blobs


async def cancel(log: EventLog, workflow: str, *, reason: str = "", key: str | None = None) -> None:
    """Ask for the end of a run: its agents are stopped and its tasks cancelled.

    Raises Refused when it has ended, WorkflowNotFound.
    """
    outcome = await _command(
        log,
        workflow,
        [e.WorkflowCancelRequested(reason)],
        key=key,
        statuses=ACTIVE,
        status="cancelling",
        wake=True,
    )
    _check(workflow, outcome)


async def pause(
    log: EventLog, workflow: str, *, freeze: bool = False, key: str | None = None
) -> None:
    """Start no new task or agent of a run; what runs goes on to its end and is recorded.

    With `freeze` running agents stand still, too. Raises Refused when the run is not running.
    """
    outcome = await _command(
        log,
        workflow,
        [e.WorkflowPaused(freeze)],
        key=key,
        statuses=["running"],
        status="paused",
        suspend=True,
        freeze=freeze,
    )
    _check(workflow, outcome)


async def resume(log: EventLog, workflow: str, *, key: str | None = None) -> None:
    """Go on after a pause. Raises Refused when the run is not paused."""
    outcome = await _command(
        log,
        workflow,
        [e.WorkflowResumed()],
        key=key,
        statuses=["paused"],
        status="running",
        wake=True,
    )
    _check(workflow, outcome)


async def _command(
    log: EventLog, workflow: str, events: list[e.Event], *, key: str | None, **guard: Any
) -> CommandOutcome:
    encoded = [(event.type, e.encode_event(event)) for event in events]
    content = digest("\n".join(data for _, data in encoded).encode())
    return await log.scripts.append(
        workflow, key=key or new_key(), content=content, events=encoded, by="client", **guard
    )


def _check(workflow: str, outcome: CommandOutcome) -> None:
    match outcome:
        case Appended() | Duplicate():
            return
        case Missing() | Undefined():
            raise WorkflowNotFound(workflow)
        case Conflict(status=status):
            raise Refused(f"workflow {workflow} is {status}; that cannot be done to it now")
        case Full(queue=queue, waiting=waiting, depth=depth):
            raise QueueFull(queue, waiting, depth, retry_after=RETRY_AFTER)
        case Mismatch():
            raise IdempotencyConflict(
                "this idempotency key was used with other content; take a new key for a new command"
            )
