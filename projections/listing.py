"""Read what there is: workflows newest first, the agents of workflows, ids by how they begin."""

from __future__ import annotations

import re

from ..core.log import EventLog
from .documents import JobDocument, job_document
from .histories import tolerant_fold
from .pages import Filter, Place, read_page
from .summaries import Summary

__all__ = ["Summary", "find_ids", "list_agents", "list_forks", "list_workflows", "newest_id"]


async def list_workflows(
    log: EventLog,
    *,
    status: str | None = None,
    name: str | None = None,
    tags: dict[str, str] | None = None,
    created_from: int | None = None,
    created_to: int | None = None,
    limit: int = 20,
) -> list[Summary]:
    """The newest workflows of this status and name, with these tags, created in this time (ms)."""
    wanted = Filter(status, name, tags or {}, created_from, created_to)
    found: list[Summary] = []
    after: Place | None = None
    while True:
        page = await read_page(log, wanted, after, limit - len(found))
        found += page.items
        after = page.next
        if after is None or len(found) == limit:
            return found


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


async def list_forks(log: EventLog, workflow: str) -> list[str]:
    """Ids of the runs that were forked from a run, the first one first."""
    key = log.keys.workflow(workflow, "forks")
    names: list[bytes] = await log.connection.call(lambda: log.redis.zrange(key, 0, -1))
    return [name.decode() for name in names if await log.exists(name.decode())]


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
