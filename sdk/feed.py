"""Read the feeds of all partitions once per process, for any number of followers.

Redis sees one reader however many clients follow. What comes is kept in a ring that all followers
share and go through at their own pace: nobody has a buffer of his own that could grow. Who falls
out of the ring reads the stream, or the log of its workflow, and comes back to the ring later.

    Redis ── XREAD ──▶ ring ──▶ those who follow everything
                         └────▶ those who follow one workflow, woken when it is about theirs
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from redis import exceptions

from ..core.cloudevents import CloudEvent, encode
from ..core.connection import is_passing
from ..core.events import Recorded
from ..core.ids import new_session
from ..core.log import EventLog, FeedEntry, decode_feed_entry
from ..core.tail import Tail
from ..projections.abouts import Abouts
from .positions import FeedPosition, Place, entry_order

#: Entries in the ring, and per read; those that one follower is handed at a time.
RING, READ, SHARE = 5000, 500, 100
#: How long the feed is kept for a process that fell silent, and how often it says it is there, s.
LEASE, RENEW = 60.0, 15.0


class Resync(Exception):
    """Raised when what follows a position is no longer there to be read."""


class Item(msgspec.Struct):
    """An entry of one partition's feed; what it holds is decoded once for all followers."""

    partition: int
    entry: FeedEntry
    public: list[Public] | None = None
    _events: list[Recorded] | None = None

    @property
    def events(self) -> list[Recorded]:
        if self._events is None:
            self._events = self.entry.events()
        return self._events


class Public(msgspec.Struct):
    """An event in its public form, and as JSON."""

    event: CloudEvent
    _json: bytes = b""

    @property
    def json(self) -> bytes:
        self._json = self._json or encode(self.event)
        return self._json


class Mail:
    """What one follower of one workflow is woken by."""

    def __init__(self) -> None:
        self.news = anyio.Event()
        self.items: list[Item] = []
        #: Something may have been missed: look at the log.
        self.look = False

    def put(self, item: Item, room: int = 100) -> None:
        if len(self.items) < room:
            self.items.append(item)
        else:
            self.look = True
        self.news.set()

    def take(self) -> tuple[list[Item], bool]:
        items, look = self.items, self.look
        self.items, self.look, self.news = [], False, anyio.Event()
        return items, look


class Feed:
    """All feeds of an installation, followed while `run` runs."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self._name = new_session("follower")
        self._ring: deque[Item] = deque(maxlen=RING)
        #: What the ring follows on, by partition.
        self._floor: list[str] = []
        self._last: dict[str, str] = {}
        self._news = anyio.Event()
        self._mail: dict[str, set[Mail]] = {}
        self.abouts = Abouts(log)
        self._ready = anyio.Event()
        #: Set when followers are to end.
        self.closing = anyio.Event()

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            await self.renew()
            tasks.start_soon(self._keep)
            tasks.start_soon(self._read_forever)
            await self.closing.wait()
            tasks.cancel_scope.cancel()
        with anyio.move_on_after(1, shield=True):
            for partition in self._partitions:
                await self.log.scripts.follow_feed(partition, follower=self._name, lease_ms=0)

    def close(self) -> None:
        """Let all followers end at once."""
        self.closing.set()
        self._wake_all()

    @property
    def partitions(self) -> int:
        return self.log.keys.partitions

    @property
    def _partitions(self) -> range:
        return range(self.partitions)

    async def _keep(self) -> None:
        while True:
            await anyio.sleep(RENEW)
            await self.renew()

    async def renew(self) -> None:
        """Say that we follow, and find out whether the feed had been lost."""
        for partition in self._partitions:
            last, made = await self.log.scripts.follow_feed(
                partition, follower=self._name, lease_ms=int(LEASE * 1000)
            )
            self._last.setdefault(self.log.keys.flow(partition, "feed"), last)
            if made and self._ready.is_set():
                self._begin_anew(partition, last)
        if not self._ready.is_set():
            self._floor = list(self._last.values())
            self._ready.set()

    def _begin_anew(self, partition: int, last: str) -> None:
        """The feed had been lost: what went over it meanwhile is in the logs only."""
        self._last[self.log.keys.flow(partition, "feed")] = last
        self._floor = list(self._last.values())
        self._ring.clear()
        self._wake_all()

    async def _read_forever(self) -> None:
        async with self.log.connection.tail() as tail:
            while True:
                await self._read(tail)

    async def _read(self, tail: Tail) -> None:
        try:
            answer = await tail.read(self._last, count=READ)
        except exceptions.RedisError as error:
            if not is_passing(error):
                raise
            await anyio.sleep(0.2)
            await self.renew()
            self._wake_all()  # logs may have lost their tails meanwhile
            return
        keys = list(self._last)
        for key, entries in answer:
            self._last[key] = entries[-1][0].decode()
            for entry in entries:
                self._take(Item(keys.index(key), decode_feed_entry(entry)))
        if answer:
            news, self._news = self._news, anyio.Event()
            news.set()

    def _take(self, item: Item) -> None:
        if len(self._ring) == RING:
            oldest = self._ring[0]
            self._floor[oldest.partition] = oldest.entry.id
        self._ring.append(item)
        self.abouts.note(item.entry)
        for mail in self._mail.get(item.entry.workflow, ()):
            mail.put(item)

    def _wake_all(self) -> None:
        for mails in self._mail.values():
            for mail in mails:
                mail.look = True
                mail.news.set()
        news, self._news = self._news, anyio.Event()
        news.set()

    async def end(self) -> FeedPosition:
        """The position after everything that there is."""
        await self._ready.wait()
        return FeedPosition(tuple(Place(last) for last in self._last.values()))

    @asynccontextmanager
    async def listen(self, workflow: str) -> AsyncGenerator[Mail]:
        """Mail about one workflow, from now on."""
        await self._ready.wait()
        mail = Mail()
        self._mail.setdefault(workflow, set()).add(mail)
        try:
            yield mail
        finally:
            self._mail[workflow].discard(mail)
            if not self._mail[workflow]:
                del self._mail[workflow]

    async def wait(self, position: FeedPosition) -> None:
        """Return when there may be something after a position; at once when there is."""
        if self.closing.is_set():
            return
        if all(
            place.id == last and not place.events
            for place, last in zip(position.places, self._last.values(), strict=True)
        ):
            await self._news.wait()

    async def after(self, position: FeedPosition, limit: int = SHARE) -> list[Item]:
        """The next entries after a position, that of a place in the middle of one included.

        Raises Resync when they may no longer be complete.
        """
        await self._ready.wait()
        if self._covers(position):
            return self._from_ring(position, limit)
        found: list[Item] = []
        for partition, place in enumerate(position.places):
            found += await self._from_stream(partition, place, limit)
        return found

    def _covers(self, position: FeedPosition) -> bool:
        return all(
            entry_order(place.id) > entry_order(floor)
            or (entry_order(place.id) == entry_order(floor) and not place.events)
            for place, floor in zip(position.places, self._floor, strict=True)
        )

    def _from_ring(self, position: FeedPosition, limit: int) -> list[Item]:
        starts = [(entry_order(place.id), bool(place.events)) for place in position.places]
        found: list[Item] = []
        for item in reversed(self._ring):
            order, (start, within) = entry_order(item.entry.id), starts[item.partition]
            if order > start or (within and order == start):
                found.append(item)
            elif len(starts) == 1:
                break
        found.reverse()
        return found[:limit]

    async def _from_stream(self, partition: int, place: Place, limit: int) -> list[Item]:
        key = self.log.keys.flow(partition, "feed")
        entries: list[Any] = await self.log.connection.call(
            lambda: self.log.redis.xrange(key, min=place.id, count=limit)
        )
        there = bool(entries) and entries[0][0].decode() == place.id
        if not there and not await self._is_whole(key, place.id):
            raise Resync
        if there and not place.events:
            del entries[0]
        return [Item(partition, decode_feed_entry(entry)) for entry in entries]

    async def _is_whole(self, key: str, id: str) -> bool:
        """Whether nothing after an id that has no entry has been cut off."""
        try:
            info: dict[str, Any] = await self.log.redis.xinfo_stream(key)
        except exceptions.ResponseError:
            return False
        if entry_order(id) >= entry_order(info["last-generated-id"].decode()):
            return True
        if info["first-entry"] and entry_order(info["first-entry"][0].decode()) <= entry_order(id):
            return True
        made: bytes = info.get("max-deleted-entry-id", info["last-generated-id"])
        nothing_cut = int(info.get("entries-added", -1)) == int(info["length"]) + 1
        return nothing_cut and entry_order(id) >= entry_order(made.decode())
