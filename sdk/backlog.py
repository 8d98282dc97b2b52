"""What waits in queues: how long the oldest task does, and of how many workflows. Only reads.

A ready task does not say since when it is one; the event that made it ready does. So its age costs
a look into the log, which is made for the first task of each step only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..core.answers import decode_ready
from ..core.keys import SHARED
from ..core.log import EventLog
from .containers import EXECUTOR

#: Workflows asked for by one call.
PAGE = 500
#: Workflows looked at where not all are: of each ring, of each limit, and of those under way.
OF_EACH = 20
OLDEST = 200


class Backlog(msgspec.Struct):
    """Ready tasks of one queue."""

    #: Seconds that the oldest task has waited, of the workflows that were looked at.
    oldest_s: float = 0.0
    #: How many of those have tasks there.
    workflows: int = 0


class _Ready(msgspec.Struct, frozen=True):
    """The first ready task of a step: which event made it ready, and in which queue it is."""

    workflow: str
    queue: str
    cause: int


async def read_backlogs(log: EventLog, *, everything: bool = False) -> dict[str, Backlog]:
    """By queue; of all workflows under way, or only of those that are likely the oldest."""
    found: dict[str, Backlog] = {}
    seen: set[tuple[str, str]] = set()
    ids = await (_all(log) if everything else _likely(log))
    for start in range(0, len(ids), PAGE):
        ready = await _read_ready(log, ids[start : start + PAGE])
        for one, age_s in zip(ready, await _ages(log, ready), strict=True):
            backlog = found.setdefault(one.queue, Backlog())
            backlog.oldest_s = max(backlog.oldest_s, age_s)
            backlog.workflows += (one.workflow, one.queue) not in seen
            seen.add((one.workflow, one.queue))
    return found


async def _all(log: EventLog) -> list[str]:
    found: list[str] = []
    for partition in range(log.keys.partitions):
        members: set[bytes] = await log.redis.smembers(log.keys.flow(partition, "active"))
        found += sorted(one.decode() for one in members)
    return found


async def _likely(log: EventLog) -> list[str]:
    """The heads of the rings, some that wait for limits, and some of those under way."""
    found: dict[str, None] = {}
    registered: list[bytes] = await log.redis.hkeys(log.keys.registered)
    names = [EXECUTOR, *(name.decode() for name in registered)]
    blocked: set[bytes] = await log.redis.smembers(log.keys.shared("blocked"))
    async with log.redis.pipeline(transaction=False) as pipe:
        for partition in range(log.keys.partitions):
            for name in names:
                ring = log.keys.flow(partition, SHARED, "ring", name)
                pipe.zrange(ring, 0, OF_EACH - 1)
            pipe.srandmember(log.keys.flow(partition, "active"), OLDEST)
        for limit in blocked:
            pipe.srandmember(log.keys.shared(f"blocked:{limit.decode()}"), OF_EACH)
        answers: list[Iterable[bytes]] = await pipe.execute()
    for members in answers:
        for member in members:  # those who wait for a limit are "<partition>|<id>"
            found[member.decode().rpartition("|")[2]] = None
    return list(found)


async def _read_ready(log: EventLog, ids: Sequence[str]) -> list[_Ready]:
    """The first ready task of each step of workflows that run."""
    async with log.redis.pipeline(transaction=False) as pipe:
        for workflow in ids:
            pipe.smembers(log.keys.workflow(workflow, "ready"))
            pipe.hget(log.keys.workflow(workflow, "meta"), "status")
        answers: list[Any] = await pipe.execute()
    steps = [
        (workflow, step.decode())
        for workflow, ready, status in zip(ids, answers[::2], answers[1::2], strict=True)
        if status == b"running"
        for step in ready
    ]
    if not steps:
        return []
    async with log.redis.pipeline(transaction=False) as pipe:
        for workflow, step in steps:
            pipe.lindex(log.keys.workflow(workflow, "ready", step), 0)
            pipe.hget(log.keys.workflow(workflow, "limits"), step)
        answers = await pipe.execute()
    return [
        _Ready(workflow, _queue_of(limits), decode_ready(entry).cause)
        for (workflow, _), entry, limits in zip(steps, answers[::2], answers[1::2], strict=True)
        if entry is not None
    ]


def _queue_of(limits: bytes | None) -> str:
    return (limits or b"0|default||0").decode().split("|")[1]


async def _ages(log: EventLog, ready: Sequence[_Ready]) -> list[float]:
    """Seconds since each became ready."""
    if not ready:
        return []
    async with log.redis.pipeline(transaction=False) as pipe:
        pipe.time()
        for one in ready:
            entry = f"{one.cause}-0"
            pipe.xrange(log.keys.events(one.workflow), min=entry, max=entry)
        (seconds, micros), *found = await pipe.execute()
    now_ms = seconds * 1000 + micros / 1000
    return [
        max(0.0, now_ms - int(entries[0][1][b"ts"])) / 1000 if entries else 0.0 for entries in found
    ]
