"""Jobs share asyncio tasks without noticing each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio
import anyio.lowlevel
import pytest

from agentainer_flow.sdk.runners import Runners

pytestmark = pytest.mark.anyio

colour: ContextVar[str] = ContextVar("colour", default="none")


@asynccontextmanager
async def running() -> AsyncGenerator[Runners]:
    runners = Runners()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runners.run)
        yield runners
        tasks.cancel_scope.cancel()


async def test_jobs_that_wait_for_nothing_share_a_task() -> None:
    seen: list[asyncio.Task[None] | None] = []
    done = anyio.Event()

    async def job() -> None:
        seen.append(asyncio.current_task())
        if len(seen) == 10:
            done.set()

    async with running() as runners:
        for _ in range(10):
            runners.submit(job)
        await done.wait()
    assert len(set(seen)) == 1


async def test_job_that_waits_holds_up_no_other() -> None:
    gate, passed = anyio.Event(), anyio.Event()

    async def waits() -> None:
        await gate.wait()

    async def passes() -> None:
        passed.set()

    async with running() as runners:
        for _ in range(5):
            runners.submit(waits)
        runners.submit(passes)
        with anyio.fail_after(5):
            await passed.wait()
        gate.set()


async def test_what_a_job_sets_in_its_context_is_gone_with_it() -> None:
    seen: list[str] = []
    done = anyio.Event()

    async def paints() -> None:
        seen.append(colour.get())
        colour.set("red")
        if len(seen) == 3:
            done.set()

    async with running() as runners:
        for _ in range(3):
            runners.submit(paints)
        await done.wait()
    assert seen == ["none", "none", "none"]


async def test_cancelled_job_takes_no_other_along() -> None:
    begun, done = anyio.Event(), anyio.Event()
    victim: list[asyncio.Task[None] | None] = []

    async def waits() -> None:
        victim.append(asyncio.current_task())
        begun.set()
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            return

    async def passes() -> None:
        await anyio.lowlevel.checkpoint()
        done.set()

    async with running() as runners:
        runners.submit(waits)
        await begun.wait()
        task = victim[0]
        assert task
        task.cancel()
        runners.submit(passes)
        with anyio.fail_after(5):
            await done.wait()


async def test_jobs_submitted_before_it_runs_are_kept() -> None:
    runners, done = Runners(), anyio.Event()

    async def job() -> None:
        done.set()

    runners.submit(job)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runners.run)
        with anyio.fail_after(5):
            await done.wait()
        tasks.cancel_scope.cancel()


async def test_a_job_that_comes_while_all_is_cancelled_is_left_alone() -> None:
    """An idle runner is cancelled at once; a claim that returns then must not trip over it."""
    done = anyio.Event()

    async def job() -> None:
        done.set()

    async with running() as runners:
        runners.submit(job)
        await done.wait()
        await anyio.lowlevel.checkpoint()
    runners.submit(job)
