"""What an engine counts of the events that it reads and makes."""

from __future__ import annotations

from agentainer_flow.core import events as e
from agentainer_flow.core import metrics as m
from agentainer_flow.core.definition import Definition, StepSpec
from agentainer_flow.core.metrics import Histogram, Instruments
from agentainer_flow.projections.workflow import StepView, TaskView, WorkflowView
from agentainer_flow.reactors.counting import count_decision, count_news
from agentainer_flow.reactors.scheduler import Decision

LOST = e.Failure("Poison", "lost 3 workers while it ran")
DEFINITION = Definition("pipeline", (StepSpec("fetch", queue="gpu"),))


def news(*events: e.Event, by: str) -> dict[str, float]:
    instruments = Instruments()
    count_news(instruments, "pipeline", [e.Recorded(1, 0, event, by) for event in events])
    return {
        one.metric.name: one.value
        for one in instruments.samples()
        if not isinstance(one.value, Histogram)
    }


def test_a_task_that_kills_its_workers_counts_as_poisoned() -> None:
    events = [e.TaskFailed("fetch", 0, 1, LOST), e.TaskLost("fetch", 0, 1, "worker@a:1:1")]
    assert news(*events, by="janitor") == {
        "agentainer.tasks.poisoned": 1,
        "agentainer.tasks.lost": 1,
    }


def test_a_failure_that_a_step_calls_poison_is_none() -> None:
    assert news(e.TaskFailed("fetch", 0, 1, LOST), by="worker@a:1:1") == {}


def decided(*events: e.Event, status: str | None = None) -> dict[str, tuple[tuple[str, ...], int]]:
    """Counts by metric, of a run that began at 1 s, of a step with tasks at 1.2 and 1.5 s."""
    tasks = {
        0: TaskView(1, "completed", "w", 1200),
        1: TaskView(1, "completed", "w", 1500),
        2: TaskView(2, "completed", "w", 1900),
        3: TaskView(1, "completed", "w", 100),
    }
    step = StepView("fetch", total=4, tasks=tasks, reused=[3], scheduled_ms=1000)
    view = WorkflowView("id", name="pipeline", steps={"fetch": step}, started_ms=1000)
    decision = Decision([(event, None) for event in events], status=status)
    instruments = Instruments()
    count_decision(instruments, view, DEFINITION, decision, 3000)
    return {
        one.metric.name: (
            one.labels,
            one.value.count if isinstance(one.value, Histogram) else int(one.value),
        )
        for one in instruments.samples()
    }


def test_a_step_tells_how_long_it_took_and_its_tasks_waited() -> None:
    assert decided(e.StepCompleted("fetch")) == {
        "agentainer.step.duration": (("pipeline", "fetch", "completed"), 1),
        "agentainer.task.queue_wait": (("pipeline", "fetch", "gpu"), 2),
    }


def test_the_end_of_a_workflow_counts_under_its_result() -> None:
    assert decided(e.WorkflowCancelled(), status="cancelled") == {
        "agentainer.workflows.finished": (("pipeline", "cancelled"), 1),
        "agentainer.workflow.duration": (("pipeline", "cancelled"), 1),
    }


def test_a_step_that_could_not_begin_took_no_time() -> None:
    instruments = Instruments()
    failed = Decision([(e.StepFailed("fetch", e.Failure("NotItems", "no list")), None)])
    count_decision(instruments, WorkflowView("id", name="pipeline"), DEFINITION, failed, 3000)
    (sample,) = instruments.samples()
    assert (sample.metric, sample.labels[2]) == (m.STEP_DURATION, "failed")
    assert isinstance(sample.value, Histogram)
    assert sample.value.sum == 0


def test_retries_are_counted() -> None:
    assert decided(e.TaskRetried("fetch", 0, 2)) == {
        "agentainer.tasks.retried": (("pipeline", "fetch"), 1)
    }
