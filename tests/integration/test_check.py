"""`check` finds nothing wrong with what the scripts made, and all that is damaged by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentainer_flow import AsyncContext, Workflow, parallel, step, workflow
from agentainer_flow.core.errors import WorkflowNotFound
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.projections.invariants import KEYS
from agentainer_flow.sdk import check as checking
from agentainer_flow.sdk import client
from agentainer_flow.sdk.check import Checked, Question, check
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.registry import code_of
from agentainer_flow.sdk.service import ROLES, Service

from .bench import change
from .bench import claim as take

pytestmark = pytest.mark.anyio

SESSION = "worker@host:1:a"


@workflow(name="checked")
class Sums(Workflow):
    @step(queue_timeout=600, concurrency=("key", 5))
    @parallel()
    async def each(self, context: AsyncContext, item: int) -> int:
        await context.state.incr("done")
        agent = await context.deploy_agent("agent", "any", command="echo 1")
        answer: int = await agent.wait()
        return answer

    @step()
    async def last(self, context: AsyncContext, each_results: list[int]) -> int:
        return sum(each_results)


@pytest.fixture
async def log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[EventLog, None]:
    monkeypatch.setattr(checking, "PAUSE", 0.01)
    async with connect(settings) as log:
        yield log


async def begin(log: EventLog) -> str:
    return await client.create(log, client.prepare(code_of(Sums), None, {"items": 3}, log.settings))


async def carry(log: EventLog, workflow: str, roles: Sequence[str], *, to: str) -> None:
    """Have these roles until the document of the workflow has some words."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Service(log, [code_of(Sums)], roles=roles).run)
        with anyio.fail_after(60):
            key = log.keys.workflow(workflow)
            while to not in (await log.redis.get(key) or b"").decode():  # noqa: ASYNC110
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()


@pytest.fixture
async def halfway(log: EventLog) -> str:
    """A workflow with one task claimed, which has asked for an agent, and two that are ready."""
    workflow = await begin(log)
    await carry(log, workflow, ["scheduler"], to='"scheduled"')
    await log.redis.xgroup_setid(log.keys.feed(0), "engine", "$")
    claim: dict[str, Any] = {"step": "each", "index": 0, "token": f"{SESSION}/1"}
    await take(
        log.scripts,
        session=SESSION,
        token=f"{SESSION}/1",
        want=1,
        definitions={"checked": ["each", "last"]},
        lease_ms=600_000,
    )
    changes = [change("incr", by=1), {**change("set", "k"), "value": "2", "event": '"value":2'}]
    await log.scripts.change_state(
        workflow, by=SESSION, changes=changes, claim={**claim, "write": 1}
    )
    rest = json.dumps({"attempt": 1, "name": "agent", "spec": {"image": "any"}})
    await log.scripts.request_job(
        workflow, **claim, effect="agent:each:0:agent:1", base="each-0-agent", rest=rest
    )
    await log.redis.xgroup_setid(log.keys.feed(0), "engine", "$")
    return workflow


@pytest.fixture
async def ended(log: EventLog) -> str:
    workflow = await begin(log)
    await carry(log, workflow, ROLES, to='"status":"completed","version":27')
    return workflow


async def look(log: EventLog) -> Checked:
    return await check(log, Question())


async def test_nothing_is_wrong_halfway(log: EventLog, halfway: str) -> None:
    checked = await look(log)
    assert checked.violations == []
    assert (checked.counts.started, checked.counts.running, checked.counts.jobs) == (1, 1, 1)


async def test_nothing_is_wrong_at_the_end(log: EventLog, ended: str) -> None:
    checked = await look(log)
    assert checked.violations == []
    counts = checked.counts
    assert (counts.ended, counts.completed, counts.launched, counts.duplicates) == (1, 4, 3, 0)


Break = Callable[[Any, str], Awaitable[object]]

#: What is done to keys of a workflow halfway, the number of the rule, and words that tell it.
HALFWAY: dict[str, tuple[Break, int, str]] = {
    "a lease vanishes": (
        lambda r, w: r.delete(f"workflow:{w}:leased:each"),
        4,
        "the lease of task each[0] is by version None",
    ),
    "a task is ready and runs": (
        lambda r, w: r.lpush(f"workflow:{w}:ready:each", "[0,1,0,3,0]"),
        4,
        "task each[0] is 1 times ready as attempt 1, by the log it is running",
    ),
    "a task is ready twice": (
        lambda r, w: r.lpush(f"workflow:{w}:ready:each", "[1,1,0,3,1]"),
        4,
        "task each[1] is 2 times ready",
    ),
    "a ready task vanishes": (
        lambda r, w: r.lpop(f"workflow:{w}:ready:each"),
        6,
        "is due and waits nowhere",
    ),
    "a slot is never given back": (
        lambda r, w: r.hincrby("flow:running", "queue:default", 1),
        5,
        "running tasks of queue:default are counted +1 wrong",
    ),
    "a key's slot is given back twice": (
        lambda r, w: r.hincrby("flow:running", "key:key", -1),
        5,
        "running tasks of key:key are counted -1 wrong",
    ),
    "what waits is counted wrong": (
        lambda r, w: r.hincrby("flow:waiting", "default", 2),
        5,
        "waiting tasks of default are counted +2 wrong",
    ),
    "a session is forgotten": (
        lambda r, w: r.zrem("flow:0:sessions", SESSION),
        6,
        "nobody would take them back",
    ),
    "a session counts wrong": (
        lambda r, w: r.hincrby(f"flow:0:session:{SESSION}", f"{w}|each", 1),
        4,
        "counts +1 wrong",
    ),
    "what scripts go by is another version": (
        lambda r, w: r.hset(f"workflow:{w}:meta", "v", 99),
        2,
        "meta says v 99",
    ),
    "what scripts go by is another status": (
        lambda r, w: r.hset(f"workflow:{w}:meta", "status", "paused"),
        2,
        "meta says status paused, the log gives running",
    ),
    "state is changed by hand": (
        lambda r, w: r.hset(f"workflow:{w}:state", "n", 7),
        2,
        "state 'n' is 7, the log gives 1",
    ),
    "state vanishes": (lambda r, w: r.delete(f"workflow:{w}:state"), 2, "state 'k' is None"),
    "the document is changed": (
        lambda r, w: r.set(f"workflow:{w}", '{"version":3,"status":"completed","steps":[]}'),
        2,
        "the document says completed at version 3, the log gives running",
    ),
    "the list of steps is another": (
        lambda r, w: r.delete(f"workflow:{w}:steps"),
        2,
        "the list of steps is not that of the document",
    ),
    "it is not listed as active": (
        lambda r, w: r.srem("flow:0:active", w),
        2,
        "it has not ended and is not listed as active",
    ),
    "it is listed twice": (
        lambda r, w: r.zadd("flow:0:workflows:completed", {w: 1}),
        2,
        "it is listed as completed and running",
    ),
    "a job vanishes": (
        lambda r, w: r.delete(f"workflow:{w}:jobs"),
        8,
        "the list of unsettled jobs lacks each-0-agent",
    ),
    "a job is offered to nobody": (
        lambda r, w: r.delete("flow:0:shared:jobs"),
        6,
        "job each-0-agent has no launcher and is offered to none",
    ),
    "a timer is in no list": (
        lambda r, w: r.delete("flow:0:shared:timers"),
        6,
        "is set and in no clock's list",
    ),
    "a key belongs to nobody": (
        lambda r, w: r.set("flow:0:forgotten", 1),
        KEYS,
        "nobody owns key flow:0:forgotten",
    ),
    "the feed tells another story": (
        lambda r, w: r.xadd(
            "flow:0:shared:feed",
            {"w": w, "v": 1, "e": '[["workflow.created",null,{}]]', "prev": "", "dg": "x"},
        ),
        1,
        "tells of other entries from version 1 on",
    ),
}


@pytest.mark.parametrize("name", HALFWAY)
async def test_damage_to_a_workflow_halfway_is_found(
    log: EventLog, halfway: str, name: str
) -> None:
    damage, invariant, words = HALFWAY[name]
    await damage(log.redis, halfway)
    await assert_found(log, invariant, words)


async def assert_found(log: EventLog, invariant: int, words: str) -> None:
    found = (await look(log)).violations
    assert [one for one in found if one.invariant == invariant and words in one.text], found


async def test_ready_tasks_without_a_turn_are_found(log: EventLog) -> None:
    workflow = await begin(log)
    await carry(log, workflow, ["scheduler"], to='"scheduled"')
    await log.redis.xgroup_setid(log.keys.feed(0), "engine", "$")
    assert (await look(log)).violations == []

    await log.redis.delete("flow:0:shared:ring:checked")
    await assert_found(log, 6, "3 tasks are ready and have no turn")


async def test_a_workflow_that_nothing_moves_is_found(log: EventLog) -> None:
    workflow = await begin(log)
    await log.redis.xgroup_create(log.keys.feed(0), "engine", id="$", mkstream=True)
    await assert_found(log, 6, "it is running and nothing of it is due")
    assert (await look(log)).violations[0].workflow == workflow


ENDED: dict[str, tuple[Break, int, str]] = {
    "a log stays for ever": (
        lambda r, w: r.persist(f"workflow:{w}:events"),
        KEYS,
        "its events would stay for ever",
    ),
    "limits are left": (
        lambda r, w: r.hset(f"workflow:{w}:limits", "each", "0|default||0"),
        KEYS,
        "its limits is still there",
    ),
    "a turn is left": (
        lambda r, w: r.zadd("flow:0:shared:ring:checked", {w: 1}),
        KEYS,
        "it has ended, and still has a place in a ring",
    ),
    "a timer is left": (
        lambda r, w: r.zadd("flow:0:shared:timers", {f"{w}|workflow": 1}),
        KEYS,
        "it has ended, and still has a timer",
    ),
    "a session is left": (
        lambda r, w: r.hset("flow:0:about", "worker@gone:1:x", "{}"),
        KEYS,
        "session worker@gone:1:x is not listed and still has a claim",
    ),
    "the document is behind": (
        lambda r, w: r.set(f"workflow:{w}", '{"version":3,"status":"running","steps":[]}'),
        2,
        "the document is of version 3",
    ),
    "jobs of a step vanish": (
        lambda r, w: r.delete(f"workflow:{w}:step:each:jobs"),
        2,
        "the set of jobs of step each is not that of the log",
    ),
    "it is active still": (
        lambda r, w: r.sadd("flow:0:active", w),
        2,
        "it has ended and is listed as active",
    ),
}


@pytest.mark.parametrize("name", ENDED)
async def test_damage_to_an_ended_workflow_is_found(log: EventLog, ended: str, name: str) -> None:
    damage, invariant, words = ENDED[name]
    await damage(log.redis, ended)
    await assert_found(log, invariant, words)


async def test_what_is_left_of_a_settled_job_is_found(log: EventLog, ended: str) -> None:
    folder = log.settings.home_path / "processes" / "left"
    folder.mkdir(parents=True)
    owner = {"installation": await log.installation(), "workflow": ended, "job": "each-0-agent"}
    (folder / "job.json").write_text(json.dumps(owner))
    await assert_found(log, 8, "folder left is there, its job each-0-agent has settled")


async def test_bodies_that_ran_are_held_against_the_log(
    log: EventLog, ended: str, tmp_path: Path
) -> None:
    ran = [f"{ended} each {index} 1" for index in range(3)]
    effects = tmp_path / "effects"
    effects.write_text("\n".join([*ran, ran[0], f"{ended} other 0 1"]))
    found = (await check(log, Question(effects=effects))).violations
    assert [one.text for one in found] == [
        "task each[0] ran 2 times in attempt 1, its log has 1 starts",
        "task last[0] completed and its body never ran",
        "task other[0] ran 1 times in attempt 1, its log has 0 starts",
    ]


async def test_limits_that_held_all_the_time_are_held_against_the_logs(
    log: EventLog, ended: str
) -> None:
    assert (await check(log, Question(queues={"default": 3}))).clean
    found = (await check(log, Question(queues={"*": 1}))).violations
    assert "tasks run together in queue '*', its limit is 1" in found[0].text


async def test_one_workflow_is_checked_alone(log: EventLog, ended: str) -> None:
    other = await begin(log)
    await log.redis.hset(log.keys.workflow(other, "meta"), "v", 7)
    assert (await check(log, Question([ended]))).clean
    assert not (await check(log, Question([other]))).clean
    with pytest.raises(WorkflowNotFound):
        await check(log, Question(["nobody"]))
