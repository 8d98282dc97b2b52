"""Schedule a shared lane for as long as this process is to have it, and whenever it is again."""

from __future__ import annotations

import structlog

from ..core.log import EventLog
from .engine import Engine
from .hop import Hops
from .lane import Lane, LaneCalledBack
from .projector import Projector
from .session import Heartbeat
from .share import Share

log = structlog.get_logger()


class Tenures:
    """One engine after the other: what one of them knew ends with its lane.

    Each has a lane object, and so a token, of its own. What was on its way when the lane was called
    back comes with the former token, and is fenced.
    """

    def __init__(
        self,
        event_log: EventLog,
        projector: Projector,
        heart: Heartbeat,
        *,
        partition: int,
        share: Share | None,
    ) -> None:
        self._log = event_log
        self._projector = projector
        self._heart = heart
        self._partition = partition
        self._share = share
        self._begin()

    def _begin(self) -> None:
        self.lane = Lane(self._log, partition=self._partition, share=self._share, heart=self._heart)
        self._engine = Engine(self._log, self.lane, self._projector)
        self._hops = Hops(self._log, self._engine)

    def hops(self) -> Hops:
        """The short way to the engine of now."""
        return self._hops

    async def run(self) -> None:
        while True:
            try:
                await self._engine.run()
            except* LaneCalledBack:
                await self.release()
                log.info("engine.lane_given_up", partition=self._partition)
                self._begin()

    async def rest(self) -> None:
        """Finish what is under way, begin nothing more."""
        await self._engine.rest()

    async def release(self) -> None:
        await self.lane.release()
