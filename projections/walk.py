"""Walk the listings of workflows, newest first, over all partitions.

A workflow is listed under its status, its name and each of its tags (`parts/listings.lua`). Of the
sets that a filter names the smallest one is walked, and the others say which of its members count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..core.log import EventLog

#: Members that one call reads, and those that one walk looks at in a partition.
CHUNK, LOOKED_AT = 500, 20_000


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a walk is: it goes down from here."""

    created_ms: int
    id: str


class Filter(msgspec.Struct, frozen=True):
    """What a listing shows; None and empty show all. Times are ms, the end is not included."""

    status: str | None = None
    name: str | None = None
    tags: dict[str, str] = {}
    created_from: int | None = None
    created_to: int | None = None

    def sets(self) -> list[tuple[str, ...]]:
        """The listings that it asks for, as parts of their keys."""
        found: list[tuple[str, ...]] = []
        if self.status:
            found.append(("workflows", self.status))
        if self.name:
            found.append(("named", self.name))
        found += [tag_set(key, value) for key, value in self.tags.items()]
        return found or [("workflows",)]


class Walked(msgspec.Struct, frozen=True):
    places: list[Place]
    #: Where more may be; None at the end.
    next: Place | None


def tag_set(key: str, value: str) -> tuple[str, ...]:
    return ("tagged", key, value)


async def walk(log: EventLog, wanted: Filter, after: Place | None, count: int) -> Walked:
    """The next places that the sets give: at most `count`, or fewer with more behind them."""
    parts = [
        await _walk(log, partition, wanted, after, count)
        for partition in range(log.keys.partitions)
    ]
    found = sorted((place for part in parts for place in part.places), reverse=True)
    # Where one partition has got to, others may have more below: only what is above is complete.
    ends = [part.next for part in parts if part.next]
    if ends:
        found = [place for place in found if place >= max(ends)]
    if len(found) > count:
        return Walked(found[:count], found[count - 1])
    return Walked(found, max(ends, default=None))


async def _walk(
    log: EventLog, partition: int, wanted: Filter, after: Place | None, count: int
) -> Walked:
    keys = [log.keys.flow(partition, *parts) for parts in wanted.sets()]
    walked, *others = await _smallest_first(log, keys)
    highest, lowest = _range_of(wanted, after)
    found: list[Place] = []
    start = 0
    while True:
        size = max(CHUNK if others else min(CHUNK, count + 1), 2)
        entries = await _read(log, walked, highest, lowest, start, size)
        below = [place for place in entries if after is None or place < after]
        found += await _in_all(log, others, below)
        start += len(entries)
        if len(entries) < size:
            return Walked(found, None)
        if len(found) >= count or start >= LOOKED_AT:
            # What was found down to the last place that was looked at.
            return Walked(found, entries[-1])


async def _smallest_first(log: EventLog, keys: Sequence[str]) -> list[str]:
    if len(keys) == 1:
        return list(keys)

    async def count() -> list[int]:
        async with log.redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.zcard(key)
            sizes: list[int] = await pipe.execute()
            return sizes

    sizes = await log.connection.call(count)
    return [key for _, key in sorted(zip(sizes, keys, strict=True))]


def _range_of(wanted: Filter, after: Place | None) -> tuple[str, str]:
    """(highest, lowest) score."""
    highest = "+inf" if wanted.created_to is None else f"({wanted.created_to}"
    if after and (wanted.created_to is None or after.created_ms < wanted.created_to):
        highest = str(after.created_ms)
    return highest, "-inf" if wanted.created_from is None else str(wanted.created_from)


async def _read(
    log: EventLog, key: str, highest: str, lowest: str, start: int, count: int
) -> list[Place]:
    limits = ("WITHSCORES", "LIMIT", start, count)
    found = await _ask(log, "ZREVRANGEBYSCORE", key, highest, lowest, *limits)
    pairs = zip(found[::2], found[1::2], strict=True)
    return [Place(int(float(score)), name.decode()) for name, score in pairs]


async def _in_all(log: EventLog, keys: Sequence[str], places: list[Place]) -> list[Place]:
    """Those of the places that the other sets have, too."""
    for key in keys:
        if places:
            scores = await _ask(log, "ZMSCORE", key, *(place.id for place in places))
            places = [one for one, score in zip(places, scores, strict=True) if score is not None]
    return places


async def _ask(log: EventLog, *command: Any) -> list[Any]:
    """By the wire: the client library takes longer over hundreds of arguments than Redis does."""
    answer: list[Any] = await log.connection.call(lambda: log.connection.wire.call(*command))
    return answer
