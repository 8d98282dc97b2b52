"""One look at what an installation is doing: queues, workflows, hosts, steps. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from ..core.log import EventLog
from ..projections.documents import iso
from .backlog import read_backlogs
from .facts import Facts, Member
from .overview import Looker
from .queue_looks import QueueLook, queue_looks
from .throughput import Rates

#: Workflows that run whose tasks are counted: the oldest and the newest ones of each partition.
COUNTED = 500
#: Of those, the oldest ones whose documents are read for the steps that take longest.
READ = 100


class HostLook(msgspec.Struct):
    """What one host has for tasks and agents."""

    host: str
    processes: int = 0
    tasks: int = 0
    task_slots: int = 0
    agents: int = 0
    agent_slots: int = 0


class Busy(msgspec.Struct, frozen=True):
    """A workflow and how many of its tasks run."""

    workflow: str
    name: str
    status: str
    running: int


class SlowStep(msgspec.Struct, frozen=True):
    """A step that runs."""

    workflow: str
    name: str
    step: str
    running_s: float
    tasks_running: int
    tasks_done: int
    tasks: int


class Look(msgspec.Struct, frozen=True):
    """What there is at one moment."""

    at: str
    rates: Rates
    #: Workflows that have not ended, and agents that wait for a launcher.
    active: int
    agents_waiting: int
    #: How far the engine that is furthest behind is, s.
    engine_lag_s: float
    queues: list[QueueLook]
    hosts: list[HostLook]
    workflows: list[Busy]
    steps: list[SlowStep]


class _Tasks(msgspec.Struct):
    total: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0


class _Step(msgspec.Struct):
    id: str
    status: str
    started_at: datetime | None = None
    tasks: _Tasks = msgspec.field(default_factory=_Tasks)


class _Shown(msgspec.Struct):
    """What matters here of a workflow's document."""

    id: str
    name: str
    steps: list[_Step]


_decode_shown = msgspec.json.Decoder(_Shown).decode


async def look(log: EventLog, rates: Rates, *, most: int = 10) -> Look:
    """Of workflows and steps those `most` that do most, or take longest."""
    facts = await Looker(log).glance()
    ids = await _running(log)
    now_ms = await _now_ms(log)
    return Look(
        iso(int(now_ms)) or "",
        rates,
        facts.active,
        facts.jobs_waiting,
        max((lane.unread.oldest_s for lane in facts.lanes), default=0.0),
        queue_looks(facts, await read_backlogs(log)),
        hosts_of(facts),
        (await _busy(log, ids))[:most],
        (await _slow(log, ids[:READ], now_ms))[:most],
    )


async def _now_ms(log: EventLog) -> float:
    seconds, micros = await log.redis.time()
    return float(seconds * 1000 + micros / 1000)


async def _running(log: EventLog) -> list[str]:
    """Ids of workflows that run, the oldest first."""
    async with log.redis.pipeline(transaction=False) as pipe:
        for partition in range(log.keys.partitions):
            key = log.keys.flow(partition, "workflows:running")
            pipe.zrange(key, 0, COUNTED - 1)
            pipe.zrange(key, -COUNTED, -1)
        answers: list[list[bytes]] = await pipe.execute()
    return sorted({one.decode() for some in answers for one in some})


def hosts_of(facts: Facts) -> list[HostLook]:
    found: dict[str, HostLook] = {}
    places: set[tuple[str, int]] = set()
    for one in facts.members:
        if one.lives:
            host = found.setdefault(one.host, HostLook(one.host))
            host.processes += (one.host, one.pid) not in places
            places.add((one.host, one.pid))
            _add(host, one)
    return sorted(found.values(), key=lambda host: host.host)


def _add(host: HostLook, member: Member) -> None:
    if member.role == "worker":
        host.tasks += member.claimed
        host.task_slots += member.slots
    elif member.role == "launcher":
        host.agents += member.claimed
        host.agent_slots += member.slots


async def _busy(log: EventLog, ids: Sequence[str]) -> list[Busy]:
    """Those that have tasks which run, the busiest first."""
    if not ids:
        return []
    async with log.redis.pipeline(transaction=False) as pipe:
        for workflow in ids:
            pipe.hmget(log.keys.workflow(workflow, "meta"), "name", "status", "running")
        answers: list[list[bytes | None]] = await pipe.execute()
    found = [
        Busy(workflow, (name or b"").decode(), (status or b"").decode(), int(running or 0))
        for workflow, (name, status, running) in zip(ids, answers, strict=True)
    ]
    return sorted((one for one in found if one.running), key=lambda one: -one.running)


async def _slow(log: EventLog, ids: Sequence[str], now_ms: float) -> list[SlowStep]:
    """Steps that run, those that began first before the others."""
    if not ids:
        return []
    keys = [log.keys.workflow(workflow) for workflow in ids]
    documents: list[bytes | None] = await log.connection.call(lambda: log.redis.mget(keys))
    found = [step for data in documents if data for step in _steps(data, now_ms)]
    return sorted(found, key=lambda step: -step.running_s)


def _steps(data: bytes, now_ms: float) -> Iterable[SlowStep]:
    try:
        shown: Any = _decode_shown(data)
    except msgspec.DecodeError:  # of another release
        return
    for step in shown.steps:
        if step.status == "running" and step.started_at:
            running_s = max(0.0, now_ms / 1000 - step.started_at.timestamp())
            done = step.tasks.completed + step.tasks.failed
            yield SlowStep(
                shown.id,
                shown.name,
                step.id,
                round(running_s, 3),
                step.tasks.running,
                done,
                step.tasks.total,
            )
