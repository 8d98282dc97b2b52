"""Where engine and worker share a process a chain hops; the story is the one of the long way."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, cast

import msgspec
import pytest
from redis import Redis

from agentainer_flow import AsyncContext, Workflow, WorkflowFailed, parallel, step, workflow
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.projections.documents import document
from agentainer_flow.projections.fold import fold
from agentainer_flow.reactors import held
from agentainer_flow.sdk.connections import connect

from ..fundamentals.serving import serving
from .polling import until

pytestmark = pytest.mark.anyio


@workflow(name="hop-chain")
class Chain(Workflow):
    @step()
    async def one(self, context: AsyncContext) -> int:
        return 1

    @step()
    async def two(self, context: AsyncContext, one: int) -> int:
        return one + 1

    @step()
    async def three(self, context: AsyncContext, two: int) -> int:
        return two + 1

    @step()
    async def four(self, context: AsyncContext, three: int) -> int:
        return three + 1


@workflow(name="hop-writer")
class Writer(Workflow):
    """Each step writes to the log just before its result does, so the engine's guess is wrong."""

    @step()
    async def one(self, context: AsyncContext) -> int:
        await context.state.incr("n")
        return 1

    @step()
    async def many(self, context: AsyncContext, one: int) -> list[int]:
        await context.state.incr("n")
        return list(range(20))

    @step()
    @parallel(over="many")
    async def each(self, context: AsyncContext, item: int) -> int:
        await context.state.incr("n")
        return item

    @step()
    async def last(self, context: AsyncContext, each: list[int]) -> int:
        counted: int = await context.state["n"]
        return sum(each) + counted


@workflow(name="hop-retry")
class Flaky(Workflow):
    @step(retries=2, backoff=0.01)
    async def one(self, context: AsyncContext) -> int:
        if context.attempt < 3:
            raise ValueError("not yet")
        return context.attempt

    @step()
    async def two(self, context: AsyncContext, one: int) -> int:
        raise ValueError(f"after {one}")


@pytest.fixture
async def log(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[EventLog]:
    monkeypatch.setenv("AGENTAINER_REDIS_URL", settings.redis_url or "")
    async with connect(settings) as log:
        yield log


async def test_steps_of_a_chain_are_no_news_to_the_engine(
    settings: Settings, log: EventLog
) -> None:
    redis: Any = log.redis
    async with serving(settings, Chain):
        assert await (await Chain().astart()).result(timeout=20) == 4  # the engine is there now
        before = await redis.xlen("flow:0:shared:feed")
        assert await (await Chain().astart()).result(timeout=20) == 4
        entries = await redis.xlen("flow:0:shared:feed") - before
    assert entries <= 4  # created, first claim, end; not one for each of 18 events


async def test_workflows_that_share_their_calls_hop_all_the_same(
    settings: Settings, log: EventLog
) -> None:
    """A worker's call brings tasks of workflows that nothing ended in; their results hop, too."""
    redis: Any = log.redis
    async with serving(settings, Chain):
        handles = [await Chain().astart() for _ in range(40)]
        assert [await handle.result(timeout=30) for handle in handles] == [4] * 40
        entries = await redis.xrange("flow:0:shared:feed")
    results = sum(fields[b"e"].count(b'"task.completed"') for _, fields in entries)
    assert results < 80  # of 160; what went the long way is on the feed


async def test_workflows_that_had_to_go_from_memory_go_on(
    settings: Settings, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MOST", 30)  # two or three of them
    async with serving(settings, Chain):
        handles = [await Chain().astart() for _ in range(40)]
        assert [await handle.result(timeout=30) for handle in handles] == [4] * 40
    for handle in handles:
        assert [x.type for x in await log.read(handle.id)].count("task.started") == 4


async def test_guess_that_was_wrong_costs_nothing_but_time(
    settings: Settings, log: EventLog
) -> None:
    async with serving(settings, Writer):
        assert await (await Writer().astart()).result(timeout=20) == 190 + 22


async def test_failures_hop_too(settings: Settings, log: EventLog) -> None:
    async with serving(settings, Flaky):
        handle = await Flaky().astart()
        with pytest.raises(WorkflowFailed, match="after 3"):
            await handle.result(timeout=20)
    types = [recorded.type for recorded in await log.read(handle.id)]
    assert types.count("task.failed") == 3
    assert types.count("task.retried") == 2


async def test_document_is_what_the_log_folds_to(settings: Settings, log: EventLog) -> None:
    with Redis.from_url(settings.redis_url or "") as redis:
        async with serving(settings, Chain):
            handle = await Chain().astart()
            await handle.result(timeout=20)
            await until(lambda: redis.ttl(f"workflow:{handle.id}") > 0)
        view = fold(handle.id, await log.read(handle.id))
        whole = document(view, await log.get_definition(view.definition_digest))
        data = cast(bytes, redis.get(f"workflow:{handle.id}"))
        assert msgspec.json.decode(data) == msgspec.to_builtins(whole)
