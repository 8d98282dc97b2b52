"""Look at all partitions of an installation, and see them as one. Only reads.

What it means is said by `diagnosis`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec.structs

from ..core.log import EventLog
from ..projections.queues import QueueView, list_queues
from .facts import Facts, Member, PartitionFacts, Unread
from .health import PartitionLooker


class Looker:
    """Read the facts of an installation."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._partitions = [
            PartitionLooker(log, partition) for partition in range(log.keys.partitions)
        ]

    async def look(self) -> Facts:
        parts = [await partition.look() for partition in self._partitions]
        return gather(parts, await list_queues(self._log))

    async def glance(self) -> Facts:
        """Without a look at any workflow."""
        parts = [await partition.glance() for partition in self._partitions]
        return gather(parts, await list_queues(self._log))

    async def unread(self) -> list[Unread]:
        """How far the engine of each partition is behind now."""
        return [await partition.unread() for partition in self._partitions]


def gather(parts: Sequence[PartitionFacts], queues: list[QueueView]) -> Facts:
    """See partitions as one: a process has the same roles in all of them."""
    return Facts(
        [part.lane for part in parts],
        queues,
        members=_unite(one for part in parts for one in part.members),
        active=sum(part.active for part in parts),
        paused=[name for part in parts for name in part.paused],
        waiting=[step for part in parts for step in part.waiting],
        jobs_waiting=sum(part.jobs_waiting for part in parts),
        timers_due=sum(part.timers_due for part in parts),
        timer_late_s=max(part.timer_late_s for part in parts),
        agents=[agent for part in parts for agent in part.agents],
    )


def _unite(members: Iterable[Member]) -> list[Member]:
    """One for all sessions of a name."""
    found: dict[str, Member] = {}
    for one in members:
        before = found.get(one.session)
        found[one.session] = _add(before, one) if before else one
    return sorted(found.values(), key=lambda one: (one.lane, one.role, one.host, one.pid))


def _add(one: Member, other: Member) -> Member:
    return msgspec.structs.replace(
        one,
        claimed=one.claimed + other.claimed,
        lease_left_s=min(one.lease_left_s, other.lease_left_s),
        owns_lanes=one.owns_lanes + other.owns_lanes,
    )
