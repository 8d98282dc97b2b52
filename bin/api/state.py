"""The state of a workflow: shared by its tasks, readable and writable from outside."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from ..core.answers import Conflict, Ended, Missing, StateRefused
from ..core.errors import PayloadError, Refused, VersionConflict, WorkflowNotFound
from ..core.ids import new_key
from ..core.payloads import decode
from ..sdk.task import delete_change, set_change
from .calls import Call
from .conditions import etag
from .operations import Answer, Operation, Reply
from .problems import not_found
from .resources import StateValue
from .workflows import guard_of

Key = Annotated[str, Meta(min_length=1, max_length=500)]
Values = Annotated[dict[Key, Any], Meta(max_length=1000, description="Values by key.")]


async def get_all(call: Call) -> Answer:
    values, version = await _read(call)
    return Answer(values, headers={"ETag": etag(version)})


async def put_all(call: Call) -> Answer:
    changes = [set_change(key, value, call.api.settings) for key, value in call.body.items()]
    if changes:
        await _change(call, changes)
    values, version = await _read(call)
    return Answer(values, headers={"ETag": etag(version)})


async def get_one(call: Call) -> Answer:
    values, version = await _read(call)
    key = call.path["key"]
    if key not in values:
        raise not_found(f"key {key!r} in the state of workflow {call.workflow}")
    return Answer(StateValue(key, values[key]), headers={"ETag": etag(version)})


async def put_one(call: Call) -> Answer:
    key = call.path["key"]
    await _change(call, [set_change(key, call.body, call.api.settings)])
    _, version = await _read(call)
    return Answer(StateValue(key, call.body), headers={"ETag": etag(version)})


async def delete_one(call: Call) -> Answer:
    key = call.path["key"]
    values, _ = await _read(call)
    if key not in values:
        raise not_found(f"key {key!r} in the state of workflow {call.workflow}")
    await _change(call, [delete_change(key)])
    return Answer(None, 204)


async def _read(call: Call) -> tuple[dict[str, Any], int]:
    """State and version, of one moment. Raises WorkflowNotFound."""
    keys = call.log.keys
    workflow = call.workflow

    async def read() -> list[Any]:
        async with call.log.redis.pipeline(transaction=True) as pipe:
            pipe.hget(keys.workflow(workflow, "meta"), "v")
            pipe.hgetall(keys.workflow(workflow, "state"))
            answer: list[Any] = await pipe.execute()
            return answer

    version, found = await call.log.connection.call(read)
    if version is None:
        raise WorkflowNotFound(workflow)
    return {key.decode(): decode(value) for key, value in found.items()}, int(version)


async def _change(call: Call, changes: list[dict[str, Any]]) -> None:
    guard = await guard_of(call)
    outcome = await call.log.scripts.write_state(
        call.workflow,
        by=call.log.writer,
        changes=changes,
        key=guard["key"] or new_key(),
        version=guard["version"],
    )
    match outcome:
        case Missing():
            raise WorkflowNotFound(call.workflow)
        case Ended(status=status):
            raise Refused(
                f"workflow {call.workflow} is {status}: its state is final", status=status
            )
        case Conflict(version=version):
            raise VersionConflict(call.workflow, guard["version"], version)
        case StateRefused(key=key, problem=problem):
            raise PayloadError(f"state[{key!r}]: {problem}")
        case _:
            return


_TO_KEY = {"workflow": "$request.path.workflow", "key": "$response.body#/key"}
_ETAG = ("ETag",)
_FACTS: dict[str, Any] = {"group": "state", "for_agents": True}
_CHANGE: dict[str, Any] = {"scope": "write", "guarded": True}

OPERATIONS = (
    Operation(
        "GET",
        "/workflows/{workflow}/state",
        "getState",
        "Get the state",
        get_all,
        replies={200: Reply("All values by key.", dict[str, Any], headers=_ETAG)},
        cacheable=True,
        problems=("not-found",),
        **_FACTS,
    ),
    Operation(
        "PUT",
        "/workflows/{workflow}/state",
        "putState",
        "Update the state",
        put_all,
        replies={200: Reply("All values after the change.", dict[str, Any], headers=_ETAG)},
        text="Sets the keys that are given, all at once; the others stay as they are.",
        body=Values,
        problems=("not-found", "conflict", "unprocessable"),
        **_FACTS,
        **_CHANGE,
    ),
    Operation(
        "GET",
        "/workflows/{workflow}/state/{key}",
        "getStateKey",
        "Get one key",
        get_one,
        replies={200: Reply("The value.", StateValue, headers=_ETAG)},
        cacheable=True,
        problems=("not-found",),
        **_FACTS,
    ),
    Operation(
        "PUT",
        "/workflows/{workflow}/state/{key}",
        "putStateKey",
        "Set one key",
        put_one,
        replies={200: Reply("The value.", StateValue, headers=_ETAG)},
        text="The body is the value itself, any JSON.",
        body=Any,
        links=dict.fromkeys(["getStateKey", "deleteStateKey", "putStateKey"], _TO_KEY),
        problems=("not-found", "conflict", "unprocessable"),
        **_FACTS,
        **_CHANGE,
    ),
    Operation(
        "DELETE",
        "/workflows/{workflow}/state/{key}",
        "deleteStateKey",
        "Delete one key",
        delete_one,
        replies={204: Reply("Deleted.")},
        problems=("not-found", "conflict", "unprocessable"),
        **_FACTS,
        **_CHANGE,
    ),
)
