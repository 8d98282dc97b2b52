"""A real Redis comes back without its last writes: after a power cut, or as the replica."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import pytest

from agentainer_flow import AsyncContext, Handle, Workflow, parallel, step, workflow
from agentainer_flow.core.settings import Settings, load_settings
from agentainer_flow.sdk.check import Question, check
from agentainer_flow.sdk.connections import connect

from ..fundamentals.serving import serving
from .mortal import kill, mortal_redis, restart
from .polling import until
from .replicated import Server, replicated

pytestmark = pytest.mark.anyio

ITEMS = 60
#: How often a body ran.
ran: list[int] = []


@workflow()
class Enduring(Workflow):
    @step()
    @parallel(over=lambda inputs: ITEMS, max_workers=4)
    async def work(self, context: AsyncContext, item: int) -> int:
        ran.append(item)
        await context.state.set("last", item)
        await anyio.sleep(0.01)
        return item

    @step()
    async def total(self, context: AsyncContext, work_results: list[int]) -> int:
        return sum(work_results)


@pytest.fixture
def embedded_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with mortal_redis() as settings:
        monkeypatch.setenv("AGENTAINER_REDIS_URL", settings.redis_url or "")
        yield settings


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server, Path, Settings]]:
    """A primary, its replica, and a name for the one that counts."""
    with replicated() as (primary, replica), tempfile.TemporaryDirectory() as home:
        name = Path(home) / "redis.sock"
        name.symlink_to(primary.url.removeprefix("unix://"))
        url = f"unix://{name}"
        monkeypatch.setenv("AGENTAINER_REDIS_URL", url)
        settings = load_settings(environ={}, home=Path(home), runtime="process", redis_url=url)
        yield primary, replica, name, settings


def have_run(count: int) -> bool:
    return len(ran) >= count


async def expect_all_well(settings: Settings, handle: Handle) -> None:
    assert await handle.result(timeout=60) == sum(range(ITEMS))
    async with connect(settings) as log:
        checked = await check(log, Question())
    assert not checked.violations
    events = [recorded async for recorded in handle.events()]
    types = [recorded.type for recorded in events]
    assert types.count("task.completed") == ITEMS + 1


async def test_a_power_cut_that_takes_the_end_of_the_file(embedded_redis: Settings) -> None:
    ran.clear()
    chance = Random(7)
    async with serving(embedded_redis, Enduring):
        handle = await Enduring().astart()
        for count in (15, 35, 55):
            await until(partial(have_run, count))
            await cut_power(embedded_redis, lost=chance.randint(2_000, 12_000))
        await expect_all_well(embedded_redis, handle)
    assert len(ran) > ITEMS  # or nothing was lost


async def cut_power(settings: Settings, *, lost: int) -> None:
    """Kill Redis, and take so many bytes from the end of its file, wherever that is."""
    await kill(settings)
    (written,) = settings.home_path.rglob("*.incr.aof")
    os.truncate(written, written.stat().st_size - lost)
    await restart(settings)


async def test_a_replica_that_lacks_the_last_writes_takes_over(
    pair: tuple[Server, Server, Path, Settings],
) -> None:
    ran.clear()
    primary, replica, name, settings = pair
    async with serving(settings, Enduring):
        handle = await Enduring().astart()
        await until(partial(have_run, 20))
        # From here on there are two, and all clients are still with the old one.
        await anyio.to_thread.run_sync(replica.promote)
        await until(partial(have_run, 40))
        name.unlink()
        name.symlink_to(replica.url.removeprefix("unix://"))
        primary.process.kill()
        await expect_all_well(settings, handle)
    assert len(ran) > ITEMS
