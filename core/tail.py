"""Wait for what comes next in streams, on a connection of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from redis import exceptions

from . import clock
from .wire import Wire

#: Longest blocking read, seconds.
BLOCK = 5.0

Fields = dict[bytes, bytes]
Entry = tuple[bytes, Fields]


class Tail:
    """Reads that block: they would hold up other calls of their connection."""

    def __init__(self, url: str) -> None:
        self._wire = Wire(url)

    async def open(self) -> None:
        """Connect: from now on `read` tells when the connection was cut."""
        await self._wire.call("PING")

    async def read(
        self, after: Mapping[str, str], *, count: int, block: float | None = None
    ) -> list[tuple[str, list[Entry]]]:
        """(key, entries) of streams that have entries above the ids in `after`.

        Waits up to `block` seconds for the first, `BLOCK` unless told otherwise. Raises
        redis.exceptions.RedisError, also once after the connection was cut between two reads:
        Redis may have lost what was read.
        """
        seconds = clock.at_most(BLOCK) if block is None else block
        block_ms = 0 if seconds == math.inf else max(1, int(seconds * 1000))
        command = ["XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS"]
        connections = self._wire.connections
        answer = await self._wire.call(*command, *after, *after.values())
        if connections not in (0, self._wire.connections):
            raise exceptions.ConnectionError("it was cut between two reads")
        return [(key.decode(), [entry_of(raw) for raw in entries]) for key, entries in answer or ()]

    async def close(self) -> None:
        await self._wire.close()


def entry_of(raw: Any) -> Entry:
    """An entry as Redis answers it: (id, [field, value, field, value …])."""
    name, fields = raw
    return name, dict(zip(fields[::2], fields[1::2], strict=True))
