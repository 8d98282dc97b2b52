"""What an engine finds whose predecessor was killed before it noted how far it was on the feed.

The feed has the entries that the predecessor has dealt with, and not what it committed on them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from agentainer_flow import AsyncContext, Workflow, step
from agentainer_flow import workflow as workflow_of
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.reactors.lane import GROUP, Lane
from agentainer_flow.sdk import client
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.handle import Handle
from agentainer_flow.sdk.registry import code_of
from agentainer_flow.sdk.service import Service

pytestmark = pytest.mark.anyio


@workflow_of(name="takeover")
class Two(Workflow):
    @step()
    async def one(self, context: AsyncContext) -> int:
        return 1

    @step()
    async def two(self, context: AsyncContext, one: int) -> int:
        return one + 1


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    """With a feed, as it is after the first engine."""
    async with connect(settings) as log:
        lane = Lane(log)
        await lane.acquire()
        await lane.open_feed()
        await lane.mark_stocked()
        await lane.release()
        yield log


async def start(log: EventLog) -> Handle:
    prepared = client.prepare(code_of(Two), None, {}, log.settings)
    return Handle(await client.create(log, prepared), log.settings)


async def serve_until(log: EventLog, role: str, handle: Handle, event: str) -> None:
    """Have one role until the workflow gets such an event."""
    async with serving(log, role):
        async for recorded in handle.events():
            if recorded.type == event:
                return


@asynccontextmanager
async def serving(log: EventLog, *roles: str) -> AsyncGenerator[None]:
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(Service(log, [code_of(Two)], roles=roles).run, stop)
        yield
        stop.set()


async def forget_position(log: EventLog) -> None:
    await log.redis.xgroup_setid(log.keys.feed(0), GROUP, "0")


@pytest.mark.parametrize("has_run", [False, True])
async def test_what_was_decided_is_not_decided_again(log: EventLog, has_run: bool) -> None:
    handle = await start(log)
    await serve_until(log, "scheduler", handle, "step.scheduled")
    if has_run:
        await serve_until(log, "worker", handle, "task.completed")
    await forget_position(log)

    async with serving(log, "scheduler", "worker"):
        assert await handle.result(timeout=20) == 2

    types = [recorded.type for recorded in await log.read(handle.id)]
    assert types.count("step.scheduled") == types.count("task.completed") == 2
