"""Follow events in order, without gaps or repetitions: those of one workflow, or all.

One workflow: first its log, then what the feed brings; whatever does not follow on is read from the
log, which has everything. All workflows: first the logs of all of them, up to the moment of the
question, then the feed, from that moment on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Literal

import anyio
import msgspec

from ..core.cloudevents import cloud_event
from ..core.events import TERMINAL, Recorded
from ..core.log import EventLog
from ..projections.abouts import About
from ..projections.documents import iso
from ..projections.pages import Filter, Place, read_oldest
from .feed import Feed, Item, Public, Resync
from .positions import ALL, FeedPosition, Position, StoredPosition, entry_order
from .positions import Place as FeedPlace

#: Events read from a log at a time.
PAGE = 500
#: Nothing but word of the run's end follows on these.
ENDS = TERMINAL | {"workflow.deleted"}

Word = Literal["caught_up", "end", "resync", "idle"]


class Message(msgspec.Struct, frozen=True):
    """An event with the position after it, or word of where the stream is.

    `caught_up`: all that was stored has come, the rest is live. `end`: the run has ended, nothing
    follows. `resync`: what follows does not continue what came before. `idle`: nothing came.
    """

    position: str
    public: Public | None = None
    word: Word | None = None


class Wanted(msgspec.Struct, frozen=True):
    """Which events of which workflows; None and empty take all."""

    types: Callable[[str], bool] = lambda kind: True
    names: frozenset[str] = frozenset()
    tags: dict[str, str] = {}

    def takes(self, about: About) -> bool:
        return about.has(self.names, self.tags)


def public(workflow: str, about: About, recorded: Recorded) -> Public:
    return Public(cloud_event(workflow, about.name, recorded, iso(recorded.ts) or ""))


def _all_public(about: About, item: Item) -> list[Public]:
    """The events of an entry, made public by the first follower who looks at it."""
    if item.public is None:
        workflow = item.entry.workflow
        item.public = [public(workflow, about, recorded) for recorded in item.events]
    return item.public


class WorkflowFollower:
    """Go through the events of one workflow above a version."""

    def __init__(self, feed: Feed, workflow: str, after: int, types: Callable[[str], bool]) -> None:
        self._feed = feed
        self._log: EventLog = feed.log
        self._workflow = workflow
        self._version = after
        self._digest = ""
        self._types = types
        self._ended = False

    async def messages(self, *, idle: float) -> AsyncGenerator[Message, None]:
        """Until the run ends or the feed closes; `idle` after that many seconds without news."""
        async with self._feed.listen(self._workflow) as mail:
            about = await self._feed.abouts.get(self._workflow)
            async for message in self._from_log(about):
                yield message
            yield Message(str(self._version), word="caught_up")
            while not self._ended and not self._feed.closing.is_set():
                with anyio.move_on_after(idle):
                    await mail.news.wait()
                items, look = mail.take()
                if not items and not look:
                    yield Message(str(self._version), word="idle")
                for item in items:
                    for message in self._of_item(about, item):
                        yield message
                    look = look or item.entry.last[0] > self._version
                if look:
                    async for message in self._from_log(about):
                        yield message
        if self._ended:
            yield Message(str(self._version), word="end")

    async def _from_log(self, about: About) -> AsyncGenerator[Message, None]:
        if await self._is_rolled_back():
            self._version, self._digest = 0, ""
            yield Message("0", word="resync")
        while events := await self._read(self._version, PAGE):
            for recorded in events:
                for message in self._pass(about, recorded):
                    yield message

    async def _read(self, after: int, limit: int) -> list[Recorded]:
        return await self._log.read(self._workflow, after=after, limit=limit, archived=True)

    async def _is_rolled_back(self) -> bool:
        """Whether the log is not the one that we have read so far."""
        if not self._version:
            return False
        there = await self._read(self._version - 1, 1)
        if not there:
            return True
        self._ended = self._ended or there[0].type in TERMINAL
        return bool(self._digest and there[0].digest != self._digest)

    def _of_item(self, about: About, item: Item) -> list[Message]:
        """What an entry brings that is new; nothing when it leaves a gap."""
        if item.entry.first > self._version + 1:
            return []
        new = [recorded for recorded in item.events if recorded.version > self._version]
        return [message for recorded in new for message in self._pass(about, recorded)]

    def _pass(self, about: About, recorded: Recorded) -> list[Message]:
        self._version, self._digest = recorded.version, recorded.digest
        self._ended = self._ended or recorded.type in ENDS
        if not self._types(recorded.type):
            return []
        return [Message(str(recorded.version), public(self._workflow, about, recorded))]


class Follower:
    """Go through the events of all workflows after a position."""

    def __init__(self, feed: Feed, wanted: Wanted, position: Position | None) -> None:
        """Without a position, as when the one to go on from is none, begin anew with `resync`."""
        self._feed = feed
        self._log: EventLog = feed.log
        self._wanted = wanted
        self._position = position

    @property
    def position(self) -> Position | None:
        """After what `stored` has gone through."""
        return self._position

    async def messages(self, *, idle: float) -> AsyncGenerator[Message, None]:
        """Until the feed closes; `idle` after that many seconds without news."""
        async for message in self.stored():
            yield message
        position = await self._on_feed()
        yield Message(str(position), word="caught_up")
        while not self._feed.closing.is_set():
            with anyio.move_on_after(idle) as scope:
                await self._feed.wait(position)
            if scope.cancelled_caught:
                yield Message(str(position), word="idle")
                continue
            position, messages = await self._next(position)
            for message in messages:
                yield message

    async def stored(self) -> AsyncGenerator[Message, None]:
        """What there is, without waiting for more."""
        if self._position is None:
            yield Message(str(await self._on_feed()), word="resync")
        if isinstance(self._position, StoredPosition):
            async for message in self._from_logs(self._position):
                yield message
        position = await self._on_feed()
        while True:
            moved, messages = await self._next(position)
            for message in messages:
                yield message
            if moved == position:
                return
            position = self._position = moved

    async def _on_feed(self) -> FeedPosition:
        match self._position:
            case StoredPosition(feeds=feeds):
                self._position = feeds
            case None:
                self._position = await self._feed.end()
            case FeedPosition():
                pass
        return self._position

    async def _next(self, position: FeedPosition) -> tuple[FeedPosition, list[Message]]:
        """What follows a position on the feeds, and the position after it."""
        try:
            items = await self._feed.after(position)
        except Resync:
            end = await self._feed.end()
            return end, [Message(str(end), word="resync")]
        messages: list[Message] = []
        for item in items:
            messages += await self._of_item(item, position)
            position = _after(position, item, ALL)
        return position, messages

    async def _of_item(self, item: Item, position: FeedPosition) -> list[Message]:
        about = await self._feed.abouts.get(item.entry.workflow)
        if not self._wanted.takes(about):
            return []
        place = position.places[item.partition]
        skipped = place.events if place.id == item.entry.id else 0
        events = item.events
        return [
            Message(
                str(_after(position, item, number if number < len(events) else ALL)),
                _all_public(about, item)[number - 1],
            )
            for number, recorded in enumerate(events, 1)
            if number > skipped
            and recorded.ts > position.since_ms
            and self._wanted.types(recorded.type)
        ]

    async def _from_logs(self, position: StoredPosition) -> AsyncGenerator[Message, None]:
        place = Place(position.created_ms, position.workflow)
        if position.workflow:
            async for message in self._of_log(position):
                yield message
        upper = Filter(created_to=position.until_ms + 1)
        while places := await read_oldest(self._log, upper, place):
            for place in places:
                start = StoredPosition(position.feeds, place.created_ms, place.id)
                self._position = start
                async for message in self._of_log(start):
                    yield message

    async def _of_log(self, at: StoredPosition) -> AsyncGenerator[Message, None]:
        """What one workflow has above a version, up to the moment from which the feeds tell."""
        about = await self._feed.abouts.get(at.workflow)
        while self._wanted.takes(about):
            events = await self._log.read(at.workflow, after=at.version, limit=PAGE, archived=True)
            for recorded in events:
                if recorded.ts > at.until_ms:
                    return
                at = StoredPosition(at.feeds, at.created_ms, at.workflow, recorded.version)
                self._position = at
                if self._wanted.types(recorded.type):
                    yield Message(str(at), public(at.workflow, about, recorded))
            if len(events) < PAGE:
                return


def _after(position: FeedPosition, item: Item, number: int) -> FeedPosition:
    """The position after the first events of an entry."""
    entry = item.entry
    return position.moved(item.partition, FeedPlace(entry.id, number), entry.ts)


async def from_the_start(feed: Feed) -> StoredPosition:
    """The position before everything that is stored."""
    end = await feed.end()
    since = max(entry_order(place.id)[0] for place in end.places)
    return StoredPosition(FeedPosition(end.places, since))
