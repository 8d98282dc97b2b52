"""What follows from a result goes to the worker that brought it, where nothing is against that."""

from __future__ import annotations

from typing import Any

import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.answers import Batch, Claim, ClaimedStep, Commit
from agentainer_flow.core.log import EventLog

from ..integration.bench import LANE, Bench

pytestmark = pytest.mark.anyio

FREE = "0|default||0"


async def hop(
    bench: Bench, *, tasks: int = 1, want: int = 5, limits: str = FREE, **decision: Any
) -> list[ClaimedStep]:
    """Settle task a[0]; the decision beside it queues tasks of b, and some are claimed."""
    before = (await bench.log.read(bench.id))[-1]
    commit = Commit(
        bench.id,
        "hop",
        [
            ("step.completed", '{"step":"a"}', before.version + 1),
            ("step.scheduled", f'{{"step":"b","tasks":{tasks}}}', 0),
        ],
        [Batch("b", limits, -1, [(index, 1, "null") for index in range(tasks)], "{}")],
        [],
        is_whole=True,
        seen=(before.version, before.digest),
        settled=1,
        **decision,
    )
    done = e.TaskCompleted("a", 0, 1)
    turned = await bench.scripts.turn(
        0,
        lane=LANE,
        session="s",
        groups=[(bench.id, "a", [(0, "s/1", done.type, e.encode_event(done))])],
        claim=Claim("s/2", want, {"wf": "|a|b|"}, 60_000),
        decisions=[commit],
        token="engine/1",
    )
    return turned.claimed


async def waiting(log: EventLog, workflow: str = "w1") -> int:
    redis: Any = log.redis
    return int(await redis.llen(f"workflow:{workflow}:ready:b"))


@pytest.fixture
async def bench(log: EventLog) -> Bench:
    """A workflow whose task a[0] is under way."""
    bench = Bench(log)
    await bench.create()
    await bench.own()
    await bench.queue(0)
    await bench.claim(1)
    return bench


async def test_next_step_starts_past_the_queue(bench: Bench, log: EventLog) -> None:
    redis: Any = log.redis

    (b,) = await hop(bench)

    assert (b.workflow, b.step, len(b.tasks)) == ("w1", "b", 1)
    events = await log.read("w1")
    assert [x.type for x in events[-4:]] == [
        "task.completed",
        "step.completed",
        "step.scheduled",
        "task.started",
    ]
    assert events[-1].cause == events[-2].version
    assert (b.version, b.digest) == (events[-1].version, events[-1].digest)
    assert not await redis.exists("workflow:w1:ready", "flow:0:shared:ring:wf", "flow:waiting")
    assert await redis.hgetall("flow:running") == {b"queue:default": b"1", b"queue:*": b"1"}
    assert await redis.hgetall("flow:0:session:s") == {b"w1|b": b"1"}
    assert await redis.hget("workflow:w1:meta", "running") == b"1"


async def test_more_than_the_worker_wants_is_queued(bench: Bench, log: EventLog) -> None:
    (b,) = await hop(bench, tasks=5, want=2)

    assert len(b.tasks) == 2
    assert await waiting(log) == 3


async def test_more_than_may_run_is_queued(bench: Bench, log: EventLog) -> None:
    (b,) = await hop(bench, tasks=5, limits="2|default||0")

    assert len(b.tasks) == 2
    assert await waiting(log) == 3


async def test_more_than_a_queue_may_run_is_queued(bench: Bench, log: EventLog) -> None:
    await bench.scripts.set_queue("default", limit=2)

    (b,) = await hop(bench, tasks=5)

    assert len(b.tasks) == 2
    assert await waiting(log) == 3


async def test_who_waits_has_the_first_turn(bench: Bench, log: EventLog) -> None:
    other = Bench(log, "w2")
    await other.create()
    await other.queue(0)

    (claimed,) = await hop(bench, want=1)

    assert claimed.workflow == "w2"
    assert await waiting(log) == 1


async def test_nothing_starts_of_a_workflow_that_fails(bench: Bench, log: EventLog) -> None:
    assert await hop(bench, phase="failing") == []
    assert await waiting(log) == 1


async def test_nothing_starts_of_a_paused_workflow(bench: Bench, log: EventLog) -> None:
    await bench.command(e.WorkflowPaused(), status="paused", suspend=True)

    assert await hop(bench) == []
    assert await waiting(log) == 1
