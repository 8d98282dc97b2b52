"""The guards of the scripts: who may write what, and what a repeated call does."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import msgspec
import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.answers import (
    Appended,
    Batch,
    ClaimedStep,
    Conflict,
    Duplicate,
    Ended,
    Fenced,
    Found,
    Lost,
    Mismatch,
    Missing,
    StateRefused,
)
from agentainer_flow.core.log import EventLog

from ..integration.bench import LANE, Bench, change, job

pytestmark = pytest.mark.anyio


@pytest.fixture
def redis_url(each_redis_url: str) -> str:
    return each_redis_url


@pytest.fixture
async def bench(log: EventLog) -> Bench:
    bench = Bench(log)
    await bench.create()
    await bench.own()
    return bench


def indexes(claimed: list[ClaimedStep]) -> list[int]:
    return [msgspec.json.decode(task.entry)[0] for step in claimed for task in step.tasks]


async def test_same_key_answers_with_the_first_outcome(bench: Bench) -> None:
    assert await bench.create() == Duplicate(2)
    assert await bench.create(name="other") == Mismatch()
    assert await bench.types() == ["workflow.created", "workflow.started"]


async def test_creating_what_exists_is_a_conflict(bench: Bench) -> None:
    assert await bench.create(key="another") == Conflict(2, "running")


async def test_command_to_nothing_says_so(log: EventLog) -> None:
    outcome = await log.scripts.append("nope", key="k", content="", events=[], by="client")
    assert outcome == Missing()


async def test_command_needs_a_status_that_allows_it(bench: Bench) -> None:
    guard: dict[str, Any] = {"key": "k2", "content": "", "events": [], "by": "client"}

    assert await bench.scripts.append("w1", statuses=["paused"], **guard) == Conflict(2, "running")
    assert await bench.scripts.append("w1", version=1, **guard) == Conflict(2, "running")


async def test_versions_and_digests_chain_without_gaps(bench: Bench) -> None:
    await bench.queue(0, 1, 2)
    await bench.claim()
    await bench.settle(0, 1, 2)

    entries = await bench.log.read("w1")

    assert [x.version for x in entries] == list(range(1, len(entries) + 1))
    assert len({x.digest for x in entries}) == len(entries)


async def test_commit_of_another_owner_is_fenced(bench: Bench) -> None:
    assert await bench.queue(0) == Appended(3, (await bench.log.read("w1"))[-1].digest, ANY)
    assert await bench.commit(token="engine/2") == Fenced()


async def test_commit_sent_twice_is_applied_once(bench: Bench) -> None:
    event = ("step.completed", '{"step":"a"}', None)

    assert isinstance(await bench.commit(event, commit="same"), Appended)
    assert await bench.commit(event, commit="same") == Duplicate(3)


async def test_last_event_needs_the_version_that_was_seen(bench: Bench) -> None:
    event = ("workflow.completed", "{}", None)

    assert await bench.commit(event, status="completed", version=1) == Conflict(2, "running")
    assert isinstance(await bench.commit(event, status="completed", version=2), Appended)
    assert await bench.commit(event) == Conflict(3, "completed")


async def test_commit_needs_the_log_that_was_decided_on(bench: Bench) -> None:
    event = ("step.completed", '{"step":"a"}', None)
    first, second = [(x.version, x.digest) for x in await bench.log.read("w1")]

    for lost in ((1, "other"), (2, "other"), (3, second[1])):
        assert await bench.commit(event, seen=lost) == Conflict(2, "running")
    assert isinstance(await bench.commit(event, seen=first), Appended)
    assert isinstance(await bench.commit(event, seen=second), Appended)


async def test_commit_on_a_lost_log_is_a_conflict(bench: Bench) -> None:
    bench.id = "gone"

    assert await bench.commit(("step.completed", '{"step":"a"}', None)) == Conflict(0, "")


@pytest.mark.parametrize(
    ("version", "end", "is_written"),
    [(1, {}, True), (1, {"log_ttl_ms": 1}, False), (2, {}, True), (3, {}, False)],
)
async def test_document_of_another_log_is_not_written(
    bench: Bench, version: int, end: dict[str, Any], is_written: bool
) -> None:
    document: dict[str, Any] = {"document": "{}", "steps": ["{}"], "jobs": {}, "created": 1}
    document |= {"id": "w1", "status": "running", "schema": "1", "version": version, **end}
    digests = {entry.version: entry.digest for entry in await bench.log.read("w1")}

    assert await bench.scripts.project(0, [{**document, "digest": "other"}]) == 0
    document["digest"] = digests.get(version, "")
    assert await bench.scripts.project(0, [document]) == is_written


async def test_lane_has_one_owner_until_its_lease_ends(bench: Bench) -> None:
    assert not await bench.own("engine/2")
    await bench.own("engine/1", lease_ms=0)
    assert await bench.own("engine/2")
    assert not await bench.own("engine/1")


async def test_claim_gives_each_task_once(bench: Bench) -> None:
    await bench.queue(0, 1, 2)

    assert indexes(await bench.claim(2, "s/1")) == [0, 1]
    assert indexes(await bench.claim(5, "t/1")) == [2]
    assert await bench.claim(5, "t/2") == []


async def test_claim_whose_reply_was_lost_gives_the_same_tasks_again(bench: Bench) -> None:
    await bench.queue(0, 1, 2)

    first = await bench.claim(2, "s/1")
    again = await bench.claim(2, "s/1")

    assert sorted(indexes(first)) == sorted(indexes(again)) == [0, 1]
    assert (await bench.types()).count("task.started") == 2


async def test_repeated_claim_gives_no_tasks_of_the_claims_before(bench: Bench) -> None:
    await bench.queue(0, 1, 2)
    await bench.claim(2, "s/1")

    assert indexes(await bench.claim(2, "s/2")) == [2]
    assert indexes(await bench.claim(2, "s/2")) == [2]


async def test_limit_of_a_step_is_never_passed(bench: Bench) -> None:
    await bench.queue(*range(5), limit=2)

    assert indexes(await bench.claim(5, "s/1")) == [0, 1]
    assert await bench.claim(5, "s/2") == []
    await bench.settle(0)
    assert indexes(await bench.claim(5, "s/3")) == [2]


async def test_workflows_take_turns(log: EventLog) -> None:
    large, small = Bench(log, "large"), Bench(log, "small")
    await large.own()
    for bench in (large, small):
        await bench.create()
    await large.queue(*range(100))
    await small.queue(0)

    claimed = await large.claim(4)

    assert {step.workflow for step in claimed} == {"large", "small"}


async def test_higher_priority_is_claimed_first(log: EventLog) -> None:
    patient, urgent = Bench(log, "patient"), Bench(log, "urgent")
    await patient.own()
    await patient.create()
    await urgent.create(priority=5)
    await patient.queue(*range(5))
    await urgent.queue(0, 1)

    claimed = await patient.claim(3)

    assert [(step.workflow, len(step.tasks)) for step in claimed] == [("urgent", 2), ("patient", 1)]


async def test_only_the_holder_settles_and_only_once(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1, "s/1")

    assert await bench.settle(0, token="t/1") == [("w1", "a", 0)]
    assert await bench.settle(0) == []
    assert await bench.settle(0) == [("w1", "a", 0)]
    assert (await bench.types()).count("task.completed") == 1


async def test_tasks_of_a_silent_worker_go_back_to_the_front(bench: Bench) -> None:
    await bench.queue(0, 1, 2)
    await bench.claim(2, "dead/1", lease=0)

    assert (await bench.scripts.sweep(0)).taken == [2, 0, 0]
    assert sorted(indexes(await bench.claim(2, "s/1"))) == [0, 1]
    assert await bench.settle(0, token="dead/1") == [("w1", "a", 0)]


async def test_task_that_kills_its_workers_fails_as_poison(bench: Bench) -> None:
    await bench.queue(0)
    for n in range(3):
        await bench.claim(1, f"dead{n}/1", lease=0)
        await bench.scripts.sweep(0, max_losses=3)

    (*_, last) = await bench.log.read("w1")

    assert isinstance(last.event, e.TaskFailed)
    assert last.event.error.type == "Poison"


async def test_agents_of_a_task_that_counts_as_poison_are_stopped(bench: Bench) -> None:
    # They went on, and a run that collects failures waited for their end.
    await bench.queue(0)
    await bench.claim(1, "s/1")
    await bench.request("running", "queued")
    await bench.claim_jobs(want=1)
    for n in range(3):
        await bench.scripts.renew(0, lanes=[], sessions=["s"], lease_ms=0)
        await bench.scripts.sweep(0, max_losses=3)
        await bench.claim(1, f"s/{n + 2}")

    failed, *stopped = (await bench.types())[-3:]
    assert failed == "task.failed"
    assert sorted(stopped) == ["job.cancelled", "job.stop_requested"]


async def test_agents_of_a_task_that_waits_too_long_are_stopped(bench: Bench) -> None:
    tasks = [(0, 1, "null")]
    scheduled = e.StepScheduled("a", 1, 1)
    batch = Batch("a", "0|default||0", 0, tasks, "{}", patience_ms=1)
    await bench.commit((scheduled.type, e.encode_event(scheduled), None), queue=[batch])
    await bench.claim(1, "s/1")
    await bench.request("queued")
    await bench.scripts.renew(0, lanes=[], sessions=["s"], lease_ms=0)
    await bench.scripts.sweep(0)
    while await bench.scripts.fire(0, lane=LANE) >= 0:
        pass

    assert (await bench.types())[-3:] == ["task.lost", "task.failed", "job.cancelled"]


async def test_cancelling_a_step_takes_its_tasks_from_queue_and_workers(bench: Bench) -> None:
    await bench.queue(0, 1)
    await bench.claim(1)

    await bench.commit(("step.cancelled", '{"step":"a"}', None), cancel=[("a", 0)])

    assert (await bench.types())[-2:] == ["step.cancelled", "task.cancelled"]
    assert await bench.settle(0) == [("w1", "a", 0)]
    assert await bench.claim(5, "s/2") == []


async def test_agent_is_requested_once_by_the_holder_of_the_task(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)

    assert await bench.scripts.request_job("w1", **job(token="other/1")) == Lost()
    assert await bench.scripts.request_job("w1", **job()) == Found("a-0-x")
    assert await bench.scripts.request_job("w1", **job()) == Found("a-0-x", "", "")
    assert (await bench.types()).count("job.requested") == 1


async def claim_jobs(
    bench: Bench, token: str, lease: int = 60_000, host: str = "here"
) -> list[str]:
    claimed = await bench.claim_jobs(token, lease_ms=lease, host=host)
    return [job.job for job in claimed.jobs]


async def record(
    bench: Bench, token: str, kind: str, rest: str = "{}", *, final: bool = True
) -> str:
    return await bench.scripts.settle_job(
        "w1", job="a-0-x", token=token, type=kind, rest=rest, final=final
    )


async def test_job_is_settled_once_by_the_launcher_that_holds_it(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.scripts.request_job("w1", **job())

    assert await claim_jobs(bench, "l/1") == ["a-0-x"]
    assert await record(bench, "m/1", "job.cancelled") == "lost"
    assert await record(bench, "l/1", "job.succeeded", '{"result":5}') == "appended"
    assert await record(bench, "l/1", "job.cancelled") == "lost"
    found = await bench.scripts.request_job("w1", **job())
    assert isinstance(found, Found)
    assert msgspec.json.decode(found.data)["result"] == 5


async def test_failed_agent_is_launched_anew_when_the_body_runs_again(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.scripts.request_job("w1", **job())
    await claim_jobs(bench, "l/1")
    await record(bench, "l/1", "job.failed", '{"error":{"type":"failed","message":"m"}}')

    assert await bench.scripts.request_job("w1", **job()) == Found(
        "a-0-x",
        "job.failed",
        '{"step":"a","index":0,"job":"a-0-x","error":{"type":"failed","message":"m"}}',
    )
    await bench.scripts.hand_back(0, session="s")
    await bench.claim(1, "t/1")
    assert await bench.scripts.request_job("w1", **job(token="t/1")) == Found("a-0-x~2")


async def test_body_that_runs_again_finds_its_agent_whatever_became_of_it(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.scripts.request_job("w1", **job())
    await claim_jobs(bench, "l/1")
    await bench.scripts.hand_back(0, session="s")
    await bench.claim(1, "t/1")

    assert await bench.scripts.request_job("w1", **job(token="t/1")) == Found("a-0-x")
    await record(bench, "l/1", "job.succeeded", '{"result":5}')
    await bench.scripts.hand_back(0, session="t")
    await bench.claim(1, "u/1")

    found = await bench.scripts.request_job("w1", **job(token="u/1"))
    assert isinstance(found, Found)
    assert (found.job, found.type) == ("a-0-x", "job.succeeded")
    assert (await bench.types()).count("job.requested") == 1


async def test_effect_is_recorded_once_and_its_first_value_stands(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    effect: dict[str, Any] = {"step": "a", "index": 0, "effect": "run:a:0:n:1", "name": '"n"'}

    assert await bench.scripts.record_effect("w1", token="s/1", value="1", **effect) == "1"
    await bench.scripts.hand_back(0, session="s")
    await bench.claim(1, "t/1")
    assert await bench.scripts.record_effect("w1", token="t/1", value="2", **effect) == "1"
    assert await bench.scripts.record_effect("w1", token="s/1", value="3", **effect) == Lost()

    events = [recorded.event for recorded in await bench.log.read("w1")]
    recorded = [event for event in events if isinstance(event, e.EffectRecorded)]
    assert [(x.name, bytes(x.value)) for x in recorded] == [("n", b"1")]


async def test_sleep_ends_by_the_clock_of_redis(bench: Bench) -> None:
    # That of the worker that goes on with it may be another one.
    await bench.queue(0)
    await bench.claim(1)
    effect: dict[str, Any] = {"step": "a", "index": 0, "effect": "run:a:0:n:1", "name": '"n"'}

    first = await bench.scripts.record_sleep("w1", token="s/1", seconds=60, **effect)
    again = await bench.scripts.record_sleep("w1", token="s/1", seconds=3600, **effect)

    assert isinstance(first, float)
    assert isinstance(again, float)
    assert again <= first <= 60
    recorded = (await bench.log.read("w1"))[-1]
    assert isinstance(recorded.event, e.EffectRecorded)
    assert recorded.event.kind == "sleep"
    assert float(bytes(recorded.event.value)) == pytest.approx(recorded.ts / 1000 + 60)
    assert await bench.scripts.record_sleep("w1", token="t/1", seconds=60, **effect) == Lost()


async def test_settling_a_task_stops_its_agents(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.scripts.request_job("w1", **job())
    await claim_jobs(bench, "l/1")

    await bench.settle(0)

    assert (await bench.types())[-2:] == ["task.completed", "job.stop_requested"]
    assert await record(bench, "l/1", "job.launched", final=False) == "stopping"
    assert await bench.log.is_stopping("w1", "a-0-x")
    assert await record(bench, "l/1", "job.cancelled") == "stopping"


async def test_retry_gets_an_agent_of_its_own_while_the_last_one_is_stopped(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.scripts.request_job("w1", **job())
    await claim_jobs(bench, "l/1")
    await bench.scripts.stop_job("w1", step="a", index=0, token="s/1", job="a-0-x")
    await bench.scripts.hand_back(0, session="s")
    await bench.claim(1, "t/1")

    again = await bench.scripts.request_job("w1", **job(token="t/1"))
    assert await record(bench, "l/1", "job.cancelled") == "stopping"

    assert again == Found("a-0-x~2")
    assert await bench.scripts.request_job("w1", **job(token="t/1")) == again
    assert await claim_jobs(bench, "l/2") == ["a-0-x~2"]


async def test_agent_nobody_took_yet_is_cancelled_at_once(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.scripts.request_job("w1", **job())

    await bench.settle(0)

    assert (await bench.types())[-1] == "job.cancelled"
    assert await claim_jobs(bench, "l/1") == []


async def test_jobs_of_a_silent_launcher_are_handed_on(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.scripts.request_job("w1", **job())
    await claim_jobs(bench, "dead/1", lease=0)

    assert (await bench.scripts.sweep(0)).taken == [0, 1, 0]
    assert await claim_jobs(bench, "l/1") == ["a-0-x"]
    assert await record(bench, "dead/1", "job.cancelled") == "lost"


async def test_stop_outlives_the_launcher_that_was_to_stop(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.scripts.request_job("w1", **job())
    await claim_jobs(bench, "dead/1", lease=0)
    await bench.scripts.stop_job("w1", step="a", index=0, token="s/1", job="a-0-x")
    await bench.scripts.sweep(0)

    assert await claim_jobs(bench, "l/1") == ["a-0-x"]
    assert await record(bench, "l/1", "job.launched", final=False) == "stopping"


async def test_agent_is_lost_when_no_launcher_of_its_host_comes(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.scripts.request_job("w1", **job())
    await claim_jobs(bench, "dead/1", lease=0)
    while "job.failed" not in await bench.types():
        await bench.scripts.sweep(0, host_lease_ms=0)

    (*_, last) = await bench.log.read("w1")
    assert isinstance(last.event, e.JobFailed)
    assert last.event.error.type == "lost"
    assert await claim_jobs(bench, "l/1") == []
    # Its place in the line of a host that never came back stayed for ever.
    assert await bench.log.redis.keys("flow:0:shared:jobs*") == []


async def test_agent_that_was_taken_over_is_not_lost(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    await bench.scripts.request_job("w1", **job())
    await claim_jobs(bench, "dead/1", lease=0)
    await bench.scripts.sweep(0, host_lease_ms=1)
    await claim_jobs(bench, "l/1")
    for _ in range(20):  # which takes longer than that
        await bench.scripts.sweep(0)

    assert "job.failed" not in await bench.types()
    assert await record(bench, "l/1", "job.succeeded") == "appended"


async def test_state_changes_are_all_or_none(bench: Bench) -> None:
    answer = await bench.scripts.change_state(
        "w1",
        by="me",
        changes=[change("incr", by=1), change("append", value="1", event='"value":1')],
    )

    assert answer == StateRefused("n", "append needs a list, it holds 1")
    assert (await bench.types())[-1] == "workflow.started"


async def test_write_of_a_task_whose_reply_was_lost_counts_once(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    claim = {"step": "a", "index": 0, "token": "s/1", "write": 1}

    for _ in range(2):
        answer = await bench.scripts.change_state(
            "w1", by="s", changes=[change("incr", by=2)], claim=claim
        )
        assert answer == ["2"]


async def test_settled_task_leaves_nothing_of_its_writes_but_state(bench: Bench) -> None:
    await bench.queue(0)
    await bench.claim(1)
    claim = {"step": "a", "index": 0, "token": "s/1", "write": 1}
    await bench.scripts.change_state("w1", by="s", changes=[change("incr", by=2)], claim=claim)

    await bench.settle(0)

    assert await bench.log.redis.hlen("workflow:w1:effects") == 0


@pytest.mark.parametrize(
    ("steps", "result"),
    [
        ([1, 2], "3"),
        ([0.1, 0.2], "0.30000000000000004"),
        ([2**53 - 2, 1], str(2**53 - 1)),
        ([-1], "-1"),
    ],
)
async def test_incr_adds_like_python(bench: Bench, steps: list[float], result: str) -> None:
    answers = [
        await bench.scripts.change_state("w1", by="me", changes=[change("incr", by=by)])
        for by in steps
    ]

    assert answers[-1] == [result]


async def test_incr_past_what_json_can_tell_is_refused(bench: Bench) -> None:
    changes = [change("incr", by=2**53 - 1), change("incr", by=1)]

    assert isinstance(
        await bench.scripts.change_state("w1", by="me", changes=changes), StateRefused
    )


async def test_state_of_an_ended_workflow_stays(bench: Bench) -> None:
    await bench.commit(("workflow.completed", "{}", None), status="completed", version=2)

    answer = await bench.scripts.change_state("w1", by="me", changes=[change("incr", by=1)])

    assert answer == Ended("completed")


async def test_expired_run_leaves_the_listings(bench: Bench) -> None:
    redis = bench.log.redis
    await redis.delete("workflow:w1:meta", "workflow:w1:events")

    await bench.scripts.sweep(0)

    assert await redis.exists("flow:0:workflows", "flow:0:workflows:running", "flow:0:active") == 0
