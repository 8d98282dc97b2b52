"""All metrics that one process has to tell, for whoever asks: a scrape, or what is sent by OTLP.

What a process counted is its own, and adding up processes counts nothing twice. What is read from
Redis is the installation's, and every process that serves it says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version

import anyio
import structlog
from redis.exceptions import RedisError

from ..core import metrics as m
from ..core.log import EventLog
from ..core.metrics import Instruments, Sample
from .gauges import read_gauges

log = structlog.get_logger()

#: Gauges that are as old are read again, s: many scrapes at a time cost one look.
FRESH = 1.0
#: Seconds that Redis has to answer; a scrape without gauges is better than none.
PATIENCE = 5.0


class Meter:
    """Metrics of this process, and of the installation when it is to tell those."""

    def __init__(self, log: EventLog, *, reads_gauges: bool = True) -> None:
        self._log = log
        self._reads_gauges = reads_gauges
        self._instruments = log.instruments = log.instruments or Instruments()
        self._own: list[Callable[[], Iterable[Sample]]] = [_build]
        self._reading = anyio.Lock()
        self._gauges: list[Sample] = []
        self._read_at = -FRESH

    def add(self, source: Callable[[], Iterable[Sample]]) -> None:
        """Also tell what this gives at each scrape."""
        self._own.append(source)

    async def samples(self) -> list[Sample]:
        found = [*self._instruments.samples()]
        for source in self._own:
            found += source()
        return [*found, *await self._installation()] if self._reads_gauges else found

    async def _installation(self) -> list[Sample]:
        """Nothing while Redis is away: an old value would look like a live one."""
        async with self._reading:
            if anyio.current_time() - self._read_at >= FRESH:
                self._gauges = await self._read()
                self._read_at = anyio.current_time()
            return self._gauges

    async def _read(self) -> list[Sample]:
        try:
            with anyio.fail_after(PATIENCE):
                return await read_gauges(self._log)
        except (RedisError, TimeoutError, OSError) as error:
            log.warning("metrics.cannot_read", problem=str(error) or type(error).__name__)
            return []


def _build() -> Iterable[Sample]:
    yield Sample(m.BUILD_INFO, (version("agentainer-flow"),), 1)
