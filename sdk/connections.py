"""One log per event loop and settings, for callers who come and go: handles, `start()`.

Connecting costs more than starting a run. The connections are closed with their loop: it ends the
async generators that began on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
import msgspec

from ..core.embedded import ensure
from ..core.log import EventLog
from ..core.settings import Settings, load_settings
from .archives import Archived


@asynccontextmanager
async def connect(
    settings: Settings | None = None, *, patience: float = 0
) -> AsyncGenerator[EventLog]:
    """Open the log on the configured Redis, or on the embedded one, started when it must be.

    Waits up to `patience` seconds for one that is away. Raises RedisUnavailable,
    EmbeddedRedisError.
    """
    log = await _open(settings or load_settings(), patience)
    try:
        yield log
    finally:
        with anyio.CancelScope(shield=True):
            await log.close()


async def _open(settings: Settings, patience: float = 0) -> EventLog:
    log = EventLog(settings, await _url(settings))
    try:
        await log.open(patience=patience)
        log.archive = Archived(log)
    except BaseException:
        await log.close()
        raise
    return log


async def _url(settings: Settings) -> str:
    """Where Redis is; the embedded one runs afterwards."""
    if settings.redis_url is not None:
        return settings.redis_url
    return await anyio.to_thread.run_sync(ensure, settings)


class _Kept(msgspec.Struct):
    log: EventLog
    #: Closes the log when the loop ends it. It may not be within another generator: a loop ends
    #: all of them at once.
    keeper: AsyncGenerator[EventLog]


class _Loop:
    """What one event loop has open."""

    def __init__(self) -> None:
        self._opening = asyncio.Lock()
        self._kept: dict[Settings, _Kept] = {}

    async def log(self, settings: Settings) -> EventLog:
        async with self._opening:
            if settings not in self._kept:
                keeper = _keep(settings)
                self._kept[settings] = _Kept(await anext(keeper), keeper)
            log = self._kept[settings].log
            if not log.connection.wire.is_open:
                await _url(settings)  # the embedded Redis may have been stopped meanwhile
            return log


async def _keep(settings: Settings) -> AsyncGenerator[EventLog]:
    log = await _open(settings)
    try:
        yield log
    finally:
        await log.close()


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()


async def shared(settings: Settings) -> EventLog:
    """The log that all callers of this event loop share. Not to be closed.

    Raises RedisUnavailable, EmbeddedRedisError.
    """
    return await _loops.setdefault(asyncio.get_running_loop(), _Loop()).log(settings)
