"""A benchmark believes no run whose log does not tell of each task exactly once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk.connections import connect
from benchmarks import bare_loop
from benchmarks.errors import NotOnce
from benchmarks.runs import read_run

from .bench import Bench

pytestmark = pytest.mark.anyio

END = e.WorkflowCompleted()


@pytest.fixture
async def bench(settings: Settings) -> AsyncGenerator[Bench, None]:
    async with connect(settings) as log:
        bench = Bench(log)
        await bench.create()
        await bench.own()
        await bench.queue(0, 1)
        yield bench


async def end(bench: Bench) -> Any:
    return await bench.commit((END.type, e.encode_event(END), None), status="completed")


async def test_a_run_is_read_with_its_results(bench: Bench) -> None:
    await bench.claim()
    await bench.settle(0, 1)
    await end(bench)
    run = await read_run(bench.log, bench.id, 2)
    assert (run.results, run.events) == ([1, 1], 8)


async def test_a_task_that_did_not_complete_is_noticed(bench: Bench) -> None:
    await bench.claim()
    await bench.settle(0)
    await end(bench)
    with pytest.raises(NotOnce, match="each once"):
        await read_run(bench.log, bench.id, 2)


async def test_a_run_that_did_not_end_is_noticed(bench: Bench) -> None:
    await bench.claim()
    await bench.settle(0, 1)
    with pytest.raises(NotOnce, match="ended with"):
        await read_run(bench.log, bench.id, 2)


async def test_a_task_that_was_written_twice_is_noticed(bench: Bench) -> None:
    await bench.claim()
    await bench.settle(0, 1)
    again = e.TaskCompleted("a", 1, 1, msgspec.Raw(b"1"))
    await bench.commit((again.type, e.encode_event(again), None))
    await end(bench)
    with pytest.raises(NotOnce, match="each once"):
        await read_run(bench.log, bench.id, 2)


async def test_the_bare_loop_makes_three_calls_per_hundred_tasks(log_of: EventLog) -> None:
    redis: Any = log_of.redis
    await redis.config_resetstat()
    assert await bare_loop.tasks_per_s(log_of, 1_000) > 0
    stats = await redis.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 30
    assert stats["cmdstat_xadd"]["calls"] == 3_000


@pytest.fixture
async def log_of(settings: Settings) -> AsyncGenerator[EventLog, None]:
    async with connect(settings) as log:
        yield log
