"""Workflows as they are now: the document when it is up to date, else a fold of the log."""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.events import Blob, WorkflowCompleted
from ..core.log import EventLog
from ..core.payloads import decode
from ..projections.documents import WorkflowDocument, document
from ..projections.histories import definition_of
from ..sdk.client import read_view
from .resources import Workflow, links_of

_to_builtins = msgspec.to_builtins


async def read_version(log: EventLog, workflow: str) -> int:
    """The version of a workflow now. Raises WorkflowNotFound."""
    key = log.keys.workflow(workflow, "meta")
    version: bytes | None = await log.connection.call(lambda: log.redis.hget(key, "v"))
    return int(version) if version is not None else (await log.read_last(workflow)).version


async def read_workflow(log: EventLog, workflow: str) -> Workflow:
    """Raises WorkflowNotFound."""
    version = await read_version(log, workflow)
    data: bytes | None = await log.connection.call(
        lambda: log.redis.get(log.keys.workflow(workflow))
    )
    found = _shown(data, workflow)
    if found is None or found.version < version:
        found = await _fold(log, workflow)
    if found.status != "completed":
        return found
    return msgspec.structs.replace(found, result=await _result(log, found))


def _shown(data: bytes | None, workflow: str) -> Workflow | None:
    """What the document says, if there is one that can be read."""
    try:
        return _from_document(data, workflow) if data else None
    except (msgspec.DecodeError, TypeError):
        return None


def _from_document(data: bytes, workflow: str) -> Workflow:
    whole = msgspec.json.decode(data)
    return msgspec.convert({**whole, "links": _to_builtins(links_of(workflow))}, Workflow)


async def _fold(log: EventLog, workflow: str) -> Workflow:
    view = await read_view(log, workflow)
    made: WorkflowDocument = document(view, await definition_of(log, view))
    return _from_document(msgspec.json.encode(made), workflow)


async def _result(log: EventLog, workflow: Workflow) -> Any:
    ended = (await log.read_one(workflow.id, workflow.version)).event
    if not isinstance(ended, WorkflowCompleted):
        return None
    if isinstance(ended.blob, Blob):
        return decode(await log.get_blob(workflow.id, ended.blob.digest))
    return decode(ended.result)
