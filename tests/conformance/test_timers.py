"""Timers happen once, when they are due, and only to who still has a use for them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.answers import Batch
from agentainer_flow.core.log import EventLog

from ..integration.bench import LANE, Bench

pytestmark = pytest.mark.anyio

NO_LIMITS = "0|default||0"


@pytest.fixture
async def bench(log: EventLog) -> Bench:
    bench = Bench(log)
    await bench.create()
    await bench.own()
    return bench


async def command(bench: Bench, key: str, status: str, **flags: Any) -> None:
    await bench.scripts.append(
        bench.id, key=key, content="", events=[], by="me", status=status, **flags
    )


async def commit(bench: Bench, event: e.Event, **more: Any) -> None:
    await bench.commit((event.type, e.encode_event(event), None), **more)


async def retry(bench: Bench, index: int = 0, **times: int) -> None:
    """Attempt 2 of a task, ready after `delay_ms`, given up after `patience_ms`."""
    batch = Batch("a", NO_LIMITS, 0, [(index, 2, "null")], "{}", **times)
    await commit(bench, e.TaskRetried("a", index, 2), queue=[batch])


async def fire(bench: Bench) -> None:
    """Let all timers happen that are due within a moment."""
    while 0 <= await bench.scripts.fire(0, lane=LANE) < 1000:
        pass


async def claim(bench: Bench, token: str = "s/1") -> list[tuple[int, int]]:
    """(index, attempt) of the tasks that can be claimed."""
    steps = await bench.claim(99, token)
    return [tuple(msgspec.json.decode(task.entry)[:2]) for step in steps for task in step.tasks]


async def failed(bench: Bench) -> list[tuple[int, int, str]]:
    events = [recorded.event for recorded in await bench.log.read(bench.id)]
    return [(x.index, x.attempt, x.error.type) for x in events if isinstance(x, e.TaskFailed)]


async def test_timer_waits_while_its_workflow_is_paused(bench: Bench) -> None:
    await retry(bench, delay_ms=1)
    await command(bench, "p", "paused", suspend=True)

    assert await bench.scripts.fire(0, lane=LANE) == -1
    await command(bench, "r", "running", wake=True)
    await fire(bench)
    assert await claim(bench) == [(0, 2)]


async def test_timer_happens_once_whatever_comes_after(bench: Bench) -> None:
    await retry(bench, delay_ms=1)
    await fire(bench)
    await command(bench, "p", "paused", suspend=True)
    await command(bench, "r", "running", wake=True)
    await fire(bench)

    assert await claim(bench) == [(0, 2)]


async def test_cancelled_workflow_has_no_timers(bench: Bench) -> None:
    await retry(bench, delay_ms=1)
    await command(bench, "c", "cancelling", wake=True)

    assert await bench.scripts.fire(0, lane=LANE) == -1
    assert (await bench.types())[-1] == "task.retried"


async def test_failing_workflow_has_no_timers(bench: Bench) -> None:
    await retry(bench, delay_ms=1)
    failure = e.StepFailed("a", e.Failure("ValueError", "no"))
    await commit(bench, failure, cancel=[("a", 0)], phase="failing")

    assert await bench.scripts.fire(0, lane=LANE) == -1
    assert (await bench.types())[-1] == "step.failed"


async def test_ended_workflow_has_no_timers(log: EventLog) -> None:
    bench = Bench(log)
    await bench.create(timeout_ms=60_000)
    await bench.own()
    assert await bench.scripts.fire(0, lane=LANE) > 0

    await commit(bench, e.WorkflowCompleted(), status="completed", version=2)

    assert await bench.scripts.fire(0, lane=LANE) == -1


async def test_workflow_out_of_time_starts_nothing_more(log: EventLog) -> None:
    bench = Bench(log)
    await bench.create(timeout_ms=1)
    await bench.own()
    await bench.queue(0)
    await fire(bench)

    assert (await bench.types())[-1] == "workflow.timed_out"
    assert await log.status("w1") == "failing"
    assert await claim(bench) == []


async def test_only_tasks_that_waited_too_long_are_given_up(bench: Bench) -> None:
    await bench.queue(0)
    batch = Batch("a", NO_LIMITS, 0, [(1, 1, "null"), (2, 1, "null")], patience_ms=1)
    await commit(bench, e.TasksQueued("a", 1, 2), queue=[batch])
    await retry(bench, index=5)
    await fire(bench)

    assert await failed(bench) == [(1, 1, "QueueTimeout"), (2, 1, "QueueTimeout")]
    assert sorted(await claim(bench)) == [(0, 1), (5, 2)]


async def test_patience_with_one_attempt_is_not_that_with_another(bench: Bench) -> None:
    batch = Batch("a", NO_LIMITS, 0, [(0, 1, "null")], "{}", patience_ms=1)
    await commit(bench, e.StepScheduled("a", 1, 1), queue=[batch])
    assert await claim(bench) == [(0, 1)]
    await bench.settle(0)
    await retry(bench)  # as if it had failed
    await fire(bench)

    assert await failed(bench) == []
    assert await claim(bench, "s/2") == [(0, 2)]


async def test_claimed_task_is_not_given_up(bench: Bench) -> None:
    batch = Batch("a", NO_LIMITS, 0, [(0, 1, "null")], "{}", patience_ms=1)
    await commit(bench, e.StepScheduled("a", 1, 1), queue=[batch])
    await claim(bench)
    await fire(bench)

    assert await failed(bench) == []
    assert await bench.settle(0) == []
