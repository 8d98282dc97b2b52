"""Redis stands still for less than a lease, and nobody loses what it has."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from agentainer_flow.core.connection import LONGEST_DELAY
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.reactors.session import Heartbeat, Session
from agentainer_flow.sdk.connections import connect

from .bench import Bench, keeping_clean
from .mortal import kill, mortal_redis, restart
from .polling import until

pytestmark = pytest.mark.anyio


async def test_those_who_live_keep_everything_when_redis_was_away() -> None:
    """Their leases ran out meanwhile, and it takes them a moment to see that Redis is back."""
    with mortal_redis() as settings:
        async with connect(msgspec.structs.replace(settings, lease=2)) as log, keeping_clean(log):
            bench = Bench(log)
            await bench.create()
            await bench.own()
            await bench.queue(0)
            await anyio.sleep(2.1)  # it looks every second, so next long after Redis has gone
            await bench.claim(token="worker/1", lease=1300)
            await kill(settings)
            await anyio.sleep(1.2)
            await restart(settings)
            await anyio.sleep(LONGEST_DELAY + 0.1)
            await renew(bench, 3000)
            await anyio.sleep(2)
            assert "task.lost" not in await bench.types()
            await renew(bench, 0)
            await bench.wait_for("task.lost")


async def renew(bench: Bench, lease_ms: int) -> None:
    await bench.scripts.renew(0, lanes=[], sessions=["worker"], lease_ms=lease_ms)


async def test_leases_are_not_steady_behind_a_standstill(settings: Settings) -> None:
    log = EventLog(msgspec.structs.replace(settings, lease=0.3), settings.redis_url or "")
    heart = Heartbeat(log, 0)
    assert not heart.is_steady(0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Session(log, "janitor", heart=heart).keep)
        await until(lambda: heart.is_steady(0))
        assert not heart.is_steady(0.3)
        await until(lambda: heart.is_steady(0.3))
        await log.redis.client_pause(250)
        await until(lambda: not heart.is_steady(0))
        await until(lambda: heart.is_steady(0))
        assert not heart.is_steady(0.3)
        tasks.cancel_scope.cancel()
    await log.close()
