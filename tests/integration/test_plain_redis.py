"""The recipe for any language: nothing but a Redis client and JSON (docs/guides/subscribers.md)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk import client as commands
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.registry import code_of

from .api.flows import Greet

pytestmark = pytest.mark.anyio


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Any]:
    async with Redis.from_url(settings.redis_url or "", decode_responses=True) as redis:
        yield redis


async def start(settings: Settings) -> str:
    async with connect(settings) as log:
        prepared = commands.prepare(code_of(Greet), None, {"name": "Ada"}, settings)
        return await commands.create(log, prepared)


async def test_one_workflow_is_read_by_version(settings: Settings, redis: Any) -> None:
    workflow = await start(settings)
    ((_, entries),) = await redis.xread({f"workflow:{workflow}:events": "0-0"}, block=5000)
    assert [(name, fields["type"]) for name, fields in entries] == [
        ("1-0", "workflow.created"),
        ("2-0", "workflow.started"),
    ]
    assert json.loads(entries[0][1]["data"])["name"] == "greet"


async def test_all_workflows_are_read_by_a_group(settings: Settings, redis: Any) -> None:
    await redis.xgroup_create("flow:0:feed", "billing", id="$", mkstream=True)
    workflow = await start(settings)
    ((_, entries),) = await redis.xreadgroup(
        "billing", "billing-1", {"flow:0:feed": ">"}, count=100, block=5000
    )
    seen = [
        (fields["w"], int(fields["v"]) + number, kind, data)
        for _, fields in entries
        for number, (kind, _, data) in enumerate(json.loads(fields["e"]))
    ]
    assert [event[:3] for event in seen] == [
        (workflow, 1, "workflow.created"),
        (workflow, 2, "workflow.started"),
    ]
    await redis.xack("flow:0:feed", "billing", *[name for name, _ in entries])
    assert (await redis.xpending("flow:0:feed", "billing"))["pending"] == 0


async def test_the_feed_keeps_what_a_group_has_not_acknowledged(
    settings: Settings, redis: Any
) -> None:
    await redis.xgroup_create("flow:0:feed", "billing", id="$", mkstream=True)
    await start(settings)
    await redis.xreadgroup("billing", "billing-1", {"flow:0:feed": ">"})
    async with connect(settings) as log:
        await _tend(log)
        ((_, entries),) = await redis.xreadgroup("billing", "billing-1", {"flow:0:feed": "0"})
        assert len(entries) == 1
        await redis.xgroup_destroy("flow:0:feed", "billing")
        await _tend(log)
    assert not await redis.exists("flow:0:feed")


async def _tend(log: EventLog) -> None:
    await log.scripts.tend_feeds(0, keep_ms=0, keep_entries=0)
