"""Divide the shared lanes among the schedulers that live, one process each.

    four partitions, three schedulers   ──▶   2 1 1

Nobody divides them: each process counts the schedulers by their sessions, which all of them have
in the first partition, and comes to the same numbers as the others. They add up to all lanes, so a
lane that one gives up is one that another lacks. Who counts wrongly for a moment does no harm: a
lane has one owner, whatever anybody thinks of its share.

The dead are counted until their sessions have run out, and their lanes run out before. Such an
orphan goes to whoever comes first, who keeps it beside its share until the dead are not counted.
"""

from __future__ import annotations

from collections.abc import Collection

import anyio
import structlog

from ..core.keys import SHARED
from ..core.log import EventLog

log = structlog.get_logger()

#: Longest time between two looks at who lives, and until a lane whose lease has ended is looked at
#: again before it counts as an orphan, seconds.
LOOK, AGAIN = 0.5, 0.1


class Share:
    """The lanes that this process may own, and those that it has or is about to take."""

    def __init__(self, event_log: EventLog, session: str) -> None:
        """`session` is the name of this process's scheduler."""
        self._log = event_log
        self._session = session
        self._most = 0
        #: By partition, the latest last. The event calls the lane back.
        self._lanes: dict[int, anyio.Event] = {}
        #: Lanes whose owners fell silent, and those that have been seen so twice.
        self._silent: set[int] = set()
        self._orphans: set[int] = set()
        #: Until when lanes that were orphans do not count.
        self._extra: dict[int, float] = {}
        #: Set, and replaced, when there may be room for one more.
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Look at who lives for ever. Raises SettingsError, as `EventLog.keep_partitions`."""
        lease = self._log.settings.lease
        pause, since = 0.0, anyio.current_time()
        while True:
            await self._log.keep_partitions()
            seconds, micros = await self._log.connection.call(self._log.redis.time)
            now_ms = int(seconds) * 1000 + int(micros) // 1000
            most, ends = await self._count(now_ms), await self._lease_ends(now_ms)
            if anyio.current_time() - since > pause + lease / 2:
                # We or Redis stood still: let those that live renew their leases first.
                self._orphans, self._silent = set(), set()
                left = []
            else:
                silent = {number for number, left_s in ends.items() if left_s <= 0}
                self._orphans, self._silent = silent & self._silent, silent
                self._set_most(most)
                known = silent == self._orphans
                left = [s for s in ends.values() if s > 0] if known else [AGAIN]
            pause = min(lease / 5, LOOK, *left)
            since = anyio.current_time()
            await anyio.sleep(pause)

    async def take(self, partition: int) -> None:
        """Wait until one more lane may be ours, or this one is an orphan; then count it."""
        self.give(partition)
        while self._surplus() >= 0 and partition not in self._orphans:
            await self._changed.wait()
        if self._surplus() >= 0:
            self._extra[partition] = anyio.current_time() + self._log.settings.lease
        self._lanes[partition] = anyio.Event()

    def give(self, partition: int) -> None:
        """A lane is not ours, or no more."""
        self._extra.pop(partition, None)
        if self._lanes.pop(partition, None):
            self._look()

    async def wait_until_called_back(self, partition: int) -> None:
        """Until another process is to have this lane of ours."""
        await self._lanes[partition].wait()

    def _set_most(self, most: int) -> None:
        if most != self._most:
            log.info("share.changed", lanes=most)
        self._most = most
        self._look()

    def _look(self) -> None:
        """Call back one lane where there are too many, else see who waits for room."""
        is_calling = any(called.is_set() for called in self._lanes.values())
        if self._surplus() > 0 and not is_calling:
            partition = next(reversed(self._lanes))
            self._lanes[partition].set()
        self._changed.set()
        self._changed = anyio.Event()

    def _surplus(self) -> int:
        """Lanes that we have, without those that do not count, above our share."""
        now = anyio.current_time()
        return len(self._lanes) - sum(end > now for end in self._extra.values()) - self._most

    async def _lease_ends(self, now_ms: int) -> dict[int, float]:
        """Seconds until the leases of lanes that have owners end, negative where they have."""
        owners = [await self._owner(number) for number in range(self._log.keys.partitions)]
        ends_ms = {number: int(owner.partition(b" ")[0]) for number, owner in enumerate(owners)}
        return {number: (ms - now_ms) / 1000 for number, ms in ends_ms.items() if ms > 0}

    async def _owner(self, partition: int) -> bytes:
        """Of a shared lane: `<end of the lease, ms> <token>`."""
        owners = self._log.keys.flow(partition, "owners")
        call = self._log.connection.call
        owner: bytes | None = await call(lambda: self._log.redis.hget(owners, SHARED))
        return owner or b"0"

    async def _count(self, now_ms: int) -> int:
        """The share of this process, as things are now."""
        redis, call = self._log.redis, self._log.connection.call
        sessions = self._log.keys.flow(0, "sessions")
        names: list[bytes] = await call(lambda: redis.zrangebyscore(sessions, now_ms, "+inf"))
        living = {name.decode() for name in names if name.startswith(b"scheduler@")}
        return share_of(self._session, living | {self._session}, self._log.keys.partitions)


def share_of(name: str, living: Collection[str], partitions: int) -> int:
    """How many of the lanes are for one of the schedulers that live.

    All have the same number; what is left then goes to the first ones by name, one each.
    """
    even, left = divmod(partitions, len(living))
    return even + (sorted(living).index(name) < left)
