"""The listing of workflows in pages, newest first, over all partitions.

A page ends where its last item was created, so runs that come meanwhile neither shift nor repeat
anything. A page looks at a bounded number of runs: with a filter that few match it may hold few
items, or none, and still say that there is more.
"""

from __future__ import annotations

import msgspec

from ..core.log import EventLog
from .listing import Summary, summaries

#: Runs looked at for one page, and per call.
LOOKED_AT, CHUNK = 2000, 200


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a page ended: pages go down from here."""

    created_ms: int
    id: str


class Filter(msgspec.Struct, frozen=True):
    """What a listing shows; None and empty show all. Times are ms, the end is not included."""

    status: str | None = None
    name: str | None = None
    tags: dict[str, str] = {}
    created_from: int | None = None
    created_to: int | None = None

    def takes(self, one: Summary) -> bool:
        return (
            self.status in (None, one.status)
            and self.name in (None, one.name)
            and all(one.tags.get(key) == value for key, value in self.tags.items())
        )


class Page(msgspec.Struct, frozen=True):
    items: list[Summary]
    #: Where the next page begins; None at the end.
    next: Place | None


async def read_page(log: EventLog, wanted: Filter, after: Place | None, limit: int) -> Page:
    found: list[Summary] = []
    looked = 0
    while looked < LOOKED_AT:
        places = await _places(log, wanted, after)
        looked += len(places)
        known = {one.id: one for one in await summaries(log, [place.id for place in places])}
        for place in places:
            after = place
            if (one := known.get(place.id)) and wanted.takes(one):
                found.append(one)
            if len(found) == limit:
                return Page(found, after)
        if len(places) < CHUNK:
            return Page(found, None)
    return Page(found, after)


async def _places(log: EventLog, wanted: Filter, after: Place | None) -> list[Place]:
    """The next CHUNK of all partitions together, newest first."""
    found: list[Place] = []
    for partition in range(log.keys.partitions):
        found += await _places_of(log, partition, wanted, after)
    return sorted(found, reverse=True)[:CHUNK]


async def _places_of(
    log: EventLog, partition: int, wanted: Filter, after: Place | None
) -> list[Place]:
    key = log.keys.flow(partition, "workflows", *([wanted.status] if wanted.status else []))
    highest = "+inf" if wanted.created_to is None else f"({wanted.created_to}"
    if after and (wanted.created_to is None or after.created_ms < wanted.created_to):
        highest = str(after.created_ms)
    lowest = "-inf" if wanted.created_from is None else str(wanted.created_from)
    found: list[Place] = []
    start = 0
    while len(found) < CHUNK:
        entries = await _range(log, key, highest, lowest, start)
        found += [place for place in entries if after is None or place < after]
        start += CHUNK
        if len(entries) < CHUNK:
            break
    return found[:CHUNK]


async def _range(log: EventLog, key: str, highest: str, lowest: str, start: int) -> list[Place]:
    entries: list[tuple[bytes, float]] = await log.connection.call(
        lambda: log.redis.zrevrangebyscore(
            key, highest, lowest, start=start, num=CHUNK, withscores=True
        )
    )
    return [Place(int(score), name.decode()) for name, score in entries]


async def read_oldest(log: EventLog, wanted: Filter, after: Place) -> list[Place]:
    """The next CHUNK of runs, oldest first, above a place; tags and names are not looked at."""
    found: list[Place] = []
    for partition in range(log.keys.partitions):
        key = log.keys.flow(partition, "workflows")
        found += await _oldest_of(log, key, wanted, after)
    return sorted(found)[:CHUNK]


async def _oldest_of(log: EventLog, key: str, wanted: Filter, after: Place) -> list[Place]:
    highest = "+inf" if wanted.created_to is None else f"({wanted.created_to}"
    found: list[Place] = []
    start = 0
    while len(found) < CHUNK:
        entries = await _range_up(log, key, str(after.created_ms), highest, start)
        found += [place for place in entries if place > after]
        start += CHUNK
        if len(entries) < CHUNK:
            break
    return found[:CHUNK]


async def _range_up(log: EventLog, key: str, lowest: str, highest: str, start: int) -> list[Place]:
    entries: list[tuple[bytes, float]] = await log.connection.call(
        lambda: log.redis.zrangebyscore(
            key, lowest, highest, start=start, num=CHUNK, withscores=True
        )
    )
    return [Place(int(score), name.decode()) for name, score in entries]
