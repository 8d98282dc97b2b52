"""Workflows: create, list, look at, start, pause, resume, cancel, delete."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import anyio
import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..core.answers import Appended, CommandOutcome, Duplicate
from ..core.definition import Definition
from ..core.errors import InputError
from ..core.registrations import find_registration, list_registrations, register
from ..projections.pages import Filter, Place, read_page
from ..projections.workflow import WorkflowStatus
from ..sdk import client
from ..sdk.container_graph import ContainerStep, define, registration_of_graph
from ..sdk.creation import NewRun, container_run, create_run, new_run
from ..sdk.following import WorkflowFollower
from ..sdk.graph import WorkflowCode
from .calls import Call
from .conditions import etag
from .operations import Answer, Links, Operation, Reply
from .patterns import Cursor, Limit, Moment, Name, Tag, tags_of
from .problems import FieldError, Problem
from .reading import read_version, read_workflow
from .resources import Workflow, WorkflowPage, relation, summary_of

TagKey = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^:\x00-\x1f]+$")]
TagValue = Annotated[str, Meta(max_length=256, pattern=r"^[^\x00-\x1f]*$")]
InputName = Annotated[str, Meta(min_length=1, max_length=100)]


class CreateWorkflow(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A run to create: of the registered definition of this name, or of the graph in `steps`."""

    name: Name
    #: A graph of container steps; it is registered under the name.
    steps: Annotated[list[ContainerStep], Meta(min_length=1, max_length=500)] | UnsetType = UNSET
    #: Of a graph in `steps`: seconds that a run may take, tasks that run at a time, and which
    #: runs go first.
    timeout: Annotated[float, Meta(gt=0, le=31_536_000)] | UnsetType = UNSET
    max_parallel: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=0, le=9)] | UnsetType = UNSET
    #: Inputs by name; what the definition needs is in `/definitions/{name}`.
    input: Annotated[dict[InputName, Any], Meta(max_length=200)] = {}
    #: Arguments of the class's `__init__`, by name.
    init: Annotated[dict[InputName, Any], Meta(max_length=200)] = {}
    tags: Annotated[dict[TagKey, TagValue], Meta(max_length=50)] = {}
    #: Start it at once; else it waits for `PUT …/start`.
    start: bool = False


class ListQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    status: WorkflowStatus | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    #: May be given several times; a workflow has to have all of them.
    tag: Annotated[list[Tag], Meta(max_length=10)] = []
    created_after: Moment | UnsetType = UNSET
    created_before: Moment | UnsetType = UNSET
    limit: Limit = 50
    cursor: Cursor | UnsetType = UNSET


class PauseQuery(msgspec.Struct, forbid_unknown_fields=True):
    #: Let running agents stand still, too.
    freeze: bool = False


class CancelQuery(msgspec.Struct, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=1000)] = ""


_Moment = Annotated[datetime, Meta(tz=True)]


async def create(call: Call) -> Answer:
    asked: CreateWorkflow = call.body
    run = await _new_run(call, asked)
    run.tags, run.start = asked.tags, asked.start
    run.traceparent = call.request.headers.get("traceparent", "")
    client.check_outcome(run.workflow, await create_run(call.log, run))
    return await _created(call, run)


async def _new_run(call: Call, asked: CreateWorkflow) -> NewRun:
    key = call.key
    limit = call.api.settings.payload_limit
    if asked.steps is not UNSET:
        return await _of_graph(call, asked, asked.steps, key)
    _check_no_rules(asked)
    if code := call.api.codes.get(asked.name):
        return _of_code(call, code, asked, key)
    registration = await find_registration(call.log, asked.name)
    definition = await call.log.get_definition(registration.definition)
    if registration.kind == "container":
        return container_run(definition, asked.input, limit=limit, key=key)
    return new_run(registration, definition, asked.input, asked.init, limit=limit, key=key)


def _check_no_rules(asked: CreateWorkflow) -> None:
    """Raises InputError: a registered definition brings its own rules."""
    for name in ("timeout", "max_parallel", "priority"):
        if getattr(asked, name) is not UNSET:
            raise InputError(f"{name} belongs to a graph; {asked.name!r} is a definition by name")


async def _of_graph(
    call: Call, asked: CreateWorkflow, steps: list[ContainerStep], key: str | None
) -> NewRun:
    if asked.init:
        raise InputError("a graph of containers takes no `init`")
    definition = define(
        asked.name,
        steps,
        timeout_s=asked.timeout or None,
        max_parallel=asked.max_parallel or None,
        priority=asked.priority or 0,
    )
    limit = call.api.settings.payload_limit
    run = container_run(definition, asked.input, limit=limit, key=key)
    await _register(call, definition)
    return run


async def _register(call: Call, definition: Definition) -> None:
    """Raises Problem `name-taken`."""
    known = {one.name: one.kind for one in await list_registrations(call.log)}
    if definition.name in call.api.codes or known.get(definition.name) == "python":
        raise Problem("name-taken", f"{definition.name!r} is a definition in Python")
    await call.log.put_definition(definition)
    await register(call.log, registration_of_graph(definition))


def _of_code(call: Call, code: WorkflowCode, asked: CreateWorkflow, key: str | None) -> NewRun:
    """With the code at hand its types are checked now, and its items computed."""
    init: dict[str, Any] = {"args": [], "kwargs": asked.init}
    prepared = client.prepare(code, init, asked.input, call.api.settings, key=key)
    return client.new_run_of(prepared)


async def _created(call: Call, run: NewRun) -> Answer:
    headers = {"Location": f"/workflows/{run.workflow}"}
    if call.conditions.wait is not None and run.start:
        headers |= await _wait(call, run.workflow)
    made = await read_workflow(call.log, run.workflow)
    return Answer(made, 201, {**headers, "ETag": etag(made.version)})


async def _wait(call: Call, workflow: str) -> dict[str, str]:
    """Wait for the end of the run, as long as the caller asked for; the headers that say so."""
    seconds = call.conditions.wait or 0
    with anyio.move_on_after(seconds):
        follower = WorkflowFollower(call.api.followed(), workflow, 0, lambda kind: False)
        async for message in follower.messages(idle=seconds + 1):
            if message.word == "end":
                break
    return {"Preference-Applied": f"wait={seconds:g}"}


async def list_all(call: Call) -> Answer:
    query: ListQuery = call.query
    wanted = Filter(
        status=query.status or None,
        name=query.name or None,
        tags=tags_of(query.tag),
        created_from=_ms("created_after", query.created_after),
        created_to=_ms("created_before", query.created_before),
    )
    page = await read_page(call.log, wanted, _read_cursor(query.cursor), query.limit)
    items = [summary_of(one) for one in page.items]
    if page.next is None:
        return Answer(WorkflowPage(items=items))
    cursor = _write_cursor(page.next)
    return Answer(
        WorkflowPage(items=items, next=cursor),
        headers={"Link": relation("next", call.next_page(cursor=cursor))},
    )


def _ms(name: str, moment: str | UnsetType) -> int | None:
    if moment is UNSET:
        return None
    try:
        return int(msgspec.convert(moment, _Moment).timestamp() * 1000)
    except msgspec.ValidationError as error:
        problem = FieldError("is no RFC 3339 moment", parameter=name)
        raise Problem("invalid-request", f"{name} is no moment", errors=[problem]) from error


def _read_cursor(text: str | UnsetType) -> Place | None:
    if text is UNSET:
        return None
    created, _, workflow = text.partition("-")
    return Place(int(created), workflow)


def _write_cursor(place: Place) -> str:
    return f"{place.created_ms}-{place.id}"


async def get(call: Call) -> Answer:
    found = await read_workflow(call.log, call.workflow)
    return Answer(found, headers={"ETag": etag(found.version)})


async def start(call: Call) -> Answer:
    outcome = await client.start(call.log, call.workflow, **await guard_of(call))
    return await _changed(call, outcome, 202)


async def pause(call: Call) -> Answer:
    query: PauseQuery = call.query
    guard = await guard_of(call)
    outcome = await client.pause(call.log, call.workflow, freeze=query.freeze, **guard)
    return await _changed(call, outcome, 200)


async def resume(call: Call) -> Answer:
    outcome = await client.resume(call.log, call.workflow, **await guard_of(call))
    return await _changed(call, outcome, 202)


async def cancel(call: Call) -> Answer:
    query: CancelQuery = call.query
    guard = await guard_of(call)
    outcome = await client.cancel(call.log, call.workflow, reason=query.reason, **guard)
    return await _changed(call, outcome, 202)


async def delete(call: Call) -> Answer:
    version = (await guard_of(call))["version"]
    await client.delete(call.log, call.workflow, version=version)
    return Answer(None, 204)


async def guard_of(call: Call) -> dict[str, Any]:
    """The idempotency key and the expected version that go with a command."""
    conditions = call.conditions
    version = None
    if conditions.if_match and "*" not in conditions.if_match:
        version = conditions.expected_version(await read_version(call.log, call.workflow))
    return {"key": call.key, "version": version}


async def _changed(call: Call, outcome: CommandOutcome, status: int) -> Answer:
    headers = {"Location": f"/workflows/{call.workflow}"}
    if call.conditions.wait is not None:
        headers |= await _wait(call, call.workflow)
        status = 200
    found = await read_workflow(call.log, call.workflow)
    version = outcome.version if isinstance(outcome, Appended | Duplicate) else found.version
    return Answer(found, status, {**headers, "ETag": etag(max(version, found.version))})


_TO_WORKFLOW = {"workflow": "$response.body#/id"}
_TO_NEWEST = {"workflow": "$response.body#/items/0/id"}
_NEXT = """getWorkflow startWorkflow pauseWorkflow resumeWorkflow cancelWorkflow deleteWorkflow
listEvents listSteps listJobs getState putState putStateKey"""
_AFTER_CREATE: Links = dict.fromkeys(_NEXT.split(), _TO_WORKFLOW)
_AFTER_COMMAND: Links = dict.fromkeys(
    ["getWorkflow", "pauseWorkflow", "resumeWorkflow", "cancelWorkflow"], _TO_WORKFLOW
)
_FOUND = Reply("The workflow.", Workflow, headers=("ETag",))
_DONE = {
    200: Reply("The workflow now.", Workflow, headers=("ETag", "Location", "Preference-Applied")),
    202: Reply("Accepted; the workflow as it is.", Workflow, headers=("ETag", "Location")),
}


def _command(id: str, word: str, handler: Any, summary: str, text: str, **more: Any) -> Operation:
    return Operation(
        "PUT",
        f"/workflows/{{workflow}}/{word}",
        id,
        summary,
        handler,
        "workflows",
        _DONE,
        text=text,
        scope="write",
        guarded=True,
        waits=True,
        problems=("not-found", "conflict"),
        links=_AFTER_COMMAND,
        **more,
    )


OPERATIONS = (
    Operation(
        "POST",
        "/workflows",
        "createWorkflow",
        "Create a workflow",
        create,
        "workflows",
        {201: Reply("Created.", Workflow, headers=("ETag", "Location", "Preference-Applied"))},
        text=(
            "Creates a run of a registered definition, or of a graph of containers. With `start` "
            "it starts at once; with `Prefer: wait=10` the answer comes when the run has ended, or "
            "after that many seconds."
        ),
        scope="write",
        body=CreateWorkflow,
        idempotent=True,
        waits=True,
        traced=True,
        problems=("not-found", "name-taken", "unprocessable", "queue-full"),
        links=_AFTER_CREATE,
    ),
    Operation(
        "GET",
        "/workflows",
        "listWorkflows",
        "List workflows",
        list_all,
        "workflows",
        {200: Reply("A page, newest first.", WorkflowPage, headers=("Link",))},
        text="Newest first. Follow `next`, or the header Link, until there is none.",
        query=ListQuery,
        links=dict.fromkeys(_NEXT.split(), _TO_NEWEST),
    ),
    Operation(
        "GET",
        "/workflows/{workflow}",
        "getWorkflow",
        "Get a workflow",
        get,
        "workflows",
        {200: _FOUND},
        text="As of now: status, steps, state, and the result once it has completed.",
        cacheable=True,
        for_agents=True,
        problems=("not-found",),
    ),
    _command("startWorkflow", "start", start, "Start a workflow", "One that was only created."),
    _command(
        "pauseWorkflow",
        "pause",
        pause,
        "Pause a workflow",
        "After the answer no task and no agent starts; what runs goes on to its end.",
        query=PauseQuery,
    ),
    _command("resumeWorkflow", "resume", resume, "Resume a workflow", "One that is paused."),
    _command(
        "cancelWorkflow",
        "cancel",
        cancel,
        "Cancel a workflow",
        "Its agents are stopped and its tasks cancelled; `workflow.cancelled` says when all ended.",
        query=CancelQuery,
    ),
    Operation(
        "DELETE",
        "/workflows/{workflow}",
        "deleteWorkflow",
        "Delete a workflow",
        delete,
        "workflows",
        {204: Reply("Deleted, with its log, state and output.")},
        text="One that has ended or was never started; cancel it first if it is under way.",
        scope="write",
        guarded=True,
        problems=("not-found", "conflict"),
    ),
)
