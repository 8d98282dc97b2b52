"""Read the gauges of an installation from Redis. That costs the same with many workflows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from redis import exceptions

from ..core import metrics as m
from ..core.log import EventLog
from ..core.metrics import Metric, Sample
from ..projections.queues import ALL_QUEUES, QueueView
from ..reactors.lane import GROUP
from .backlog import Backlog, read_backlogs
from .facts import COUNTED, Facts, Member
from .lags import read_lags
from .overview import Looker
from .queue_looks import backlog_of

#: Workflows of each partition whose projections are compared with their logs.
COMPARED = 200
#: What slots a role has.
HAS_SLOTS = ("worker", "launcher")
UNDER_WAY = ("created", "running", "paused", "failing", "cancelling")


class Lag(msgspec.Struct, frozen=True):
    """How far a consumer group of one partition is behind."""

    reactor: str
    partition: int
    entries: int
    oldest_s: float


async def read_gauges(log: EventLog) -> list[Sample]:
    facts = await Looker(log).glance()
    return [
        *_queues(facts.queues, await read_backlogs(log)),
        *await _statuses(log),
        *_work(facts),
        *_members(facts.members),
        *_lags([*_engines(facts), *await read_groups(log)]),
        *await _projections(log),
        *await _parked(log),
        Sample(m.WEBHOOKS_DUE, (), await _webhooks_due(log)),
    ]


def _queues(queues: Iterable[QueueView], backlogs: dict[str, Backlog]) -> Iterator[Sample]:
    known = {ALL_QUEUES: QueueView(ALL_QUEUES, 0, 0, 0, 0), **{one.name: one for one in queues}}
    for queue in known.values():
        labels = (queue.name,)
        oldest = backlog_of(queue.name, backlogs).oldest_s
        yield Sample(m.QUEUE_DEPTH, labels, queue.waiting)
        yield Sample(m.QUEUE_OLDEST, labels, oldest)
        yield Sample(m.QUEUE_RUNNING, labels, queue.running)
        if queue.limit:
            yield Sample(m.QUEUE_LIMIT, labels, queue.limit)
        if queue.depth:
            yield Sample(m.QUEUE_DEPTH_LIMIT, labels, queue.depth)


async def _statuses(log: EventLog) -> list[Sample]:
    async with log.redis.pipeline(transaction=False) as pipe:
        for status in UNDER_WAY:
            for partition in range(log.keys.partitions):
                pipe.zcard(log.keys.flow(partition, f"workflows:{status}"))
        counts: list[int] = await pipe.execute()
    each = log.keys.partitions
    return [
        Sample(m.WORKFLOWS_ACTIVE, (status,), sum(counts[n * each : (n + 1) * each]))
        for n, status in enumerate(UNDER_WAY)
    ]


def _work(facts: Facts) -> Iterator[Sample]:
    yield Sample(m.JOBS_WAITING, (), facts.jobs_waiting)
    yield Sample(m.TIMERS_DUE, (), facts.timers_due)
    yield Sample(m.TIMERS_LATE, (), facts.timer_late_s)
    yield Sample(m.LANES_UNOWNED, (), sum(not lane.owner for lane in facts.lanes))


def _members(members: Iterable[Member]) -> Iterator[Sample]:
    slots: Counter[tuple[str, str, str]] = Counter()
    roles: Counter[str] = Counter()
    for one in members:
        if one.lives:
            roles[one.role] += 1
        if one.lives and one.role in HAS_SLOTS:
            slots[one.role, one.host, "used"] += one.claimed
            slots[one.role, one.host, "free"] += max(0, one.slots - one.claimed)
    for labels, number in slots.items():
        yield Sample(m.SLOTS, labels, number)
    for role, number in roles.items():
        yield Sample(m.PROCESSES, (role,), number)


def _engines(facts: Facts) -> Iterator[Lag]:
    for lane in facts.lanes:
        yield Lag(GROUP, lane.partition, lane.unread.entries, lane.unread.oldest_s)


def _lags(lags: Iterable[Lag]) -> Iterator[Sample]:
    for one in lags:
        labels = (one.reactor, str(one.partition))
        yield Sample(m.REACTOR_LAG, labels, one.entries)
        yield Sample(m.REACTOR_LAG_AGE, labels, one.oldest_s)


async def read_groups(log: EventLog) -> list[Lag]:
    """The groups on the partitions' feeds: whoever reads every append of a partition."""
    return [
        lag
        for partition in range(log.keys.partitions)
        for lag in await _groups_of(log, partition, log.keys.flow(partition, "feed"))
    ]


async def _groups_of(log: EventLog, partition: int, feed: str) -> list[Lag]:
    redis: Any = log.redis
    try:
        groups: list[dict[str, Any]] = await redis.xinfo_groups(feed)
    except exceptions.ResponseError:  # nobody follows, so there is no feed
        return []
    seconds, micros = await redis.time()
    found: list[Lag] = []
    for group in groups:
        position: bytes = group["last-delivered-id"]
        counted: int | None = group.get("lag")
        wanted = COUNTED if counted is None else 1
        entries = await redis.xrange(feed, min=f"({position.decode()}", count=wanted)
        first_ms = int(entries[0][0].partition(b"-")[0]) if entries else 0
        age_s = max(0.0, seconds + micros / 1_000_000 - first_ms / 1000) if entries else 0.0
        behind = len(entries) if counted is None else counted
        found.append(Lag(group["name"].decode(), partition, behind, round(age_s, 3)))
    return found


async def _projections(log: EventLog) -> list[Sample]:
    found: list[Sample] = []
    for one in await read_lags(log, most=COMPARED):
        found.append(Sample(m.PROJECTION_LAG, (one.name,), one.worst_events))
        found.append(Sample(m.PROJECTION_LAG_AGE, (one.name,), one.lag_s))
    return found


async def _parked(log: EventLog) -> list[Sample]:
    names: list[bytes] = await log.redis.hkeys(log.keys.shared("subscriptions"))
    return [
        Sample(m.PARKED, (name.decode(),), await _parked_of(log, name.decode())) for name in names
    ]


async def _parked_of(log: EventLog, name: str) -> int:
    counts = [
        await log.redis.xlen(log.keys.flow(partition, "sub", name, "parked"))
        for partition in range(log.keys.partitions)
    ]
    return sum(counts)


async def _webhooks_due(log: EventLog) -> int:
    """Deliveries that could be made now, of all webhooks that are due."""
    redis: Any = log.redis
    seconds, _ = await redis.time()
    due = 0
    for partition in range(log.keys.partitions):
        key = log.keys.flow(partition, "due")
        webhooks: list[bytes] = await redis.zrangebyscore(key, "-inf", seconds * 1000)
        for webhook in webhooks:
            of_one = log.keys.flow(partition, "due", webhook.decode())
            due += int(await redis.zcount(of_one, "-inf", seconds * 1000))
    return due


def by_metric(samples: Iterable[Sample]) -> dict[Metric, list[Sample]]:
    """In the order of the catalogue; those without a sample are there, too."""
    found: dict[Metric, list[Sample]] = {metric: [] for metric in m.METRICS}
    for sample in samples:
        found[sample.metric].append(sample)
    return found
