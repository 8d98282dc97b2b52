"""A fork takes over what an earlier run did and runs the rest."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from agentainer_flow import (
    AsyncContext,
    Handle,
    InputError,
    Refused,
    Workflow,
    WorkflowFailed,
    parallel,
    quorum,
    step,
    workflow,
)
from agentainer_flow.core import events as e
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk.check import Question, check
from agentainer_flow.sdk.connections import connect

from .serving import serving

pytestmark = pytest.mark.anyio

#: How often each body ran, and what does not work (yet).
RAN: Counter[str] = Counter()
BROKEN: set[int] = set()
LARGE = "x" * 100_000


@workflow(name="forked")
class Forked(Workflow):
    @step()
    async def load(self, context: AsyncContext, count: int) -> int:
        RAN["load"] += 1
        await context.state.set("large", LARGE)
        await context.state.incr("total", 1)
        return count

    @step()
    @parallel(over="load")
    async def work(self, context: AsyncContext, item: int) -> str:
        RAN["work"] += 1
        if item in BROKEN:
            raise ValueError(f"no {item}")
        await context.state.incr("total", 10)
        return LARGE if item == 0 else str(item)

    @step()
    async def report(self, context: AsyncContext, work_results: list[str], word: str = "") -> str:
        RAN["report"] += 1
        return f"{word}{len(work_results)} {work_results[0][:1]}"


@workflow(name="some-suffice")
class SomeSuffice(Workflow):
    @step()
    @parallel(on_failure=quorum(1))
    async def work(self, context: AsyncContext, item: int) -> int:
        RAN["work"] += 1
        if item in BROKEN:
            raise ValueError(f"no {item}")
        return item


@pytest.fixture(autouse=True)
def all_works() -> None:
    RAN.clear()
    BROKEN.clear()


async def forget_and_wait(handle: Handle) -> tuple[Any, dict[str, int]]:
    """The result of a fork and what ran for it."""
    RAN.clear()
    return await handle.result(timeout=30), dict(RAN)


async def problems_of(settings: Settings, *handles: Handle) -> list[str]:
    async with connect(settings) as log:
        found = await check(log, Question([handle.id for handle in handles]))
        return [str(violation) for violation in found.violations]


async def test_a_step_runs_again_with_what_was_before_it(settings: Settings) -> None:
    async with serving(settings, Forked):
        first = await Forked().astart(count=3)
        assert await first.result(timeout=20) == "3 x"
        fork = await first.fork(step="report", inputs={"word": "again "})
        assert await forget_and_wait(fork) == ("again 3 x", {"report": 1})
        assert (await fork.state()) == {"large": LARGE, "total": 31}
        assert await problems_of(settings, first, fork) == []
    created = (await anext(fork.events())).event
    assert isinstance(created, e.WorkflowCreated)
    assert created.forked_from
    assert created.forked_from.workflow == first.id
    assert created.forked_from.changed == ["input.word"]


async def test_a_failed_run_goes_on_from_its_failure(settings: Settings) -> None:
    """Of 1,000 tasks only those run that have to."""
    async with serving(settings, Forked):
        BROKEN.add(999)
        first = await Forked().astart(count=1000)
        with pytest.raises(WorkflowFailed, match="no 999"):
            await first.result(timeout=30)
        done = (await first.document()).steps[1].tasks["completed"]
        BROKEN.clear()
        fork = await first.fork(from_failure=True)
        result, ran = await forget_and_wait(fork)
        assert (result, ran) == ("1000 x", {"work": 1000 - done, "report": 1})
        assert await fork.state() == {"large": LARGE, "total": 10001}
        assert await problems_of(settings, first, fork) == []


async def test_one_task_of_many_runs_again(settings: Settings) -> None:
    async with serving(settings, SomeSuffice):
        BROKEN.update({1, 2})
        first = await SomeSuffice().astart(items=4)
        assert len(await first.result(timeout=20)) == 4
        BROKEN.clear()
        fork = await first.fork(step="work", index=2)
        result, ran = await forget_and_wait(fork)
        assert ran == {"work": 1}
        assert [one if isinstance(one, int) else None for one in result] == [0, None, 2, 3]
        again = await fork.fork(from_failure=True)
        assert await forget_and_wait(again) == ([0, 1, 2, 3], {"work": 1})
        assert await problems_of(settings, first, fork, again) == []


async def test_the_past_and_given_outputs(settings: Settings) -> None:
    async with serving(settings, Forked):
        first = await Forked().astart(count=2)
        await first.result(timeout=20)
        fork = await first.fork(outputs={"load": 1}, state={"total": 5})
        assert await forget_and_wait(fork) == ("1 x", {"work": 1, "report": 1})
        assert (await fork.state())["total"] == 15
        early = await first.fork(at=2)
        assert await forget_and_wait(early) == ("2 x", {"load": 1, "work": 2, "report": 1})
        assert await problems_of(settings, fork, early) == []


async def test_what_cannot_be_forked(settings: Settings) -> None:
    async with serving(settings, Forked):
        first = await Forked().astart(count=1)
        await first.result(timeout=20)
    with pytest.raises(Refused, match="nothing of workflow"):
        await first.fork()
    with pytest.raises(InputError, match="has no step 'lod'; it has load, work, report"):
        await first.fork(step="lod")


async def test_a_running_workflow_is_forked_and_goes_on(settings: Settings) -> None:
    async with serving(settings, Forked):
        first = await Forked().astart(count=200)
        with anyio.fail_after(20):
            while not RAN["work"]:
                await anyio.lowlevel.checkpoint()
        fork = await first.fork(step="report")
        assert await fork.result(timeout=30) == await first.result(timeout=30)
        assert await problems_of(settings, first, fork) == []
