"""Durable subscriptions: events by name of the subscriber, each handled at least once.

Redis keeps where a subscription is and what is out; any number of processes may share one. Events
of one workflow are handled in order, one at a time. One that keeps failing is parked, so that the
next ones can go on, and can be looked at and handled again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.abc
import msgspec
import structlog
from redis import exceptions

from ..core.bell import Bell
from ..core.cloudevents import CloudEvent, cloud_event, encode, type_filter
from ..core.connection import is_passing
from ..core.definition import NAME, NAME_RULE
from ..core.errors import FlowError
from ..core.ids import new_session
from ..core.log import EventLog, FeedEntry, decode_feed_entry
from ..core.tail import BLOCK, Tail
from ..projections.abouts import Abouts
from ..projections.documents import iso

log = structlog.get_logger()

#: Entries read from the feed, and events claimed, at a time.
READ, CLAIM = 200, 50
#: Tries of one event before it is parked, and what is waited between them, s.
TRIES = 5
WAITS = (1.0, 5.0, 30.0, 300.0)
#: Longest time for giving back, s: Redis may be away.
FAREWELL = 3.0

_decode_event = msgspec.json.Decoder(CloudEvent).decode
_encode = msgspec.json.Encoder().encode


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a subscription wants; empty takes all."""

    types: list[str] = []
    names: list[str] = []
    tags: dict[str, str] = {}


class Parked(msgspec.Struct, frozen=True):
    """An event that was set aside, and why."""

    id: str
    event: CloudEvent
    reason: str


class Received:
    """An event that is ours until we say what became of it, or the lease is over."""

    def __init__(
        self, subscription: Subscription, partition: int, token: str, event: CloudEvent, tries: int
    ) -> None:
        self._subscription = subscription
        self._partition = partition
        self._token = token
        self.event = event
        #: Tries before this one.
        self.tries = tries

    async def ack(self) -> bool:
        """It is handled. False: it took too long, and somebody else has it now."""
        return await self._settle("done")

    async def retry(self, after: float = 1.0) -> bool:
        """Have it given again after so many seconds; later ones of its workflow wait."""
        return await self._settle("again", delay_s=after)

    async def park(self, reason: str) -> bool:
        """Set it aside, and go on with the next one of its workflow."""
        return await self._settle("park", reason=reason)

    async def give_back(self) -> bool:
        """Have it given to somebody else at once; that is no try."""
        return await self._settle("back")

    async def _settle(self, word: str, *, delay_s: float = 0, reason: str = "") -> bool:
        return await self._subscription.log.scripts.settle_subscription(
            self._partition,
            name=self._subscription.name,
            workflow=self.event.partitionkey,
            token=self._token,
            word=word,
            delay_ms=int(delay_s * 1000),
            reason=reason[:1000],
        )


class Subscription:
    """One named subscription; `open` it before it is read."""

    def __init__(
        self,
        event_log: EventLog,
        name: str,
        *,
        types: Sequence[str] = (),
        names: Sequence[str] = (),
        tags: dict[str, str] | None = None,
        lease: float = 60.0,
    ) -> None:
        if not NAME.fullmatch(name):
            raise FlowError(f"the name of a subscription is {NAME_RULE}; got {name!r}")
        self.log = event_log
        self.name = name
        self._filter = Filter(list(types), list(names), dict(tags or {}))
        self._takes = type_filter(self._filter.types)
        self._group = f"sub:{name}"
        self._lease_ms = int(lease * 1000)
        self._session = new_session("subscriber")
        self._claims = 0
        self._abouts = Abouts(event_log)

    async def open(self) -> None:
        """Make it, from now on, unless it is there already."""
        for partition in range(self.log.keys.partitions):
            await self.log.scripts.open_group(partition, group=self._group)
        key, data = self.log.keys.shared("subscriptions"), _encode(self._filter)
        await self.log.connection.call(lambda: self.log.redis.hset(key, self.name, data))

    async def close(self) -> None:
        """Forget it, with what waits for it; the feed is no longer kept for it."""
        for partition in range(self.log.keys.partitions):
            await self.log.scripts.close_subscription(partition, name=self.name, group=self._group)
        key = self.log.keys.shared("subscriptions")
        await self.log.connection.call(lambda: self.log.redis.hdel(key, self.name))

    async def handle(
        self,
        function: Callable[[CloudEvent], Awaitable[Any]],
        *,
        at_a_time: int = 10,
        tries: int = TRIES,
    ) -> None:
        """Call a function with each event, for ever. One that fails is given again, then parked."""
        async with self.receive() as messages, anyio.create_task_group() as tasks:
            room = anyio.Semaphore(at_a_time)
            async for message in messages:
                await room.acquire()
                tasks.start_soon(self._handle, room, function, message, tries)

    async def _handle(
        self,
        room: anyio.Semaphore,
        function: Callable[[CloudEvent], Awaitable[Any]],
        message: Received,
        tries: int,
    ) -> None:
        try:
            await function(message.event)
        except Exception as error:  # whatever user code raises is how it went
            await self._note_failure(message, error, tries)
        else:
            await self._acknowledge(message)
        finally:
            room.release()

    async def _acknowledge(self, message: Received) -> None:
        """It is handled, whoever stops us: say so, however long Redis is away until then."""
        try:
            await message.ack()
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(FAREWELL, shield=True):
                await message.ack()
            raise

    async def _note_failure(self, message: Received, error: Exception, tries: int) -> None:
        what = {"subscription": self.name, "of": message.event.id, "problem": str(error)}
        if message.tries + 1 >= tries:
            log.error("subscription.event_parked", **what)
            await message.park(f"{type(error).__name__}: {error}")
        else:
            log.warning("subscription.event_failed", **what)
            await message.retry(WAITS[min(message.tries, len(WAITS) - 1)])

    @asynccontextmanager
    async def receive(self) -> AsyncGenerator[AsyncGenerator[Received, None]]:
        """Events as they come, each to be settled; waits while there are none."""
        send, receive = anyio.create_memory_object_stream[Received](0)
        async with anyio.create_task_group() as tasks:
            for partition in range(self.log.keys.partitions):
                tasks.start_soon(self._serve, partition, send)
            async with send, receive:
                yield _each(receive)
            tasks.cancel_scope.cancel()

    async def _serve(self, partition: int, send: anyio.abc.ObjectSendStream[Received]) -> None:
        """Read the feed of one partition, and pass on what there is to handle."""
        bell = Bell(self.log, partition=partition, lane=self._group)
        wake = anyio.Event()

        def hear(kind: str, workflow: str, subject: str) -> None:
            wake.set()

        bell.listen(hear)
        await bell.open()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bell.run)
            tasks.start_soon(self._read_forever, partition)
            while True:
                wake = anyio.Event()
                wait_ms = await self._pass_on(partition, send)
                with anyio.move_on_after(BLOCK if wait_ms < 0 else min(BLOCK, wait_ms / 1000)):
                    await wake.wait()

    async def _pass_on(self, partition: int, send: anyio.abc.ObjectSendStream[Received]) -> int:
        """Pass on what is due; ms until more is, -1 for none."""
        while True:
            self._claims += 1
            token = f"{self._session}/{self._claims}"
            taken, wait_ms = await self.log.scripts.claim_subscription(
                partition, name=self.name, token=token, want=CLAIM, lease_ms=self._lease_ms
            )
            messages = [
                Received(self, partition, token, _decode_event(data), tries)
                for _, data, tries in taken
            ]
            await _send_or_give_back(messages, send)
            if not taken:
                return wait_ms

    async def _read_forever(self, partition: int) -> None:
        async with self.log.connection.tail() as tail:
            while True:
                if not await self._read(tail, partition):
                    await anyio.sleep(0.5)

    async def _read(self, tail: Tail, partition: int) -> bool:
        """Hand over what is next on the feed; False when Redis is away, or the group is."""
        feed = self.log.keys.flow(partition, "feed")
        position = await self._position(feed)
        if position is None:
            await self.log.scripts.open_group(partition, group=self._group)
            return False
        try:
            answer = await tail.read({feed: position}, count=READ)
        except exceptions.RedisError as error:
            if not is_passing(error):
                raise
            return False
        if answer:
            entries = [decode_feed_entry(entry) for entry in answer[0][1]]
            messages = [one for entry in entries for one in await self._wanted(entry)]
            await self.log.scripts.plan_subscription(
                partition,
                name=self.name,
                group=self._group,
                start=position,
                end=entries[-1].id,
                messages=messages,
            )
        return True

    async def _position(self, feed: str) -> str | None:
        try:
            groups: list[dict[str, Any]] = await self.log.connection.call(
                partial(self.log.redis.xinfo_groups, feed)
            )
        except exceptions.ResponseError:
            return None
        found: list[bytes] = [
            group["last-delivered-id"] for group in groups if group["name"] == self._group.encode()
        ]
        return found[0].decode() if found else None

    async def _wanted(self, entry: FeedEntry) -> list[tuple[str, str]]:
        self._abouts.note(entry)
        about = await self._abouts.get(entry.workflow)
        if not about.has(frozenset(self._filter.names), self._filter.tags):
            return []
        return [
            (
                entry.workflow,
                encode(cloud_event(entry.workflow, about.name, one, iso(one.ts) or "")).decode(),
            )
            for one in entry.events()
            if self._takes(one.type)
        ]

    async def parked(self, limit: int = 100) -> list[Parked]:
        """Events that were set aside, oldest first."""
        found: list[Parked] = []
        for partition in range(self.log.keys.partitions):
            key = self.log.keys.flow(partition, "sub", self.name, "parked")
            entries = await self.log.connection.call(
                partial(self.log.redis.xrange, key, count=limit)
            )
            found += [
                Parked(name.decode(), _decode_event(fields[b"event"]), fields[b"reason"].decode())
                for name, fields in entries
            ]
        return sorted(found, key=lambda one: one.event.time)[:limit]

    async def handle_again(self, *ids: str) -> int:
        """Take parked events back, before later ones of their workflows; how many there were."""
        return await self._unpark(ids, drop=False)

    async def drop(self, *ids: str) -> int:
        """Forget parked events; how many there were."""
        return await self._unpark(ids, drop=True)

    async def _unpark(self, ids: Sequence[str], *, drop: bool) -> int:
        counts = [
            await self.log.scripts.unpark(partition, name=self.name, ids=list(ids), drop=drop)
            for partition in range(self.log.keys.partitions)
        ]
        return sum(counts)


async def _send_or_give_back(
    messages: list[Received], send: anyio.abc.ObjectSendStream[Received]
) -> None:
    """Pass on what was claimed; what nobody takes any more others can have at once."""
    left = list(messages)
    try:
        while left:
            await send.send(left[0])
            del left[0]
    finally:
        with anyio.move_on_after(FAREWELL, shield=True):
            for message in left:
                await message.give_back()


async def _each(
    messages: anyio.abc.ObjectReceiveStream[Received],
) -> AsyncGenerator[Received, None]:
    async for message in messages:
        yield message
