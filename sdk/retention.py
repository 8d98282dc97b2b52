"""Keep Redis small: archive what is due, and take what is gone off the listings."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import msgspec
import structlog
from redis import exceptions

from ..core.errors import SettingsError
from ..core.log import EventLog
from .archiver import Archiving, archive_due

log = structlog.get_logger()

#: Seconds between two rounds of archiving, and between two looks at the listings.
ROUND_S, TIDY_S = 10.0, 3600.0
#: Members that one call looks at.
PORTION = 500
#: Listings of a partition that hold workflows for good: by kind of key.
KINDS = ("workflows", "workflows:*", "named:*", "tagged:*")
ENDED = ("completed", "failed", "cancelled")


class Retention:
    """Of one partition."""

    def __init__(self, event_log: EventLog, *, partition: int = 0) -> None:
        self._log = event_log
        self._partition = partition

    async def run(self) -> None:
        tidied = -TIDY_S
        while True:
            try:
                if anyio.current_time() - tidied >= TIDY_S:
                    tidied = anyio.current_time()
                    await tidy(self._log, self._partition)
                if self._log.settings.archive:
                    await archive_due(self._log, self._partition)
            except (SettingsError, exceptions.RedisError) as error:
                log.error("retention.failed", problem=str(error))
            await anyio.sleep(ROUND_S)


async def tidy(event_log: EventLog, partition: int, *, dry_run: bool = False) -> int:
    """Take what is gone off the listings, and let ended workflows wait for the archive, if any.

    Returns how many members without a workflow there were.
    """
    if event_log.settings.archive and not dry_run:
        await _hold_all(event_log, partition)
    gone = 0
    for part in await listings(event_log, partition):
        async for ids in _portions(event_log, partition, part):
            gone += await event_log.scripts.unlist(partition, part=part, ids=ids, dry=dry_run)
    return gone


async def _hold_all(event_log: EventLog, partition: int) -> None:
    for status in ENDED:
        async for ids in _portions(event_log, partition, f"workflows:{status}"):
            await event_log.scripts.hold(partition, ids)


async def listings(event_log: EventLog, partition: int) -> list[str]:
    """The listings there are, as parts of their keys."""
    base = event_log.keys.flow(partition) + ":"
    found: set[str] = set()
    for kind in KINDS:
        async for key in event_log.redis.scan_iter(match=base + kind, count=1000):
            found.add(key.decode().removeprefix(base))
    return sorted(found)


async def _portions(event_log: EventLog, partition: int, part: str) -> AsyncIterator[list[str]]:
    """The members of a listing, from its end on: removing some moves none that come later."""
    key = event_log.keys.flow(partition, part)
    size: int = await event_log.redis.zcard(key)
    for start in range((size - 1) // PORTION * PORTION, -1, -PORTION):
        members: list[bytes] = await event_log.redis.zrange(key, start, start + PORTION - 1)
        yield [member.decode() for member in members]


class Collected(msgspec.Struct):
    """What `gc` found, and removed unless it was asked only to look."""

    dry_run: bool
    archived: Archiving
    #: Members of listings without a workflow.
    members: int = 0
    #: What rebuilds made and never switched to.
    shadows: int = 0
    shadow_bytes: int = 0
    #: Projections that are kept for going back; they leave by themselves.
    former: int = 0
    #: Keys of workflows that have neither log nor archive, and would stay for ever.
    leftovers: int = 0
    leftover_bytes: int = 0
    #: Files of the archive that were never finished.
    parts: int = 0
