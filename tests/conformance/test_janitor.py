"""The janitor looks when a lease ends, and not at its own leisure."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from math import inf

import msgspec
import pytest

from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings

from ..integration.bench import Bench, keeping_clean

pytestmark = pytest.mark.anyio


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    """With a lease that is long beside those in the tests."""
    log = EventLog(msgspec.structs.replace(settings, lease=600), settings.redis_url or "")
    yield log
    await log.close()


@pytest.fixture
async def bench(log: EventLog) -> Bench:
    bench = Bench(log)
    await bench.create()
    await bench.own()
    await bench.queue(0)
    return bench


async def test_a_task_is_taken_back_as_soon_as_its_lease_ends(bench: Bench) -> None:
    await bench.claim(token="dead/1", lease=1000)
    begun = time.monotonic()
    async with keeping_clean(bench.log):
        await bench.wait_for("task.lost")
    assert 0.5 < time.monotonic() - begun < 5


async def test_a_call_that_comes_late_takes_nothing(bench: Bench) -> None:
    await bench.claim(token="silent/1", lease=0)
    now_ms = (await bench.scripts.sweep(1)).now_ms

    late = await bench.scripts.sweep(0, until_ms=now_ms - 1)
    assert (late.taken, late.is_late) == ([0, 0, 0], True)
    assert late.left <= 0
    in_time = await bench.scripts.sweep(0, until_ms=now_ms + 60_000)
    assert (in_time.taken, in_time.is_late) == ([1, 0, 0], False)
    assert in_time.left == inf
