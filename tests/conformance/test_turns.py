"""A slot of a shared limit that becomes free is given to one of those who wait for it.

Whoever has the turn may be kept from using it. Then somebody else has to get it: nothing else would
wake those who wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.answers import Batch
from agentainer_flow.core.log import EventLog

from ..integration.bench import LANE, Bench

pytestmark = pytest.mark.anyio

#: So many wait that it is hardly ever the last one who gets the turn by chance.
WAITING = 8
ROUNDS = 4


Keep = Callable[[Bench], Awaitable[Any]]


async def pause(bench: Bench) -> None:
    await bench.command(e.WorkflowPaused(), status="paused", suspend=True)


async def cancel(bench: Bench) -> None:
    await bench.command(e.WorkflowCancelRequested(), status="cancelling", wake=True)
    event = e.StepCancelled("a")
    await bench.commit((event.type, e.encode_event(event), None), cancel=[("a", 0)])


async def give_up(bench: Bench) -> None:
    """Its task has waited for too long."""
    while await bench.scripts.fire(0, lane=LANE) >= 0:
        pass


async def make(log: EventLog, name: str, *, patience_ms: int = 0) -> Bench:
    """A workflow with a task that is ready."""
    bench = Bench(log, name)
    await bench.create()
    event = e.StepScheduled("a", 1, 1)
    batch = Batch("a", "0|default||0", 0, [(0, 1, "null")], "{}", 0, patience_ms)
    await bench.commit((event.type, e.encode_event(event), None), queue=[batch])
    return bench


async def play(log: EventLog, keep: Keep, patience_ms: int) -> list[str]:
    """Keep all but the last of those who wait from using the turn; who gets the slot."""
    await log.redis.flushall()
    first = Bench(log, "first")
    await first.own()
    await first.scripts.set_queue("default", limit=1)
    await make(log, "first")
    assert await first.claim(1, "s/1")
    others = [await make(log, f"w{n}", patience_ms=patience_ms) for n in range(WAITING)]
    last = await make(log, "last")
    assert await first.claim(9, "s/2") == []

    await first.settle(0, token="s/1")
    for bench in others:
        await keep(bench)
    return [step.workflow for step in await last.claim(9, "s/3")]


@pytest.mark.parametrize(("keep", "patience_ms"), [(pause, 0), (cancel, 0), (give_up, 1)])
async def test_a_turn_that_cannot_be_used_is_passed_on(
    log: EventLog, keep: Keep, patience_ms: int
) -> None:
    assert [await play(log, keep, patience_ms) for _ in range(ROUNDS)] == [["last"]] * ROUNDS


async def test_a_turn_that_got_lost_comes_back_with_the_next_sweep(log: EventLog) -> None:
    await log.redis.flushall()
    first = Bench(log, "first")
    await first.own()
    await first.scripts.set_queue("default", limit=1)
    await make(log, "first")
    assert await first.claim(1, "s/1")
    last = await make(log, "last")
    assert await first.claim(9, "s/2") == []
    await first.settle(0, token="s/1")
    ring = "flow:0:shared:ring:wf"
    assert await log.redis.zrem(ring, "last") == 1  # whatever it was
    await log.redis.sadd("flow:blocked:queue:default", "0|last")

    await log.scripts.sweep(0)

    assert [step.workflow for step in await last.claim(9, "s/3")] == ["last"]


async def test_who_is_held_back_by_a_limit_wakes_nobody(log: EventLog) -> None:
    await log.redis.flushall()
    first = Bench(log, "first")
    await first.own()
    await first.scripts.set_queue("default", limit=1)
    await make(log, "first")
    assert await first.claim(1, "s/1")
    await make(log, "last")
    rung = await log.redis.xlen("flow:0:shared:bell:task")

    for number in range(3):
        assert await first.claim(9, f"s/{number + 2}") == []

    assert await log.redis.xlen("flow:0:shared:bell:task") == rung
