"""Projections damaged by hand are found and made anew; what goes on meanwhile is not lost."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import anyio
import pytest
from redis import Redis

from agentainer_flow import AsyncContext, Workflow, parallel, step, workflow
from agentainer_flow.core.errors import WorkflowNotFound
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.projections.catalogue import PROJECTIONS
from agentainer_flow.sdk import client
from agentainer_flow.sdk import rebuild as rebuilding
from agentainer_flow.sdk.check import Question, check
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.lags import read_lags
from agentainer_flow.sdk.rebuild import Progress, rebuild, roll_back
from agentainer_flow.sdk.registry import code_of
from agentainer_flow.sdk.service import ROLES, Service

from .command import Command, eventually

pytestmark = pytest.mark.anyio


@workflow(name="rebuilt")
class Counted(Workflow):
    @step()
    @parallel()
    async def each(self, context: AsyncContext, item: int) -> int:
        await context.state.incr("done")
        agent = await context.deploy_agent("agent", "any", command="echo 1")
        answer: int = await agent.wait()
        return answer


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    async with connect(settings) as log:
        yield log


async def begin(log: EventLog, **tags: str) -> str:
    code = code_of(Counted)
    prepared = client.prepare(code, None, {"items": 2}, log.settings, tags=tags)
    return await client.create(log, prepared)


@pytest.fixture
async def ended(log: EventLog) -> str:
    workflow = await begin(log, team="a")
    key = log.keys.workflow(workflow, "meta")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Service(log, [code_of(Counted)], roles=ROLES).run)
        with anyio.fail_after(60):
            while await log.redis.hget(key, "doc_status") != b"completed":  # noqa: ASYNC110
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    return workflow


async def dump(log: EventLog) -> dict[str, Any]:
    """What all keys hold but those of rebuilds."""
    keys = [key.decode() async for key in log.redis.scan_iter()]
    kept = [key for key in keys if "flow:rebuild" not in key and ":former:" not in key]
    return {key: await content(log.redis, key) for key in sorted(kept)}


async def content(redis: Any, key: str) -> Any:
    match await redis.type(key):
        case b"hash":
            return await redis.hgetall(key)
        case b"set":
            return await redis.smembers(key)
        case b"zset":
            return await redis.zrange(key, 0, -1, withscores=True)
        case b"list":
            return await redis.lrange(key, 0, -1)
        case b"stream":
            return await redis.xrange(key)
        case _:
            return await redis.get(key)


Break = Callable[[Any, str], Awaitable[object]]

DAMAGES: dict[str, tuple[str, Break, str]] = {
    "the document is edited": (
        "documents",
        lambda r, w: r.set(f"workflow:{w}", '{"status":"failed"}'),
        "document.",
    ),
    "the document is no JSON": ("documents", lambda r, w: r.set(f"workflow:{w}", "{"), "document"),
    "the document vanishes": ("documents", lambda r, w: r.delete(f"workflow:{w}"), "document"),
    "a step vanishes": ("documents", lambda r, w: r.lpop(f"workflow:{w}:steps"), "steps"),
    "the set of agents is emptied": (
        "documents",
        lambda r, w: r.delete(f"workflow:{w}:step:each:jobs"),
        "jobs.each",
    ),
    "an agent is added": (
        "documents",
        lambda r, w: r.sadd(f"workflow:{w}:step:each:jobs", "other"),
        "jobs.each",
    ),
    "the document is of another release": (
        "documents",
        lambda r, w: r.hset(f"workflow:{w}:meta", "doc_p", "0.1"),
        "schema",
    ),
    "a value is changed": (
        "state",
        lambda r, w: r.hset(f"workflow:{w}:state", "done", 7),
        "state.done",
    ),
    "a value is added": ("state", lambda r, w: r.hset(f"workflow:{w}:state", "x", "1"), "state.x"),
    "the state vanishes": ("state", lambda r, w: r.delete(f"workflow:{w}:state"), "state.done"),
    "a member is removed": (
        "listings",
        lambda r, w: r.zrem("flow:0:workflows", w),
        "listed.workflows",
    ),
    "a name is removed": (
        "listings",
        lambda r, w: r.zrem("flow:0:named:rebuilt", w),
        "listed.named:rebuilt",
    ),
    "a tag is added": (
        "listings",
        lambda r, w: r.zadd("flow:0:tagged:team:b", {w: 1}),
        "listed.tagged:team:b",
    ),
    "a score is changed": (
        "listings",
        lambda r, w: r.zadd("flow:0:tagged:team:a", {w: 1}),
        "listed.tagged:team:a",
    ),
    "it is listed twice": (
        "listings",
        lambda r, w: r.zadd("flow:0:workflows:failed", {w: 1}),
        "listed.workflows:failed",
    ),
    "it is active": ("listings", lambda r, w: r.sadd("flow:0:active", w), "active"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damage_is_found_and_repaired(log: EventLog, ended: str, damage: str) -> None:
    name, break_it, path = DAMAGES[damage]
    sound = await dump(log)
    await break_it(log.redis, ended)
    damaged = await dump(log)
    found = await rebuild(log, "all")
    assert [(one.projection, one.path.startswith(path)) for one in found.first] == [(name, True)]
    assert (found.same, found.different, found.switched) == (3, 1, 1)
    assert await dump(log) == sound
    assert (await check(log, Question())).clean

    assert (await rebuild(log, "all")).different == 0
    assert (await roll_back(log, name)).restored == 1
    assert await dump(log) == damaged


async def test_a_document_that_nobody_brings_up_to_date_is(log: EventLog, ended: str) -> None:
    sound = await dump(log)
    await log.redis.hset(f"workflow:{ended}:meta", "doc_v", 3)
    (found,) = (await rebuild(log, "documents")).first
    assert (found.path, found.live) == ("version", 3)
    assert await dump(log) == sound


async def test_what_is_right_stays_as_it_is(log: EventLog, ended: str) -> None:
    await begin(log)
    before = await dump(log)
    found = await rebuild(log, "all")
    assert (found.looked, found.same, found.different, found.phase) == (2, 8, 0, "done")
    assert await dump(log) == before


async def test_only_looking_changes_nothing(log: EventLog, ended: str) -> None:
    await log.redis.hset(f"workflow:{ended}:state", "done", 7)
    before = await dump(log)
    found = await rebuild(log, "state", switch=False)
    assert (found.different, found.switched) == (1, 0)
    assert await dump(log) == before


async def test_one_workflow_is_rebuilt_alone(log: EventLog, ended: str) -> None:
    other = await begin(log)
    for one in (ended, other):
        await log.redis.hset(f"workflow:{one}:state", "x", 1)
    assert (await rebuild(log, "state", workflow=other)).switched == 1
    assert await log.redis.hgetall(f"workflow:{other}:state") == {}
    assert await log.redis.hget(f"workflow:{ended}:state", "x") == b"1"
    with pytest.raises(WorkflowNotFound):
        await rebuild(log, "state", workflow="nobody")


async def test_live_writes_meanwhile_are_not_lost(
    log: EventLog, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State goes on between building and switching: it is built again."""
    other = await begin(log)
    await log.redis.hset(f"workflow:{other}:state", "x", 1)
    original = log.scripts.switch_projection

    async def write_first(workflow: str, **more: Any) -> Any:
        if not await log.redis.hexists(f"workflow:{other}:state", "k"):
            change = {"op": "set", "key": "k", "value": "5", "event": '"value":5'}
            await log.scripts.change_state(other, by="me", changes=[change])
        return await original(workflow, **more)

    monkeypatch.setattr(log.scripts, "switch_projection", write_first)
    found = await rebuild(log, "state")
    assert (found.different, found.switched) == (1, 1)
    assert await log.redis.hgetall(f"workflow:{other}:state") == {b"k": b"5"}
    assert (await check(log, Question([other]))).clean


async def test_a_newer_document_is_never_replaced(
    log: EventLog, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.redis.set(f"workflow:{ended}", "{}")
    original = log.scripts.switch_projection

    async def write_first(workflow: str, **more: Any) -> Any:
        newest = {"doc_v": await log.redis.hget(f"workflow:{ended}:meta", "v")}
        await log.redis.hset(f"workflow:{ended}:meta", mapping=newest)
        shadow = f"workflow:{ended}:shadow:documents"
        assert await log.redis.pttl(shadow) > 0
        return await original(workflow, **more)

    monkeypatch.setattr(log.scripts, "switch_projection", write_first)
    assert (await rebuild(log, "documents")).switched == 1
    document = json.loads(await log.redis.get(f"workflow:{ended}"))
    assert document["status"] == "completed"


async def test_going_back_leaves_what_is_newer(log: EventLog, ended: str) -> None:
    other = await begin(log)
    await log.redis.hset(f"workflow:{other}:state", "x", 1)
    await rebuild(log, "state")
    change = {"op": "set", "key": "k", "value": "5", "event": '"value":5'}
    await log.scripts.change_state(other, by="me", changes=[change])
    found = await roll_back(log, "state")
    assert (found.restored, found.newer) == (0, 1)
    assert await log.redis.hgetall(f"workflow:{other}:state") == {b"k": b"5"}


async def test_a_rebuild_that_was_interrupted_goes_on(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "PORTION", 2)
    made = sorted([await begin(log) for _ in range(6)])
    for one in made:
        await log.redis.hset(f"workflow:{one}:state", "x", 1)

    def stop(progress: Progress) -> None:
        if progress.looked == 4:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        await rebuild(log, "state", watch=stop)
    (state,) = [one for one in await read_lags(log) if one.name == "state"]
    assert state.rebuild.startswith("build")
    found = await rebuild(log, "state")
    assert (found.resumed, found.looked, found.different, found.switched) == (True, 6, 6, 6)
    assert (await rebuild(log, "state")).resumed is False


async def test_a_log_that_cannot_be_folded_stops_nobody(log: EventLog, ended: str) -> None:
    other = await begin(log)
    await log.redis.xdel(log.keys.events(ended), "5-0")
    await log.redis.hset(f"workflow:{other}:state", "x", 1)
    found = await rebuild(log, "state")
    assert (found.damaged, found.switched) == (1, 1)
    assert ended in found.problems[0]


async def test_projections_tell_how_far_they_are_behind(log: EventLog) -> None:
    assert [one.name for one in await read_lags(log)] == [one.name for one in PROJECTIONS]
    workflow = await begin(log)
    documents, listings, state, _ = await read_lags(log)
    assert (documents.workflows, documents.lag_events, documents.worst_workflow) == (1, 2, workflow)
    assert listings.lag_events == 2
    assert (state.position, state.events, state.lag_events) == (2, 2, 0)


def fill(cli: Command, count: int) -> None:
    """Many workflows, the state of each damaged."""
    workflow = cli.start("Greet", "-i", "name=7")
    with Redis.from_url(cli.environment["AGENTAINER_REDIS_URL"]) as redis:
        entries: Any = redis.xrange(f"workflow:{workflow}:events")
        meta: Any = redis.hgetall(f"workflow:{workflow}:meta")
        pipe = redis.pipeline(transaction=False)
        for number in range(count):
            name = f"copy{number:06}"
            for entry, fields in entries:
                pipe.xadd(f"workflow:{name}:events", fields, id=entry)
            pipe.hset(f"workflow:{name}:meta", mapping=meta)
            pipe.hset(f"workflow:{name}:state", "x", 1)
        pipe.execute()


def test_a_rebuild_that_is_killed_goes_on(cli: Command) -> None:
    fill(cli, 2000)
    with Redis.from_url(cli.environment["AGENTAINER_REDIS_URL"]) as connection:
        redis: Any = connection

        def looked() -> int:
            data: Any = redis.hget("flow:rebuild:state", "progress")
            return int(json.loads(data)["looked"]) if data else 0

        killed = cli.begin("rebuild", "state")
        eventually(lambda: looked() >= 100)
        killed.signal(signal.SIGKILL)
        killed.end()
        reached = looked()
        assert 100 <= reached < 2000
        found = cli.ask("rebuild", "state")
        assert (found["resumed"], found["looked"], found["switched"]) == (True, 2001, 2000)
        states = list(redis.scan_iter(match="workflow:*:state"))
        assert [key for key in states if b":former:" not in key] == []


def test_the_commands_say_what_they_did(cli: Command) -> None:
    cli.run("Greet", "-i", "name=7")
    workflow = cli.ask("workflow", "list")[0]["id"]
    shown = cli("projections").stdout
    assert shown.split()[:3] == ["NAME", "SCHEMA", "WORKFLOWS"]
    assert [one["name"] for one in cli.ask("projections")] == [one.name for one in PROJECTIONS]
    done = cli("rebuild", "--all", "--workflow", workflow)
    assert "same       4" in done.stdout
    assert cli("rebuild", "nothing").returncode == 2
    assert cli("rebuild", "state", "--all").returncode == 2
    assert cli("rebuild", "state", "--workflow", "nobody").returncode == 3
    assert "0 put back" in cli("rebuild", "--all", "--rollback").stdout


async def test_rebuilding_again_and_again_beside_live_work_harms_nothing(log: EventLog) -> None:
    """Each round finds what was damaged, or what was repaired by live writes in between."""
    made = [await begin(log, team="a") for _ in range(8)]

    async def damage_and_rebuild() -> None:
        while True:
            for one in made[::2]:
                await log.redis.hset(f"workflow:{one}:state", "bogus", "1")
                await log.redis.zrem("flow:0:workflows", one)
                await log.redis.zadd("flow:0:workflows:failed", {one: 1})
                await log.redis.delete(f"workflow:{one}:step:each:jobs")
            found = await rebuild(log, "all")
            assert found.damaged == 0, found.problems

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Service(log, [code_of(Counted)], roles=ROLES).run)
        tasks.start_soon(damage_and_rebuild)
        with anyio.fail_after(60):
            for one in made:
                key = log.keys.workflow(one, "meta")
                while await log.redis.hget(key, "doc_status") != b"completed":  # noqa: ASYNC110
                    await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    for _ in range(2):  # the first one only ends what was under way
        await rebuild(log, "all")
    assert (await rebuild(log, "all")).different == 0
    assert (await check(log, Question())).violations == []
