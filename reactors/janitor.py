"""Take over from the dead, and cut the feeds behind their slowest readers."""

from __future__ import annotations

import anyio

from ..core.log import EventLog

#: Least time between two rounds, seconds.
SHORTEST = 0.05
#: What is kept of the partition's feed for followers that come back, s and entries.
KEEP_S, KEEP_ENTRIES = 3600, 100_000


class Janitor:
    def __init__(self, log: EventLog, *, partition: int = 0) -> None:
        self._log = log
        self.partition = partition

    async def run(self) -> None:
        """Take over whenever a lease ends; after a standstill let those that live renew first."""
        half = self._log.settings.lease / 2
        until_ms = None
        while True:
            swept = await self._log.scripts.sweep(self.partition, until_ms=until_ms)
            pause = half if swept.is_late else min(half, max(SHORTEST, swept.left))
            if any(swept.taken):
                pause = 0.0
            else:
                await self._tend_feeds()
            until_ms = swept.now_ms + int(1000 * (pause + half))
            await anyio.sleep(pause)

    async def _tend_feeds(self) -> None:
        await self._log.scripts.tend_feeds(
            self.partition, keep_ms=KEEP_S * 1000, keep_entries=KEEP_ENTRIES
        )
