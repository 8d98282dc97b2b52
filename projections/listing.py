"""Read what there is: workflows newest first, the agents of workflows, ids by how they begin.

The sorted sets list ids by creation; what they say about each is in its document. A member whose
log has expired is passed over, and a workflow that nobody has served yet, so that it has no
document, is folded from its log.
"""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from ..core.log import EventLog
from .documents import JobDocument, document, encode, job_document
from .histories import definition_of, tolerant_fold

PAGE = 200


class StepSummary(msgspec.Struct, frozen=True):
    id: str
    status: str


class Summary(msgspec.Struct, frozen=True):
    """What a listing says about one workflow: a part of its document."""

    id: str
    name: str
    status: str
    version: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    steps: list[StepSummary]
    tags: dict[str, str] = {}

    @property
    def steps_done(self) -> int:
        return sum(step.status == "completed" for step in self.steps)


_decode = msgspec.json.Decoder(Summary).decode


async def list_workflows(
    log: EventLog, *, status: str | None = None, name: str | None = None, limit: int = 20
) -> list[Summary]:
    """The newest workflows, of this status and name when they are given."""
    found: list[Summary] = []
    for partition in range(log.keys.partitions):
        found += await _newest(log, partition, status, name, limit)
    return sorted(found, key=lambda one: one.created_at, reverse=True)[:limit]


async def list_agents(log: EventLog, *, ended: bool = False, limit: int = 100) -> list[JobDocument]:
    """The agents of all workflows under way, the newest first.

    With `ended` also those of the `limit` newest workflows that have ended.
    """
    ids = await _active(log)
    if ended:
        ids |= {one.id for one in await list_workflows(log, limit=limit)}
    found: list[JobDocument] = []
    for workflow in ids:
        view, _ = tolerant_fold(workflow, await log.read(workflow))
        found += [job_document(view, job) for job in view.jobs.values()]
    return sorted(found, key=lambda agent: agent.requested_at or "", reverse=True)


async def find_ids(log: EventLog, prefix: str) -> list[str]:
    """Ids that begin like this, oldest first."""
    pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", prefix) + "*"
    found: set[str] = set()
    for partition in range(log.keys.partitions):
        found |= await _scan(log, log.keys.flow(partition, "workflows"), pattern)
    return sorted(found)


async def newest_id(log: EventLog) -> str | None:
    newest = await list_workflows(log, limit=1)
    return newest[0].id if newest else None


async def _newest(
    log: EventLog, partition: int, status: str | None, name: str | None, limit: int
) -> list[Summary]:
    key = log.keys.flow(partition, "workflows", *([status] if status else []))
    found: dict[str, Summary] = {}
    start = 0
    while len(found) < limit and (ids := await _page(log, key, start)):
        for one in await summaries(log, ids):
            if name in (None, one.name) and status in (None, one.status):
                found[one.id] = one
        start += PAGE
    return list(found.values())[:limit]


async def _page(log: EventLog, key: str, start: int) -> list[str]:
    ids: list[bytes] = await log.connection.call(
        lambda: log.redis.zrevrange(key, start, start + PAGE - 1)
    )
    return [name.decode() for name in ids]


async def summaries(log: EventLog, ids: list[str]) -> list[Summary]:
    """What there is of these ids, in their order; those whose log has expired are left out."""
    if not ids:
        return []
    keys = [log.keys.workflow(name) for name in ids]
    documents: list[bytes | None] = await log.connection.call(lambda: log.redis.mget(keys))
    found: list[Summary] = []
    for workflow, data in zip(ids, documents, strict=True):
        if shown := _shown(data):
            found.append(shown)
        elif summary := await _fold(log, workflow):
            found.append(summary)
    return found


def _shown(data: bytes | None) -> Summary | None:
    """What a document says, if there is one that can be read."""
    try:
        return _decode(data) if data else None
    except msgspec.DecodeError:
        return None


async def _fold(log: EventLog, workflow: str) -> Summary | None:
    events = await log.read(workflow)
    if not events:
        return None
    view, _ = tolerant_fold(workflow, events)
    return _decode(encode(document(view, await definition_of(log, view))))


async def _active(log: EventLog) -> set[str]:
    ids: set[str] = set()
    for partition in range(log.keys.partitions):
        ids |= await _members(log, log.keys.flow(partition, "active"))
    return ids


async def _members(log: EventLog, key: str) -> set[str]:
    members: set[bytes] = await log.connection.call(lambda: log.redis.smembers(key))
    return {member.decode() for member in members}


async def _scan(log: EventLog, key: str, pattern: str) -> set[str]:
    found: set[str] = set()
    cursor = None
    while cursor != 0:
        cursor, members = await _scan_on(log, key, pattern, cursor or 0)
        found |= members
    return found


async def _scan_on(log: EventLog, key: str, pattern: str, cursor: int) -> tuple[int, set[str]]:
    answer: tuple[int, list[tuple[bytes, float]]] = await log.connection.call(
        lambda: log.redis.zscan(key, cursor=cursor, match=pattern, count=1000)
    )
    return answer[0], {member.decode() for member, _ in answer[1]}
