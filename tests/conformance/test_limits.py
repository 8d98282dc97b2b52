"""Limits of what runs hold over workflows, and who waits for one is not forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from agentainer_flow.core.answers import Batch, ClaimedStep, Full
from agentainer_flow.core.log import EventLog

from ..integration.bench import LANE, Bench

pytestmark = pytest.mark.anyio

DEFAULT, NARROW, KEYED = "0|default||0", "0|narrow||0", "0|default|k|1"


async def started(log: EventLog, workflow: str, **meta: Any) -> Bench:
    bench = Bench(log, workflow)
    await bench.create(**meta)
    await bench.own()
    return bench


def claimed(steps: list[ClaimedStep]) -> list[tuple[str, str, int]]:
    """(workflow, step, how many tasks)"""
    return [(step.workflow, step.step, len(step.tasks)) for step in steps]


async def test_step_limit_holds_over_claims(log: EventLog) -> None:
    bench = await started(log, "w1")
    await bench.queue(*range(5), limit=2)

    assert claimed(await bench.claim(1, "s/1")) == [("w1", "a", 1)]
    assert claimed(await bench.claim(5, "t/1")) == [("w1", "a", 1)]
    assert await bench.claim(5, "t/2") == []


async def test_workflow_limit_holds_over_steps(log: EventLog) -> None:
    bench = await started(log, "w1", max_parallel=3)
    await bench.queue(*range(5))
    await bench.queue(*range(5), step="b")

    taken = claimed(await bench.claim(9, "s/1"))

    assert sum(count for _, _, count in taken) == 3
    assert await bench.claim(9, "t/1") == []


@pytest.mark.parametrize(
    ("queue", "limits"), [("narrow", NARROW), ("*", DEFAULT), ("other", KEYED)], ids=str
)
async def test_shared_limit_holds_and_a_free_slot_goes_to_who_waits(
    log: EventLog, queue: str, limits: str
) -> None:
    await log.scripts.set_queue(queue, limit=1)
    first, second = await started(log, "w1"), await started(log, "w2")
    await first.queue(0, limits=limits)
    await second.queue(0, 1, limits=limits)

    assert claimed(await first.claim(1, "s/1")) == [("w1", "a", 1)]
    assert await first.claim(9, "t/1") == []
    await first.settle(0)
    assert claimed(await first.claim(9, "t/2")) == [("w2", "a", 1)]
    assert await first.claim(9, "t/3") == []


async def test_limit_that_is_lifted_lets_those_go_on_who_wait(log: EventLog) -> None:
    await log.scripts.set_queue("narrow", limit=1)
    bench = await started(log, "w1")
    await bench.queue(0, 1, 2, limits=NARROW)
    await bench.claim(9, "s/1")
    assert await bench.claim(9, "s/2") == []

    await log.scripts.set_queue("narrow", limit=2)
    assert claimed(await bench.claim(9, "s/3")) == [("w1", "a", 1)]
    await log.scripts.set_queue("narrow", limit=0)
    assert claimed(await bench.claim(9, "s/4")) == [("w1", "a", 1)]


async def test_who_cannot_use_a_free_slot_passes_it_on(log: EventLog) -> None:
    await log.scripts.set_queue("narrow", limit=1)
    first = await started(log, "first")
    await first.queue(0, limits=NARROW)
    await first.claim(1, "s/1")
    others = [await started(log, f"w{n}", max_parallel=1) for n in range(8)]
    last = await started(log, "last")
    for bench in (*others, last):
        await bench.queue(0, step="b", limits=NARROW)
    assert await first.claim(99, "s/2") == []
    for bench in others:
        await bench.queue(0)
    assert len(await first.claim(99, "s/3")) == len(others)  # now they run all that they may

    await first.settle(0, token="s/1")

    assert claimed(await first.claim(9, "s/4")) == [("last", "b", 1)]


async def test_full_queue_refuses_new_workflows(log: EventLog) -> None:
    await log.scripts.set_queue("default", depth=2)
    bench = await started(log, "w1")
    await bench.queue(0, 1)

    assert await Bench(log, "w2").create(queues=["other", "default"]) == Full("default", 2, 2)
    assert await log.exists("w2") is False
    await bench.claim(1)
    await started(log, "w2", queues=["default"])
    assert await log.exists("w2")


async def test_retry_that_is_due_can_be_claimed(log: EventLog) -> None:
    bench = await started(log, "w1")
    retried = ("task.retried", '{"step":"a","index":0,"attempt":2}', None)
    await bench.commit(retried, queue=[Batch("a", DEFAULT, 0, [(0, 2, "null")], "{}", delay_ms=1)])
    assert await bench.claim() == []  # also leaves nothing to be claimed

    while await log.scripts.fire(0, lane=LANE) >= 0:
        pass

    assert claimed(await bench.claim(9, "s/2")) == [("w1", "a", 1)]


async def test_who_is_held_by_another_limit_passes_a_free_slot_on(log: EventLog) -> None:
    await log.scripts.set_queue("narrow", limit=1)
    of_queue, of_key = await started(log, "queue"), await started(log, "key")
    await of_queue.queue(0, limits=NARROW)
    await of_key.queue(0, limits=KEYED)
    assert len(await of_queue.claim(9, "s/1")) == 2
    for n in range(8):
        await (await started(log, f"w{n}")).queue(0, limits="0|narrow|k|1")
    await (await started(log, "last")).queue(0, limits=NARROW)
    assert await of_queue.claim(99, "s/2") == []  # all of them wait for the queue

    await of_queue.settle(0, token="s/1")

    assert claimed(await of_queue.claim(9, "s/3")) == [("last", "a", 1)]
