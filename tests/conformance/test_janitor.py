"""The janitor looks when a lease ends, and not at its own leisure."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from math import inf

import anyio
import anyio.abc
import msgspec
import pytest

from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.reactors.janitor import Janitor
from agentainer_flow.reactors.session import Heartbeat, Session

from ..integration.bench import Bench

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


def keep_clean(log: EventLog, tasks: anyio.abc.TaskGroup) -> None:
    """The role of the janitor, until cancelled."""
    heart = Heartbeat(log, 0)
    tasks.start_soon(Session(log, "janitor", heart=heart).keep)
    tasks.start_soon(Janitor(log, heart).run)


async def test_a_task_is_taken_back_as_soon_as_its_lease_ends(bench: Bench) -> None:
    await bench.claim(token="dead/1", lease=1000)
    begun = time.monotonic()
    async with anyio.create_task_group() as tasks:
        keep_clean(bench.log, tasks)
        with anyio.fail_after(10):
            async for batch in bench.log.follow(bench.id):
                if "task.lost" in {recorded.type for recorded in batch}:
                    break
        tasks.cancel_scope.cancel()
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
