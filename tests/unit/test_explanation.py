"""Why a workflow is where it is, from logs made by hand."""

from __future__ import annotations

from msgspec.structs import replace

from agentainer_flow.core import events as e
from agentainer_flow.core.definition import Bind, Definition, Fan, Retry, StepSpec
from agentainer_flow.projections.fold import fold
from agentainer_flow.projections.queues import QueueView
from agentainer_flow.sdk.explanation import Reason, explain
from agentainer_flow.sdk.facts import Facts, LaneFacts, Unread, Waiting

from .test_diagnosis import member
from .test_workflow_view import ERROR, RAW, log

DEFINITION = Definition(
    "wf",
    (
        StepSpec("load", retry=Retry(3)),
        StepSpec("work", ("load",), parallel=Fan(Bind(step="load"))),
        StepSpec("report", ("work",)),
    ),
    timeout_s=60,
)
LANE = LaneFacts(0, "h:1", 3.0, Unread(0, 0, "9-0"), 1)
FACTS = Facts([LANE], members=[member("worker", definitions=["wf"])])
BEGUN = (e.WorkflowCreated("wf", "digest"), e.WorkflowStarted())
LOADING = (*BEGUN, e.StepScheduled("load", 1, 1), e.TaskStarted("load", 0, 1, "worker-1"))
LOADED = (*LOADING, e.TaskCompleted("load", 0, 1), e.StepCompleted("load"))
WORKING = (
    *LOADED,
    e.StepScheduled("work", 2, 2),
    e.TaskStarted("work", 0, 1, "worker-1"),
)
FAILED = (e.TaskFailed("work", 0, 1, ERROR), e.StepFailed("work", ERROR, 0))


def why(*events: e.Event, facts: Facts = FACTS, now_ms: int = 3000) -> list[Reason]:
    story = log(*events)
    return explain(fold("w1", story), DEFINITION, story, facts, now_ms)


def told(step: str, *events: e.Event, facts: Facts = FACTS) -> str:
    return " ".join(one.text for one in why(*events, facts=facts) if one.step == step)


def roots(*events: e.Event, facts: Facts = FACTS) -> list[str]:
    return [one.step for one in why(*events, facts=facts) if one.root]


def test_what_has_not_begun() -> None:
    assert told("", e.WorkflowCreated("wf", "digest")) == "It was created and never started."
    assert told("", *BEGUN) == "It runs: its next step is about to begin."
    assert told("load", *BEGUN) == "It is about to begin."


def test_unmet_dependencies() -> None:
    assert told("work", *LOADING) == "It waits for step load (running)."
    assert told("report", *WORKING) == "It waits for step work (running, 0 of 2 tasks done)."


def test_what_runs_where_and_which_attempt_it_is() -> None:
    assert told("", *LOADING) == "It runs: step load is running."
    assert told("load", *LOADING) == "It runs on worker-1 since 2.0 s (attempt 1 of 3)."
    assert told("load", *LOADED) == "It completed at event 6."
    assert told("work", *WORKING).startswith("Task 0 runs on worker-1")


def test_agents() -> None:
    requested = e.JobRequested("load", 0, "j", 1, "agent", e.JobSpec("image"))
    launched = e.JobLaunched("load", 0, "j", "c1", "host-7", "docker")
    assert "its agent j waits for a launcher; start" in told("load", *LOADING, requested)
    there = replace(FACTS, members=[member("launcher")])
    assert "waits for a launcher to take it" in told("load", *LOADING, requested, facts=there)
    assert "its agent j is running on host-7" in told("load", *LOADING, requested, launched)


def test_what_sleeps() -> None:
    asleep = e.EffectRecorded("load", 0, "nap", RAW(b"10.5"), "sleep")
    assert told("load", *LOADING, asleep) == (
        "It sleeps for another 7.5 s, until 1970-01-01T00:00:10.500Z."
    )
    awake = e.EffectRecorded("load", 0, "next", RAW(b"1"))
    assert told("load", *LOADING, asleep, awake).startswith("It runs on worker-1")


def test_retries() -> None:
    retried = (e.TaskFailed("load", 0, 1, ERROR), e.TaskRetried("load", 0, 2, delay_ms=5000))
    text = told("load", *LOADING, *retried)
    assert text == ("It is tried again in 3.0 s, at 1970-01-01T00:00:06.006Z after ValueError: no.")
    assert "again as soon as it is claimed" in told(
        "load", *LOADING, retried[0], replace(retried[1], delay_ms=0)
    )
    assert "when the workflow is resumed" in told("load", *LOADING, *retried, e.WorkflowPaused())


def test_lost_tasks() -> None:
    lost = e.TaskLost("load", 0, 1, "worker-1")
    assert told("load", *LOADING, lost) == (
        "It was lost with worker-1 and is given to another worker."
    )


def test_many_tasks_are_counted() -> None:
    started = [e.TaskStarted("work", index, 1, "worker-1") for index in range(8)]
    lost = e.TaskLost("work", 2, 1, "worker-1")
    text = told("work", *LOADED, e.StepScheduled("work", 20, 10), *started, lost)
    assert text.count("Task ") == 5
    assert text.endswith(
        "And 3 more tasks like these. 10 tasks will be queued when earlier ones have ended."
    )


def test_what_ready_tasks_wait_for() -> None:
    waiting = Waiting("w1", "wf", "running", "work", 1, 1.0, "gpu", "")
    nobody = replace(FACTS, members=[], waiting=[waiting])
    assert "1 task ready, but no worker serves definition 'wf'." in told(
        "work", *WORKING, facts=nobody
    )
    assert roots(*WORKING, facts=nobody) == ["work"]
    limited = replace(FACTS, waiting=[waiting], queues=[QueueView("gpu", 2, 0, 2, 1)])
    assert "queue 'gpu' is limited: 2 of 2 run." in told("work", *WORKING, facts=limited)
    assert roots(*WORKING, facts=limited) == []
    assert told("report", *WORKING, facts=limited).startswith("It waits for step work")


def test_a_lane_without_an_engine() -> None:
    unowned = replace(FACTS, lanes=[replace(LANE, owner="")])
    assert "No engine owns the lane; 1 workflow waits; start" in told("", *BEGUN, facts=unowned)
    ended = (*WORKING, *FAILED, e.WorkflowFailed(ERROR, "work", 0))
    assert "engine" not in told("", *ended, facts=unowned)


def test_the_root_of_a_failure_and_what_followed() -> None:
    ended = (*WORKING, *FAILED, e.WorkflowFailed(ERROR, "work", 0))
    assert told("", *ended) == "It failed: step work[0] failed with ValueError: no."
    assert told("work", *ended) == "Task 0 failed at event 10 with ValueError: no."
    assert told("report", *ended) == "It never began: step work, which it depends on, failed."
    assert roots(*ended) == ["work"]


def test_what_is_left_of_a_failing_workflow() -> None:
    other = e.TaskStarted("work", 1, 1, "worker-2")
    failing = (*WORKING, other, *FAILED)
    assert told("", *failing) == (
        "It is failing and lets what runs come to its end; it waits for 1 task."
    )
    assert told("report", *failing) == "It does not begin any more, because step work failed."


def test_time_limits_of_runs() -> None:
    late = (*LOADING, e.WorkflowTimedOut(), e.StepCancelled("load"), e.WorkflowFailed(ERROR))
    assert told("", *late) == "It failed: it took longer than its time limit of 60 s."
    assert told("load", *late) == (
        "It was cancelled, because it took longer than its time limit of 60 s."
    )


def test_pauses_and_cancellations() -> None:
    story = log(*LOADED, e.WorkflowPaused())
    story[-1] = replace(story[-1], by="ann@host")
    paused = explain(fold("w1", story), DEFINITION, story, FACTS, 3000)[0].text
    assert paused.startswith("It is paused (1970-01-01T00:00:01.007Z, by ann@host); go on with")
    assert told("work", *LOADED, e.WorkflowPaused()) == (
        "It could begin, but the workflow is paused."
    )
    cancelling = (*LOADING, e.WorkflowCancelRequested("too dear"))
    assert told("", *cancelling) == (
        "It is being cancelled (1970-01-01T00:00:01.005Z): too dear; it waits for 1 task."
    )
    cancelled = (*cancelling, e.TaskCancelled("load", 0, 1), e.StepCancelled("load"))
    ended = (*cancelled, e.WorkflowCancelled("too dear"))
    assert told("", *ended) == "It was cancelled (1970-01-01T00:00:01.005Z): too dear."
    assert told("load", *ended) == (
        "It was cancelled, because the workflow was cancelled: too dear."
    )
    assert told("report", *ended) == (
        "It never began: step work, which it depends on, never began."
    )


def test_a_completed_workflow() -> None:
    done = [e.StepCompleted("work"), e.StepCompleted("report"), e.WorkflowCompleted()]
    assert told("", *LOADED, *done) == "It completed: all 3 steps are done."
