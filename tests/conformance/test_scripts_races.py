"""Calls that cross: what one decided on is no longer so when its call arrives."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from agentainer_flow.core.answers import Batch
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings

from ..integration.bench import LANE, Bench

pytestmark = pytest.mark.anyio


@pytest.fixture
def redis_url(each_redis_url: str) -> str:
    return each_redis_url


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    log = EventLog(settings, settings.redis_url or "")
    await log.open()
    yield log
    await log.close()


async def started(log: EventLog, workflow: str) -> Bench:
    bench = Bench(log, workflow)
    await bench.create()
    await bench.own()
    return bench


async def command(bench: Bench, word: str, status: str, **flags: Any) -> None:
    call: dict[str, Any] = {"key": word, "content": "", "events": [(f"workflow.{word}", "{}")]}
    await bench.scripts.append(bench.id, by="client", status=status, **call, **flags)


async def test_retry_that_crossed_a_pause_waits_for_its_end(log: EventLog) -> None:
    bench = await started(log, "w1")
    await command(bench, "paused", "paused", suspend=True)
    batch = Batch("a", "0|default||0", 0, [(0, 2, "null")], "{}", delay_ms=60_000)
    await bench.commit(("task.retried", '{"step":"a","index":0,"attempt":2}', None), queue=[batch])

    assert await log.scripts.fire(0, lane=LANE) == -1
    await command(bench, "resumed", "running", wake=True)
    assert await log.scripts.fire(0, lane=LANE) > 0


async def test_failure_that_crossed_a_cancellation_leaves_it_one(log: EventLog) -> None:
    bench = await started(log, "w1")
    await bench.queue(0)
    await command(bench, "cancel_requested", "cancelling")

    failed = ("step.failed", '{"step":"a","error":{"type":"E","message":"m"}}', None)
    await bench.commit(failed, cancel=[("a", 0)], phase="failing")

    assert await log.status("w1") == "cancelling"


async def test_free_slot_of_a_queue_goes_past_workflows_that_cannot_use_it(log: EventLog) -> None:
    await log.scripts.set_queue("default", limit=1, depth=0)
    first, *others = [await started(log, f"w{n}") for n in range(8)]
    await first.queue(0)
    await first.claim()
    for bench in others:
        await bench.queue(0)
    assert await first.claim(token="t/1") == []
    for bench in others[1:]:
        await command(bench, "paused", "paused", suspend=True)

    await first.settle(0)

    (claimed,) = await first.claim(token="t/2")
    assert claimed.workflow == others[0].id
