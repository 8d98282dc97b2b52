"""Queues as an operator sees them: what may run, what runs, what waits, since when. Only reads."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..core.log import EventLog
from ..projections.queues import ALL_QUEUES, QueueView
from .backlog import Backlog, read_backlogs
from .facts import Facts
from .overview import Looker


class QueueLook(msgspec.Struct, frozen=True):
    """One queue; limits of 0 are none."""

    name: str
    #: Tasks that may run at a time, and that may wait before new workflows are refused.
    limit: int
    depth: int
    running: int
    waiting: int
    #: Seconds that the oldest task has waited.
    oldest_s: float
    #: Workflows that have tasks there which wait.
    workflows: int
    #: Share of its limit that runs, else of the slots of all workers; None: there are none.
    utilisation: float | None


async def look_at_queues(log: EventLog, *, everything: bool = True) -> list[QueueLook]:
    """All queues that have limits or tasks; with `everything` each workflow is asked."""
    facts = await Looker(log).glance()
    return queue_looks(facts, await read_backlogs(log, everything=everything))


def queue_looks(facts: Facts, backlogs: dict[str, Backlog]) -> list[QueueLook]:
    slots = sum(one.slots for one in facts.members if one.lives and one.role == "worker")
    return [_look(queue, backlogs, slots) for queue in facts.queues]


def _look(queue: QueueView, backlogs: dict[str, Backlog], slots: int) -> QueueLook:
    backlog = backlog_of(queue.name, backlogs)
    most = queue.limit or slots
    return QueueLook(
        queue.name,
        queue.limit,
        queue.depth,
        queue.running,
        queue.waiting,
        round(backlog.oldest_s, 3),
        backlog.workflows,
        round(queue.running / most, 3) if most else None,
    )


def backlog_of(name: str, backlogs: dict[str, Backlog]) -> Backlog:
    """That of a queue, or of all together."""
    if name == ALL_QUEUES:
        return _together(backlogs.values())
    return backlogs.get(name, Backlog())


def _together(backlogs: Iterable[Backlog]) -> Backlog:
    """A workflow that waits in several queues counts in each."""
    found = Backlog()
    for one in backlogs:
        found.oldest_s = max(found.oldest_s, one.oldest_s)
        found.workflows += one.workflows
    return found


async def queue_look(log: EventLog, name: str) -> QueueLook:
    """One queue, whatever it has."""
    for one in await look_at_queues(log, everything=False):
        if one.name == name:
            return one
    return _look(QueueView(name, 0, 0, 0, 0), {}, 0)
