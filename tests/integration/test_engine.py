"""What an engine meets: damaged logs, lost predecessors, workers with other code, full bells."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from typing import cast

import anyio
import msgspec
import pytest
from redis import Redis

from agentainer_flow import (
    AsyncContext,
    Workflow,
    WorkflowCancelled,
    WorkflowFailed,
    parallel,
    step,
)
from agentainer_flow import workflow as workflow_of
from agentainer_flow.core import bell
from agentainer_flow.core import events as e
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.reactors.lane import Lane
from agentainer_flow.sdk import client, runner
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.graph import build
from agentainer_flow.sdk.handle import Handle
from agentainer_flow.sdk.registry import code_of
from agentainer_flow.sdk.service import Service
from tests.fundamentals.serving import serving

from .bench import Bench
from .lossy import lossy_way

pytestmark = pytest.mark.anyio


@workflow_of(name="engine-fine")
class Fine(Workflow):
    @step()
    async def one(self, context: AsyncContext) -> int:
        return 1


@workflow_of(name="engine-fail")
class Failing(Workflow):
    @step()
    @parallel(max_workers=2)
    async def each(self, context: AsyncContext, item: int) -> int:
        return 1 // (item - 3)


@workflow_of(name="engine-wide")
class Wide(Workflow):
    @step()
    async def agent(self, context: AsyncContext) -> None:
        agent = await context.deploy_agent("long", "any", command="sleep 600")
        await agent.wait()

    @step()
    @parallel()
    async def wide(self, context: AsyncContext, item: int) -> None:
        await anyio.sleep_forever()


@pytest.fixture
async def log(settings: Settings) -> AsyncGenerator[EventLog, None]:
    async with connect(settings) as log:
        yield log


@pytest.fixture
def redis(settings: Settings) -> Iterator[Redis]:
    with Redis.from_url(settings.redis_url or "", decode_responses=True) as redis:
        yield redis


def keys(redis: Redis, pattern: str) -> list[str]:
    return list(cast("Iterator[str]", redis.scan_iter(pattern)))


async def start(log: EventLog, cls: type, **inputs: object) -> Handle:
    prepared = client.prepare(code_of(cls), None, inputs, log.settings)
    return Handle(await client.create(log, prepared), log.settings)


async def test_first_engine_that_died_early_leaves_nothing_behind(
    settings: Settings, log: EventLog
) -> None:
    handle = await start(log, Fine)
    lane = Lane(log)
    await lane.acquire()
    await lane.open_feed()  # … and it is gone before it has looked at what there was
    await lane.release()

    async with serving(settings, Fine):
        assert await handle.result(timeout=20) == 1


@pytest.mark.parametrize("data", ["{not json", '{"changes":[{"op":"incr","key":"k","value":nan}]}'])
async def test_damaged_log_does_not_stop_the_others(
    settings: Settings, log: EventLog, redis: Redis, data: str
) -> None:
    bench = Bench(log)
    await bench.create()
    await bench.own(lease_ms=1)
    await bench.scripts.append("w1", key="x", content="", events=[("state.updated", data)], by="me")
    handle = await start(log, Fine)

    async with serving(settings, Fine):
        assert await handle.result(timeout=20) == 1


async def test_vanished_log_does_not_stop_the_others(
    settings: Settings, log: EventLog, redis: Redis
) -> None:
    gone = await start(log, Fine)
    redis.delete(*keys(redis, f"workflow:{gone.id}*"))
    handle = await start(log, Fine)

    async with serving(settings, Fine):
        assert await handle.result(timeout=20) == 1


async def test_emptied_redis_is_served_on(settings: Settings, log: EventLog, redis: Redis) -> None:
    async with serving(msgspec.structs.replace(settings, lease=1.0), Fine):
        assert await (await start(log, Fine)).result(timeout=20) == 1
        redis.flushall()
        assert await (await start(log, Fine)).result(timeout=20) == 1


async def test_runs_in_process_do_not_fill_the_feed_of_others(
    settings: Settings, log: EventLog, redis: Redis
) -> None:
    async with serving(settings, Fine):
        await (await start(log, Fine)).result(timeout=20)
    before = redis.xlen("flow:0:shared:feed")

    await runner.arun(Fine(), {}, settings)

    assert redis.xlen("flow:0:shared:feed") == before


async def test_failed_runs_leave_no_keys_of_their_lanes(settings: Settings, redis: Redis) -> None:
    for slots in (1, 2, 5):
        some = msgspec.structs.replace(settings, slots=slots)
        with pytest.raises(WorkflowFailed):
            await runner.arun(Failing(), {"items": 50}, some)

    assert keys(redis, "*:run:*") == keys(redis, "*:session:*") == []


async def test_worker_without_a_step_leaves_its_tasks_to_others(
    settings: Settings, log: EventLog
) -> None:
    new = build(type("New", (Workflow,), {"one": Fine.one, "two": step()(later)}), "versions", {})
    old = build(type("Old", (Workflow,), {"one": Fine.one}), "versions", {})
    run = await client.create(log, client.prepare(new, None, {}, settings))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Service(log, [old]).run)
        async for recorded in Handle(run, settings).events():
            if recorded.type == "task.completed":
                break  # the old code has done what it can
        tasks.start_soon(Service(log, [new]).run)
        assert await Handle(run, settings).result(timeout=20) == {"one": 1, "two": 2}
        tasks.cancel_scope.cancel()


async def later(self: object, context: AsyncContext) -> int:
    return 2


async def test_agent_is_stopped_among_thousands_of_cancelled_tasks(
    settings: Settings, log: EventLog
) -> None:
    async with serving(msgspec.structs.replace(settings, slots=3000), Wide):
        handle = await start(log, Wide, items=2500)
        await until_under_way(handle, tasks=2500)
        await handle.cancel()
        with pytest.raises(WorkflowCancelled):
            await handle.result(timeout=10)


async def until_under_way(handle: Handle, *, tasks: int) -> None:
    """Until the agent runs and so many tasks beside the one that waits for it."""
    seen: Counter[str] = Counter()
    async for recorded in handle.events():
        seen[recorded.type] += 1
        if seen["job.launched"] and seen["task.started"] > tasks:
            return


async def test_same_idempotency_key_asks_for_the_same_run(
    settings: Settings, log: EventLog
) -> None:
    prepared = [client.prepare(code_of(Fine), None, {}, settings, key="order-17") for _ in "ab"]

    ids = [await client.create(log, one) for one in prepared]

    assert ids[0] == ids[1]
    assert len(await log.read(ids[0])) == 2


async def test_adopted_lane_is_not_taken_back_by_its_old_owner(log: EventLog) -> None:
    lanes = [("run:w9", "old")]
    meta = {"lane": "run:w9", "name": "wf"}
    created = ("workflow.created", '{"name":"wf","definition":"d"}')
    await log.scripts.append(
        "w9", key="k", content="", events=[created], by="me", status="running", meta=meta
    )
    await log.scripts.renew(0, lanes=lanes, sessions=[], lease_ms=0, acquire=True)
    await log.scripts.sweep(0)

    assert await log.scripts.renew(0, lanes=lanes, sessions=[], lease_ms=60_000) == [False]


async def with_an_agent(log: EventLog) -> Bench:
    """A workflow whose one task has asked for the agent `x`."""
    bench = Bench(log)
    await bench.create()
    await bench.own()
    await bench.queue(0)
    await bench.claim()
    await bench.request("x")
    return bench


async def test_what_is_written_after_the_end_ends_with_the_rest(
    log: EventLog, redis: Redis
) -> None:
    await with_an_agent(log)
    version = len(await log.read("w1"))
    documents: dict[str, object] = {"document": "{}", "steps": ["{}"], "jobs": {}, "logs": []}
    lifetimes = {"log_ttl_ms": 10_000, "state_ttl_ms": 10_000}
    ended = {"id": "w1", "version": version, "status": "completed", "created": 1, "schema": "1.1"}
    ended["digest"] = (await log.read("w1"))[-1].digest
    await log.scripts.project(0, [{**ended, **documents, **lifetimes}])

    await log.put_blob("w1", b"[1]")
    await log.scripts.write_logs("w1", job="x", lines=[(1, "stdout", "x")], limit=9, after=0)

    assert 0 < redis.pttl("workflow:w1:blobs") <= 10_000
    assert 0 < redis.pttl("workflow:w1:job:x:logs") <= 10_000


@pytest.mark.parametrize("after", [0, 3])
async def test_output_of_an_agent_that_redis_forgot_is_not_kept(
    log: EventLog, redis: Redis, after: int
) -> None:
    await Bench(log).create()

    line = (1, "stdout", "x")
    await log.scripts.write_logs("w1", job="x", lines=[line], limit=9, after=after)

    assert not redis.exists("workflow:w1:job:x:logs")


async def test_output_that_comes_after_the_end_of_an_agent_is_kept(log: EventLog) -> None:
    bench = await with_an_agent(log)
    lines = [(1, "stdout", text) for text in ("one", "two")]
    await log.scripts.write_logs("w1", job="x", lines=lines[:1], limit=9, after=0)
    await bench.claim_jobs()
    await log.scripts.settle_job(
        "w1", job="x", token="l/1", type="job.succeeded", rest='{"result":1}', final=True
    )

    await log.scripts.write_logs("w1", job="x", lines=lines[1:], limit=9, after=1)

    assert await log.redis.xlen("workflow:w1:job:x:logs") == 2


async def test_cancelled_tasks_name_what_cancelled_their_step(log: EventLog) -> None:
    bench = Bench(log)
    await bench.create()
    await bench.own()
    await bench.queue(0)
    await bench.queue(0, step="b")
    await bench.claim()
    events = [
        (x.type, e.encode_event(x), None) for x in (e.StepCancelled("a"), e.StepCancelled("b"))
    ]
    await bench.commit(*events, cancel=[("a", 0), ("b", 1)])

    story = await log.read("w1")

    assert {
        (x.event.step, story[(x.cause or 0) - 1].event)
        for x in story
        if isinstance(x.event, e.TaskCancelled)
    } == {("a", e.StepCancelled("a")), ("b", e.StepCancelled("b"))}


async def test_foreign_key_in_the_way_does_not_stop_the_others(
    settings: Settings, log: EventLog, redis: Redis
) -> None:
    stuck = await start(log, Fine)
    redis.set(f"workflow:{stuck.id}:ready", "somebody else's")
    handle = await start(log, Fine)

    async with serving(settings, Fine):
        assert await handle.result(timeout=20) == 1


async def test_launcher_that_missed_the_bell_looks_for_itself(
    settings: Settings, log: EventLog, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "RECHECK", 0.0)
    async with serving(settings, Wide):
        handle = await start(log, Wide, items=0)
        await until_under_way(handle, tasks=0)
        jobs = f"workflow:{handle.id}:jobs"
        record = str(redis.hget(jobs, "agent-0-long"))
        redis.hset(jobs, "agent-0-long", record.replace('"launched"', '"stopping"'))
        with pytest.raises(WorkflowFailed, match="cancelled"):
            await handle.result(timeout=20)


async def test_a_successor_knows_what_its_predecessor_committed(
    settings: Settings, log: EventLog
) -> None:
    """Commits of an engine are not on its feed: folding the feed alone would decide them again."""
    feed = log.keys.feed(0)
    await log.redis.xgroup_create(feed, "engine", id="$", mkstream=True)
    await log.redis.set(log.keys.flow(0, "shared", "stocked"), 1)
    handle = await start(log, Fine)
    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Service(log, [code_of(Fine)], roles=["scheduler"]).run)
            with anyio.fail_after(10):
                async for batch in log.follow(handle.id):
                    if "step.scheduled" in {recorded.type for recorded in batch}:
                        break
            tasks.cancel_scope.cancel()
    async with serving(settings, Fine):
        assert await handle.result(timeout=20) == 1
    assert (await types_of(log, handle)).count("step.scheduled") == 1


async def test_many_workflows_are_looked_at_together(settings: Settings, log: EventLog) -> None:
    """Those from before the first engine, and all of them after Redis was away."""
    commits = 0

    def hear(asked: bytes) -> None:
        nonlocal commits
        commits += asked.count(b"_commit\r\n")

    async def wait_until_scheduled(handles: list[Handle]) -> None:
        for handle in handles:
            async for batch in log.follow(handle.id):
                if "step.scheduled" in {recorded.type for recorded in batch}:
                    break

    async with lossy_way(settings.redis_url or "") as (way, near):
        way.hear = hear
        before = [await start(log, Fine) for _ in range(60)]
        async with (
            connect(msgspec.structs.replace(settings, redis_url=near)) as its_log,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(Service(its_log, [code_of(Fine)], roles=["scheduler"]).run)
            with anyio.fail_after(20):
                await wait_until_scheduled(before)
                way.down = True
                way.cut()
                after = [await start(log, Fine) for _ in range(60)]
                way.down = False
                await wait_until_scheduled(after)
            tasks.cancel_scope.cancel()
    assert commits <= 8


async def types_of(log: EventLog, handle: Handle) -> list[str]:
    return [recorded.type for recorded in await log.read(handle.id)]
