"""Own a lane and read its feed.

A lane has one owner, told by a token that every write of the engine carries. The owner reads the
feed with a position of its own, kept in a consumer group: it moves only behind what has been dealt
with, so a successor starts where something may be left to do.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import anyio
import msgspec
from redis import exceptions

from ..core import clock
from ..core.connection import is_passing
from ..core.ids import new_session
from ..core.keys import SHARED
from ..core.log import EventLog, FeedEntry, decode_feed_entry
from ..core.tail import Entry, Tail
from .session import Heartbeat, LaneLost
from .share import LOOK, Share

GROUP = "engine"
READ = 256
#: Seconds between two notes of our position. A successor that starts too early decides nothing new.
ACKNOWLEDGE = 0.2


class LaneCalledBack(Exception):
    """Raised when the lane is still ours, and another process is to have it."""


class Batch(msgspec.Struct, frozen=True):
    """What the feed had next. `was_away`: Redis was, and its logs may have lost their tails."""

    entries: list[FeedEntry]
    was_away: bool = False


class Lane:
    """One lane of one partition, ours while `token` is set."""

    def __init__(
        self,
        log: EventLog,
        *,
        partition: int = 0,
        name: str = SHARED,
        share: Share | None = None,
        heart: Heartbeat | None = None,
    ) -> None:
        """`share` is asked where there are several shared lanes."""
        self._log = log
        self._heart = heart or Heartbeat(log, partition)
        self._share = share
        self.partition = partition
        self.name = name
        self.token = ""
        #: What we ask for the lane with: the answer may be on its way when we stop.
        self._asking = ""
        self._feed = log.keys.feed(partition, name)
        #: Set once a new feed's engine has looked at what was there before it.
        self._stocked = log.keys.flow(partition, name, "stocked")

    @property
    def is_private(self) -> bool:
        return self.name != SHARED

    async def acquire(self) -> None:
        """Wait until the lane is ours."""
        token = self._asking = new_session("engine")
        while not self.token:
            if self._share:
                await self._share.take(self.partition)
            if await self._renew(token, acquire=True):
                self.token = token
                return
            if self._share:
                self._share.give(self.partition)
            await anyio.sleep(min(self._log.settings.lease / 5, LOOK))

    async def keep(self) -> None:
        """Renew the lease until cancelled. Raises LaneLost, LaneCalledBack, in a group."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._heart.keep_lane, self.name, self.token)
            if self._share:
                await self._share.wait_until_called_back(self.partition)
                raise LaneCalledBack

    async def release(self, sessions: Sequence[str] = ()) -> None:
        """Let somebody else take over at once: the lane, and what the sessions hold."""
        token = self.token or self._asking
        await self._log.scripts.renew(
            self.partition,
            lanes=[(self.name, token)] if token else [],
            sessions=list(sessions),
            lease_ms=0,
            release=True,
        )
        if self._share:
            self._share.give(self.partition)

    async def _renew(self, token: str, *, acquire: bool = False) -> bool:
        lease_ms = int(self._log.settings.lease * 1000)
        (held,) = await self._log.scripts.renew(
            self.partition,
            lanes=[(self.name, token)],
            sessions=[],
            lease_ms=lease_ms,
            acquire=acquire,
        )
        return held

    async def open_feed(self) -> str:
        """Position of our group on the feed, which is made when it is not there."""
        return await self._log.connection.call(self._open_feed)

    async def _open_feed(self) -> str:
        try:
            await self._log.redis.xgroup_create(self._feed, GROUP, id="$", mkstream=True)
        except exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        else:
            await self._log.redis.delete(self._stocked)
        groups = await self._log.redis.xinfo_groups(self._feed)
        mine = next(group for group in groups if group["name"] == GROUP.encode())
        position: bytes = mine["last-delivered-id"]
        return position.decode()

    async def is_stocked(self) -> bool:
        """Whether an owner has looked at the workflows that were there before the feed."""
        found = await self._log.connection.call(lambda: self._log.redis.exists(self._stocked))
        return bool(found)

    async def mark_stocked(self) -> None:
        await self._log.connection.call(lambda: self._log.redis.set(self._stocked, "1"))

    async def batches(self, tail: Tail, position: str) -> AsyncGenerator[Batch, None]:
        """What comes after `position`; asking for the next batch says that the last is dealt with.

        Raises LaneLost.
        """
        noted, noted_at = position, clock.monotonic()
        while True:
            # After a burst its end is noted soon, so that the position tells how far we are.
            block = None if position == noted else ACKNOWLEDGE
            found = await self._read(tail, position, block)
            if found is None:
                # Where it is now: a Redis that lost writes may number the next ones anew.
                position = noted = await self.open_feed()
                yield Batch([], was_away=True)
                continue
            if found:
                yield Batch([decode_feed_entry(entry) for entry in found])
                position = found[-1][0].decode()
            if not found or clock.monotonic() > noted_at + ACKNOWLEDGE:
                await self._acknowledge(position)
                noted, noted_at = position, clock.monotonic()

    async def _read(self, tail: Tail, position: str, block: float | None) -> list[Entry] | None:
        """Entries above the position; None when Redis is away, or was."""
        try:
            answer = await tail.read({self._feed: position}, count=READ, block=block)
        except exceptions.RedisError as error:
            if not is_passing(error):
                raise
            await anyio.sleep(0.2)
            return None
        return answer[0][1] if answer else []

    async def _acknowledge(self, position: str) -> None:
        moved = await self._log.scripts.acknowledge(
            self.partition,
            lane=self.name,
            token=self.token,
            feed=self._feed,
            group=GROUP,
            id=position,
        )
        if not moved:
            raise LaneLost
