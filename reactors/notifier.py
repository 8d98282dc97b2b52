"""Plan which events are sent to which webhooks.

A group of its own on each partition's feed; its position moves in the call that plans what lies
before it. Any number of notifiers may run: one of them moves, the others see that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import structlog
from redis import exceptions

from ..core.cloudevents import cloud_event, encode, type_filter
from ..core.connection import is_passing
from ..core.log import EventLog, FeedEntry, decode_feed_entry
from ..core.tail import Tail
from ..core.webhooks import GROUP, Webhook, list_webhooks
from ..projections.abouts import Abouts
from ..projections.documents import iso

log = structlog.get_logger()

#: Entries planned by one call, and deliveries that are listed per webhook.
READ, KEPT = 100, 1000
#: Seconds between two looks whether there are webhooks.
LOOK = 3.0


class Wanted(msgspec.Struct, frozen=True):
    """A webhook, ready to be asked."""

    webhook: Webhook
    takes: Callable[[str], bool]


class Notifier:
    """Plan the deliveries of one partition."""

    def __init__(
        self, event_log: EventLog, on_planned: Callable[[], None], *, partition: int = 0
    ) -> None:
        self._log = event_log
        self._on_planned = on_planned
        self._partition = partition
        self._feed = event_log.keys.flow(partition, "feed")
        self._abouts = Abouts(event_log)

    async def run(self) -> None:
        async with self._log.connection.tail() as tail:
            while True:
                if not await self._plan_next(tail):
                    await anyio.sleep(LOOK)

    async def _plan_next(self, tail: Tail) -> bool:
        """Plan what comes next on the feed; False when nobody wants it, or Redis is away."""
        position = await self._position()
        if position is None:
            return False
        try:
            answer = await tail.read({self._feed: position}, count=READ)
        except exceptions.RedisError as error:
            if not is_passing(error):
                raise
            return False
        if answer:
            await self._plan(position, [decode_feed_entry(entry) for entry in answer[0][1]])
        return True

    async def _position(self) -> str | None:
        """Where the group is; None when there is none, so no webhook either."""
        try:
            groups: list[dict[str, Any]] = await self._log.connection.call(
                lambda: self._log.redis.xinfo_groups(self._feed)
            )
        except exceptions.ResponseError:
            groups = []
        for group in groups:
            if group["name"] == GROUP.encode():
                position: bytes = group["last-delivered-id"]
                return position.decode()
        await self._open_again()
        return None

    async def _open_again(self) -> None:
        """The feed may have been lost, with its groups, while there are webhooks."""
        if await list_webhooks(self._log):
            await self._log.scripts.open_group(self._partition, group=GROUP)

    async def _plan(self, position: str, entries: list[FeedEntry]) -> None:
        wanted = [
            Wanted(webhook, type_filter(webhook.types))
            for webhook in await list_webhooks(self._log)
        ]
        deliveries: list[tuple[str, str, str]] = []
        for entry in entries:
            deliveries += await self._of(entry, wanted)
        moved = await self._log.scripts.plan_deliveries(
            self._partition,
            group=GROUP,
            start=position,
            end=entries[-1].id,
            deliveries=deliveries,
            kept=KEPT,
        )
        if moved and deliveries:
            self._on_planned()

    async def _of(self, entry: FeedEntry, wanted: list[Wanted]) -> list[tuple[str, str, str]]:
        """(id, webhook, message) of what one entry brings."""
        self._abouts.note(entry)
        about = await self._abouts.get(entry.workflow)
        found: list[tuple[str, str, str]] = []
        for recorded in entry.events():
            takers = [
                one.webhook
                for one in wanted
                if one.takes(recorded.type)
                and recorded.ts >= one.webhook.created_ms
                and about.has(frozenset(one.webhook.names), one.webhook.tags)
            ]
            if takers:
                event = cloud_event(entry.workflow, about.name, recorded, iso(recorded.ts) or "")
                message = encode(event).decode()
                found += [
                    (f"{entry.workflow}_{recorded.version}_{hook.id}", hook.id, message)
                    for hook in takers
                ]
        return found
