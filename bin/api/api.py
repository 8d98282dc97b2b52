"""What all requests of one server share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import anyio

from ..core.log import EventLog
from ..core.metrics import SSE_CLIENTS, Sample
from ..core.settings import Settings
from ..sdk.feed import Feed
from ..sdk.graph import WorkflowCode
from ..sdk.metrics import Meter

#: Requests that are served at a time, streams apart.
MOST_REQUESTS = 1000
#: Streams of events and logs at a time.
MOST_STREAMS = 10_000
#: Seconds between two signs of life on an idle stream.
HEARTBEAT = 10.0


class Api:
    """One server: its log, the code it knows, and the feed that its streams share."""

    def __init__(
        self,
        log: EventLog,
        codes: Sequence[WorkflowCode] = (),
        *,
        auth: bool = False,
        heartbeat: float = HEARTBEAT,
        meter: Meter | None = None,
    ) -> None:
        self.log = log
        self.codes = {code.name: code for code in codes}
        self.auth = auth
        self.heartbeat = heartbeat
        self.requests = anyio.Semaphore(MOST_REQUESTS)
        self.streams = 0
        self.feed = Feed(log)
        self._wanted = anyio.Event()
        self.closing = self.feed.closing
        self.meter = meter or Meter(log)
        self.meter.add(self._clients)

    @property
    def settings(self) -> Settings:
        return self.log.settings

    def _clients(self) -> Iterable[Sample]:
        yield Sample(SSE_CLIENTS, (), self.streams)

    async def run(self) -> None:
        """Read the feed once somebody follows it; an installation without followers needs none."""
        await self._wanted.wait()
        if not self.closing.is_set():
            await self.feed.run()

    def followed(self) -> Feed:
        """The feed, to follow it."""
        self._wanted.set()
        return self.feed

    def close(self) -> None:
        """End all streams."""
        self.feed.close()
        self._wanted.set()
