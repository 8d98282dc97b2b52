"""Take over from the dead, and cut the feeds behind their slowest readers."""

from __future__ import annotations

import anyio

from ..core.connection import LONGEST_DELAY
from ..core.log import EventLog
from .session import Heartbeat

#: Least time between two rounds, seconds.
SHORTEST = 0.05
#: How long those that live get for renewing their leases when Redis is back, seconds.
GRACE = 3 * LONGEST_DELAY
#: What a call may take on a busy machine, seconds.
ON_ITS_WAY = 0.2
#: What is kept of the partition's feed for followers that come back, s and entries.
KEEP_S, KEEP_ENTRIES = 3600, 100_000


class Janitor:
    def __init__(self, log: EventLog, heart: Heartbeat, *, partition: int = 0) -> None:
        self._log = log
        self._heart = heart
        self.partition = partition

    async def run(self) -> None:
        """Take over whenever a lease ends; where none could be renewed, let those that live do so.

        That is after a standstill of Redis or of this process, and at the start, which may follow
        one. A call that is on its way when Redis goes comes late and takes nothing. From the last
        answer to us on half a lease may pass until it is made, and a tenth until it is there: less
        than the two thirds of a lease that the living have at least when they cannot renew.
        """
        lease = self._log.settings.lease
        half, late = lease / 2, max(lease / 10, ON_ITS_WAY)
        grace = min(half, GRACE)
        until_ms = 0
        while True:
            swept = await self._log.scripts.sweep(self.partition, until_ms=until_ms)
            pause = grace if swept.is_late else min(half, max(SHORTEST, swept.left))
            if any(swept.taken):
                pause = 0.0
            else:
                await self._tend_feeds()
            await anyio.sleep(pause)
            is_steady = self._heart.is_steady(grace)
            until_ms = swept.now_ms + int(1000 * (pause + late)) if is_steady else 0

    async def _tend_feeds(self) -> None:
        await self._log.scripts.tend_feeds(
            self.partition, keep_ms=KEEP_S * 1000, keep_entries=KEEP_ENTRIES
        )
