"""Limits that several workflows share: queues, named keys, priorities."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from agentainer_flow import AsyncContext, QueueFull, Workflow, parallel, step, workflow
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk.connections import connect

from .serving import serving

pytestmark = pytest.mark.anyio


class Meter:
    """How many bodies run now, and how many did at most, by name."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def work(self, *names: str) -> None:
        for name in names:
            self.now[name] += 1
            self.most[name] = max(self.most[name], self.now[name])
        await anyio.sleep(0.01)
        self.now.subtract(names)


METER = Meter()


@workflow(queue="gpu")
class OnGpu(Workflow):
    @step()
    @parallel()
    async def train(self, context: AsyncContext, item: int) -> None:
        await METER.work("gpu")

    @step(queue="cpu")
    @parallel()
    async def clean(self, context: AsyncContext, item: int) -> None:
        await METER.work("cpu")


@workflow()
class One(Workflow):
    @step(concurrency=("openai", 2))
    @parallel()
    async def ask(self, context: AsyncContext, item: int) -> None:
        await METER.work("openai")


@workflow()
class Other(Workflow):
    @step(concurrency=("openai", 2))
    @parallel()
    async def ask(self, context: AsyncContext, item: int) -> None:
        await METER.work("openai")


@pytest.fixture(autouse=True)
def _meter() -> None:
    METER.now.clear()
    METER.most.clear()


async def set_queue(settings: Settings, queue: str, *, limit: int = 0, depth: int = 0) -> None:
    async with connect(settings) as log:
        await log.scripts.set_queue(queue, limit=limit, depth=depth)


async def test_limit_of_a_queue_holds_over_workflows(settings: Settings) -> None:
    await set_queue(settings, "gpu", limit=3)
    async with serving(settings, OnGpu):
        handles = [await OnGpu().astart(items=10) for _ in range(3)]
        for handle in handles:
            await handle.result(timeout=20)

    assert METER.most["gpu"] == 3
    assert METER.most["cpu"] > 3


async def test_limit_of_all_queues_together(settings: Settings) -> None:
    await set_queue(settings, "*", limit=4)
    async with serving(settings, OnGpu):
        handles = [await OnGpu().astart(items=10) for _ in range(2)]
        for handle in handles:
            await handle.result(timeout=20)

    assert METER.most["gpu"] + METER.most["cpu"] <= 8
    assert max(METER.most.values()) <= 4


async def test_named_key_is_shared_by_different_workflows(settings: Settings) -> None:
    async with serving(settings, One, Other):
        handles = [await One().astart(items=8), await Other().astart(items=8)]
        for handle in handles:
            await handle.result(timeout=20)

    assert METER.most["openai"] == 2


async def test_raised_limit_takes_effect_at_once(settings: Settings) -> None:
    async with serving(settings, OnGpu):
        await set_queue(settings, "gpu", limit=1)
        handle = await OnGpu().astart(items=30)
        await set_queue(settings, "gpu", limit=10)
        await handle.result(timeout=20)

    assert METER.most["gpu"] > 1


async def test_full_queue_refuses_new_runs_and_keeps_what_it_accepted(settings: Settings) -> None:
    await set_queue(settings, "gpu", depth=5)
    async with serving(settings, OnGpu):
        await set_queue(settings, "gpu", limit=1, depth=5)
        first = await OnGpu().astart(items=50)
        async for recorded in first.events():
            if recorded.type == "task.started":
                break
        with pytest.raises(QueueFull, match=r"queue 'gpu' is full.*5 may\. Try again in"):
            await OnGpu().astart(items=1)
        await set_queue(settings, "gpu")
        await first.result(timeout=20)
