"""Pause means pause: nothing starts until the run is resumed, and nothing is lost."""

from __future__ import annotations

import anyio
import pytest

from agentainer_flow import (
    AsyncContext,
    Backoff,
    Handle,
    Refused,
    Workflow,
    WorkflowCancelled,
    parallel,
    step,
    workflow,
)
from agentainer_flow.core.settings import Settings

from .serving import serving

pytestmark = pytest.mark.anyio

GATE: dict[str, anyio.Event] = {}


@workflow()
class Gated(Workflow):
    @step()
    @parallel(max_workers=1)
    async def each(self, context: AsyncContext, item: int) -> int:
        await GATE["open"].wait()
        return item

    @step()
    async def after(self, context: AsyncContext, each_results: list[int]) -> int:
        return sum(each_results)


@workflow()
class Retrying(Workflow):
    @step(retries=50, backoff=Backoff(initial=0.05, factor=1))
    async def work(self, context: AsyncContext) -> int:
        if not GATE["open"].is_set():
            raise ValueError("not yet")
        return context.attempt


async def types(handle: Handle) -> list[str]:
    document = await handle.document()
    types: list[str] = []
    async for recorded in handle.events():
        types.append(recorded.type)
        if recorded.version == document.version:
            break
    return types


async def until(handle: Handle, kind: str) -> None:
    async for recorded in handle.events():
        if recorded.type == kind:
            return


async def test_paused_run_finishes_what_runs_and_starts_nothing(settings: Settings) -> None:
    GATE["open"] = anyio.Event()
    async with serving(settings, Gated):
        handle = await Gated().astart(items=3)
        await until(handle, "task.started")
        await handle.pause()
        GATE["open"].set()
        await until(handle, "task.completed")
        assert await handle.status() == "paused"
        assert (await types(handle)).count("task.started") == 1

        await handle.resume()
        assert await handle.result(timeout=20) == 3


async def test_retries_wait_for_the_end_of_a_pause(settings: Settings) -> None:
    GATE["open"] = anyio.Event()
    async with serving(settings, Retrying):
        handle = await Retrying().astart()
        await until(handle, "task.retried")
        await handle.pause()
        paused = (await types(handle)).index("workflow.paused")
        await anyio.sleep(0.3)  # several retries would be due
        assert "task.started" not in (await types(handle))[paused:]

        GATE["open"].set()
        await handle.resume()
        assert await handle.result(timeout=20) > 1


async def test_pausing_and_resuming_need_the_right_status(settings: Settings) -> None:
    GATE["open"] = anyio.Event()
    handle = await Gated().astart(items=1)

    with pytest.raises(Refused, match="is running"):
        await handle.resume()
    await handle.pause()
    with pytest.raises(Refused, match="is paused"):
        await handle.pause()


async def test_paused_run_can_be_cancelled(settings: Settings) -> None:
    GATE["open"] = anyio.Event()
    async with serving(settings, Gated):
        handle = await Gated().astart(items=2)
        await handle.pause()
        await handle.cancel()
        with pytest.raises(WorkflowCancelled):
            await handle.result(timeout=20)


async def test_pause_outlives_every_process(settings: Settings) -> None:
    GATE["open"] = anyio.Event()
    GATE["open"].set()
    handle = await Gated().astart(items=2)
    await handle.pause()
    async with serving(settings, Gated):
        await anyio.sleep(0.3)
        assert "task.started" not in await types(handle)
        await handle.resume()
        assert await handle.result(timeout=20) == 1
