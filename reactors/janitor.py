"""Take over from the dead, and cut the feeds behind their slowest readers."""

from __future__ import annotations

import anyio

from ..core import clock
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
        while True:
            while any(await self._log.scripts.sweep(self.partition)):
                pass
            await self._log.scripts.tend_feeds(
                self.partition, keep_ms=KEEP_S * 1000, keep_entries=KEEP_ENTRIES
            )
            await self._rest()

    async def _rest(self) -> None:
        """Wait until the next lease ends; after a standstill let those that live renew first.

        A process that was suspended, or could not reach Redis, finds leases run out although
        nobody died.
        """
        half = self._log.settings.lease / 2
        while not await self._sleep(min(half, await self._left())):
            await self._sleep(half)

    async def _sleep(self, seconds: float) -> bool:
        """Sleep and ask Redis; whether that took hardly longer than it should."""
        before = clock.monotonic()
        await anyio.sleep(seconds)
        await self._left()
        return clock.monotonic() - before < seconds + self._log.settings.lease / 2

    async def _left(self) -> float:
        """Seconds until the first lease of a session or a private lane ends, as they are now."""
        return max(SHORTEST, await self._log.scripts.next_lease_end(self.partition))
