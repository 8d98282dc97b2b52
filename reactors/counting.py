"""What an engine counts: what its feed brings, and what it decided once that is in the log.

Each event is on the feed of one lane, and a lane has one owner, so engines together count it once.
A successor may read again what its predecessor had not acknowledged; then it counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..core import events as e
from ..core import metrics as m
from ..core.definition import Definition
from ..core.metrics import Instruments
from ..projections.workflow import WorkflowView
from .scheduler import Decision

JANITOR = "janitor"
#: What is looked at: most events are starts and ends of tasks, which workers count.
_COUNTED = frozenset({e.WorkflowStarted, e.TaskLost, e.TaskFailed, e.JobFailed})


def count_news(instruments: Instruments, name: str, events: Iterable[e.Recorded]) -> None:
    """Events of a workflow of this definition that others appended."""
    for recorded in events:
        if type(recorded.event) in _COUNTED:
            _count_one(instruments, name, recorded)


def _count_one(instruments: Instruments, name: str, recorded: e.Recorded) -> None:
    match recorded.event:
        case e.WorkflowStarted():
            instruments.count(m.WORKFLOWS_STARTED, name)
        case e.TaskLost(step=step):
            instruments.count(m.TASKS_LOST, name, step)
        case e.TaskFailed(step=step, error=e.Failure(type="Poison")) if recorded.by == JANITOR:
            instruments.count(m.TASKS_POISONED, name, step)
        case e.JobFailed(error=e.Failure(type=kind)) if recorded.by == JANITOR:
            instruments.count(m.JOBS_FINISHED, kind)
        case _:
            pass


def count_decision(
    instruments: Instruments,
    view: WorkflowView,
    definition: Definition,
    decision: Decision,
    ts: int,
) -> None:
    """A decision that was committed at `ts` (ms). `view` may have its events, or not yet."""
    for event, _ in decision.events:
        match event:
            case e.StepCompleted(step=step):
                _count_step(instruments, view, definition, step, "completed", ts)
            case e.StepFailed(step=step):
                _count_step(instruments, view, definition, step, "failed", ts)
            case e.StepCancelled(step=step):
                _count_step(instruments, view, definition, step, "cancelled", ts)
            case e.TaskRetried(step=step):
                instruments.count(m.TASKS_RETRIED, view.name, step)
            case _:
                pass
    if decision.status:
        began = view.started_ms or view.created_ms
        instruments.count(m.WORKFLOWS_FINISHED, view.name, decision.status)
        instruments.observe(m.WORKFLOW_DURATION, (ts - began) / 1000, view.name, decision.status)


def _count_step(
    instruments: Instruments,
    view: WorkflowView,
    definition: Definition,
    name: str,
    result: str,
    ts: int,
) -> None:
    step = view.step(name)
    began = step.scheduled_ms or ts
    instruments.observe(m.STEP_DURATION, (ts - began) / 1000, view.name, name, result)
    reused = set(step.reused)
    waits = [
        (task.started_ms - began) / 1000
        for index, task in step.tasks.items()
        if task.attempt == 1 and index not in reused
    ]
    if waits:
        instruments.observe_all(m.QUEUE_WAIT, waits, view.name, name, definition.by_id[name].queue)
