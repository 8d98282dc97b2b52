"""How many tasks a second come through, first in peace and then under faults.

Users each start one workflow after the other. There are so many that the system has as much to do
as it can take also while a part of them waits for a lease to run out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

import anyio
import msgspec

from agentainer_flow.projections.invariants import Entry

from .driver import Driver
from .schedule import Start

#: Users, and tasks of the fan-out that each starts.
USERS, SIZE = 300, 50
#: Seconds between two looks of a user.
LOOK = 1.0


class Throughput(msgspec.Struct, frozen=True):
    """Tasks completed per second."""

    in_peace: float
    under_faults: float

    @property
    def ratio(self) -> float:
        return self.under_faults / self.in_peace if self.in_peace else 0.0


class Users:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._numbers = count()
        #: What they started.
        self.starts: list[Start] = []

    async def work(self, until: float) -> None:
        """Keep the system busy until then, by the monotonic clock."""
        async with anyio.create_task_group() as tasks:
            for _ in range(USERS):
                tasks.start_soon(self._one, until)

    async def _one(self, until: float) -> None:
        while time.monotonic() < until:
            start = Start(0.0, next(self._numbers), "Load", SIZE)
            self.starts.append(start)
            workflow = await self._driver.start(start)
            while time.monotonic() < until:
                if await self._driver.has_ended(workflow):
                    break
                await anyio.sleep(LOOK)


def throughput(
    logs: Mapping[str, Sequence[Entry]], begin_ms: float, faults_ms: float, end_ms: float
) -> Throughput:
    """From the logs: peace is from `begin_ms` to `faults_ms`, the faults go on until `end_ms`."""
    times = [entry.ts for log in logs.values() for entry in log if entry.type == "task.completed"]
    return Throughput(_rate(times, begin_ms, faults_ms), _rate(times, faults_ms, end_ms))


def _rate(times: Iterable[int], begin_ms: float, end_ms: float) -> float:
    return sum(begin_ms <= ms < end_ms for ms in times) / max(1.0, end_ms - begin_ms) * 1000
