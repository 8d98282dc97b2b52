"""Take over from the dead, and cut the feeds behind their slowest readers."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import anyio
from redis import exceptions

from ..core.log import EventLog

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
        """Wait for the next round; after a standstill let our own sessions renew first.

        A process that was suspended finds its own leases run out, though nothing of it has died.
        """
        lease = self._log.settings.lease
        while True:
            before = time.monotonic()
            await anyio.sleep(lease / 2)
            if time.monotonic() - before < lease:
                return

    async def _trim(self, feed: str) -> None:
        """The lane's group keeps what it has not read."""
        try:
            groups: list[dict[str, Any]] = await self._log.redis.xinfo_groups(feed)
        except exceptions.ResponseError:
            return
        positions = [_number(group["last-delivered-id"]) for group in groups]
        for group in groups:
            if group["pending"]:
                pending = await self._log.redis.xpending(feed, group["name"])
                positions.append(_number(pending["min"]))
        if positions:
            ms, count = min(positions)
            await self._log.redis.xtrim(feed, minid=f"{ms}-{count}", approximate=True)


def _number(position: bytes) -> tuple[int, int]:
    ms, _, count = position.decode().partition("-")
    return int(ms), int(count)
