"""How many tasks and workflows end per second, counted on the partitions' feeds while one looks.

Like every follower this has the feeds kept for it, and lets go of them at the end. Of a feed that
is faster than it reads it counts a part, and the time that part is of.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from ..core.ids import new_session
from ..core.log import EventLog

#: How long the feeds are kept for a process that fell silent, ms.
LEASE_MS = 60_000
#: Entries of a feed that are counted by one look, and by one call.
MOST, PAGE = 5000, 1000

_TASKS = ("task.completed", "task.failed")
_WORKFLOWS = ("workflow.completed", "workflow.failed", "workflow.cancelled")
_decode_posts = msgspec.json.Decoder(list[tuple[str, int | None, msgspec.Raw]]).decode


class Rates(msgspec.Struct, frozen=True):
    """What ended, per second."""

    tasks_per_s: float = 0.0
    failed_tasks_per_s: float = 0.0
    workflows_per_s: float = 0.0
    failed_workflows_per_s: float = 0.0


class Throughput:
    """Count from `open` on, look by look, until `close`."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._name = new_session("follower")
        #: Per partition: the last entry counted, and when counting there began (ms).
        self._places: dict[int, tuple[str, float]] = {}

    async def open(self) -> None:
        now_ms = await self._now_ms()
        for partition in range(self._log.keys.partitions):
            self._places[partition] = (await self._follow(partition, LEASE_MS), now_ms)

    async def close(self) -> None:
        for partition in self._places:
            await self._follow(partition, 0)

    async def look(self) -> Rates:
        """Since the last look."""
        per_s: dict[str, float] = {}
        for partition in self._places:
            last = await self._follow(partition, LEASE_MS)
            counts, seconds = await self._count(partition, last)
            for kind, count in counts.items():
                per_s[kind] = per_s.get(kind, 0.0) + count / seconds
        return Rates(
            _sum(per_s, _TASKS),
            _sum(per_s, _TASKS[1:]),
            _sum(per_s, _WORKFLOWS),
            _sum(per_s, _WORKFLOWS[1:2]),
        )

    async def _follow(self, partition: int, lease_ms: int) -> str:
        """Have the feed kept; the id of its last entry."""
        last, _ = await self._log.scripts.follow_feed(
            partition, follower=self._name, lease_ms=lease_ms
        )
        return last

    async def _now_ms(self) -> float:
        seconds, micros = await self._log.redis.time()
        return float(seconds * 1000 + micros / 1000)

    async def _count(self, partition: int, last: str) -> tuple[Counter[str], float]:
        """Events by type after the place, and the seconds in which they came."""
        place, since_ms = self._places[partition]
        feed = self._log.keys.flow(partition, "feed")
        counts: Counter[str] = Counter()
        left = MOST
        while left > 0:
            entries: list[Any] = await self._log.redis.xrange(
                feed, min=f"({place}", max=last, count=PAGE
            )
            for name, fields in entries:
                counts.update(kind for kind, _, _ in _decode_posts(fields[b"e"]))
                place = name.decode()
            left -= len(entries)
            if len(entries) < PAGE:
                break
        now_ms = await self._now_ms()
        until_ms = now_ms if left > 0 else float(place.partition("-")[0])
        self._places[partition] = (last, now_ms)
        return counts, max(0.001, (until_ms - since_ms) / 1000)


def _sum(per_s: dict[str, float], kinds: tuple[str, ...]) -> float:
    return round(sum(per_s.get(kind, 0.0) for kind in kinds), 2)
