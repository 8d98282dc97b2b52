"""Take over from the dead, and cut the feeds behind their slowest readers."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import anyio
from redis import exceptions

from ..core import clock
from ..core.keys import SHARED
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
        feed = self._log.keys.feed(self.partition)
        while True:
            while any(await self._log.scripts.sweep(self.partition)):
                pass
            await self._log.connection.call(partial(self._trim, feed))
            await self._log.scripts.tend_feed(
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
        redis, call = self._log.redis, self._log.connection.call
        sessions = self._log.keys.flow(self.partition, "sessions")
        owned = self._log.keys.flow(self.partition, "owners")
        first: list[tuple[bytes, float]] = await call(
            lambda: redis.zrange(sessions, 0, 0, withscores=True)
        )
        owners: dict[bytes, bytes] = await call(lambda: redis.hgetall(owned))
        now: tuple[int, int] = await call(redis.time)
        ends = [end for _, end in first]
        ends += [float(one.split()[0]) for lane, one in owners.items() if lane != SHARED.encode()]
        left = min(ends, default=math.inf) / 1000 - now[0] - now[1] / 1_000_000
        return max(SHORTEST, left)

    async def _trim(self, feed: str) -> None:
        """The lane's group keeps what it has not read."""
        try:
            groups: list[dict[str, Any]] = await self._log.redis.xinfo_groups(feed)
            pending = [
                await self._log.redis.xpending(feed, group["name"])
                for group in groups
                if group["pending"]
            ]
        except exceptions.ResponseError:  # no feed yet, or a group that left meanwhile
            return
        positions = [_number(group["last-delivered-id"]) for group in groups]
        positions += [_number(one["min"]) for one in pending if one["min"]]
        if positions:
            ms, count = min(positions)
            await self._log.redis.xtrim(feed, minid=f"{ms}-{count}", approximate=True)


def _number(position: bytes) -> tuple[int, int]:
    ms, _, count = position.decode().partition("-")
    return int(ms), int(count)
