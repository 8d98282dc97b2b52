"""Fold a log into the view of its workflow: each event changes one part of it.

Anything that cannot be stops the fold: it must not go on from a log that is damaged or not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import msgspec.structs

from ..core import events as e
from .state import apply_change
from .workflow import ALL, JobStatus, JobView, StepView, TaskStatus, TaskView, WorkflowView


class Gap(Exception):
    """Raised when the next event of a view is not the one that follows: read the log in between."""


class RolledBack(Exception):
    """Raised when the log is not the one this view was folded from: drop the view, fold again."""


_decode_map = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def fold(workflow: str, events: Iterable[e.Recorded]) -> WorkflowView:
    """Fold a whole log."""
    view = WorkflowView(workflow)
    for recorded in events:
        apply(view, recorded)
    return view


def apply(view: WorkflowView, recorded: e.Recorded) -> WorkflowView:
    """Advance a view by one event. Reading a log has four cases.

    seen: nothing changes; next: applied; gap: raises Gap; rolled back: raises RolledBack.
    """
    if recorded.version <= view.version:
        if recorded.version == view.version and not _is_last(view, recorded):
            raise RolledBack(view.id)
        return view
    if recorded.version > view.version + 1:
        raise Gap(f"{view.id}: has {view.version}, got {recorded.version}")
    evolve = _EVOLVE.get(type(recorded.event))
    if evolve is not None:
        evolve(view, recorded.event, recorded)
    view.version = recorded.version
    view.digest = recorded.digest
    view.updated_ms = recorded.ts
    return view


def branch(view: WorkflowView, step: str) -> WorkflowView:
    """A copy that may be advanced by events of one step's tasks; the rest is shared."""
    copy = msgspec.structs.replace
    old = view.step(step)
    tasks = {index: copy(task) for index, task in old.tasks.items()}
    own = copy(old, tasks=tasks, results=dict(old.results), failures=list(old.failures))
    return copy(view, steps={**view.steps, step: own}, touched=set[str](), new_jobs=[])


def check_follows(view: WorkflowView, previous: str) -> None:
    """Raises RolledBack when the next event follows on another log than the view's."""
    if _differ(previous, view.digest):
        raise RolledBack(view.id)


def _is_last(view: WorkflowView, recorded: e.Recorded) -> bool:
    """Tell whether a view ends with this event; what was lost may come again at another time."""
    if _differ(recorded.digest, view.digest):
        return False
    return not recorded.digest or recorded.ts == view.updated_ms


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)


def _created(view: WorkflowView, event: e.WorkflowCreated, at: e.Recorded) -> None:
    view.name, view.code, view.definition_digest = event.name, event.code, event.definition
    view.init, view.tags, view.forked_from = event.init, event.tags, event.forked_from
    view.trace = event.trace
    view.input = {**_decode_map(event.input), **event.blobs}
    view.items = _decode_map(event.items)
    view.created_ms = at.ts


def _started(view: WorkflowView, event: e.WorkflowStarted, at: e.Recorded) -> None:
    view.status, view.started_ms = "running", at.ts
    view.touched.add(ALL)


def _paused(view: WorkflowView, event: e.WorkflowPaused, at: e.Recorded) -> None:
    view.status = "paused"


def _resumed(view: WorkflowView, event: e.WorkflowResumed, at: e.Recorded) -> None:
    view.status = "running"
    view.touched.add(ALL)


def _timed_out(view: WorkflowView, event: e.WorkflowTimedOut, at: e.Recorded) -> None:
    view.status = "failing"
    view.timed_out = True


def _cancel_requested(view: WorkflowView, event: e.WorkflowCancelRequested, at: e.Recorded) -> None:
    view.status, view.reason = "cancelling", event.reason
    view.touched.add(ALL)


def _workflow_completed(view: WorkflowView, event: e.WorkflowCompleted, at: e.Recorded) -> None:
    view.status, view.ended_ms = "completed", at.ts
    view.result = event.blob or event.result


def _workflow_failed(view: WorkflowView, event: e.WorkflowFailed, at: e.Recorded) -> None:
    view.status, view.ended_ms, view.error = "failed", at.ts, event


def _workflow_cancelled(view: WorkflowView, event: e.WorkflowCancelled, at: e.Recorded) -> None:
    view.status, view.ended_ms = "cancelled", at.ts
    view.reason = event.reason or view.reason


def _scheduled(view: WorkflowView, event: e.StepScheduled, at: e.Recorded) -> None:
    step = _touch(view, event.step, at)
    step.status, step.total, step.queued = "scheduled", event.tasks, event.queued
    step.scheduled_ms = at.ts


def _queued(view: WorkflowView, event: e.TasksQueued, at: e.Recorded) -> None:
    _touch(view, event.step, at).queued = event.first + event.count


def _tasks_reused(view: WorkflowView, event: e.TasksReused, at: e.Recorded) -> None:
    step = _touch(view, event.step, at)
    for task in event.tasks:
        status: TaskStatus = "failed" if task.error else "completed"
        step.tasks[task.index] = TaskView(
            task.attempt, status, "", at.ts, at.ts, task.error, at.version
        )
        if task.error:
            step.failures.append(task.index)
        else:
            step.completed += 1
            step.results[task.index] = task.blob or task.result
    step.reused = sorted([*step.reused, *(task.index for task in event.tasks)])


def _step_reused(view: WorkflowView, event: e.StepReused, at: e.Recorded) -> None:
    step = _touch(view, event.step, at)
    step.status, step.ended_ms = "completed", at.ts
    step.total = step.queued = event.tasks
    view.completed_steps += 1


def _step_completed(view: WorkflowView, event: e.StepCompleted, at: e.Recorded) -> None:
    step = _touch(view, event.step, at)
    step.status, step.ended_ms = "completed", at.ts
    view.completed_steps += 1


def _step_failed(view: WorkflowView, event: e.StepFailed, at: e.Recorded) -> None:
    step = _touch(view, event.step, at)
    step.status, step.ended_ms, step.error = "failed", at.ts, event.error
    step.failed_index = event.index
    if view.status in ("running", "paused"):
        view.status = "failing"


def _step_cancelled(view: WorkflowView, event: e.StepCancelled, at: e.Recorded) -> None:
    step = _touch(view, event.step, at)
    step.status, step.ended_ms = "cancelled", at.ts


def _task_started(view: WorkflowView, event: e.TaskStarted, at: e.Recorded) -> None:
    step = view.step(event.step)
    step.version = at.version
    step.running += 1
    if step.status == "scheduled":
        step.status, step.started_ms = "running", at.ts
    step.tasks[event.index] = TaskView(event.attempt, "running", event.worker, at.ts)


def _task_completed(view: WorkflowView, event: e.TaskCompleted, at: e.Recorded) -> None:
    step = _end_task(view, event, at, "completed")
    step.completed += 1
    step.results[event.index] = event.blob or event.result


def _task_failed(view: WorkflowView, event: e.TaskFailed, at: e.Recorded) -> None:
    step = _end_task(view, event, at, "failed")
    step.tasks[event.index].error = event.error
    step.failures.append(event.index)


def _task_retried(view: WorkflowView, event: e.TaskRetried, at: e.Recorded) -> None:
    step = _touch(view, event.step, at)
    step.failures.remove(event.index)
    step.tasks[event.index].status = "retrying"


def _task_lost(view: WorkflowView, event: e.TaskLost, at: e.Recorded) -> None:
    _end_task(view, event, at, "lost")


def _task_cancelled(view: WorkflowView, event: e.TaskCancelled, at: e.Recorded) -> None:
    _end_task(view, event, at, "cancelled")


TaskEnd = e.TaskCompleted | e.TaskFailed | e.TaskLost | e.TaskCancelled


def _end_task(view: WorkflowView, event: TaskEnd, at: e.Recorded, status: TaskStatus) -> StepView:
    step = _touch(view, event.step, at)
    task = step.tasks.setdefault(event.index, _unclaimed(event.attempt, at))
    step.running -= task.status == "running"
    task.attempt = event.attempt
    task.status, task.ended_ms, task.settled_version = status, at.ts, at.version
    return step


def _unclaimed(attempt: int, at: e.Recorded) -> TaskView:
    """A task that ends without having been claimed: it waited too long."""
    return TaskView(attempt, "retrying", "", at.ts)


def _touch(view: WorkflowView, name: str, at: e.Recorded) -> StepView:
    step = view.step(name)
    step.version = at.version
    view.touched.add(name)
    return step


def _state_updated(view: WorkflowView, event: e.StateUpdated, at: e.Recorded) -> None:
    for change in event.changes:
        apply_change(view.state, change)


def _job_requested(view: WorkflowView, event: e.JobRequested, at: e.Recorded) -> None:
    view.jobs[event.job] = JobView(
        event.job,
        event.step,
        event.index,
        event.attempt,
        event.name,
        event.spec.image,
        "requested",
        at.ts,
    )
    view.step(event.step).jobs.append(event.job)
    view.new_jobs.append(event.job)
    view.unsettled_jobs += 1


def _job_launched(view: WorkflowView, event: e.JobLaunched, at: e.Recorded) -> None:
    job = view.jobs[event.job]
    job.launched_ms = job.launched_ms or at.ts
    job.container, job.host, job.runtime = event.container, event.host, event.runtime
    if job.status == "requested":
        job.status = "running"


def _job_stop_requested(view: WorkflowView, event: e.JobStopRequested, at: e.Recorded) -> None:
    view.jobs[event.job].status = "stopping"


def _job_succeeded(view: WorkflowView, event: e.JobSucceeded, at: e.Recorded) -> None:
    _end_job(view, event, at, "succeeded")


def _job_failed(view: WorkflowView, event: e.JobFailed, at: e.Recorded) -> None:
    _end_job(view, event, at, "failed").error = event.error


def _job_cancelled(view: WorkflowView, event: e.JobCancelled, at: e.Recorded) -> None:
    _end_job(view, event, at, "cancelled")


def _end_job(view: WorkflowView, event: e.JobEvent, at: e.Recorded, status: JobStatus) -> JobView:
    job = view.jobs[event.job]
    job.status, job.ended_ms = status, at.ts
    view.unsettled_jobs -= 1
    view.touched.add(event.step)
    return job


_EVOLVE: dict[type[e.Event], Callable[[WorkflowView, Any, e.Recorded], None]] = {
    e.WorkflowCreated: _created,
    e.WorkflowStarted: _started,
    e.WorkflowPaused: _paused,
    e.WorkflowResumed: _resumed,
    e.WorkflowTimedOut: _timed_out,
    e.WorkflowCancelRequested: _cancel_requested,
    e.WorkflowCompleted: _workflow_completed,
    e.WorkflowFailed: _workflow_failed,
    e.WorkflowCancelled: _workflow_cancelled,
    e.StepScheduled: _scheduled,
    e.TasksQueued: _queued,
    e.TasksReused: _tasks_reused,
    e.StepReused: _step_reused,
    e.StepCompleted: _step_completed,
    e.StepFailed: _step_failed,
    e.StepCancelled: _step_cancelled,
    e.TaskStarted: _task_started,
    e.TaskCompleted: _task_completed,
    e.TaskFailed: _task_failed,
    e.TaskRetried: _task_retried,
    e.TaskLost: _task_lost,
    e.TaskCancelled: _task_cancelled,
    e.StateUpdated: _state_updated,
    e.JobRequested: _job_requested,
    e.JobLaunched: _job_launched,
    e.JobStopRequested: _job_stop_requested,
    e.JobSucceeded: _job_succeeded,
    e.JobFailed: _job_failed,
    e.JobCancelled: _job_cancelled,
}
