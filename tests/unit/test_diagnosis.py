"""What `doctor` makes of the facts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from agentainer_flow.projections.queues import QueueView
from agentainer_flow.sdk.diagnosis import diagnose
from agentainer_flow.sdk.facts import Facts, LaneFacts, Member, Unread, Waiting, WaitingAgent
from agentainer_flow.sdk.redis_health import crash_loses, problems

NOTHING = Unread(0, 0, "9-0")
STEP = Waiting("w1", "orders", "running", "ship", 3, 1.0, "gpu", "")
FREE = LaneFacts(0, "", None, NOTHING, 0)
IDLE = Facts([FREE])


def member(role: str, **more: Any) -> Member:
    given: dict[str, Any] = {
        "slots": 2,
        "definitions": ["orders"],
        "claimed": 0,
        "lease_left_s": 3.0,
        **more,
    }
    return Member(f"{role}@h:1:x", role, "h", 1, "shared", **given)


def owned(**more: Any) -> Facts:
    return replace(IDLE, lanes=[lane()], active=1, **more)


def lane(partition: int = 0, unread: Unread = NOTHING) -> LaneFacts:
    return LaneFacts(partition, "h:1", 3.0, unread, 1)


def problem(facts: Facts, *later: Unread) -> str:
    return said("problem", facts, *later)


def waiting(facts: Facts) -> str:
    return said("waiting", facts)


def said(kind: str, facts: Facts, *later: Unread) -> str:
    found = diagnose(facts, later or [one.unread for one in facts.lanes])
    return " ".join(one.text for one in found if one.kind == kind)


def test_nothing_to_do_needs_nobody() -> None:
    assert diagnose(IDLE, [NOTHING]) == []


def test_work_needs_an_engine() -> None:
    facts = Facts([replace(FREE, workflows=2)])
    assert "No engine owns the lane; 2 workflows wait" in problem(facts)


def test_lanes_without_an_engine_are_named() -> None:
    free = [LaneFacts(number, "", None, NOTHING, workflows=number) for number in (1, 2)]
    some = problem(Facts([FREE, *free]))
    assert some.startswith("No engine owns the lanes of partitions 1, 2; 3 workflows wait; start")
    assert "owns the lane of partition 2; 2 workflows" in problem(Facts([lane(0), free[1]]))


def test_an_engine_that_stands_still_is_named() -> None:
    facts = Facts([lane(unread=Unread(4, 8.0, "5-0"))])
    assert "h:1 owns the lane and does not get on" in problem(facts, Unread(5, 9.0, "5-0"))
    assert "falls behind" in problem(facts, Unread(50, 9.0, "6-0"))
    assert problem(facts, Unread(3, 3.0, "7-0")) == ""


def test_each_lane_has_an_engine_of_its_own_that_may_stand_still() -> None:
    facts = Facts([lane(0), lane(1, Unread(4, 8.0, "5-0"))])
    stands_still = problem(facts, NOTHING, Unread(5, 9.0, "5-0"))
    assert stands_still.startswith("The engine h:1 owns the lane of partition 1 and does not")


def test_tasks_need_a_worker_with_their_code() -> None:
    facts = owned(waiting=[STEP], members=[member("worker", definitions=["other"])])
    assert "step ship: 3 tasks ready, but no worker serves definition 'orders'" in problem(facts)


def test_tasks_that_nobody_takes_are_a_problem_after_a_while() -> None:
    facts = owned(waiting=[STEP], members=[member("worker")])
    assert problem(facts) == ""
    stale = replace(STEP, oldest_s=20.0)
    assert "1 worker with free slots take none" in problem(replace(facts, waiting=[stale]))


@pytest.mark.parametrize(
    ("step", "claimed", "queues", "why"),
    [
        (replace(STEP, limit="2 of max_workers=2 run"), 0, [], "2 of max_workers=2 run"),
        (STEP, 0, [QueueView("gpu", 2, 0, 2, 3)], "queue 'gpu' is limited: 2 of 2 run"),
        (STEP, 0, [QueueView("*", 2, 0, 2, 3)], "all queues together is limited: 2 of 2 run"),
        (STEP, 2, [], "all 2 slots of 1 worker are taken"),
    ],
)
def test_what_holds_tasks_back_is_no_problem(
    step: Waiting, claimed: int, queues: list[QueueView], why: str
) -> None:
    facts = owned(waiting=[step], members=[member("worker", claimed=claimed)], queues=queues)
    assert problem(facts) == ""
    assert why in waiting(facts)


def test_paused_workflows_and_full_queues_are_told() -> None:
    facts = owned(paused=["w1"], queues=[QueueView("gpu", 0, 3, 0, 4)])
    assert waiting(facts) == (
        "Workflow w1 is paused. New workflows are refused: queue 'gpu' is full, "
        "4 tasks wait and 3 may."
    )


def test_agents_need_a_launcher() -> None:
    assert "No launcher runs; 1 agent waits" in problem(owned(jobs_waiting=1))
    assert problem(owned(jobs_waiting=1, members=[member("launcher")])) == ""


GIB = 1 << 30


def test_an_agent_larger_than_every_launcher_needs_a_larger_one() -> None:
    agents = [WaitingAgent("w1", "fetch-0-x", GIB), WaitingAgent("w2", "think-0-y", 12 * GIB)]
    small, large = (member("launcher", memory_bytes=size * GIB) for size in (2, 8))
    facts = owned(jobs_waiting=2, agents=agents, members=[small, large])

    assert problem(facts) == (
        "Agent think-0-y of workflow w2 needs 12 GiB of memory and no launcher has more than "
        "8 GiB; start one with `agentainer launcher --memory`, or ask for less."
    )
    unlimited = member("launcher", memory_bytes=None)
    assert problem(replace(facts, members=[small, unlimited])) == ""
    dead = member("launcher", memory_bytes=None, lease_left_s=-1.0)
    assert "no launcher has more than 2 GiB" in problem(replace(facts, members=[small, dead]))
    assert "and 1 more agent like it;" in problem(replace(facts, agents=[*agents, agents[1]]))


def test_an_agent_that_waits_for_memory_is_told() -> None:
    agents = [WaitingAgent("w1", "fetch-0-x", GIB, awaited=True), WaitingAgent("w1", "y", GIB)]
    facts = owned(agents=agents, members=[member("launcher", memory_bytes=GIB)])

    assert problem(facts) == ""
    assert waiting(facts) == "Agent fetch-0-x of workflow w1 waits until 1 GiB of memory are free."


def test_due_timers_need_a_clock() -> None:
    facts = owned(timers_due=2, timer_late_s=9.0)
    assert "2 timers are due, the first since 9 s; no clock runs." in problem(facts)


def test_what_the_dead_hold_needs_a_janitor() -> None:
    facts = owned(members=[member("worker", claimed=2, lease_left_s=-30.0)])
    assert "worker h:1 is silent since 30 s and holds 2 tasks and agents; no janitor" in problem(
        facts
    )


def test_redis_must_not_evict_and_must_write() -> None:
    info = {"redis_version": "6.2.1", "maxmemory_policy": "allkeys-lru", "aof_enabled": 1}
    said = " ".join(problems({**info, "aof_last_write_status": "err"}))
    assert "version 6.2.1" in said
    assert "maxmemory-policy noeviction" in said
    assert "could not write its append-only file" in said


@pytest.mark.parametrize(
    ("enabled", "fsync", "words"),
    [
        (0, "", "everything since its last dump"),
        (1, "always", "nothing that was acknowledged"),
        (1, "everysec", "about the last second"),
        (1, "", "unknown"),
    ],
)
def test_what_a_crash_loses_is_said_in_words(enabled: int, fsync: str, words: str) -> None:
    assert crash_loses({"aof_enabled": enabled}, fsync).startswith(words)
