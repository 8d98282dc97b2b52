"""Export the traces of workflows, from the feed.

A consumer group of its own on the partition's feed. Its position moves when the collector has taken
the spans, so a tracer that dies, or a collector that is away, loses nothing: what comes again has
the same ids. Workflows never wait for it. What it remembers of a workflow under way is a cache:
after a restart it is folded anew from the log.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from time import process_time

import anyio
import anyio.abc
import structlog
from redis import exceptions

from ..core import clock
from ..core.connection import is_passing
from ..core.ids import new_key
from ..core.log import EventLog, FeedEntry, decode_feed_entry
from ..core.tail import Tail
from ..core.threads import Threads
from ..projections.spans import Span, Tracer
from . import otlp

log = structlog.get_logger()

GROUP = "tracer"
#: Entries of the feed that are read at a time, and workflows that are remembered.
READ, REMEMBERED = 256, 10_000
#: Seconds to wait for a collector that is away: at first, and at the most.
SOON, LATE = 0.5, 10.0
#: Seconds that the role is kept without a turn, that the feed is, and between two looks.
LEASE, KEPT, LOOK = 15.0, 24 * 3600.0, 2.0
#: Seconds that a process which ends waits for its last spans to be exported.
FAREWELL = 5.0
#: Most spans of one message: collectors refuse large ones.
MOST = 512
#: One that stands back pauses so many times as long as a message took it, unless what it exports
#: happened as many seconds ago.
PAUSES, BEHIND = 19.0, 10.0

Export = Callable[[list[Span]], bool]


class TraceReactor:
    """Export what happens in one partition."""

    def __init__(
        self,
        event_log: EventLog,
        export: Export,
        *,
        partition: int = 0,
        stands_back: bool = False,
    ) -> None:
        """`stands_back`: leave the processors to others for a while, when much happens at once.

        Also one that is free often is not for the taking: two processors may share a core. What
        comes meanwhile goes together, in fewer messages.
        """
        self._log = event_log
        self._export = export
        self._stands_back = stands_back
        self._partition = partition
        self._feed = event_log.keys.flow(partition, "feed")
        self._tracers: OrderedDict[str, tuple[Tracer, int]] = OrderedDict()
        #: Of daemons: a process that ends waits for no collector.
        self._threads = Threads()
        self._token = new_key()
        self._lease = LEASE
        self._moved = anyio.Event()
        #: When what was read last happened (ms).
        self._seen = 0
        #: At the last pause: what we had worked (s), and the newest entry of the feed.
        self._worked, self._newest = 0.0, ""

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Export until cancelled. Started once Redis has said whether the role is ours."""
        self._worked = process_time()
        async with self._log.connection.tail() as tail:
            position = await self._turn()
            task_status.started()
            while True:
                if position is None:
                    await anyio.sleep(LOOK)
                elif (end := await self._next(tail, position)) is not None:
                    await self._turn((position, end))
                    self._moved.set()
                    self._moved = anyio.Event()
                    await self._pause()
                position = await self._turn()

    async def finish(self, patience: float = FAREWELL) -> None:
        """Wait so long until all that is on the feed now is exported, then let go of the role."""
        self._stands_back = False
        with anyio.move_on_after(patience):
            end = await self._end()
            while (position := await self._turn()) is not None and _key(position) < _key(end):
                with anyio.move_on_after(LOOK):
                    await self._moved.wait()
        self._lease = 0.001
        with anyio.move_on_after(FAREWELL):  # Redis may be away for good
            await self._turn()

    async def _turn(self, exported: tuple[str, str] | None = None) -> str | None:
        return await self._log.scripts.turn_tracer(
            self._partition,
            group=GROUP,
            token=self._token,
            lease_ms=int(1000 * self._lease),
            kept_ms=int(1000 * KEPT),
            exported=exported,
        )

    async def _next(self, tail: Tail, position: str) -> str | None:
        """Export what follows; returns the last of it, None when nothing came."""
        try:
            answer = await tail.read({self._feed: position}, count=READ)
        except exceptions.RedisError as error:
            if not is_passing(error):
                raise
            await anyio.sleep(SOON)
            return None
        if not answer:
            return None
        spans: list[Span] = []
        for raw in answer[0][1]:
            if b"w" in raw[1]:
                entry = decode_feed_entry(raw)
                self._seen = entry.ts
                spans += await self._spans(entry)
            while len(spans) >= MOST:
                sent, spans = spans[:MOST], spans[MOST:]
                await self._send(sent)
                await self._pause()
                await self._turn()  # the role is kept meanwhile
        await self._send(spans)
        last: bytes = answer[0][1][-1][0]
        return last.decode()

    async def _pause(self) -> None:
        """Stand back, if anything happened meanwhile: then others are at work."""
        if not self._stands_back:
            return
        before, self._newest = self._newest, await self._end()
        if self._newest != before and clock.now() - self._seen / 1000 < BEHIND:
            await anyio.sleep(PAUSES * (process_time() - self._worked))
        self._worked = process_time()

    async def _end(self) -> str:
        newest = await self._log.connection.call(
            lambda: self._log.redis.xrevrange(self._feed, count=1)
        )
        return newest[0][0].decode() if newest else "0-0"

    async def _spans(self, entry: FeedEntry) -> list[Span]:
        """What one append brings; nothing for a log that cannot be read: others go on."""
        try:
            return await self._fold(entry)
        except (exceptions.ConnectionError, exceptions.NoPermissionError):
            raise
        except Exception:  # whatever is wrong with it is wrong with this one workflow
            log.exception("tracer.workflow_skipped", workflow=entry.workflow)
            return []

    async def _fold(self, entry: FeedEntry) -> list[Span]:
        tracer, version = self._tracers.get(entry.workflow, (Tracer(entry.workflow), 0))
        spans: list[Span] = []
        events = entry.events()
        if entry.first != version + 1 or not events:
            # What was exported before is folded again, and exported again if it must be.
            tracer, version = Tracer(entry.workflow), 0
            events = await self._log.read(entry.workflow, limit=entry.last[0])
        for recorded in events:
            found = tracer.take(recorded)
            if recorded.version == 1 and tracer.definition_digest:
                tracer.know(await self._log.get_definition(tracer.definition_digest))
            if recorded.version >= entry.first:
                spans += found
            version = recorded.version
        self._remember(entry.workflow, tracer, version)
        return spans if tracer.trace is None or tracer.trace.sampled else []

    def _remember(self, workflow: str, tracer: Tracer, version: int) -> None:
        self._tracers.pop(workflow, None)
        if not tracer.ended:
            self._tracers[workflow] = (tracer, version)
        if len(self._tracers) > REMEMBERED:
            self._tracers.popitem(last=False)

    async def _send(self, spans: list[Span]) -> None:
        """Until the collector has them."""
        wait = SOON
        while spans and not await self._try(spans):
            await anyio.sleep(wait)
            wait = min(LATE, wait * 2)
            await self._turn()  # the role is kept meanwhile

    async def _try(self, spans: list[Span]) -> bool:
        try:
            taken = await self._threads.run(partial(self._export, spans))
        except Exception as error:  # whatever a collector or its network does, it is tried again
            log.warning("tracer.not_exported", spans=len(spans), error=str(error))
            return False
        if not taken:
            log.warning("tracer.not_exported", spans=len(spans))
        return taken


def _key(position: str) -> tuple[int, int]:
    ms, _, number = position.partition("-")
    return int(ms), int(number or 0)


async def keep_for_tracer(event_log: EventLog) -> None:
    """From now on the feeds keep what a tracer has not exported, though it may start later."""
    for partition in range(event_log.keys.partitions):
        await event_log.scripts.turn_tracer(
            partition, group=GROUP, token=new_key(), lease_ms=1, kept_ms=int(1000 * KEPT)
        )


def open_tracer(
    event_log: EventLog, partition: int, *, stands_back: bool = False
) -> TraceReactor | None:
    """A tracer when the environment asks for one, and what it needs is installed.

    Raises SettingsError for a protocol that is none.
    """
    if not otlp.is_wanted():
        return None
    if not otlp.is_installed():
        log.warning("tracer.not_installed", do=otlp.INSTALL)
        return None
    export = otlp.Exporter().export
    return TraceReactor(event_log, export, partition=partition, stands_back=stands_back)
