"""Steps and agents of a workflow, and what agents print."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import anyio
import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..core.tail import Entry
from ..projections.documents import JobDocument, iso, job_document
from ..projections.workflow import JobView, WorkflowView
from ..sdk.client import read_view
from .calls import Call
from .dispatch import check_room, counted
from .operations import Answer, Operation, Reply
from .patterns import Limit
from .problems import FieldError, Problem, not_found
from .reading import read_workflow
from .resources import JobList, LogLine, LogPage, StepList, relation
from .streams import JSON, NDJSON, RETRY_MS, SSE

PLAIN = "text/plain"
#: Seconds between two looks for new lines of an agent that runs.
LOOK = 0.5

LogId = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[0-9]{1,15}-[0-9]{1,19}$")]


class LogsQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    #: Lines after the one with this id.
    after: LogId | UnsetType = UNSET
    limit: Limit = 500


async def list_steps(call: Call) -> Answer:
    return Answer(StepList((await read_workflow(call.log, call.workflow)).steps))


async def list_jobs(call: Call) -> Answer:
    view = await read_view(call.log, call.workflow)
    return Answer(JobList([job_document(view, job) for job in view.jobs.values()]))


async def get_job(call: Call) -> Answer:
    view, job = await _find(call)
    return Answer(job_document(view, job))


async def _find(call: Call) -> tuple[WorkflowView, JobView]:
    view = await read_view(call.log, call.workflow)
    job = view.jobs.get(call.path["job"])
    if job is None:
        raise not_found(f"agent {call.path['job']!r} in workflow {call.workflow}")
    return view, job


async def read_logs(call: Call) -> Answer:
    query: LogsQuery = call.query
    media_type = call.accepts((JSON, PLAIN, NDJSON, SSE))
    await _find(call)
    after = _after(call.conditions.last_event_id, query.after)
    if media_type == JSON:
        return await _page(call, after, query.limit)
    check_room(call.api)
    make = {PLAIN: _plain, NDJSON: _lines, SSE: _follow}[media_type]
    return Answer(stream=counted(call.api, make(call, after)), media_type=media_type)


def _after(last_event_id: str | None, after: str | UnsetType) -> str:
    if last_event_id and not re.fullmatch(r"[0-9]{1,15}-[0-9]{1,19}", last_event_id):
        error = FieldError("is the id of no line", parameter="last-event-id")
        raise Problem("invalid-request", "last-event-id is the id of no line", errors=[error])
    return last_event_id or after or "0-0"


async def _page(call: Call, after: str, limit: int) -> Answer:
    lines = await _read(call, after, limit)
    if len(lines) < limit:
        return Answer(LogPage(items=lines, next=UNSET))
    last = lines[-1].id
    link = relation("next", call.next_page(after=last))
    return Answer(LogPage(items=lines, next=last), headers={"Link": link})


async def _read(call: Call, after: str, limit: int) -> list[LogLine]:
    key = call.log.keys.workflow(call.workflow, "job", call.path["job"], "logs")
    entries: list[Entry] = await call.log.connection.call(
        lambda: call.log.redis.xrange(key, min=f"({after}", count=limit)
    )
    return [_line(entry) for entry in entries]


def _line(entry: Entry) -> LogLine:
    name, fields = entry
    stream: Any = fields[b"stream"].decode()
    time = iso(int(fields[b"ts"])) or ""
    return LogLine(name.decode(), time, stream, fields[b"text"].decode())


async def _stored(call: Call, after: str) -> AsyncGenerator[LogLine, None]:
    while lines := await _read(call, after, 1000):
        for line in lines:
            yield line
        after = lines[-1].id


async def _plain(call: Call, after: str) -> AsyncGenerator[bytes, None]:
    async with aclosing(_stored(call, after)) as lines:
        async for line in lines:
            yield line.text.encode() + b"\n"


async def _lines(call: Call, after: str) -> AsyncGenerator[bytes, None]:
    async with aclosing(_stored(call, after)) as lines:
        async for line in lines:
            yield msgspec.json.encode(line) + b"\n"


async def _follow(call: Call, after: str) -> AsyncGenerator[bytes, None]:
    """Lines as they come, until the agent has ended and all of them have come."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    silent = 0.0
    while not call.api.closing.is_set():
        settled = not await call.log.is_unsettled(call.workflow, call.path["job"])
        lines = await _read(call, after, 1000)
        for line in lines:
            yield b"id: %b\ndata: %b\n\n" % (line.id.encode(), msgspec.json.encode(line))
        if lines:
            after, silent = lines[-1].id, 0.0
        elif settled:
            yield b"event: end\ndata: {}\n\n"
            return
        else:
            with anyio.move_on_after(LOOK):
                await call.api.closing.wait()
            silent += LOOK
            if silent >= call.api.heartbeat:
                silent = 0.0
                yield b": idle\n\n"


_TO_JOB = {"workflow": "$request.path.workflow", "job": "$response.body#/items/0/id"}
_OF_JOB: dict[str, Any] = {"group": "agents", "for_agents": True, "problems": ("not-found",)}

OPERATIONS = (
    Operation(
        "GET",
        "/workflows/{workflow}/steps",
        "listSteps",
        "Steps of a workflow",
        list_steps,
        replies={200: Reply("All steps, in the order of the definition.", StepList)},
        **_OF_JOB,
    ),
    Operation(
        "GET",
        "/workflows/{workflow}/jobs",
        "listJobs",
        "Agents of a workflow",
        list_jobs,
        replies={200: Reply("All agents, in the order in which they were asked for.", JobList)},
        links=dict.fromkeys(["getJob", "readLogs"], _TO_JOB),
        **_OF_JOB,
    ),
    Operation(
        "GET",
        "/workflows/{workflow}/jobs/{job}",
        "getJob",
        "Get an agent",
        get_job,
        replies={200: Reply("The agent.", JobDocument)},
        **_OF_JOB,
    ),
    Operation(
        "GET",
        "/workflows/{workflow}/jobs/{job}/logs",
        "readLogs",
        "What an agent printed",
        read_logs,
        replies={
            200: Reply(
                "Lines, oldest first.", LogPage, (JSON, PLAIN, NDJSON, SSE), headers=("Link",)
            )
        },
        text="By `Accept`: a page, plain text, lines of JSON, or a stream that follows the agent.",
        query=LogsQuery,
        resumes=True,
        group="agents",
        for_agents=True,
        problems=("not-found", "not-acceptable", "too-many-requests"),
    ),
)
