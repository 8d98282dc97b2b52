"""Create runs: from a class at hand, or from a definition that somebody has registered."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..core import events as e
from ..core.answers import CommandOutcome, Undefined
from ..core.definition import Definition
from ..core.errors import InputError
from ..core.ids import digest, new_key, new_workflow_id
from ..core.keys import SHARED
from ..core.log import EventLog
from ..core.payloads import NULL, encode
from ..core.registrations import InputSpec, Registration, register
from ..core.settings import Settings
from ..core.tracing import begin_trace
from .container_graph import items_of, registration_of_graph
from .containers import EXECUTOR
from .graph import WorkflowCode

_encode = msgspec.json.Encoder().encode

#: Most tags of a run; a key has no colon, as `key:value` is how others write them.
MOST_TAGS = 50
TAG_KEY = re.compile(r"[^:\x00-\x1f]{1,64}")
TAG_VALUE = re.compile(r"[^\x00-\x1f]{0,256}")


class NewRun(msgspec.Struct, kw_only=True):
    """A run about to be created: everything checked and encoded."""

    workflow: str
    definition: Definition
    reference: str = ""
    init: msgspec.Raw = NULL
    inputs: dict[str, msgspec.Raw]
    items: dict[str, msgspec.Raw] = {}
    tags: dict[str, str] = {}
    #: Without it the run waits for `start`.
    start: bool = True
    key: str | None = None
    #: Whose code runs its steps: the name under which workers claim them.
    executor: str = ""
    #: Of a fork: where it comes from, the events of what it takes over, and its state.
    forked_from: e.ForkedFrom | None = None
    reused: list[e.Event] = []
    state: dict[str, str] = {}
    #: The span of who starts it, W3C; empty when there is none.
    traceparent: str = ""


async def create_run(log: EventLog, run: NewRun, *, lane: str = SHARED) -> CommandOutcome:
    """Create a run; the same key with the same content is told as a duplicate."""
    inline, blobs = await _store_inputs(log, run)
    created = e.WorkflowCreated(
        run.definition.name,
        run.definition.digest,
        run.reference,
        run.init,
        msgspec.Raw(_encode(inline)),
        blobs,
        msgspec.Raw(_encode(run.items)),
        run.tags,
        run.forked_from,
    )
    rest: list[e.Event] = [*run.reused, *([e.WorkflowStarted()] if run.start else [])]
    trace = trace_of(run.workflow, run.traceparent, log.settings)
    events = [msgspec.structs.replace(created, trace=trace), *rest]
    guard: dict[str, Any] = {
        "key": run.key or new_key(),
        # The same request again may come from another span.
        "content": _content([created, *rest]),
        "status": "running" if run.start else "created",
        "meta": _meta(run, lane),
        "state": run.state,
    }
    outcome = await command(log, run.workflow, events, **guard)
    while isinstance(outcome, Undefined):  # again, should Redis lose it meanwhile
        await log.put_definition(run.definition)
        outcome = await command(log, run.workflow, events, **guard)
    return outcome


def trace_of(workflow: str, traceparent: str, settings: Settings) -> e.Trace | None:
    """What a run records of tracing, when the span of this traceparent starts it."""
    joined = settings.trace_caller == "parent"
    return begin_trace(workflow, traceparent, joined=joined, environ=os.environ)


async def command(
    log: EventLog,
    workflow: str,
    events: list[e.Event],
    *,
    key: str | None,
    content: str | None = None,
    **guard: Any,
) -> CommandOutcome:
    return await log.scripts.append(
        workflow,
        key=key or new_key(),
        content=content or _content(events),
        events=[(event.type, e.encode_event(event)) for event in events],
        by=log.writer,
        **guard,
    )


def _content(events: Sequence[e.Event]) -> str:
    """What is compared when an idempotency key comes again."""
    return digest("\n".join(map(e.encode_event, events)).encode())


def _meta(run: NewRun, lane: str) -> dict[str, Any]:
    definition = run.definition
    about = about_of(definition.name, run.tags)
    queues = sorted({step.queue for step in definition.steps})
    name = run.executor or definition.name
    meta: dict[str, Any] = {
        "lane": lane,
        "name": name,
        "definition": definition.digest,
        "queues": queues,
        "about": about,
    }
    if definition.priority:
        meta["priority"] = definition.priority
    if definition.max_parallel:
        meta["max_parallel"] = definition.max_parallel
    if definition.timeout_s:
        meta["timeout_ms"] = int(definition.timeout_s * 1000)
    return meta


def about_of(name: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """What a run is listed under, as the scripts take it."""
    return {"name": name, **({"tags": sorted(tags.items())} if tags else {})}


def check_tags(tags: Mapping[Any, Any]) -> dict[str, str]:
    """Raises InputError for what is no tag."""
    if len(tags) > MOST_TAGS:
        raise InputError(f"expected at most {MOST_TAGS} tags, got {len(tags)}")
    for key, value in tags.items():
        if not (isinstance(key, str) and TAG_KEY.fullmatch(key)):
            raise InputError(
                f"expected the key of a tag to have 1 to 64 characters, none of them a colon, "
                f"got {key!r}"
            )
        if not (isinstance(value, str) and TAG_VALUE.fullmatch(value)):
            raise InputError(
                f"expected tag {key!r} to be a text of at most 256 characters, got {value!r}"
            )
    return dict(tags)


async def _store_inputs(
    log: EventLog, run: NewRun
) -> tuple[dict[str, msgspec.Raw], dict[str, e.Blob]]:
    inline: dict[str, msgspec.Raw] = {}
    blobs: dict[str, e.Blob] = {}
    for name, value in run.inputs.items():
        if len(bytes(value)) > log.settings.inline_limit:
            blobs[name] = await log.put_blob(run.workflow, bytes(value))
        else:
            inline[name] = value
    return inline, blobs


def registration_of(code: WorkflowCode) -> Registration:
    """What others need to know to create runs of a class."""
    required = {name for name, _, _ in code.definition.required_inputs()}
    inputs = {
        name: InputSpec(name, name in required, schema) for name, schema in _input_schemas(code)
    }
    return Registration(
        code.name,
        code.definition.digest,
        "python",
        code.reference,
        [inputs[name] for name in sorted(inputs)],
        code.required_arguments,
        [step.id for step in code.steps.values() if step.items],
    )


def _input_schemas(code: WorkflowCode) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for spec in code.definition.steps:
        kinds = code.steps[spec.id].parameters
        found += [
            (bind.input, _schema(kinds.get(parameter, Any)))
            for parameter, bind in spec.binds.items()
            if bind.input and not bind.step
        ]
        if spec.parallel and spec.parallel.over.input and not code.steps[spec.id].items:
            found.append((spec.parallel.over.input, {"type": ["integer", "array"]}))
    return found


def _schema(kind: Any) -> dict[str, Any]:
    """What is known of a parameter's type; nothing of one that JSON Schema cannot describe."""
    try:
        schema: dict[str, Any] = msgspec.json.schema(kind)
    except TypeError:
        return {}
    return schema


async def register_codes(log: EventLog, codes: list[WorkflowCode]) -> None:
    """Let others create runs of these classes by name."""
    for code in codes:
        await log.put_definition(code.definition)
        await register(log, registration_of(code))


def container_run(
    definition: Definition, inputs: dict[str, Any], *, limit: int, key: str | None = None
) -> NewRun:
    """A run of a container graph. Raises InputError, PayloadError."""
    run = new_run(registration_of_graph(definition), definition, inputs, {}, limit=limit, key=key)
    run.executor = EXECUTOR
    run.items = items_of(definition)
    made: dict[str, Any] = {"args": [], "kwargs": {"definition": definition.digest}}
    run.init = msgspec.Raw(_encode(made))
    return run


def new_run(
    registration: Registration,
    definition: Definition,
    inputs: dict[str, Any],
    init: dict[str, Any],
    *,
    limit: int,
    key: str | None = None,
) -> NewRun:
    """A run of a registered definition, without its code. Values above `limit` bytes are refused.

    Raises InputError for inputs or arguments that are missing, PayloadError.
    """
    name = registration.name
    if registration.computed:
        raise InputError(
            f"{name}: the items of {', '.join(registration.computed)} are computed by its code; "
            f"create the run where the code is, or serve the API with it "
            f"(agentainer serve {registration.code})"
        )
    missing = [one.name for one in registration.inputs if one.required and one.name not in inputs]
    missing += [f"init.{one}" for one in registration.init if one not in init]
    if missing:
        raise InputError(f"{name} needs {', '.join(missing)}; given: {', '.join(inputs) or 'none'}")
    made: dict[str, Any] = {"args": [], "kwargs": init}
    return NewRun(
        workflow=new_workflow_id(key),
        definition=definition,
        reference=registration.code,
        init=encode(made, what=f"init of {name}", limit=limit),
        inputs={
            one: encode(value, what=f"input {one!r}", limit=limit) for one, value in inputs.items()
        },
        key=key,
    )
