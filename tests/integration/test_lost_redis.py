"""Redis is killed in the middle of a run and comes back with its append-only file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import pytest

from agentainer_flow import AsyncContext, Handle, Workflow, parallel, step, workflow
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk.connections import connect

from ..fundamentals.serving import serving
from .mortal import kill, mortal_redis, restart
from .polling import until

pytestmark = pytest.mark.anyio

ITEMS = 60

#: Steps that ran, and those that wait until the test opens the gate.
ran: list[str] = []
gate: list[anyio.Event] = []


@workflow()
class Sturdy(Workflow):
    @step()
    @parallel(over=lambda inputs: ITEMS, max_workers=4)
    async def work(self, context: AsyncContext, item: int) -> int:
        ran.append(f"work {item}")
        await context.state.incr("done")
        return item

    @step()
    async def total(self, context: AsyncContext, work_results: list[int]) -> int:
        ran.append("total")
        return sum(work_results)


@workflow()
class Patient(Workflow):
    @step()
    async def wait(self, context: AsyncContext) -> int:
        ran.append("wait")
        await gate[0].wait()
        return 1


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with mortal_redis() as settings:
        monkeypatch.setenv("AGENTAINER_REDIS_URL", settings.redis_url or "")
        ran.clear()
        gate[:] = [anyio.Event()]
        yield settings


def have_run(count: int) -> bool:
    return len(ran) >= count


async def kill_and_restart(settings: Settings) -> None:
    await kill(settings)
    await restart(settings)


async def entries(settings: Settings, handle: Handle) -> list[tuple[str, dict[str, str]]]:
    async with connect(settings) as log:
        found: Any = await log.redis.xrange(log.keys.events(handle.id))
    return [
        (name.decode(), {key.decode(): value.decode() for key, value in fields.items()})
        for name, fields in found
    ]


def check_chain(found: list[tuple[str, dict[str, str]]]) -> None:
    """The versions have no gaps, and the digests chain from the first entry to the last."""
    assert [name for name, _ in found] == [f"{n}-0" for n in range(1, len(found) + 1)]
    chain = ""
    for _, fields in found:
        whole = chain + fields["type"] + fields["data"]
        chain = hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest()[:16]
        assert fields["dg"] == chain


async def test_run_goes_on_as_if_redis_had_never_been_away(mortal: Settings) -> None:
    async with serving(mortal, Sturdy):
        handle = await Sturdy().astart()
        for count in range(10, ITEMS - 9, 20):
            await until(partial(have_run, count))
            await kill_and_restart(mortal)
        assert await handle.result(timeout=30) == sum(range(ITEMS))

    found = await entries(mortal, handle)
    check_chain(found)
    types = [fields["type"] for _, fields in found]
    assert types.count("task.completed") == types.count("task.started") == ITEMS + 1
    assert await handle.state() == {"done": ITEMS}


async def test_step_that_runs_while_redis_is_away_is_recorded(mortal: Settings) -> None:
    async with serving(mortal, Patient):
        handle = await Patient().astart()
        await until(lambda: ran)
        await kill_and_restart(mortal)
        gate[0].set()
        assert await handle.result(timeout=30) == 1

    assert ran == ["wait"]
    check_chain(await entries(mortal, handle))
