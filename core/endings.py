"""Tell those who wait for workflows that one has ended: one blocking read for all of them.

A stream per partition has an entry for each end. Missing one does no harm: whoever waits looks at
the log before, and again every `RECHECK` seconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from .connection import Connection
from .keys import Keys

RECHECK = 15.0


class Endings:
    """What has ended on one Redis, for the waiters of one event loop."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._waiting: Counter[str] = Counter()
        self._ended: dict[str, anyio.Event] = {}
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def watch(self, workflow: str) -> AsyncGenerator[anyio.Event]:
        """An event that is set when the workflow ends from now on; look at its log within."""
        self._waiting[workflow] += 1
        event = self._ended.setdefault(workflow, anyio.Event())
        try:
            await self._open()
            yield event
        finally:
            self._waiting[workflow] -= 1
            if not self._waiting[workflow]:
                del self._waiting[workflow], self._ended[workflow]

    async def close(self) -> None:
        if self._reading:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _open(self) -> None:
        async with self._opening:
            if self._reading is None or self._reading.done():
                places = await self._places()
                self._reading = asyncio.create_task(self._read(places))

    async def _places(self) -> dict[str, str]:
        """Where each partition's stream ends now."""
        keys = [self._keys.flow(number, "ended") for number in range(self._keys.partitions)]
        return {key: await self._place(key) for key in keys}

    async def _place(self, key: str) -> str:
        wire = self._connection.wire
        last: list[Any] = await self._connection.call(
            lambda: wire.call("XREVRANGE", key, "+", "-", "COUNT", 1)
        )
        return last[0][0].decode() if last else "0-0"

    async def _read(self, places: dict[str, str]) -> None:
        """Tell of ends."""
        async for _, entries in self._connection.follow(places):
            for _, fields in entries:
                if event := self._ended.get(fields[b"w"].decode()):
                    event.set()
