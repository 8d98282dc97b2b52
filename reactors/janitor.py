"""Take over from the dead, and cut the feed behind its slowest reader."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import anyio
from redis import exceptions

from ..core.log import EventLog


class Janitor:
    def __init__(self, log: EventLog, *, partition: int = 0) -> None:
        self._log = log
        self.partition = partition

    async def run(self) -> None:
        keys = self._log.keys
        while True:
            while any(await self._log.scripts.sweep(self.partition)):
                pass
            for feed in (keys.feed(self.partition), keys.flow(self.partition, "feed")):
                await self._log.connection.call(partial(self._trim, feed))
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
        """Every group keeps what it has not read; without groups there is no feed."""
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
