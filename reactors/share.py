"""Divide the shared lanes among the schedulers that live, one process each.

    four partitions, three schedulers   ──▶   2 1 1

Nobody divides them: each process counts the schedulers by their sessions, which all of them have
in the first partition, and comes to the same numbers as the others. They add up to all lanes, so a
lane that one gives up is one that another lacks. Who counts wrongly for a moment does no harm: a
lane has one owner, whatever anybody thinks of its share.
"""

from __future__ import annotations

from collections.abc import Collection

import anyio
import structlog

from ..core.log import EventLog

log = structlog.get_logger()

#: Longest time between two looks at who lives, seconds.
LOOK = 1.0


class Share:
    """The lanes that this process may own, and those that it has or is about to take."""

    def __init__(self, event_log: EventLog, session: str) -> None:
        """`session` is the name of this process's scheduler."""
        self._log = event_log
        self._session = session
        self._most = 0
        #: By partition, the latest last. The event calls the lane back.
        self._lanes: dict[int, anyio.Event] = {}
        #: Set, and replaced, when there may be room for one more.
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Look at who lives for ever. Raises SettingsError, as `EventLog.keep_partitions`."""
        lease = self._log.settings.lease
        while True:
            began = anyio.current_time()
            await self._log.keep_partitions()
            most = await self._count()
            if anyio.current_time() - began < lease / 2:
                self._set_most(most)
                await anyio.sleep(min(lease / 5, LOOK))
            else:  # Redis was away: let those that live renew their sessions first
                await anyio.sleep(lease / 2)

    async def take(self, partition: int) -> None:
        """Wait until one more lane may be ours, then count this one."""
        self.give(partition)
        while len(self._lanes) >= self._most:
            await self._changed.wait()
        self._lanes[partition] = anyio.Event()

    def give(self, partition: int) -> None:
        """A lane is not ours, or no more."""
        if self._lanes.pop(partition, None):
            self._look()

    async def is_called_back(self, partition: int, seconds: float) -> bool:
        """Whether another process is to have this lane of ours; waits so long for that."""
        called = self._lanes[partition]
        with anyio.move_on_after(seconds):
            await called.wait()
        return called.is_set()

    def _set_most(self, most: int) -> None:
        if most != self._most:
            log.info("share.changed", lanes=most)
        self._most = most
        self._look()

    def _look(self) -> None:
        """Call back one lane where there are too many, else see who waits for room."""
        is_calling = any(called.is_set() for called in self._lanes.values())
        if len(self._lanes) > self._most and not is_calling:
            partition = next(reversed(self._lanes))
            self._lanes[partition].set()
        self._changed.set()
        self._changed = anyio.Event()

    async def _count(self) -> int:
        """The share of this process, as things are now."""
        redis, call = self._log.redis, self._log.connection.call
        sessions = self._log.keys.flow(0, "sessions")
        now: tuple[int, int] = await call(redis.time)
        now_ms = now[0] * 1000 + now[1] // 1000
        names: list[bytes] = await call(lambda: redis.zrangebyscore(sessions, now_ms, "+inf"))
        living = {name.decode() for name in names if name.startswith(b"scheduler@")}
        return share_of(self._session, living | {self._session}, self._log.keys.partitions)


def share_of(name: str, living: Collection[str], partitions: int) -> int:
    """How many of the lanes are for one of the schedulers that live.

    All have the same number; what is left then goes to the first ones by name, one each.
    """
    even, left = divmod(partitions, len(living))
    return even + (sorted(living).index(name) < left)
