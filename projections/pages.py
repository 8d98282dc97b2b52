"""The listing of workflows in pages, newest first, over all partitions.

A page ends where its last item was created, so runs that come meanwhile neither shift nor repeat
anything. A page looks at a bounded number of runs: with a filter that few match it may hold few
items, or none, and still say that there is more.
"""

from __future__ import annotations

import msgspec

from ..core.log import EventLog
from .summaries import Summary, summaries
from .walk import Filter, Place, walk

__all__ = ["Filter", "Page", "Place", "read_oldest", "read_page"]

#: Runs whose documents are looked at for one page, and places per call.
LOOKED_AT, CHUNK = 2000, 200
#: Places asked for beyond those that are wanted: of some there is nothing left.
SPARE = 10


class Page(msgspec.Struct, frozen=True):
    items: list[Summary]
    #: Where the next page begins; None at the end.
    next: Place | None


async def read_page(log: EventLog, wanted: Filter, after: Place | None, limit: int) -> Page:
    found: list[Summary] = []
    looked = 0
    while looked < LOOKED_AT:
        asked = min(CHUNK, limit - len(found) + SPARE)
        walked = await walk(log, wanted, after, asked)
        looked += max(len(walked.places), SPARE)
        known = {one.id: one for one in await summaries(log, [one.id for one in walked.places])}
        for place in walked.places:
            after = place
            if (one := known.get(place.id)) and takes(wanted, one):
                found.append(one)
            if len(found) == limit:
                return Page(found, after)
        if walked.next is None:
            return Page(found, None)
        after = walked.next
    return Page(found, after)


def takes(wanted: Filter, one: Summary) -> bool:
    """Whether a workflow is wanted as its document has it: listings may lag it."""
    return (
        wanted.status in (None, one.status)
        and wanted.name in (None, one.name)
        and all(one.tags.get(key) == value for key, value in wanted.tags.items())
    )


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
