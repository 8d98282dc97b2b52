"""What happened, in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from .story import Story


class Spread(msgspec.Struct, frozen=True):
    """How long things took, ms."""

    count: int
    p50_ms: int = 0
    p99_ms: int = 0
    max_ms: int = 0


class Counts(msgspec.Struct, frozen=True):
    """Over all logs that were read."""

    workflows: int
    ended: int
    events: int
    #: Deliveries of tasks, and how they ended.
    started: int
    completed: int
    failed: int
    cancelled: int
    lost: int
    #: Deliveries under way, and those that ended more than once.
    running: int
    duplicates: int
    retried: int
    #: Runs of step bodies; None when nothing tells.
    ran: int | None
    jobs: int
    launched: int
    adopted: int
    relaunched: int
    #: From `task.lost` to the next start of the task.
    restarted: Spread


def count(stories: Iterable[Story], ran: int | None = None) -> Counts:
    told = list(stories)
    types: Counter[str] = Counter()
    for story in told:
        types.update(story.counts)
    return Counts(
        workflows=len(told),
        ended=sum(story.ended for story in told),
        events=types.total(),
        started=types["task.started"],
        completed=types["task.completed"],
        failed=types["task.failed"],
        cancelled=types["task.cancelled"],
        lost=types["task.lost"],
        running=sum(story.steps.running for story in told),
        duplicates=sum(story.steps.duplicates for story in told),
        retried=types["task.retried"],
        ran=ran,
        jobs=types["job.requested"],
        launched=sum(len(job.container) > 0 for story in told for job in story.jobs.all.values()),
        adopted=sum(story.jobs.adopted for story in told),
        relaunched=sum(story.jobs.relaunched for story in told),
        restarted=spread([ms for story in told for ms in story.steps.recovered_ms]),
    )


def spread(times_ms: Sequence[int]) -> Spread:
    """Of no times everything is 0."""
    if not times_ms:
        return Spread(0)
    ordered = sorted(times_ms)
    return Spread(len(ordered), _share(ordered, 0.50), _share(ordered, 0.99), ordered[-1])


def _share(ordered: list[int], share: float) -> int:
    """The smallest time that this share does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
