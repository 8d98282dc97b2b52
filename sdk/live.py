"""Read what Redis keeps of a workflow beside its log, at one moment. Only reads."""

from __future__ import annotations

from typing import Any

import msgspec
from redis import exceptions

from ..core.entries import decode_entry, number_of, text_of
from ..core.events import WorkflowCreated
from ..core.log import EventLog
from ..projections.comparing import Live
from ..projections.snapshots import SCHEMA

#: As in `projections.workflow.WorkflowStatus`.
STATUSES = (
    "created",
    "running",
    "paused",
    "failing",
    "cancelling",
    "completed",
    "failed",
    "cancelled",
)
_META = ("v", "dg", "status", "lane", "doc_v", "doc_status", "imported")


async def read_live(log: EventLog, workflow: str) -> Live:
    """The projections of a workflow; those that are not there are empty."""
    return await _Reader(log, workflow).read()


class _Reader:
    def __init__(self, log: EventLog, workflow: str) -> None:
        self._log = log
        self._workflow = workflow
        self._partition = log.keys.partition(workflow)

    async def read(self) -> Live:
        steps, ended_ms = await self._ends()
        names, answers = await self._ask(steps)
        wrong = [
            name
            for name, answer in zip(names, answers, strict=True)
            if isinstance(answer, exceptions.ResponseError)
        ]
        found = [None if isinstance(one, exceptions.ResponseError) else one for one in answers]
        meta, document, shown, state, listed, active, time, snapshot, *rest = found
        kept_version, kept_schema, view = snapshot or [None] * 3
        is_readable = number_of(kept_schema) == SCHEMA and view is not None
        held: dict[bytes, bytes] = state or {}
        of_steps, of_statuses = rest[: len(steps)], rest[len(steps) :]
        version, digest, status, lane, doc_version, doc_status, imported = meta or [None] * 7
        kept_from = max(ended_ms, number_of(imported) or 0)
        now_ms = (time or [0])[0] * 1000
        return Live(
            number_of(version) or 0,
            text_of(digest),
            text_of(status),
            text_of(lane),
            number_of(doc_version) or 0,
            text_of(doc_status),
            document,
            shown or [],
            {step: _texts(jobs) for step, jobs in zip(steps, of_steps, strict=True)},
            {key.decode(): value for key, value in held.items()},
            0 < kept_from < now_ms - self._log.settings.state_ttl * 1000,
            listed is not None,
            {one for one, score in zip(STATUSES, of_statuses, strict=True) if score is not None},
            bool(active),
            wrong,
            (number_of(kept_version) or 0) if is_readable else 0,
            view or b"",
        )

    async def _ends(self) -> tuple[list[str], int]:
        """The steps of the definition, and when the last event was, ms."""
        log, key = self._log, self._log.keys.events(self._workflow)
        try:
            first: Any = await log.redis.xrange(key, count=1)
            last: Any = await log.redis.xrevrange(key, count=1)
        except exceptions.ResponseError:  # a key of another type: its history says so
            return [], 0
        if not first or not last:
            return [], 0
        ended = decode_entry(last[0])
        created = decode_entry(first[0]).event
        name = created.definition if isinstance(created, WorkflowCreated) else ""
        return await self._steps(name), ended.ts

    async def _steps(self, definition: str) -> list[str]:
        key = self._log.keys.definitions
        try:
            data: bytes | None = await self._log.redis.hget(key, definition)
            return [one.id for one in _decode(data).steps] if data else []
        except (exceptions.ResponseError, msgspec.DecodeError):
            return []

    async def _ask(self, steps: list[str]) -> tuple[list[str], list[Any]]:
        """Names of keys, and what Redis answers for each, all of one moment."""
        keys, workflow, partition = self._log.keys, self._workflow, self._partition
        calls: list[tuple[str, str, tuple[Any, ...]]] = [
            ("hmget", keys.workflow(workflow, "meta"), (_META,)),
            ("get", keys.workflow(workflow), ()),
            ("lrange", keys.workflow(workflow, "steps"), (0, -1)),
            ("hgetall", keys.workflow(workflow, "state"), ()),
            ("zscore", keys.flow(partition, "workflows"), (workflow,)),
            ("sismember", keys.flow(partition, "active"), (workflow,)),
            ("time", "", ()),
            ("hmget", keys.workflow(workflow, "snapshot"), (("v", "p", "view"),)),
            *(("smembers", keys.workflow(workflow, "step", step, "jobs"), ()) for step in steps),
            *(("zscore", keys.flow(partition, "workflows", one), (workflow,)) for one in STATUSES),
        ]
        async with self._log.redis.pipeline(transaction=True) as pipe:
            for command, key, arguments in calls:
                getattr(pipe, command)(*([key] if key else []), *arguments)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        return [key for _, key, _ in calls], answers


class _Step(msgspec.Struct):
    id: str


class _Definition(msgspec.Struct):
    steps: list[_Step]


_decode = msgspec.json.Decoder(_Definition).decode


def _texts(found: Any) -> set[str]:
    return {one.decode() for one in found or ()}
