"""A private lane whose process is gone moves to the shared one, with all that its run waits for."""

from __future__ import annotations

from typing import Any

import pytest

from agentainer_flow.core.answers import Batch, ClaimedJobs, ClaimedStep, Fenced
from agentainer_flow.core.log import EventLog

from .bench import LANE, Bench

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(log: EventLog) -> Bench:
    bench = Bench(log, lane="run:w1")
    await bench.create()
    await bench.own()
    return bench


async def adopt(bench: Bench) -> None:
    """The process dies: its lease ends, and the janitor comes."""
    await bench.own(lease_ms=0)
    assert (await bench.scripts.sweep(0)).taken[2] == 1
    bench.lane = LANE


async def command(bench: Bench, status: str, **flags: Any) -> None:
    guard: dict[str, Any] = {"content": "", "events": [], "by": "me", "status": status}
    await bench.scripts.append("w1", key=status, **guard, **flags)


def indexes(steps: list[ClaimedStep]) -> list[str]:
    return [task.entry.partition(",")[0] for step in steps for task in step.tasks]


def names(claimed: ClaimedJobs) -> list[str]:
    return [job.job for job in claimed.jobs]


async def test_lane_of_a_living_process_is_left_alone(bench: Bench) -> None:
    assert (await bench.scripts.sweep(0)).taken == [0, 0, 0]
    await bench.queue(0)

    assert indexes(await bench.claim()) == ["[0"]


async def test_ready_tasks_move(bench: Bench) -> None:
    await bench.queue(0, 1)
    await adopt(bench)

    assert indexes(await bench.claim()) == ["[0", "[1"]


async def test_timers_move(bench: Bench) -> None:
    retried = ("task.retried", '{"step":"a","index":0,"attempt":2}', None)
    batch = Batch("a", "0|default||0", 0, [(0, 2, "null")], "{}", delay_ms=1)
    await bench.commit(retried, queue=[batch])
    await adopt(bench)

    while await bench.scripts.fire(0, lane=LANE) >= 0:
        pass

    assert indexes(await bench.claim()) == ["[0"]


async def test_waiting_agents_move(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.request("one")
    await adopt(bench)

    assert names(await bench.claim_jobs()) == ["one"]


async def test_agent_that_was_held_is_launched_once(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.request("one")
    await command(bench, "paused", suspend=True)
    assert names(await bench.claim_jobs("l/1")) == []
    await adopt(bench)
    await command(bench, "running", wake=True)

    assert names(await bench.claim_jobs("l/2")) == ["one"]
    assert names(await bench.claim_jobs("m/1")) == []


async def test_paused_run_stays_paused(bench: Bench) -> None:
    await bench.queue(0)
    retried = ("task.retried", '{"step":"a","index":1,"attempt":2}', None)
    batch = Batch("a", "0|default||0", 0, [(1, 2, "null")], "{}", delay_ms=1)
    await bench.commit(retried, queue=[batch])
    await command(bench, "paused", suspend=True)
    await adopt(bench)

    assert await bench.scripts.fire(0, lane=LANE) == -1
    assert await bench.claim() == []
    await command(bench, "running", wake=True)
    while await bench.scripts.fire(0, lane=LANE) >= 0:
        pass
    assert indexes(await bench.claim(token="s/2")) == ["[0", "[1"]


async def test_old_owner_is_fenced(bench: Bench) -> None:
    await adopt(bench)
    bench.lane = "run:w1"

    assert await bench.queue(0) == Fenced()
