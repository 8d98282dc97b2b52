"""`Client`: follow events straight from Redis, once or as a durable subscription."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Any, Self

import anyio
import anyio.abc
import msgspec

from ..core.cloudevents import CloudEvent, type_filter
from ..core.errors import EventsLost, FlowError
from ..core.log import EventLog
from ..core.settings import Settings
from .connections import connect
from .feed import Feed
from .following import Follower, Message, Wanted, WorkflowFollower, from_the_start
from .portal import stream
from .positions import Position, parse_position
from .subscriptions import Subscription

#: Seconds between two signs that a follower lives.
IDLE = 30.0


class StreamEvent(CloudEvent, frozen=True, kw_only=True):
    """An event, and the position after it: give it as `after` to go on from there."""

    position: str


class Client:
    """Events of the Redis of the settings. Use it as `async with Client() as client`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._log: EventLog | None = None
        self._feed: Feed | None = None
        self._tasks: anyio.abc.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._log = await self._stack.enter_async_context(connect(self._settings))
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        if self._feed:
            self._feed.close()
        if self._tasks:
            self._tasks.cancel_scope.cancel()
            # What the caller raises is no error of ours, to be put into a group.
            await self._tasks.__aexit__(None, None, None)
        await self._stack.aclose()

    async def events(
        self,
        *,
        workflow: str | None = None,
        name: str | None = None,
        types: Sequence[str] = (),
        tags: dict[str, str] | None = None,
        after: str | int = 0,
        follow: bool = True,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Events in order: first those that are stored, then, with `follow`, as they come.

        Of one workflow until it ends, or of all, of one definition (`name`), with some tags.
        `after` is a position, 0 for everything, or "now". Raises EventsLost when what follows a
        position is no longer there.
        """
        feed = self._following()
        if workflow is not None:
            takes = type_filter(list(types))
            messages = WorkflowFollower(feed, workflow, int(after), takes).messages(idle=IDLE)
        else:
            names = frozenset([name] if name else [])
            wanted = Wanted(type_filter(list(types)), names, dict(tags or {}))
            position = await _position(feed, str(after))
            messages = Follower(feed, wanted, position).messages(idle=IDLE)
        async with aclosing(_stream(messages, follow)) as found:
            async for event in found:
                yield event

    def subscription(
        self,
        name: str,
        *,
        types: Sequence[str] = (),
        names: Sequence[str] = (),
        tags: dict[str, str] | None = None,
        lease: float = 60.0,
    ) -> Subscription:
        """A durable subscription, which Redis keeps under its name; `open()` makes it."""
        return Subscription(
            self._connected(), name, types=types, names=names, tags=tags, lease=lease
        )

    def _connected(self) -> EventLog:
        if self._log is None:
            raise FlowError("write `async with Client() as client`")
        return self._log

    def _following(self) -> Feed:
        if self._feed is None:
            self._feed = Feed(self._connected())
            if self._tasks:
                self._tasks.start_soon(self._feed.run)
        return self._feed


async def _position(feed: Feed, after: str) -> Position:
    if after == "0":
        return await from_the_start(feed)
    return await feed.end() if after == "now" else parse_position(after, feed.partitions)


async def _stream(
    messages: AsyncGenerator[Message, None], follow: bool
) -> AsyncGenerator[StreamEvent, None]:
    async with aclosing(messages):
        async for message in messages:
            if message.public is not None:
                facts = msgspec.structs.asdict(message.public.event)
                data = msgspec.json.decode(facts.pop("data"))
                yield StreamEvent(**facts, data=data, position=message.position)
            elif message.word == "resync":
                raise EventsLost(message.position)
            elif message.word == "caught_up" and not follow:
                return


class SyncClient:
    """`Client` for plain callers: events in a `for` loop."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings

    def events(
        self,
        *,
        workflow: str | None = None,
        name: str | None = None,
        types: Sequence[str] = (),
        tags: dict[str, str] | None = None,
        after: str | int = 0,
        follow: bool = True,
    ) -> Iterator[StreamEvent]:
        """See `Client.events`."""
        asked = {
            "workflow": workflow,
            "name": name,
            "types": types,
            "tags": tags,
            "after": after,
            "follow": follow,
        }
        return stream(partial(_follow, self._settings, asked))


async def _follow(
    settings: Settings | None,
    asked: dict[str, Any],
    send: anyio.abc.ObjectSendStream[StreamEvent],
) -> None:
    async with Client(settings) as client, aclosing(client.events(**asked)) as events:
        async for event in events:
            await send.send(event)
