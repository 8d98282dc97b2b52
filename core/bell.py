"""Wake who waits: one blocking read per process and lane instead of polling.

An entry says that there is work (`task`, `job`) or brings news about a workflow (`stop` and
`settled` of a job, `cancel` of a task). Missing one does no harm: after every reconnect and each
`RECHECK` seconds all listeners look for themselves. After a reconnect they also hear that Redis
was `away`: it may have lost its last writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from redis import exceptions

from . import clock
from .connection import is_passing
from .keys import SHARED
from .log import EventLog
from .tail import Tail

RECHECK = 15.0
#: Entries heard at once.
HEARD = 1000

#: Takes (kind, workflow, subject); kind is `recheck` when something may have been missed, and
#: `away` before that when Redis was.
Listener = Callable[[str, str, str], None]


class Bell:
    def __init__(self, log: EventLog, *, partition: int = 0, lane: str = SHARED) -> None:
        self._log = log
        self._key = log.keys.bell(partition, lane)
        self._last = "0-0"
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def open(self) -> None:
        """Take the position; what rings from now on is heard."""
        last: list[Any] = await self._log.connection.call(
            lambda: self._log.redis.xrevrange(self._key, count=1)
        )
        if last:
            self._last = last[0][0].decode()

    async def run(self) -> None:
        checked = anyio.current_time()
        async with self._log.connection.tail() as tail:
            while True:
                is_back = not await self._hear(tail)
                if is_back:
                    self._tell("away", "", "")
                if is_back or anyio.current_time() - checked > clock.at_most(RECHECK):
                    self._tell("recheck", "", "")
                    checked = anyio.current_time()

    async def _hear(self, tail: Tail) -> bool:
        """Pass on what rang; False when Redis was away."""
        try:
            answer = await tail.read({self._key: self._last}, count=HEARD)
        except exceptions.RedisError as error:
            if not is_passing(error):
                raise
            await anyio.sleep(0.2)
            return False
        for _, entries in answer:
            for name, fields in entries:
                self._last = name.decode()
                self._tell(
                    fields[b"kind"].decode(), fields[b"w"].decode(), fields[b"subject"].decode()
                )
        return True

    def _tell(self, kind: str, workflow: str, subject: str) -> None:
        for listener in self._listeners:
            listener(kind, workflow, subject)
