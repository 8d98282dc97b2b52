"""Launchers claim agents within the memory of their host, in the order of the requests.

Sizes are bytes; an agent that asks for none has 1.
"""

from __future__ import annotations

from typing import Any

import pytest

from agentainer_flow.core.answers import AwaitedJob, ClaimedJobs
from agentainer_flow.core.log import EventLog

from ..integration.bench import Bench, job

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(log: EventLog) -> Bench:
    """A workflow with a task under way, which may ask for agents."""
    bench = Bench(log)
    await bench.create()
    await bench.own()
    await bench.queue(0)
    await bench.claim(1)
    return bench


def names(claimed: ClaimedJobs) -> list[str]:
    return [job.job for job in claimed.jobs]


async def rings(bench: Bench) -> int:
    """How often the bell said that there are jobs to claim."""
    entries = await bench.log.redis.xrange(bench.log.keys.bell(0, "shared", "job"))
    return sum(fields[b"kind"] == b"job" for _, fields in entries)


async def test_agents_are_claimed_while_memory_is_left(bench: Bench) -> None:
    await bench.request("one", "two", "three", memory_bytes=3)

    claimed = await bench.claim_jobs(memory=7, all_memory=8)

    assert [(job.job, job.memory_bytes) for job in claimed.jobs] == [("one", 3), ("two", 3)]
    assert claimed.awaited == AwaitedJob("w1", "three", 3)


async def test_agent_that_asks_for_none_counts_as_the_default(bench: Bench) -> None:
    await bench.request("one", "two")

    claimed = await bench.claim_jobs(memory=5, all_memory=8, default_memory=4)

    assert [(job.job, job.memory_bytes) for job in claimed.jobs] == [("one", 4)]
    assert claimed.awaited == AwaitedJob("w1", "two", 4)


async def test_without_a_limit_memory_does_not_count(bench: Bench) -> None:
    await bench.request("one", "two", memory_bytes=2**40)

    assert names(await bench.claim_jobs()) == ["one", "two"]


async def test_small_agents_do_not_overtake_a_large_one_that_waits(bench: Bench) -> None:
    await bench.request("large", memory_bytes=6)
    await bench.request("small")

    assert names(await bench.claim_jobs("l/1", memory=5, all_memory=8)) == []
    assert names(await bench.claim_jobs("l/2", memory=6, all_memory=8)) == ["large"]
    assert names(await bench.claim_jobs("l/3", memory=2, all_memory=8)) == ["small"]


async def test_agent_larger_than_a_launcher_is_left_to_others(bench: Bench) -> None:
    await bench.request("small")
    await bench.request("large", "larger", memory_bytes=9)
    await bench.request("last")

    here = await bench.claim_jobs("l/1", memory=8, all_memory=8)
    elsewhere = await bench.claim_jobs("m/1", memory=16, all_memory=16)

    assert (names(here), here.awaited) == (["small", "last"], None)
    assert (names(elsewhere), elsewhere.awaited) == (["large"], AwaitedJob("w1", "larger", 9))


async def test_who_takes_an_agent_that_others_wait_for_tells_them(bench: Bench) -> None:
    await bench.request("large", memory_bytes=6)
    await bench.request("small")
    await bench.claim_jobs("l/1", memory=5, all_memory=8)
    assert await rings(bench) == 2

    await bench.claim_jobs("m/1", want=1)
    assert await rings(bench) == 3

    await bench.claim_jobs("m/2", want=1)
    assert await rings(bench) == 3  # nobody waited for the small one


async def test_agents_that_ran_here_are_adopted_whatever_is_free(bench: Bench) -> None:
    await bench.request("one", "two", memory_bytes=6)
    await bench.claim_jobs("dead/1", lease_ms=0)
    await bench.scripts.sweep(0)
    await bench.request("small")

    assert names(await bench.claim_jobs("m/1", host="elsewhere", want=0)) == []
    claimed = await bench.claim_jobs("l/1", want=0, memory=0, all_memory=4)

    found = sorted((job.job, job.memory_bytes) for job in claimed.jobs)
    assert found == [("one", 6), ("two", 6)]


async def test_adopted_agents_leave_less_for_new_ones(bench: Bench) -> None:
    await bench.request("old", memory_bytes=6)
    await bench.claim_jobs("dead/1", lease_ms=0)
    await bench.scripts.sweep(0)
    await bench.request("new", "newer", memory_bytes=2)

    assert names(await bench.claim_jobs("l/1", want=1, memory=10, all_memory=10)) == ["old"]
    await bench.scripts.hand_back(0, session="l")
    assert names(await bench.claim_jobs("m/1", memory=9, all_memory=10)) == ["old", "new"]


async def test_agent_whose_workflow_is_paused_keeps_nobody_waiting(bench: Bench) -> None:
    await bench.request("large", memory_bytes=6)
    await bench.claim_jobs("l/1", memory=5, all_memory=8)
    other = Bench(bench.log, "w2")
    await other.create()
    await other.queue(0)
    await other.claim(1, "s/2")
    guard: dict[str, Any] = {"content": "", "events": [], "by": "client"}
    await bench.scripts.append("w1", key="p", status="paused", suspend=True, **guard)
    await other.scripts.request_job("w2", **job(token="s/2", base="small"))

    claimed = await bench.claim_jobs("l/2", memory=5, all_memory=8)
    assert (names(claimed), claimed.awaited) == (["small"], None)

    await bench.scripts.append("w1", key="r", status="running", wake=True, **guard)
    assert names(await bench.claim_jobs("l/3", memory=6, all_memory=8)) == ["large"]


async def test_adopted_agents_that_fill_the_memory_let_what_is_paused_leave_the_line(
    bench: Bench,
) -> None:
    """The claim once failed: it took the paused agent for one that has to wait for memory."""
    await bench.request("old", memory_bytes=6)
    await bench.claim_jobs("dead/1", lease_ms=0)
    await bench.scripts.sweep(0)
    await bench.request("new")
    guard: dict[str, Any] = {"content": "", "events": [], "by": "client"}
    await bench.scripts.append("w1", key="p", status="paused", suspend=True, **guard)

    claimed = await bench.claim_jobs("l/1", memory=4, all_memory=8)

    assert (names(claimed), claimed.awaited) == (["old"], None)
