"""Wake who waits: one blocking read per process and lane instead of polling.

An entry brings news about a workflow (`stop` and `settled` of a job, `cancel` of a task) or says
that there is work (`task`, `job`, `timer`). Each kind of work has a stream of its own, so that it
wakes only processes that do it. Missing an entry does no harm: after every reconnect and each
`RECHECK` seconds all listeners look for themselves. After a reconnect they also hear that Redis was
`away`: it may have lost its last writes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
        self._place = (partition, lane)
        #: Streams that are listened to, and the last entry that was heard of each.
        self._last = {log.keys.bell(partition, lane): "0-0"}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener, *kinds: str) -> None:
        """Tell of news, and of work of these kinds."""
        self._listeners.append(listener)
        for kind in kinds:
            self._last.setdefault(self._log.keys.bell(*self._place, kind), "0-0")

    async def open(self) -> None:
        """Take the positions; what rings from now on is heard."""
        for key in self._last:
            last: list[Any] = await self._log.connection.call(
                partial(self._log.redis.xrevrange, key, count=1)
            )
            if last:
                self._last[key] = last[0][0].decode()

    async def run(self) -> None:
        checked = clock.monotonic()
        async with self._log.connection.tail() as tail:
            while True:
                is_back = not await self._hear(tail)
                if is_back:
                    self._tell("away", "", "")
                if is_back or clock.monotonic() - checked > clock.at_most(RECHECK):
                    self._tell("recheck", "", "")
                    checked = clock.monotonic()

    async def _hear(self, tail: Tail) -> bool:
        """Pass on what rang; False when Redis was away."""
        try:
            answer = await tail.read(self._last, count=HEARD)
        except exceptions.RedisError as error:
            if not is_passing(error):
                raise
            await anyio.sleep(0.2)
            return False
        for key, entries in answer:
            self._last[key] = entries[-1][0].decode()
            for _, fields in entries:
                self._tell(
                    fields[b"kind"].decode(), fields[b"w"].decode(), fields[b"subject"].decode()
                )
        return True

    def _tell(self, kind: str, workflow: str, subject: str) -> None:
        for listener in self._listeners:
            listener(kind, workflow, subject)
