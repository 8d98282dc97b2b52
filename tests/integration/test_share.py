"""Schedulers of one Redis come to own a share of the lanes each, and follow one another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import msgspec
import pytest
from structlog.testing import capture_logs

from agentainer_flow.core.ids import new_session
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.reactors.projector import Projector
from agentainer_flow.reactors.session import Heartbeat, Session
from agentainer_flow.reactors.share import Share
from agentainer_flow.reactors.tenure import Tenures
from agentainer_flow.sdk.connections import connect

pytestmark = pytest.mark.anyio

PARTITIONS = range(4)


class Scheduler:
    """What a process has of the role: a session, a share, and an engine for each partition."""

    def __init__(self, log: EventLog) -> None:
        name = new_session("scheduler")
        self._session = Session(log, "scheduler", name=name)
        self._share = Share(log, name)
        self._tenures = [
            Tenures(
                log,
                Projector(log, partition=number),
                Heartbeat(log, number),
                partition=number,
                share=self._share,
            )
            for number in PARTITIONS
        ]

    def lanes_of(self, owners: Sequence[str]) -> list[int]:
        """The shared lanes that are ours by our own count and by their owners in Redis."""
        tokens = [tenures.lane.token for tenures in self._tenures]
        return [
            number for number in PARTITIONS if tokens[number] and tokens[number] == owners[number]
        ]

    async def run(self) -> None:
        """Until cancelled: then it is as dead as a process that was killed."""
        async with anyio.create_task_group() as tasks:
            for main in (self._session.keep, self._share.run, *(one.run for one in self._tenures)):
                tasks.start_soon(main)

    async def hand_over(self) -> None:
        for tenures in self._tenures:
            await tenures.release()
        await self._session.hand_back()


class Cluster:
    """Schedulers that come and go."""

    def __init__(self, log: EventLog, tasks: anyio.abc.TaskGroup) -> None:
        self.log = log
        self._tasks = tasks
        self._scopes: dict[Scheduler, anyio.CancelScope] = {}

    async def come(self) -> Scheduler:
        scheduler = Scheduler(self.log)
        self._scopes[scheduler] = await self._tasks.start(self._run, scheduler)
        return scheduler

    async def _run(
        self,
        scheduler: Scheduler,
        *,
        task_status: anyio.abc.TaskStatus[anyio.CancelScope] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        with anyio.CancelScope() as scope:
            task_status.started(scope)
            await scheduler.run()

    def die(self, scheduler: Scheduler) -> None:
        self._scopes.pop(scheduler).cancel()

    async def come_to(self, *shares: int) -> None:
        """Wait until the living own so many lanes each, and Redis says so, too.

        A lane that is being given up is free in Redis a moment before its owner knows.
        """
        with anyio.fail_after(30):
            while True:
                owners = [await self._owner(number) for number in PARTITIONS]
                lanes = [scheduler.lanes_of(owners) for scheduler in self._scopes]
                if sorted(map(len, lanes)) == sorted(shares):
                    return
                await anyio.sleep(0.002)

    async def _owner(self, number: int) -> str:
        """The token of who owns a shared lane, as Redis knows it; empty where nobody does."""
        owner = await self.log.redis.hget(self.log.keys.flow(number, "owners"), "shared")
        return (owner or b"").decode().partition(" ")[2]


@asynccontextmanager
async def cluster(settings: Settings, *, lease: float) -> AsyncGenerator[Cluster]:
    settings = msgspec.structs.replace(settings, lease=lease, partitions=len(PARTITIONS))
    async with connect(settings) as log, anyio.create_task_group() as tasks:
        yield Cluster(log, tasks)
        tasks.cancel_scope.cancel()


async def test_those_who_come_get_a_share_and_nobody_loses_a_lane(settings: Settings) -> None:
    with capture_logs() as said:
        async with cluster(settings, lease=600) as some:
            await some.come()
            await some.come_to(4)
            await some.come()
            await some.come_to(2, 2)
            await some.come()
            await some.come_to(1, 1, 2)
            for _ in range(2):
                await some.come()
            await some.come_to(0, 1, 1, 1, 1)
    assert "engine.lane_lost" not in {entry["event"] for entry in said}


async def test_those_who_stay_take_over_from_who_stops_long_before_its_lease_ends(
    settings: Settings,
) -> None:
    async with cluster(settings, lease=600) as some:
        leaving = [await some.come() for _ in range(3)]
        await some.come_to(1, 1, 2)
        some.die(leaving[0])
        await leaving[0].hand_over()
        await some.come_to(2, 2)


async def test_lane_of_the_dead_waits_for_nobody_who_is_only_counted(settings: Settings) -> None:
    """Those who died just now have sessions for a lease, and so a share; they take nothing."""
    async with cluster(settings, lease=600) as some:
        redis, keys = some.log.redis, some.log.keys
        await redis.zadd(keys.flow(0, "sessions"), {"scheduler@here:1:dead": 2**50})
        for number in PARTITIONS:
            await redis.hset(keys.flow(number, "owners"), "shared", "1 engine@here:1:dead")
        await some.come()
        await some.come_to(4)


async def test_those_who_live_take_over_from_the_dead(settings: Settings) -> None:
    async with cluster(settings, lease=1) as some:
        schedulers = [await some.come() for _ in range(3)]
        await some.come_to(1, 1, 2)
        some.die(schedulers[0])
        await some.come_to(2, 2)
        some.die(schedulers[1])
        await some.come_to(4)
