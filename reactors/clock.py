"""Let the timers of a lane happen: retries, waiting too long, runs that take too long.

Sleeps until the next timer is due, and is woken when an earlier one is set.
"""

from __future__ import annotations

import anyio

from ..core import clock
from ..core.bell import Bell
from ..core.keys import SHARED
from ..core.log import EventLog

#: The longest sleep, seconds.
LONGEST = 30.0


class Clock:
    def __init__(
        self, log: EventLog, bell: Bell, *, partition: int = 0, lane: str = SHARED
    ) -> None:
        self._log = log
        self.partition = partition
        self.lane = lane
        self._wake = anyio.Event()
        bell.listen(self._hear, "timer")

    def _hear(self, kind: str, workflow: str, subject: str) -> None:
        if kind in ("timer", "recheck"):
            self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake = anyio.Event()
            wait_ms = await self._log.scripts.fire(self.partition, lane=self.lane)
            longest = clock.at_most(LONGEST)
            seconds = longest if wait_ms < 0 else min(longest, wait_ms / 1000)
            with anyio.move_on_after(seconds):
                await self._wake.wait()
