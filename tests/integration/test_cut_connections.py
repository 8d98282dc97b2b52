"""Who waits for news on a connection of its own hears what comes after that was cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
import structlog.testing
from redis import exceptions

from agentainer_flow import AsyncContext, Workflow, step, workflow
from agentainer_flow.core.bell import Bell
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings

from ..fundamentals.serving import serving
from .bench import Bench
from .lossy import Lossy, lossy_way
from .polling import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def way(settings: Settings) -> AsyncGenerator[tuple[Lossy, Settings], None]:
    """A way to Redis that can be cut, and settings that lead there."""
    async with lossy_way(settings.redis_url or "") as (lossy, url):
        yield lossy, msgspec.structs.replace(settings, redis_url=url)


@pytest.fixture
async def far(way: tuple[Lossy, Settings]) -> AsyncGenerator[EventLog, None]:
    log = EventLog(way[1], way[1].redis_url or "")
    yield log
    await log.close()


@pytest.fixture
async def bench(settings: Settings) -> AsyncGenerator[Bench, None]:
    """A bench that goes straight to Redis."""
    log = EventLog(settings, settings.redis_url or "")
    bench = Bench(log)
    await bench.create()
    await bench.own()
    yield bench
    await log.close()


async def test_bell_is_heard_after_a_cut(
    way: tuple[Lossy, Settings], far: EventLog, bench: Bench
) -> None:
    heard: list[str] = []
    bell = Bell(far)
    bell.listen(lambda kind, _workflow, _subject: heard.append(kind), "task")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bell.run)
        await bench.queue(0)
        await until(lambda: heard == ["task"])

        way[0].cut()
        await bench.queue(1)

        await until(lambda: heard.count("task") == 2)
        tasks.cancel_scope.cancel()
    assert "recheck" in heard


async def test_follower_sees_every_event_once_over_a_cut(
    way: tuple[Lossy, Settings], far: EventLog, bench: Bench
) -> None:
    seen: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow, far, seen)
        await until(lambda: seen == [1, 2])

        way[0].cut()
        await bench.queue(0)

        await until(lambda: len(seen) >= 3)
        tasks.cancel_scope.cancel()
    assert seen == [1, 2, 3]


async def follow(log: EventLog, seen: list[int]) -> None:
    async for batch in log.follow("w1"):
        seen += [recorded.version for recorded in batch]


@workflow()
class Plain(Workflow):
    @step()
    async def one(self, context: AsyncContext) -> int:
        return 1


async def test_service_goes_on_after_a_cut(
    settings: Settings, way: tuple[Lossy, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTAINER_REDIS_URL", settings.redis_url or "")
    async with serving(way[1], Plain):
        first = await Plain().astart()
        assert await first.result(timeout=20) == 1

        way[0].cut()
        second = await Plain().astart()

        assert await second.result(timeout=20) == 1


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True}), "asyncio"], ids=str)
async def test_writing_to_a_connection_that_was_closed_is_a_lost_connection(
    settings: Settings,
) -> None:
    # uvloop called it a RuntimeError, and a role that met one while Redis was away ended.
    log = EventLog(settings, settings.redis_url or "")
    connection: Any = await log.redis.connection_pool.get_connection()
    connection._writer.transport.abort()
    for _ in range(3):
        await anyio.lowlevel.checkpoint()

    with pytest.raises(exceptions.ConnectionError):
        await connection.send_command("PING")
    await log.redis.connection_pool.release(connection)
    await log.close()


async def test_one_word_when_redis_is_away_and_one_when_it_is_back(
    way: tuple[Lossy, Settings], far: EventLog
) -> None:
    lossy, _ = way
    lossy.down = True
    with structlog.testing.capture_logs() as said:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(far.exists, "w1")
            await until(lambda: lossy.refused > 4)
            lossy.down = False
        await far.exists("w1")
    assert [line["event"] for line in said] == ["redis.away", "redis.back"]
