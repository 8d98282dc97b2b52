"""`start` leaves a run to whoever serves its definition, and gives a handle."""

from __future__ import annotations

import anyio
import pytest

from agentainer_flow import (
    AgentTimeout,
    AsyncContext,
    Handle,
    Workflow,
    WorkflowCancelled,
    parallel,
    step,
    workflow,
)
from agentainer_flow.core.errors import InputError
from agentainer_flow.core.settings import Settings

from .serving import serving

pytestmark = pytest.mark.anyio


@workflow()
class Served(Workflow):
    def __init__(self, add: int = 0) -> None:
        self.add = add

    @step()
    @parallel(max_workers=2)
    async def each(self, context: AsyncContext, item: int) -> int:
        return item + self.add

    @step()
    async def total(self, context: AsyncContext, each_results: list[int]) -> int:
        await context.state.set("seen", len(each_results))
        return sum(each_results)


@workflow()
class Endless(Workflow):
    @step()
    async def wait(self, context: AsyncContext) -> None:
        await anyio.sleep_forever()


async def test_started_run_waits_for_who_serves_it(settings: Settings) -> None:
    handle = await Served(10).astart(items=3)
    assert await handle.status() == "running"

    async with serving(settings, Served):
        assert await handle.result(timeout=20) == 33
    assert await handle.state() == {"seen": 3}


async def test_events_tell_the_whole_story_in_order(settings: Settings) -> None:
    async with serving(settings, Served):
        handle = await Served().astart(items=1)
        events = [recorded async for recorded in handle.events()]

    assert [recorded.version for recorded in events] == list(range(1, len(events) + 1))
    assert [recorded.type for recorded in events] == [
        "workflow.created",
        "workflow.started",
        "step.scheduled",
        "task.started",
        "task.completed",
        "step.completed",
        "step.scheduled",
        "task.started",
        "state.updated",
        "task.completed",
        "step.completed",
        "workflow.completed",
    ]


async def test_cancelling_ends_a_run_that_would_never_end(settings: Settings) -> None:
    async with serving(settings, Endless):
        handle = await Endless().astart()
        await until_started(handle)
        await handle.cancel("no longer needed")
        with pytest.raises(WorkflowCancelled, match="no longer needed"):
            await handle.result(timeout=20)
    assert await handle.status() == "cancelled"


async def test_a_run_has_the_tags_that_it_was_started_with() -> None:
    handle = await Endless().astart(tags={"team": "search"})
    assert (await handle.document()).tags == {"team": "search"}
    with pytest.raises(InputError, match="tag 'team'"):
        await Endless().astart(tags={"team": 7})


async def test_waiting_for_a_result_ends_with_its_timeout() -> None:
    handle = await Endless().astart()

    with pytest.raises(AgentTimeout):
        await handle.result(timeout=0.1)


async def until_started(handle: Handle) -> None:
    async for recorded in handle.events():
        if recorded.type == "task.started":
            return
